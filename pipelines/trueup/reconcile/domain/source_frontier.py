"""The frontier of one source: the instant up to which it is complete.

The kernel, `trueup status` and the metrics share this rule. This module imports no data frames, so that `trueup status` starts
quickly.
"""

from __future__ import annotations

from typing import NamedTuple


class SourceMarks(NamedTuple):
    """Newest times of one source at a position, in µs since 1970; None where there is none yet."""

    observed_us: int | None
    """Greatest `started_at` of its records."""
    closed_us: int | None
    """Greatest time through which a declaration closed it."""
    clock_us: int | None
    """Newest tick in force."""


def source_frontier_us(
    marks: SourceMarks, *, lateness_us: int | None, idle_after_us: int | None, wait_us: int = 0, closed_wait_us: int = 0
) -> int | None:
    """Return the instant (µs) before which a source is complete, by each rule less its wait; None if no rule gives one.

    `lateness_us` is None for a source whose frontier is declared, `idle_after_us` for one without that rule.

    >>> hour = 3_600_000_000
    >>> marks = SourceMarks(observed_us=10 * hour, closed_us=None, clock_us=20 * hour)
    >>> source_frontier_us(marks, lateness_us=hour, idle_after_us=None) // hour
    9
    >>> source_frontier_us(marks, lateness_us=hour, idle_after_us=6 * hour) // hour
    14
    """
    instants = []
    if marks.closed_us is not None:
        instants.append(marks.closed_us - closed_wait_us)
    if marks.observed_us is not None and lateness_us is not None:
        instants.append(marks.observed_us - lateness_us - wait_us)
    if marks.clock_us is not None and idle_after_us is not None:
        # A silent source counts as complete up to `idle_after` before the tick.
        instants.append(marks.clock_us - idle_after_us - wait_us)
    return max(instants, default=None)
