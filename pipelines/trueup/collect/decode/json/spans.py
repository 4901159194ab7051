"""Spans: where the records of a block begin and end."""

from __future__ import annotations

import numpy as np

from trueup.collect.decode.text.lines import Offsets

_BLANKS = np.zeros(256, np.bool_)
_BLANKS[list(b" \t\r\n")] = True


def stripped(codes: np.ndarray, starts: Offsets, ends: Offsets) -> tuple[Offsets, Offsets]:  # type: ignore[type-arg]
    """Return spans without blanks around them; spans of blanks alone are left out."""
    starts, ends = starts.copy(), ends.copy()
    while len(more := np.flatnonzero((starts < ends) & _BLANKS[codes[np.minimum(starts, len(codes) - 1)]])):
        starts[more] += 1
    while len(more := np.flatnonzero((starts < ends) & _BLANKS[codes[ends - 1]])):
        ends[more] -= 1
    is_filled = ends > starts
    return starts[is_filled], ends[is_filled]
