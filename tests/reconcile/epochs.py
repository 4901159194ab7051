"""Logs told epoch by epoch, as the continuous job tells them, without the job."""

from __future__ import annotations

from collections.abc import Sequence

from trueup.log.lake import Buckets, Lake
from trueup.reconcile.epoch import Epoch, Memory, Told, tell
from trueup.reconcile.load import arrivals, frontier_of, terms_of
from trueup.reconcile.shelf import shelf_of


def told_in(lake: Lake, ends: Sequence[int], buckets: Buckets, lost: frozenset[int] = frozenset()) -> list[Told]:
    """What epochs up to each of some ends tell of a range of buckets; before `lost` ones the memory is lost.

    Of keys that are kept no longer, two are enough for a file.
    """
    memory: Memory | None = None
    shelf = shelf_of(lake.project.directory / "shelves", buckets, least=2)
    after, told = 0, []
    for upto in ends:
        epoch = Epoch(after, upto, frontier_of(lake, upto), terms_of(lake, buckets, upto))
        came = arrivals(lake, buckets, after=after, upto=upto)
        told.append(tell(lake, buckets, epoch, None if upto in lost else memory, came, shelf))
        memory, after = told[-1].memory, upto
    return told
