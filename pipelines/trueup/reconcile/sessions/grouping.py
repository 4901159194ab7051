"""Form sessions and charge groups, each as of one position, by collecting records by group before pricing."""

from __future__ import annotations

import polars as pl

from trueup.policies.policy import UNKNOWN_TIME_US
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms

PARTY = ["scope", "currency", "service", "subscriber", "peer"]
RATED_BY = ["direction", "zone", "trunk"]
"""Further attributes of a unit's first record that decide its price."""


def group_records(rows: pl.DataFrame, frontier: Frontier, terms: Terms) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (`rows` with `main`, units with the `plan` and `billing_status` of their subscription), without prices.

    Rows are of groups as of positions `at`. One group at several positions makes several units.

    Among the charges of one charge group and `partial_no`, the charge with the least (negative, time, record) is main; all others
    are excess. All usage and all lines of bills are main. A unit's party is the party of its first record. Its start, quantity and
    `main_micros` come from its main records. If usage records are running counters (`parts`), its quantity is the last or the
    greatest of them.
    """
    is_line = pl.col("charge") & frontier.policies.in_bill_lines(pl.col("policy"))
    charge_slot = pl.struct("at", "group_no", "charge", "partial_no", line=pl.when(is_line).then("record_no"))
    ordered = rows.sort(pl.col("amount_micros") < 0, "time_us", "record_no", nulls_last=True)
    ordered = ordered.with_columns(main=~pl.col("charge") | charge_slot.is_first_distinct()).sort(
        "time_us", "record_no", nulls_last=True
    )
    main, int128 = pl.col("main"), pl.Int128
    due = pl.when(pl.col("assigned_at") <= pl.col("at")).then("assigned_time_us").otherwise(UNKNOWN_TIME_US)
    counted = ordered.with_columns(
        wait_us=pl.coalesce("time_us", due),
        start_us=pl.when(main).then("time_us"),
        start_known=pl.col("started") | ~main,
        core_micros=pl.when(main).then(pl.col("quantity_micros").cast(int128)).otherwise(pl.lit(0, int128)),
        main_micros=pl.when(main).then(pl.col("amount_micros")).otherwise(0).cast(int128),
        all_micros=pl.col("amount_micros").cast(int128),
        in_part=pl.col("partial_no").is_not_null() | is_line,
    )
    units = counted.group_by("at", "group_no", "charge", maintain_order=True).agg(
        pl.col("component", "policy", "bucket", *PARTY, *RATED_BY, "node", "grouped_by_key", "beyond_horizon", "rule").first(),
        is_correction=pl.col("corrected_key").first().is_not_null(),
        start_us=pl.col("start_us").min(),
        order=pl.col("event_id").first(),
        last_us=pl.col("wait_us").max(),
        has_start=pl.col("start_known").all(),
        has_partials=pl.col("in_part").any(),
        quantity_micros=pl.when(pl.col("core_micros").null_count() == 0).then(pl.col("core_micros").sum()),
        last_micros=pl.col("core_micros").last(),
        greatest_micros=pl.col("core_micros").max(),
        main_micros=pl.col("main_micros").sum(),
        all_micros=pl.col("all_micros").sum(),
        records=pl.len(),
    )
    with_rules = _with_counters(units.join(frontier.policies.frame, on=["policy", "rule"], how="left", maintain_order="left"))
    states = terms.states_at(with_rules.select("subscriber", "at", time_us="start_us"))
    return ordered, with_rules.with_columns(
        pl.col("by_key", "by_nearest", "by_aggregate") & ~pl.col("beyond_horizon") & ~pl.col("is_correction"), *states.get_columns()
    )


def _with_counters(units: pl.DataFrame) -> pl.DataFrame:
    """Return units with the quantity of running counters; such a session may get further records, like a session in parts."""
    is_counter = ~pl.col("charge") & (pl.col("parts") != "sum")
    counter = pl.when(pl.col("parts") == "last").then("last_micros").otherwise("greatest_micros")
    return units.with_columns(
        quantity_micros=pl.when(is_counter).then(counter).otherwise("quantity_micros"),
        has_partials=pl.col("has_partials") | is_counter,
    ).drop("last_micros", "greatest_micros")
