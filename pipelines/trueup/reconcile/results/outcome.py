"""Outcomes: the rows that one evaluation adds to the log, and the merger of several outcomes."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.evaluate import Evaluated
from trueup.reconcile.kernel.ledger import LEDGER
from trueup.reconcile.results.finding_rows import HISTORY, ORDER, booking_counts, finding_changes
from trueup.reconcile.results.provisioning import provisioning


@dataclass(frozen=True)
class Outcome:
    """The outcome of a partition: rows for `events.finding`, `events.ledger` and `events.placement`, and records evaluated."""

    history: pl.DataFrame
    ledger: pl.DataFrame
    placement: pl.DataFrame
    records: int


def outcome_of(evaluated: Evaluated, frontier: Frontier, terms: Terms, *, after: int, upto: int, records: int) -> Outcome:
    """Return the outcome of an evaluation of positions in (after, upto], with the provisioning findings."""
    changes = [finding_changes(evaluated, frontier.policies, after=after), provisioning(terms, frontier, after=after, upto=upto)]
    return Outcome(
        pl.concat(changes).sort(ORDER),
        evaluated.ledger,
        booking_counts(evaluated, after=after, position=upto),
        records,
    )


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
