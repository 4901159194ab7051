"""How the continuous job runs: what its client and its workers both know."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.log.lake import BucketRange
from trueup.reconcile.incremental.epoch_ranges import Bounds
from trueup.reconcile.incremental.hash_runs import MIN_HASHES_PER_RUN, HashRunStore, remove_stale_stores, store_for
from trueup.reconcile.run_partition import bucket_ranges


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
    keys_in_memory: int = MIN_HASHES_PER_RUN
    score: bool = False

    def ranges(self) -> list[BucketRange]:
        """The groups of buckets, by number."""
        return bucket_ranges(Project.load(self.project).config.lake.buckets, self.groups)

    def shelf(self, buckets: BucketRange) -> HashRunStore | None:
        """The shelf of a group of buckets."""
        if self.shelves is None:
            return None
        return store_for(Path(self.shelves), buckets, self.keys_in_memory)

    def without_other_shelves(self) -> None:
        """Removes the shelves of groups the buckets are divided into no longer."""
        if self.shelves is not None:
            remove_stale_stores(Path(self.shelves), self.ranges())
