"""Pool snapshots: the prices of sessions that share free units or tiers, at any position.

A *snapshot* is an allowance pool as known at one position: its sessions then, in the order in which they consume it. The price of a
session depends on the sessions before it in that order alone. The *final snapshot* is the pool as known at the end of the log. A
session has its final price from the position on after which no session before it changes. So most sessions are priced only once.

A pool of 100 units without charge, then 1 per unit. Session 2 (60 units at 20 s) arrives at position 1. Session 1 (50 units at
10 s) arrives late, at position 5, and consumes first. So session 2 has one price for positions 1 to 4, and another from 5 on:

>>> members = pl.DataFrame({
...     "member_no": [0, 1], "pool_session_id": [1, 2], "pool": [0, 0], "pool_rank": [0, 1], "since": [5, 1],
...     "until": [NEVER_POSITION] * 2, "changed": [0, 5],
... })
>>> _find_price_changes(members).select("pool_session_id", "at").sort("pool_session_id", "at").rows()
[(1, 5), (2, 1), (2, 5)]
>>> snapshot_for(members.with_columns(at="since"), Terms()).to_list() == [NEVER_POSITION, 1]  # session 2 at 1: not its final price
True
"""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.policies.policy import NEVER_POSITION
from trueup.rating.rate import CALL, RatingResult, rate
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.pricing.calls import PRICED

POOL_MEMBER: dict[str, pl.DataType] = {
    "member_no": pl.Int64(),  # the number of the row
    "pool_session_id": pl.Int64(),  # the session
    "pool": pl.Int64(),
    "pool_rank": pl.Int64(),  # ascending in the order of consumption; a session's value may change
    "since": pl.Int64(),  # known with these values at the positions [since, until)
    "until": pl.Int64(),
    "changed": pl.Int64(),  # the last position at which a session before it in its pool arrived, changed or left
    "scope": pl.String(),
    **{n: t for n, t in CALL.items() if n not in ("call", "account", "own_number")},
}
"""A session of a pool as known at some positions."""
PRICE: dict[str, pl.DataType] = {"pool_session_id": pl.Int64(), "since": pl.Int64(), "until": pl.Int64(), **PRICED}
"""The price of a session at the positions [since, until)."""
_MOST_ROWS = 4_000_000
"""The maximum number of snapshot rows that are rated at once."""


