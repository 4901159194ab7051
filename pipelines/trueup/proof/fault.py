"""A fault: one difference between what the lake stores and what a check recomputed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FaultKind = Literal["tampered", "unavailable"]
"""Kind of fault.

*tampered*: the stored content differs from the recomputed content. *unavailable*: the raw bytes cannot be read, so nothing is
proven either way.
"""


@dataclass(frozen=True)
class Fault:
    """One difference that a check found.

    Parameters
    ----------
    kind:
        Whether content differs or evidence is unavailable.
    check:
        The check that found it, such as `event_ids`, `units`, `chains`, `counts`, `findings`, `scores`, `decisions`, `anchors`.
    where:
        The table, unit, file, event or position concerned.
    detail:
        One sentence: the stored and the recomputed content.
    since:
        The newest anchor that still agrees with the lake, if anchors were checked: the change is later than it.
    """

    kind: FaultKind
    check: str
    where: str
    detail: str
    since: str | None = None
