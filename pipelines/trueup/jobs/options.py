"""Options of the continuous job: those that its client and its workers share, and those of one run of the client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.jobs.loopback import LOOPBACK
from trueup.log.lake import BucketRange
from trueup.reconcile.incremental.epoch_ranges import Bounds
from trueup.reconcile.incremental.hash_runs import MIN_HASHES_PER_RUN, HashRunStore, remove_stale_stores, store_for
from trueup.reconcile.run_partition import bucket_ranges


@dataclass(frozen=True)
class StreamOptions:
    """Options of the continuous job.

    `until` and `outcome_folder` are for a recomputation: its epochs end at position `until`, and their outcomes are written to
    that folder instead of being committed. `progress` is a file that the commit operator writes after each epoch.
    `hash_runs_folder` holds the keys of settled records as hashes. A group of buckets keeps fewer than `keys_in_memory` of them
    in its Flink state; without a folder the state holds all of them. With `score`, the job also scores usage.
    """

    project: str
    parallelism: int = 1
    groups: int = 8
    bounds: Bounds = field(default_factory=Bounds)
    polls_per_second: int = 10
    tick_every: timedelta | None = None
    checkpoint_every: timedelta = timedelta(seconds=10)
    clock: Clock = system_clock
    until: int | None = None
    outcome_folder: str | None = None
    progress: str | None = None
    hash_runs_folder: str | None = None
    keys_in_memory: int = MIN_HASHES_PER_RUN
    score: bool = False

    def ranges(self) -> list[BucketRange]:
        """Return the bucket range of each group, by group number."""
        return bucket_ranges(Project.load(self.project).config.lake.buckets, self.groups)

    def hash_run_store(self, buckets: BucketRange) -> HashRunStore | None:
        """Return the hash run store of a group of buckets, or None without a folder."""
        if self.hash_runs_folder is None:
            return None
        return store_for(Path(self.hash_runs_folder), buckets, self.keys_in_memory)

    def remove_stale_stores(self) -> None:
        """Remove the hash runs of bucket ranges that no group of this job has."""
        if self.hash_runs_folder is not None:
            remove_stale_stores(Path(self.hash_runs_folder), self.ranges())


@dataclass(frozen=True)
class MetricsAddress:
    """The port and host on which metrics are served; port 0 lets the system choose a port.

    Raises `TrueupError` for an empty host.
    """

    port: int
    host: str = LOOPBACK

    def __post_init__(self) -> None:
        # For a socket an empty host means every interface, which an unset shell variable must not cause.
        if not self.host.strip():
            raise TrueupError(
                "the host of the metrics is empty", where="--metrics-host", todo=f"write an address such as {LOOPBACK}, or omit it"
            )


@dataclass(frozen=True)
class RunOptions:
    """Options of one run of the client.

    The job resumes from the newest state in the folder `state` (by default the one of the project), and leaves its state there.
    `fresh` discards that state first. With `until_idle` the run ends once the job has caught up. `settings` are Flink settings
    and take precedence. Without `metrics` none are served.
    """

    state: Path | None = None
    fresh: bool = False
    until_idle: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    metrics: MetricsAddress | None = None
