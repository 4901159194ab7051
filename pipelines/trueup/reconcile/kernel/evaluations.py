"""Evaluations of components that are not compared yet with those before them.

Each iteration evaluates every component at its own next position. Comparing costs the same number of operations for one iteration
as for many, so evaluations are collected and compared together, within a bound of memory.
"""

from __future__ import annotations

import polars as pl

from trueup.reconcile.domain.bookings import BOOKING, MEMBER, NETTING_GROUP
from trueup.reconcile.kernel.booking import Bookings
from trueup.reconcile.kernel.ledger import DELTA, ledger_deltas
from trueup.reconcile.kernel.lifecycle import CHANGE, EVALUATION, Snapshot, diff_findings

MOST_MEMBERS = 1 << 18
"""Members of bookings after which evaluations are compared."""
_NO_BOOKINGS = tuple(pl.DataFrame(schema=schema) for schema in (BOOKING, MEMBER, NETTING_GROUP))


class Evaluations:
    """Collects evaluations, and compares each with the one before it of the same component.

    `pooled` are the components of pooled sessions (`component`, `of`), whose ledger deltas stay apart. Changes of findings are
    kept for positions after `after`.
    """

    def __init__(self, pooled: pl.DataFrame, after: int) -> None:
        self._pooled, self._after = pooled, after
        self._before = _NO_BOOKINGS
        self._booked, self._evaluations, self._arrived = list[Bookings](), list[pl.DataFrame](), list[pl.DataFrame]()
        self._changes, self._deltas = [pl.DataFrame(schema=CHANGE)], [pl.DataFrame(schema=DELTA)]
        self._members = [pl.DataFrame(schema=MEMBER)]

    def add(self, evaluations: pl.DataFrame, booked: Bookings, arrived: pl.DataFrame) -> None:
        """Add one evaluation of each component in `evaluations` (`component`, `at`, `declared`).

        `arrived` are the record versions that count since then, as in `diff_findings`.
        """
        self._evaluations.append(evaluations)
        self._booked.append(booked)
        self._arrived.append(arrived)

    def compare_if_many(self, due_next: pl.DataFrame) -> None:
        """Compare what was added if it is much; `due_next` are the components that have a next evaluation."""
        if sum(booked.members.height for booked in self._booked) >= MOST_MEMBERS:
            self._compare(due_next)

    def results(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Return the changes of findings, the ledger deltas and the members of each component's last bookings."""
        if self._booked:
            self._compare(pl.DataFrame(schema={"component": pl.Int64}))
        return pl.concat(self._changes), pl.concat(self._deltas), pl.concat(self._members)

    def _compare(self, due_next: pl.DataFrame) -> None:
        added = [(b.bookings, b.members, b.netting_groups) for b in self._booked]
        bookings, members, groups = (pl.concat(frames) for frames in zip(self._before, *added, strict=True))
        evaluations = pl.concat(self._evaluations)
        earlier = self._before[0].select(EVALUATION).unique()
        each = pl.concat([earlier, evaluations.select(EVALUATION)]).sort(EVALUATION)
        each = each.with_columns(next_at=pl.col("at").shift(-1).over("component"))
        snapshots = Snapshot.of(bookings, members, groups)
        after = snapshots if earlier.is_empty() else snapshots.of_evaluations(evaluations)
        before = snapshots.until(each.drop_nulls("next_at"))
        changes = diff_findings(before, after, pl.concat(self._arrived), evaluations)
        self._changes.append(changes.filter(pl.col("at") > self._after))
        self._deltas.append(ledger_deltas(before, after, self._pooled))
        last = each.filter(pl.col("next_at").is_null()).select(EVALUATION)
        ended = last.join(due_next, on="component", how="anti")
        self._members.append(members.join(ended, on=EVALUATION, how="semi"))
        continued = last.join(due_next, on="component", how="semi")
        self._before = tuple(frame.join(continued, on=EVALUATION, how="semi") for frame in (bookings, members, groups))
        self._booked, self._evaluations, self._arrived = [], [], []
