"""Run logs epoch by epoch, as the continuous job does, without the job."""

from __future__ import annotations

from collections.abc import Sequence

from trueup.log.lake import BucketRange, Lake
from trueup.reconcile.incremental.epoch import Epoch, EpochResult, ReconcilerState, process_epoch
from trueup.reconcile.incremental.hash_runs import store_for
from trueup.reconcile.log_io.column_scan import arrivals
from trueup.reconcile.log_io.load import frontier_of, terms_of


def process_epochs(lake: Lake, ends: Sequence[int], buckets: BucketRange, lost: frozenset[int] = frozenset()) -> list[EpochResult]:
    """Process epochs that end at the positions `ends` for a range of buckets; return their results.

    The state is lost before the epochs that end at the positions `lost`. Two settled keys are enough for a hash run in a file.
    """
    state: ReconcilerState | None = None
    store = store_for(lake.project.directory / "hash-runs", buckets, min_hashes=2)
    after, results = 0, []
    for upto in ends:
        epoch = Epoch(after, upto, frontier_of(lake, upto), terms_of(lake, buckets, upto))
        arrived = arrivals(lake, buckets, after=after, upto=upto)
        results.append(process_epoch(lake, buckets, epoch, None if upto in lost else state, arrived, store))
        state, after = results[-1].state, upto
    return results
