"""How the continuous job runs: what its client and its workers both know."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.log.lake import Buckets
from trueup.reconcile.partition import bucket_ranges
from trueup.reconcile.shelf import LEAST, Shelf, shelf_of, without_others
from trueup.reconcile.spans import Bounds


@dataclass(frozen=True)
class StreamOptions:
    """How the job runs. `until` and `keep` are for a recomputation: epochs up to a position, kept in a folder, not
    committed. `progress` is a file that whoever commits writes after each epoch, for those who watch. `shelves` is a folder for
    keys that are kept no longer, as hashes, of which a group keeps fewer than `keys_in_memory` in its state; without one all are
    there. `score`: usage is scored beside."""

    project: str
    parallelism: int = 1
    groups: int = 8
    bounds: Bounds = field(default_factory=Bounds)
    polls_per_second: int = 10
    tick_every: timedelta | None = None
    checkpoint_every: timedelta = timedelta(seconds=10)
    clock: Clock = system_clock
    until: int | None = None
    keep: str | None = None
    progress: str | None = None
    shelves: str | None = None
    keys_in_memory: int = LEAST
    score: bool = False

    def ranges(self) -> list[Buckets]:
        """The groups of buckets, by number."""
        return bucket_ranges(Project.load(self.project).config.lake.buckets, self.groups)

    def shelf(self, buckets: Buckets) -> Shelf | None:
        """The shelf of a group of buckets."""
        if self.shelves is None:
            return None
        return shelf_of(Path(self.shelves), buckets, self.keys_in_memory)

    def without_other_shelves(self) -> None:
        """Removes the shelves of groups the buckets are divided into no longer."""
        if self.shelves is not None:
            without_others(Path(self.shelves), self.ranges())
