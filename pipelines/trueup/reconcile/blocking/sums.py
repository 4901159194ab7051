"""Sums: the services and periods whose sums can contain a record, under any policy and at any position."""

from __future__ import annotations

import polars as pl

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


def with_cycle_days(rows: pl.DataFrame, terms: Terms, *, has_cycles: bool) -> pl.DataFrame:
    """Return rows (`subscriber`, `aggregation_time_us`, `known`) once for every `cycle_day` that they have at some position.

    `known` is the first position at which the row is known. A state that arrives later, or is back-dated, changes the cycle day of
    the records that begin at or after it. Without billing cycles there is one row each, and no cycle day.
    """
    if not has_cycles:
        return rows.with_columns(cycle_day=pl.lit(None, pl.Int64))
    numbered = rows.with_row_index("row_no")
    first = numbered.select("row_no", "subscriber", time_us="aggregation_time_us", at="known")
    later = first.join(terms.changes, on="subscriber").filter(
        (pl.col("position") > pl.col("at")) & (pl.col("from_us") <= pl.col("time_us"))
    )
    moments = pl.concat([first, later.select("row_no", "subscriber", "time_us", at="position")])
    days = moments.hstack([terms.cycle_days_at(moments)]).select("row_no", "cycle_day").unique()
    return numbered.join(days, on="row_no", maintain_order="left").drop("row_no")
