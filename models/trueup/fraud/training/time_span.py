"""Find the time that transactions cover, without transactions that a wrong clock stamped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DAY_US = 86_400_000_000
_GAP_US = 31 * DAY_US
"""The longest window of a feature; transactions further from all others share no window with them."""
_LEAST_SHARE = 0.01


def time_span(at_us: NDArray[np.int64]) -> tuple[int, int]:
    """Return the first and last instant of transactions, without stretches that a wrong clock stamped.

    A stretch counts as stamped by a wrong clock if it has under 1 % of the transactions. It must also have more than 31 empty days
    before and after.

    >>> year = 365 * DAY_US
    >>> ordinary = np.arange(1_000) * 3_600_000_000
    >>> time_span(np.append(ordinary, [ordinary[-1] + 9 * year])) == (0, ordinary[-1])
    True
    """
    ordered = np.sort(at_us)
    begins = np.concatenate([[0], np.flatnonzero(np.diff(ordered) > _GAP_US) + 1])
    ends = np.append(begins[1:], len(ordered))
    kept = [(b, e) for b, e in zip(begins.tolist(), ends.tolist(), strict=True) if e - b >= _LEAST_SHARE * len(ordered)]
    return int(ordered[kept[0][0]]), int(ordered[kept[-1][1] - 1])
