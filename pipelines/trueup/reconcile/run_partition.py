"""One partition of one reconciliation: a range of buckets, evaluated up to a position. Every engine calls this."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import polars as pl

from trueup.log.lake import BucketRange, Lake
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import FLAT, Terms
from trueup.reconcile.kernel.evaluate import Evaluated, evaluate
from trueup.reconcile.kernel.ledger import LEDGER
from trueup.reconcile.log_io.affected import AffectedReader, Days
from trueup.reconcile.log_io.load import terms_of
from trueup.reconcile.results.finding_rows import HISTORY, ORDER, booking_counts, finding_changes
from trueup.reconcile.results.provisioning import provisioning


@dataclass(frozen=True)
class Outcome:
    """The outcome of a partition: rows for `events.finding`, `events.ledger` and `events.placement`, and records evaluated."""

    history: pl.DataFrame
    ledger: pl.DataFrame
    placement: pl.DataFrame
    records: int


def reconcile_events(events: pl.DataFrame, frontier: Frontier, terms: Terms = FLAT, *, after: int, upto: int) -> Outcome:
    """Return the outcome of positions in (after, upto], given all records (`EVENTS`) that they can affect."""
    evaluated = evaluate(events, frontier, terms, after=after, upto=upto)
    return outcome_of(evaluated, frontier, terms, after=after, upto=upto, records=events.height)


def outcome_of(evaluated: Evaluated, frontier: Frontier, terms: Terms, *, after: int, upto: int, records: int) -> Outcome:
    """Return the outcome of an evaluation of positions in (after, upto], with the provisioning findings."""
    changes = [finding_changes(evaluated, frontier.policies, after=after), provisioning(terms, frontier, after=after, upto=upto)]
    return Outcome(
        pl.concat(changes).sort(ORDER),
        evaluated.ledger,
        booking_counts(evaluated, after=after, position=upto),
        records,
    )


def reconcile_partition(
    lake: Lake, frontier: Frontier, buckets: BucketRange, *, after: int, upto: int, days: Days = (None, None)
) -> Outcome:
    """Read the records of a partition that positions in (after, upto] can affect, and reconcile them."""
    terms = terms_of(lake, buckets, upto)
    events = AffectedReader(lake, frontier, buckets, terms, upto).affected_records(after, days)
    return reconcile_events(events, frontier, terms, after=after, upto=upto)


def merge_outcomes(outcomes: list[Outcome]) -> Outcome:
    """Merge the outcomes of several partitions; sums of the ledger are added up, rows are in canonical order."""
    cell = ["position", "service", "day", "currency"]
    sums = [n for n in LEDGER if n not in cell]
    ledger = pl.concat([pl.DataFrame(schema=LEDGER), *(o.ledger for o in outcomes)])
    key = ["position", "stream", "source", "currency"]
    placement = (
        pl.concat([o.placement for o in outcomes]).group_by(key).agg(pl.all().sum()).sort(key) if outcomes else pl.DataFrame()
    )
    return Outcome(
        pl.concat([pl.DataFrame(schema=HISTORY), *(o.history for o in outcomes)]).sort("position", "finding_id", "action"),
        ledger.group_by(cell).agg(pl.col(sums).sum()).select(*LEDGER).sort(cell, nulls_last=True),
        placement,
        sum(o.records for o in outcomes),
    )


def bucket_ranges(buckets: int, count: int) -> list[BucketRange]:
    """Divide all buckets into `count` ranges of nearly equal width."""
    n = max(1, min(count, buckets))
    edges = [buckets * i // n for i in range(n + 1)]
    return [BucketRange(low, high - 1) for low, high in itertools.pairwise(edges)]
