"""Progress of long commands: a bar on a terminal, plain lines elsewhere; on stderr, so that results stay clean."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trueup.cli import output

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from trueup.collect.ingest import Progress

LARGE_BYTES = 64 << 20
"""Smallest file with progress lines where there is no terminal to draw a bar on."""


@contextmanager
def steps(noun: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many of a known number of steps are done: call the given function with (done, total)."""
    if not sys.stderr.isatty():
        yield lambda done, of: output.note(f"{noun} {done} of {of}")
        return
    with _bar() as bar:
        task = bar.add_task(f"{noun}s", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


@contextmanager
def ingest_progress() -> Iterator[Progress]:
    """Show how much of each source unit has been read."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    with _bar() as bar:
        yield Bars(bar)


class Bars:
    """A bar for each unit."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def update(self, unit: str, done_bytes: int, total_bytes: int) -> None:
        """Move the unit's bar."""
        if unit not in self._tasks:
            self._tasks[unit] = self._bar.add_task(output.visible(unit), total=total_bytes)
        self._bar.update(self._tasks[unit], completed=done_bytes)


class Lines:
    """A line for each quarter of a large unit; small units appear only in the summary."""

    def __init__(self) -> None:
        self._quarters: dict[str, int] = {}

    def update(self, unit: str, done_bytes: int, total_bytes: int) -> None:
        """Print a line when another quarter of a large unit has been read."""
        if total_bytes < LARGE_BYTES:
            return
        quarter = 4 * done_bytes // total_bytes
        if quarter > self._quarters.get(unit, 0):
            self._quarters[unit] = quarter
            output.note(f"{unit}: {25 * quarter} % of {total_bytes} bytes read")


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    text = TextColumn("{task.description}", markup=False)
    return Progress(text, BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True)
