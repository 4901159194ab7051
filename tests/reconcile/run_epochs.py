"""Run logs epoch by epoch, as the continuous job does, without the job."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import lake_fixture
from random_logs import any_log

from trueup.log.lake import BucketRange, Lake
from trueup.reconcile.incremental.epoch import Epoch, EpochResult, ReconcilerState, process_epoch
from trueup.reconcile.incremental.hash_runs import store_for
from trueup.reconcile.log_io.column_scan import arrivals
from trueup.reconcile.log_io.load import frontier_of, terms_of
from trueup.reconcile.results.outcome import merge_outcomes


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


def compare_epochs_with_one_call(
    seed: str, n: int, folder: Path, divisions: int = 3, *, facets_of: Callable[[random.Random], frozenset[str]] | None = None
) -> None:
    """Check that a random log has the outcome of one call in several divisions into epochs, and where the state is lost."""
    facets = facets_of(random.Random(f"facets/{seed}/{n}")) if facets_of else None
    generator, log = any_log(random.Random(f"{seed}/{n}"), facets)
    by = generator.bucket_by
    log, rows = lake_fixture.with_event_ids_of_lake([[generator.first], *lake_fixture.one_declaration_per_commit(log)], by)
    rng = random.Random(f"{seed}/{n}")
    with lake_fixture.quick_lake(folder, log, rows, by) as lake:
        full = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        for division in range(divisions):
            cuts = len(log) - 1 if division == 0 else rng.randrange(len(log))
            ends = [*sorted(rng.sample(range(1, len(log)), cuts)), len(log)]
            lost = frozenset(end for end in ends if division == 2 and rng.random() < 0.2)
            ranges = lake_fixture.ranges(rng.choice((1, 1, 2)))
            outcomes = [t.outcome for r in ranges for t in process_epochs(lake, ends, r, lost)]
            assert lake_fixture.totals(merge_outcomes(outcomes)) == full, f"{seed}/{n}: {ends}, state lost before {sorted(lost)}"
