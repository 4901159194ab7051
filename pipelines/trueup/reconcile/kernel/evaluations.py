"""Evaluations of components, and the comparison of each with the previous one."""

from __future__ import annotations

import polars as pl

from trueup.reconcile.domain.bookings import BOOKING, MEMBER, NETTING_GROUP
from trueup.reconcile.kernel.booking import Bookings
from trueup.reconcile.kernel.ledger import DELTA, ledger_deltas
from trueup.reconcile.kernel.lifecycle import CHANGE, EVALUATION, Snapshot, diff_findings

_NO_BOOKINGS = tuple(pl.DataFrame(schema=schema) for schema in (BOOKING, MEMBER, NETTING_GROUP))


class Evaluations:
    """Compares each evaluation with the previous one of the same component.

    Evaluations are added in the order of components and positions. `pooled` are the components of pooled sessions (`component`,
    `of`), whose ledger deltas are kept separately. Changes of findings are kept for positions after `after`.
    """

    def __init__(self, pooled: pl.DataFrame, after: int) -> None:
        self._pooled, self._after = pooled, after
        self._last = _NO_BOOKINGS
        self._changes, self._deltas = [pl.DataFrame(schema=CHANGE)], [pl.DataFrame(schema=DELTA)]
        self._members = [pl.DataFrame(schema=MEMBER)]

    def add(self, evaluations: pl.DataFrame, booked: Bookings, arrived: pl.DataFrame) -> None:
        """Compare the `evaluations` (`component`, `at`, `declared`) that were booked.

        `arrived` are the record versions that count since then, as in `diff_findings`.
        """
        now = (booked.bookings, booked.members, booked.netting_groups)
        bookings, members, groups = (pl.concat(frames) for frames in zip(self._last, now, strict=True))
        earlier = self._last[0].select(EVALUATION).unique()
        each = pl.concat([earlier, evaluations.select(EVALUATION)])
        each = each.with_columns(next_at=pl.when(pl.col("component") == pl.col("component").shift(-1)).then(pl.col("at").shift(-1)))
        snapshots = Snapshot.of(bookings, members, groups)
        after = snapshots if earlier.is_empty() else snapshots.of_evaluations(evaluations)
        before = snapshots.until(each.drop_nulls("next_at"))
        self._changes.append(diff_findings(before, after, arrived, evaluations).filter(pl.col("at") > self._after))
        self._deltas.append(ledger_deltas(before, after, self._pooled))
        # Further evaluations can be of the last component, or of later ones.
        last = each.filter(pl.col("next_at").is_null())
        self._members.append(members.join(last[:-1], on=EVALUATION, how="semi"))
        self._last = tuple(frame.join(last[-1:], on=EVALUATION, how="semi") for frame in (bookings, members, groups))

    def results(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Return the changes of findings, the ledger deltas and the members of each component's last bookings."""
        return pl.concat(self._changes), pl.concat(self._deltas), pl.concat([*self._members, self._last[1]])
