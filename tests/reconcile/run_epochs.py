"""Logs told epoch by epoch, as the continuous job tells them, without the job."""

from __future__ import annotations

from collections.abc import Sequence

from trueup.log.lake import BucketRange, Lake
from trueup.reconcile.incremental.epoch import Epoch, EpochResult, ReconcilerState, process_epoch
from trueup.reconcile.incremental.hash_runs import store_for
from trueup.reconcile.log_io.load import arrivals, frontier_of, terms_of


def process_epochs(lake: Lake, ends: Sequence[int], buckets: BucketRange, lost: frozenset[int] = frozenset()) -> list[EpochResult]:
    """What epochs up to each of some ends tell of a range of buckets; before `lost` ones the memory is lost.

    Of keys that are kept no longer, two are enough for a file.
    """
    memory: ReconcilerState | None = None
    shelf = store_for(lake.project.directory / "shelves", buckets, min_hashes=2)
    after, told = 0, []
    for upto in ends:
        epoch = Epoch(after, upto, frontier_of(lake, upto), terms_of(lake, buckets, upto))
        came = arrivals(lake, buckets, after=after, upto=upto)
        told.append(process_epoch(lake, buckets, epoch, None if upto in lost else memory, came, shelf))
        memory, after = told[-1].state, upto
    return told
