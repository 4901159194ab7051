"""Ids of root-cause cases: each is derived from the case's content, so that the log can be checked against it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence


def case_id_of(kind: str, currency: str, pattern: Sequence[tuple[str, str]]) -> bytes:
    """Return the id of a case: a hash of the kind of its findings, the currency and the pattern.

    >>> case_id_of("unbilled", "EUR", (("node", "MSC07"),)).hex()[:8]
    'e34a88ea'
    """
    text = json.dumps(["case", 1, kind, currency, [list(pair) for pair in pattern]], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()[:16]
