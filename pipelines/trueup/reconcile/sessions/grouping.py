"""Sessions and bills as of one position each: records gathered by their group, before anything is priced."""

from __future__ import annotations

import polars as pl

from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.policies import UNKNOWN_TIME_US
from trueup.reconcile.domain.tariff_terms import Terms

PARTY = ["scope", "currency", "service", "subscriber", "peer"]
RATED_BY = ["direction", "zone", "trunk"]
"""What else of its first record a unit's price depends on."""


def group_records(rows: pl.DataFrame, frontier: Frontier, terms: Terms) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Units without their price: (`rows` with `main`, units with the `plan` and `standing` of their subscription).

    Of the charges of one bill and `partial_no` the least (negative, time, record) is main, the rest excess; all usage is
    main. A unit's party is that of its first record; its start, quantity and `main_micros` are of its main records.
    """
    slot = pl.struct("group_no", "charge", "partial_no")
    ordered = rows.sort(pl.col("amount_micros") < 0, "time_us", "record_no", nulls_last=True)
    ordered = ordered.with_columns(main=~pl.col("charge") | slot.is_first_distinct()).sort("time_us", "record_no", nulls_last=True)
    main, wide = pl.col("main"), pl.Int128
    due = pl.when(pl.col("assigned_at") <= pl.col("at")).then("assigned_time_us").otherwise(UNKNOWN_TIME_US)
    prepared = ordered.with_columns(
        wait_us=pl.coalesce("time_us", due),
        start_us=pl.when(main).then("time_us"),
        start_told=pl.col("started") | ~main,
        core_micros=pl.when(main).then(pl.col("quantity_micros").cast(wide)).otherwise(pl.lit(0, wide)),
        main_micros=pl.when(main).then(pl.col("amount_micros")).otherwise(0).cast(wide),
        all_micros=pl.col("amount_micros").cast(wide),
        in_part=pl.col("partial_no").is_not_null(),
    )
    units = prepared.group_by("group_no", "charge", maintain_order=True).agg(
        pl.col(
            "component", "at", "policy", "bucket", *PARTY, *RATED_BY, "node", "grouped_by_key", "beyond_horizon", "rule"
        ).first(),
        pl.col("start_us").min(),
        order=pl.col("event_id").first(),
        last_us=pl.col("wait_us").max(),
        has_start=pl.col("start_told").all(),
        has_partials=pl.col("in_part").any(),
        quantity_micros=pl.when(pl.col("core_micros").null_count() == 0).then(pl.col("core_micros").sum()),
        main_micros=pl.col("main_micros").sum(),
        all_micros=pl.col("all_micros").sum(),
        records=pl.len(),
    )
    ruled = units.join(frontier.policies.frame, on=["policy", "rule"], how="left", maintain_order="left")
    ruled = ruled.with_columns(pl.col("by_key", "by_nearest", "by_aggregate") & ~pl.col("beyond_horizon"))
    return ordered, ruled.hstack(terms.states_at(ruled.select("subscriber", "at", time_us="start_us")))
