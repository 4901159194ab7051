"""Progress of long commands: bars on a terminal, plain lines elsewhere; on stderr, so that results stay clean."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from trueup.cli import output

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from trueup.collect.ingest import Progress

LARGE_BYTES = 64 << 20
"""Smallest file with progress lines where there is no terminal to draw a bar on."""


class Durations:
    """How long each step of a command took, in seconds by its name."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self.by_step: dict[str, float] = {}

    @contextmanager
    def step(self, name: str, *, drawn: bool = True) -> Iterator[None]:
        """Measure a step, and show on a terminal that it is at work, unless it draws progress of its own."""
        begun_s = self._now_s()
        with working(name) if drawn else nullcontext():
            yield
        self.by_step[name] = self._now_s() - begun_s

    def text(self, name: str) -> str:
        """Return the duration of a step: `0.4 s`, `2 min 05 s`."""
        seconds = self.by_step[name]
        return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal what is being done and for how long; lines printed meanwhile appear above."""
    if not output.draws():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    with Progress(SpinnerColumn(), text, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        bar.add_task(what, total=None)
        yield


@contextmanager
def steps(noun: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many of a known number of steps are done: call the given function with (done, total)."""
    if not output.draws():
        yield lambda done, of: output.note(f"{noun} {done} of {of}")
        return
    with _build_bar() as bar:
        task = bar.add_task(f"{noun}s", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


@contextmanager
def ingest_progress() -> Iterator[Progress]:
    """Show how much of each source unit has been read."""
    if not output.draws():
        yield Lines()
        return
    with _build_bar() as bar:
        yield Bars(bar)


class Bars:
    """A bar for each unit that is being read."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def update(self, unit: str, done_bytes: int, total_bytes: int) -> None:
        """Move the unit's bar. The bar of a unit read to its end disappears, so that many files fit on the screen."""
        if unit not in self._tasks:
            self._tasks[unit] = self._bar.add_task(output.visible(unit), total=total_bytes)
        self._bar.update(self._tasks[unit], completed=done_bytes)
        if done_bytes >= total_bytes:
            self._bar.remove_task(self._tasks.pop(unit))


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


def _build_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    text = TextColumn("{task.description}", markup=False)
    return Progress(text, BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True)
