"""Sums: the services and periods whose sums can contain a record, under any policy and at any position."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from trueup.localtime import period_index, period_last_us
from trueup.policies.policy import Policies
from trueup.reconcile.domain.tariff_terms import Terms


def summed_as(rows: pl.DataFrame, policies: Policies) -> pl.DataFrame:
    """Return rows (`rule`, `service`) once for every service whose sums can contain them, with that service as `service`.

    The sums of a service contain the services that it covers. Rows of a rule that no policy matches by sums are left out.
    """
    return (
        rows.join(policies.summed_as, on="rule", maintain_order="left")
        .with_columns(service=pl.coalesce("sum_service", "service")).drop("sum_service")
    )  # fmt: skip


def with_calendars(rows: pl.DataFrame, terms: Terms, *, has_own_calendars: bool) -> pl.DataFrame:
    """Return rows (`subscriber`, `aggregation_time_us`, `known`) once for every calendar that they have at some position.

    A calendar is a `cycle_day` and an `own_zone`, see `Terms.calendars_at`. `known` is the first position at which the row is
    known. A state that arrives later, or is back-dated, changes the calendar of the records that begin at or after it. Where no
    period depends on subscriptions, there is one row each, without a calendar.
    """
    if not has_own_calendars:
        return rows.with_columns(cycle_day=pl.lit(None, pl.Int64), own_zone=pl.lit(None, pl.String))
    numbered = rows.with_row_index("row_no")
    first = numbered.select("row_no", "subscriber", time_us="aggregation_time_us", at="known")
    later = first.join(terms.changes, on="subscriber").filter(
        (pl.col("position") > pl.col("at")) & (pl.col("from_us") <= pl.col("time_us"))
    )
    moments = pl.concat([first, later.select("row_no", "subscriber", "time_us", at="position")])
    calendars = moments.hstack(terms.calendars_at(moments)).select("row_no", "cycle_day", "own_zone").unique()
    return numbered.join(calendars, on="row_no", maintain_order="left").drop("row_no")


@dataclass(frozen=True)
class PeriodKind:
    """A kind of period that some policy sums: its calendar or length, and its time zone.

    `own_zones` are the time zones of subscriptions where such periods begin at midnight of the subscriber's own zone. The
    expressions need the columns of `with_calendars`.
    """

    period: int
    zone: str
    own_zones: tuple[str, ...] = ()

    def timezone(self) -> pl.Expr:
        """Return the time zone of the period of each row."""
        return pl.coalesce("own_zone", pl.lit(self.zone)) if self.own_zones else pl.lit(self.zone)

    def index(self, time: str) -> pl.Expr:
        """Return the number of the period that contains the time of each row."""
        return self._evaluate_in_zone(lambda zone: period_index(pl.col(time), self.period, zone, pl.col("cycle_day")))

    def last_us(self, time: str) -> pl.Expr:
        """Return the last UTC microsecond of the period that contains the time of each row."""
        cycle_day = pl.col("cycle_day")
        return self._evaluate_in_zone(
            lambda zone: period_last_us(period_index(pl.col(time), self.period, zone, cycle_day), self.period, zone)
        )

    def _evaluate_in_zone(self, of: Callable[[str], pl.Expr]) -> pl.Expr:
        expression = of(self.zone)
        for zone in self.own_zones:
            expression = pl.when(pl.col("own_zone") == zone).then(of(zone)).otherwise(expression)
        return expression


def period_kinds(policies: Policies, *frames: pl.DataFrame) -> Iterator[PeriodKind]:
    """Yield the kinds of periods that any policy sums, with the zones of all `frames` (see `with_calendars`)."""
    own_zones = tuple(pl.concat([rows["own_zone"] for rows in frames]).drop_nulls().unique().sort())
    columns = ["sum_period", "timezone", "in_own_zone"]
    for period, zone, in_own_zone in policies.frame.filter("by_aggregate").select(columns).unique(maintain_order=True).rows():
        yield PeriodKind(period, zone, own_zones if in_own_zone else ())
