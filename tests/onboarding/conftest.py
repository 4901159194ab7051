"""Samples of delivered files, each with literal values, and the project that trueup proposes from them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trueup.config import parse
from trueup.onboarding.document import Document, document_of
from trueup.onboarding.proposal import propose

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def propose_from(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Document]]:
    """Return a function that writes samples, and returns the settings and the text that are proposed from them."""

    def proposed(**samples: bytes | str) -> tuple[dict[str, Any], Document]:
        paths = []
        for name, content in samples.items():
            path = tmp_path / name.replace("__", ".")
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            paths.append(path)
        proposal = propose(paths, tmp_path, NOW)
        document = document_of(proposal)
        parse(document.text)
        return proposal.settings, document

    return proposed
