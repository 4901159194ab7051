"""Amounts where free units or tiers are shared: billing consumes them in its own order, so a pool is judged as a whole.

A pair whose amount differs waits for the end of its billing period. If the differing pairs of its owner, plan, group of services
and period come to the same in sum, each is as good as right; else each is wrong by its own difference.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.rating.allowances import period_end_us, period_number
from trueup.rating.shared_terms import SHARING, sharing
from trueup.reconcile.domain.bookings import NETTING_GROUP, PENDING, TOLERATED
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.policies import NEVER_POSITION
from trueup.reconcile.domain.tariff_terms import Terms

_POOL = ["component", "at", "currency", "scope", "who", "plan", "group", "index"]


def net_by_pool(pairs: pl.DataFrame, frontier: Frontier, terms: Terms, *, together: bool) -> pl.DataFrame:
    """Adds `verdict` to pairs: what their pool says of their amount; NULL where no pool has a say, or none is needed.

    Unless components hold pools `together`, a verdict is that the pair waits. What waits wakes when the period has passed.
    """
    wrong = pl.coalesce("charged_micros", "expected_micros") - pl.col("billed_micros")
    differs = ~pl.col("open") & ~pl.col("unrated") & (wrong.abs() > pl.col("amount_tolerance_micros"))
    nothing = pairs.with_columns(verdict=pl.lit(None, pl.String), netting_group=pl.lit(None, pl.UInt32))
    tables = _tables(terms)
    if tables.is_empty():
        return nothing
    numbered = pairs.with_row_index("pair").with_columns(amount_difference=wrong)
    differing = _in_pools(numbered.filter(differs & pl.col("price_micros").is_null()), tables, terms)
    if differing.is_empty():
        return nothing
    passed = pl.Series(_passed(differing, frontier))
    told = differing.with_columns(passed=passed).with_columns(
        netting_group=pl.struct(_POOL).rank("dense").cast(pl.UInt32), due=pl.col("passed").max().over(_POOL),
        pool_difference=pl.col("amount_difference").sum().over(_POOL).abs(),
        pool_tolerance=pl.col("amount_tolerance_micros").cast(pl.Int128).sum().over(_POOL),
    )  # fmt: skip
    waits = (pl.col("due") > pl.col("at")) | pl.lit(not together)
    verdict = (
        pl.when(waits).then(pl.lit(PENDING)).when(pl.col("pool_difference") <= pl.col("pool_tolerance")).then(pl.lit(TOLERATED))
        .otherwise(pl.lit("misrated"))
    )  # fmt: skip
    answer = told.select(
        "pair", "netting_group", verdict=verdict, due=pl.when(waits & pl.lit(together)).then("due").otherwise(NEVER_POSITION)
    )
    both = numbered.drop("amount_difference").join(answer, on="pair", how="left", maintain_order="left")
    return both.with_columns(
        next_check_position=pl.min_horizontal("next_check_position", pl.col("due").fill_null(NEVER_POSITION))
    ).drop("pair", "due")


def netting_groups(judged: pl.DataFrame) -> pl.DataFrame:
    """`TIE`s of pairs that have a verdict."""
    return judged.select(pl.col(n).cast(t) for n, t in NETTING_GROUP.items())


def _tables(terms: Terms) -> pl.DataFrame:
    """What each edition says who shares: `SHARING` with the number of the `edition`."""
    told = [sharing([e.book]).with_columns(edition=pl.lit(number, pl.Int64)) for number, e in enumerate(terms.editions)]
    return pl.concat([pl.DataFrame(schema={**SHARING, "edition": pl.Int64}), *told])


def _in_pools(pairs: pl.DataFrame, tables: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    """The pairs that share something by the edition known at their position, with the columns of `_POOL`."""
    rows = pairs.with_columns(edition=pl.Series(terms.edition_at(pairs["at"].to_numpy()), dtype=pl.Int64))
    met = rows.join(tables.rename({"plan": "plan_of", "timezone": "zone_of"}), on=["edition", "service"])
    met = met.filter(pl.col("plan_of").is_null() | (pl.col("plan_of") == pl.col("plan")).fill_null(False))
    once = met.unique("pair", keep="first", maintain_order=True)
    owner = pl.when("by_account").then(pl.col("scope").replace("", None)).otherwise("subscriber")
    index = pl.lit(None, pl.Int64)
    for zone in once["zone_of"].unique().sort().to_list():
        number = period_number(pl.col("period"), zone, pl.col("start_us"))
        index = pl.when(pl.col("zone_of") == zone).then(number).otherwise(index)
    return once.with_columns(who=owner, index=index).drop_nulls("who")


def _passed(rows: pl.DataFrame, frontier: Frontier) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The position at which both streams have passed the billing period of each row, by its grace."""
    end = pl.lit(None, pl.Int64)
    for zone in rows["zone_of"].unique().sort().to_list():
        last = period_end_us(pl.col("period"), zone, pl.col("index"))
        end = pl.when(pl.col("zone_of") == zone).then(last).otherwise(end)
    instants, grace = rows.select(end).to_series().to_numpy(), rows["grace_us"].to_numpy()
    closed, policy = rows["closed_wait_us"].to_numpy(), rows["policy"].to_numpy()
    side = np.zeros(rows.height, dtype=np.bool_)
    return np.maximum(*(frontier.passed_at(s, instants, grace, closed, policy) for s in (side, ~side)))