def pool_prices(members: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    """Return `PRICE` of every session at every position at which it is in a pool."""
    changes = _find_price_changes(members)
    last = pl.col("until") == NEVER_POSITION
    ordered = changes.sort("member_no", "at").with_columns(until=pl.coalesce(pl.col("at").shift(-1).over("member_no"), "until"))
    requests = ordered.with_columns(pl.when(last).then(NEVER_POSITION).otherwise("at").alias("snapshot_position")).with_row_index(
        "request_no"
    )
    answers = rate_members(members, requests.select("request_no", "member_no", "snapshot_position"), terms)
    priced = requests.join(answers, on="request_no", how="left", maintain_order="left")
    return priced.select("pool_session_id", pl.col("at").alias("since"), "until", *PRICED).sort("pool_session_id", "since")


def _find_price_changes(members: pl.DataFrame) -> pl.DataFrame:
    """Return the positions `at` at which the price of each row may change: its arrival, and later changes before it."""
    own = members.select("member_no", "pool_session_id", "until", at="since")
    repriced = members.filter(pl.col("changed") > pl.col("since")).select(
        "member_no", "pool_session_id", "pool", "pool_rank", "since", "until"
    )
    if repriced.is_empty():
        return own
    pools = repriced.group_by("pool").agg(first=pl.col("since").min())
    in_pools = members.join(pools, on="pool")
    arrivals = in_pools.select("pool", "first", at="since", before="pool_rank")
    departures = in_pools.filter(pl.col("until") != NEVER_POSITION).select("pool", "first", at="until", before="pool_rank")
    changes = (
        pl.concat([arrivals, departures]).filter(pl.col("at") > pl.col("first")).group_by("pool", "at").agg(pl.col("before").min())
    )
    later = [_with_later_changes(part, changes).select(own.columns) for part in _split_by_pools(repriced, changes)]
    return pl.concat([own, *later])


def _with_later_changes(rows: pl.DataFrame, changes: pl.DataFrame) -> pl.DataFrame:
    """Return rows with each position `at` at which a session before them changes while they are valid."""
    return rows.join(changes, on="pool").filter(
        (pl.col("before") < pl.col("pool_rank")) & (pl.col("since") < pl.col("at")) & (pl.col("at") < pl.col("until"))
    )


def _split_by_pools(rows: pl.DataFrame, changes: pl.DataFrame) -> list[pl.DataFrame]:
    """Split rows by pools, so that each part has no more changes than fit memory."""
    meetings = rows.group_by("pool").agg(rows=pl.len()).join(changes.group_by("pool").agg(times=pl.len()), on="pool")
    product = pl.col("rows").cast(pl.Int64) * pl.col("times").cast(pl.Int64)
    parts = meetings.sort("pool").select("pool", part=product.cum_sum() // _MOST_ROWS)
    return rows.join(parts, on="pool").partition_by("part", include_key=False)


def snapshot_for(rows: pl.DataFrame, terms: Terms) -> pl.Series:
    """Return the snapshot that prices each row (`at`, `changed`, `until`): the final one where it gives the same price."""
    last_edition = terms.edition_at(np.array([NEVER_POSITION - 1]))[0]
    same_edition = pl.Series(terms.edition_at(rows["at"].to_numpy()) == last_edition)
    nothing_later = rows.select((pl.col("changed") <= pl.col("at")) & (pl.col("until") == NEVER_POSITION)).to_series()
    return rows["at"].set(nothing_later & same_edition, NEVER_POSITION).alias("snapshot_position")


def rate_members(members: pl.DataFrame, requests: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    """Return `request_no` and `PRICED` of each request.

    A request has `request_no`, `member_no`, `snapshot_position`, and `quantity_micros` if it differs from the member's own.
    """
    results = [pl.DataFrame(schema={"request_no": pl.UInt32, **PRICED})]
    for number, part in _split_by_edition(members, requests, terms):
        rated, calls = rate_snapshots(members, part, terms, number)
        answers = calls.join(rated.amounts, on="call")
        results.append(answers.select("request_no", expected_micros="amount_micros", reason="reason"))
    return pl.concat(results)


def _split_by_edition(members: pl.DataFrame, requests: pl.DataFrame, terms: Terms) -> list[tuple[int, pl.DataFrame]]:
    """Split requests by the edition known in their snapshot, into parts of a bounded size."""
    sizes = members.group_by("pool").agg(size=pl.len())
    rows = requests.join(members.select("member_no", "pool"), on="member_no", maintain_order="left").join(
        sizes, on="pool", maintain_order="left"
    )
    # The final snapshot has the edition of the last position.
    edition = pl.Series("edition", terms.edition_at(rows["snapshot_position"].to_numpy()))
    ordered = rows.with_columns(edition).sort("edition", "pool", "snapshot_position", maintain_order=True)
    new_snapshot = pl.struct("pool", "snapshot_position").is_first_distinct()
    ordered = ordered.with_columns(part=pl.when(new_snapshot).then("size").otherwise(0).cum_sum() // _MOST_ROWS)
    # A snapshot is never split.
    ordered = ordered.with_columns(pl.col("part").first().over("edition", "pool", "snapshot_position"))
    parts = ordered.partition_by("edition", "part", maintain_order=True)
    return [(int(frame["edition"][0]), frame) for frame in parts]


def rate_snapshots(members: pl.DataFrame, requests: pl.DataFrame, terms: Terms, edition: int) -> tuple[RatingResult, pl.DataFrame]:
    """Rate snapshots for requests; return (results, the `call` of each request).

    A request has `request_no`, `member_no`, `pool` and `snapshot_position`.

    Sessions consume what they share in their snapshot. A request for another quantity is priced in the session's position, and
    consumes nothing.
    """
    consuming, aside, calls = snapshot_calls(members, requests)
    return rate(pl.concat([consuming, aside]), terms.editions[edition].book), calls


def snapshot_calls(members: pl.DataFrame, requests: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return (calls that consume, calls priced without consuming, the `call` of each `request_no`) of snapshots."""
    ranked = requests.join(members.select("member_no", "pool_rank"), on="member_no")
    snapshots = (
        ranked.group_by("pool", "snapshot_position")
        .agg(reach=pl.col("pool_rank").max())
        .sort("pool", "snapshot_position")
        .with_row_index("number")
    )
    at = pl.min_horizontal("snapshot_position", pl.lit(NEVER_POSITION - 1))
    present = members.join(snapshots, on="pool").filter(
        (pl.col("since") <= at) & (at < pl.col("until")) & (pl.col("pool_rank") <= pl.col("reach"))
    )
    present = present.with_columns(call=-1 - pl.int_range(pl.len()), aside=pl.lit(False))
    consuming = _to_calls(present)
    if "quantity_micros" not in requests.columns:
        calls = requests.select("request_no", "member_no", "snapshot_position").join(
            present.select("member_no", "snapshot_position", "call"), on=["member_no", "snapshot_position"]
        )
        return consuming, consuming.clear(), calls.select("request_no", "call")
    aside = requests.join(members.drop("quantity_micros"), on=["member_no", "pool"]).join(
        snapshots, on=["pool", "snapshot_position"]
    )
    aside = aside.with_columns(call=pl.col("request_no").cast(pl.Int64), aside=pl.lit(True))
    return consuming, _to_calls(aside), aside.select("request_no", "call")


def _to_calls(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows in the rater's form; owners share only within one snapshot."""
    snapshot = pl.col("number").cast(pl.String)
    return rows.with_columns(
        account=pl.when(pl.col("scope") != "").then(snapshot),
        own_number="subscriber",
        subscriber=pl.concat_str(snapshot, pl.lit(" "), "subscriber"),
    ).select(*(pl.col(n).cast(t) for n, t in CALL.items()), "aside")
