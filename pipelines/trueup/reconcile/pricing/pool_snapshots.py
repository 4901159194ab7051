"""What sessions that share free units or tiers cost, at whichever positions it is asked for.

A *world* is a pool as known at one position: the sessions it had then, in the order in which they take from what they share. A
session's price depends on those before it in that order alone. The *last world* is the pool as it is at the end; a session
before which nothing changes after a position has its price of that position there as well, so that most are priced once.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.rating.rate import CALL, RatingResult, rate
from trueup.reconcile.domain.policies import NEVER_POSITION
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.pricing.calls import PRICED

POOL_MEMBER: dict[str, pl.DataType] = {
    "member_no": pl.Int64(),  # the number of the row
    "pool_session_id": pl.Int64(),  # the session
    "pool": pl.Int64(),
    "pool_rank": pl.Int64(),  # ascends in the order of events; that of one session may change
    "since": pl.Int64(),  # it is known so at the positions [since, until)
    "until": pl.Int64(),
    "changed": pl.Int64(),  # the last position at which something before it in its pool came, changed or went
    "scope": pl.String(),
    **{n: t for n, t in CALL.items() if n not in ("call", "account")},
}
"""A session of a pool as known for some positions."""
PRICE: dict[str, pl.DataType] = {"pool_session_id": pl.Int64(), "since": pl.Int64(), "until": pl.Int64(), **PRICED}
"""What a session costs at the positions [since, until)."""
_MOST_ROWS = 4_000_000
"""Rows of worlds that are rated at once."""


def pool_prices(live: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    """`PRICE` of every session at every position at which it is in a pool."""
    begins = _price_change_positions(live)
    last = pl.col("until") == NEVER_POSITION
    ordered = begins.sort("member_no", "at").with_columns(until=pl.coalesce(pl.col("at").shift(-1).over("member_no"), "until"))
    asked = ordered.with_columns(pl.when(last).then(NEVER_POSITION).otherwise("at").alias("snapshot_position")).with_row_index(
        "request_no"
    )
    answered = rate_members(live, asked.select("request_no", "member_no", "snapshot_position"), terms)
    told = asked.join(answered, on="request_no", how="left", maintain_order="left")
    return told.select("pool_session_id", pl.col("at").alias("since"), "until", *PRICED).sort("pool_session_id", "since")


def _price_change_positions(live: pl.DataFrame) -> pl.DataFrame:
    """The positions `at` from which each row may have a price of its own: its coming, and what changes before it later."""
    own = live.select("member_no", "pool_session_id", "until", at="since")
    shaken = live.filter(pl.col("changed") > pl.col("since")).select(
        "member_no", "pool_session_id", "pool", "pool_rank", "since", "until"
    )
    if shaken.is_empty():
        return own
    pools = shaken.group_by("pool").agg(first=pl.col("since").min())
    met = live.join(pools, on="pool")
    came = met.select("pool", "first", at="since", before="pool_rank")
    went = met.filter(pl.col("until") != NEVER_POSITION).select("pool", "first", at="until", before="pool_rank")
    changes = pl.concat([came, went]).filter(pl.col("at") > pl.col("first")).group_by("pool", "at").agg(pl.col("before").min())
    later = [_after(some, changes).select(own.columns) for some in _in_parts(shaken, changes)]
    return pl.concat([own, *later])


def _after(shaken: pl.DataFrame, changes: pl.DataFrame) -> pl.DataFrame:
    """Rows with each position `at` at which something before them changes while they are so."""
    return shaken.join(changes, on="pool").filter(
        (pl.col("before") < pl.col("pool_rank")) & (pl.col("since") < pl.col("at")) & (pl.col("at") < pl.col("until"))
    )


def _in_parts(shaken: pl.DataFrame, changes: pl.DataFrame) -> list[pl.DataFrame]:
    """Rows by pools that meet no more changes at once than memory holds."""
    meetings = shaken.group_by("pool").agg(rows=pl.len()).join(changes.group_by("pool").agg(times=pl.len()), on="pool")
    product = pl.col("rows").cast(pl.Int64) * pl.col("times").cast(pl.Int64)
    parts = meetings.sort("pool").select("pool", part=product.cum_sum() // _MOST_ROWS)
    return shaken.join(parts, on="pool").partition_by("part", include_key=False)


def snapshot_for(rows: pl.DataFrame, terms: Terms) -> pl.Series:
    """The world to ask for each row (`at`, `changed`, `until`): the last one where its answer is that of the position."""
    last = terms.edition_at(np.array([NEVER_POSITION - 1]))[0]
    steady = pl.Series(terms.edition_at(rows["at"].to_numpy()) == last)
    known = rows.select((pl.col("changed") <= pl.col("at")) & (pl.col("until") == NEVER_POSITION)).to_series()
    return rows["at"].set(known & steady, NEVER_POSITION).alias("snapshot_position")


def rate_members(live: pl.DataFrame, asked: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    """`ask` and `PRICED` of each row asked for: (`ask`, `live`, `world`, and `quantity_micros` where it is another's)."""
    told = [pl.DataFrame(schema={"request_no": pl.UInt32, **PRICED})]
    for number, part in _parts(live, asked, terms):
        rated, calls = rate_snapshots(live, part, terms, number)
        answers = calls.join(rated.amounts, on="call")
        told.append(answers.select("request_no", expected_micros="amount_micros", reason="reason"))
    return pl.concat(told)


def _parts(live: pl.DataFrame, asked: pl.DataFrame, terms: Terms) -> list[tuple[int, pl.DataFrame]]:
    """What is asked, by the edition known in its world, in parts that are not too large."""
    sizes = live.group_by("pool").agg(size=pl.len())
    rows = asked.join(live.select("member_no", "pool"), on="member_no", maintain_order="left").join(
        sizes, on="pool", maintain_order="left"
    )
    # The last world is as of the last position there is.
    edition = pl.Series("edition", terms.edition_at(rows["snapshot_position"].to_numpy()))
    ordered = rows.with_columns(edition).sort("edition", "pool", "snapshot_position", maintain_order=True)
    fresh = pl.struct("pool", "snapshot_position").is_first_distinct()
    ordered = ordered.with_columns(part=pl.when(fresh).then("size").otherwise(0).cum_sum() // _MOST_ROWS)
    # A world is never cut in two.
    ordered = ordered.with_columns(pl.col("part").first().over("edition", "pool", "snapshot_position"))
    found = ordered.partition_by("edition", "part", maintain_order=True)
    return [(int(frame["edition"][0]), frame) for frame in found]


def rate_snapshots(live: pl.DataFrame, asked: pl.DataFrame, terms: Terms, edition: int) -> tuple[RatingResult, pl.DataFrame]:
    """Worlds rated for what is asked of them (`ask`, `live`, `pool`, `world`); (the answers, the `call` of each `ask`).

    Sessions take from what they share in their world. Who asks for another quantity is aside, in the session's place.
    """
    others, mine, calls = snapshot_calls(live, asked)
    return rate(pl.concat([others, mine]), terms.editions[edition].book), calls


def snapshot_calls(live: pl.DataFrame, asked: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The calls of worlds: (those that take from what they share, those aside, the `call` of each `ask`)."""
    places = asked.join(live.select("member_no", "pool_rank"), on="member_no")
    worlds = (
        places.group_by("pool", "snapshot_position")
        .agg(reach=pl.col("pool_rank").max())
        .sort("pool", "snapshot_position")
        .with_row_index("number")
    )
    at = pl.min_horizontal("snapshot_position", pl.lit(NEVER_POSITION - 1))
    there = live.join(worlds, on="pool").filter(
        (pl.col("since") <= at) & (at < pl.col("until")) & (pl.col("pool_rank") <= pl.col("reach"))
    )
    there = there.with_columns(call=-1 - pl.int_range(pl.len()), aside=pl.lit(False))
    others = _to_calls(there)
    if "quantity_micros" not in asked.columns:
        calls = asked.select("request_no", "member_no", "snapshot_position").join(
            there.select("member_no", "snapshot_position", "call"), on=["member_no", "snapshot_position"]
        )
        return others, others.clear(), calls.select("request_no", "call")
    mine = asked.join(live.drop("quantity_micros"), on=["member_no", "pool"]).join(worlds, on=["pool", "snapshot_position"])
    mine = mine.with_columns(call=pl.col("request_no").cast(pl.Int64), aside=pl.lit(True))
    return others, _to_calls(mine), mine.select("request_no", "call")


def _to_calls(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as the rater takes them; who shares, shares within a world."""
    world = pl.col("number").cast(pl.String)
    return rows.with_columns(
        account=pl.when(pl.col("scope") != "").then(world),
        subscriber=pl.concat_str(world, pl.lit(" "), "subscriber"),
    ).select(*(pl.col(n).cast(t) for n, t in CALL.items()), "aside")
