"""One partition of one reconciliation: a range of buckets, evaluated up to a position. Every engine calls this."""

from __future__ import annotations

import itertools

import polars as pl

from trueup.log.lake import ALL_DAYS, BucketRange, Days, Lake
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import FLAT, Terms
from trueup.reconcile.kernel.evaluate import evaluate
from trueup.reconcile.log_io.affected import AffectedReader
from trueup.reconcile.log_io.load import terms_of
from trueup.reconcile.recurring.item_partition import with_items
from trueup.reconcile.results.outcome import Outcome, outcome_of


def reconcile_events(events: pl.DataFrame, frontier: Frontier, terms: Terms = FLAT, *, after: int, upto: int) -> Outcome:
    """Return the outcome of positions in (after, upto], given all records (`EVENTS`) that they can affect."""
    evaluated = evaluate(events, frontier, terms, after=after, upto=upto)
    return outcome_of(evaluated, frontier, terms, after=after, upto=upto, records=events.height)


def reconcile_partition(
    lake: Lake, frontier: Frontier, buckets: BucketRange, *, after: int, upto: int, days: Days = ALL_DAYS
) -> Outcome:
    """Read the records of a partition that positions in (after, upto] can affect, and reconcile them."""
    terms = terms_of(lake, buckets, upto)
    reader = AffectedReader(lake, frontier, buckets, terms, upto)
    outcome = reconcile_events(reader.affected_records(after, days), frontier, terms, after=after, upto=upto)
    return with_items(outcome, reader, after=after, days=days)


def bucket_ranges(buckets: int, count: int) -> list[BucketRange]:
    """Divide all buckets into `count` ranges of nearly equal width."""
    n = max(1, min(count, buckets))
    edges = [buckets * i // n for i in range(n + 1)]
    return [BucketRange(low, high - 1) for low, high in itertools.pairwise(edges)]
