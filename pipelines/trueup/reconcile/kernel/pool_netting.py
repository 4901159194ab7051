"""Pool netting: judge amounts per allowance pool where sessions share free units or tiers.

Billing consumes allowances in its own order, so the amounts of single pairs may differ although their sum is right. A pair whose
amount differs is pending until the end of its billing period. If the differing pairs of its owner, plan, group of services and
period net out within tolerance, each is tolerated. Otherwise each is misrated by its own difference.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.rating.allowances import period_end_us, period_number
from trueup.rating.shared_terms import SHARING, sharing
from trueup.reconcile.domain.bookings import NETTING_GROUP, PENDING, TOLERATED
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.schedule import NO_CHECKS

_POOL = ["component", "at", "currency", "scope", "who", "plan", "group", "index"]


def net_by_pool(pairs: pl.DataFrame, frontier: Frontier, terms: Terms, *, together: bool) -> pl.DataFrame:
    """Add `verdict` to pairs: the kind that their pool gives their amount; NULL without a pool or a difference.

    Unless components hold pools `together`, the verdict is that the pair is pending.
    """
    difference = pl.coalesce("charged_micros", "expected_micros") - pl.col("billed_micros")
    differs = ~pl.col("open") & ~pl.col("unrated") & (difference.abs() > pl.col("amount_tolerance_micros"))
    without_verdict = pairs.with_columns(verdict=pl.lit(None, pl.String), netting_group=pl.lit(None, pl.UInt32))
    tables = _list_sharing(terms)
    if tables.is_empty():
        return without_verdict
    numbered = pairs.with_row_index("pair").with_columns(amount_difference=difference)
    differing = _select_pooled_pairs(numbered.filter(differs & pl.col("price_micros").is_null()), tables, terms)
    if differing.is_empty():
        return without_verdict
    passed_at = pl.Series(_find_period_passing(differing, frontier))
    netted = differing.with_columns(passed=passed_at).with_columns(
        netting_group=pl.struct(_POOL).rank("dense").cast(pl.UInt32), due=pl.col("passed").max().over(_POOL),
        pool_difference=pl.col("amount_difference").sum().over(_POOL).abs(),
        pool_tolerance=pl.col("amount_tolerance_micros").cast(pl.Int128).sum().over(_POOL),
    )  # fmt: skip
    is_pending = (pl.col("due") > pl.col("at")) | pl.lit(not together)
    verdict = (
        pl.when(is_pending).then(pl.lit(PENDING))
        .when(pl.col("pool_difference") <= pl.col("pool_tolerance")).then(pl.lit(TOLERATED))
        .otherwise(pl.lit("misrated"))
    )  # fmt: skip
    verdicts = netted.select("pair", "netting_group", verdict=verdict)
    return numbered.drop("amount_difference").join(verdicts, on="pair", how="left", maintain_order="left").drop("pair")


def pool_checks(sessions: pl.DataFrame, frontier: Frontier, terms: Terms) -> pl.DataFrame:
    """Return the check positions (`component`, `at`, `position`) of pooled sessions: those at which streams pass their period."""
    tables = _list_sharing(terms)
    if tables.is_empty():
        return NO_CHECKS
    pooled = _select_pooled_pairs(sessions.filter(pl.col("price_micros").is_null()).with_row_index("pair"), tables, terms)
    return pooled.select("component", "at", position=pl.Series(_find_period_passing(pooled, frontier)))


def netting_groups(netted: pl.DataFrame) -> pl.DataFrame:
    """Return the `NETTING_GROUP` rows of pairs that have a verdict."""
    return netted.select(pl.col(n).cast(t) for n, t in NETTING_GROUP.items())


def _list_sharing(terms: Terms) -> pl.DataFrame:
    """Return the `SHARING` of each edition, with the number of the `edition`."""
    tables = [sharing([e.book]).with_columns(edition=pl.lit(number, pl.Int64)) for number, e in enumerate(terms.editions)]
    return pl.concat([pl.DataFrame(schema={**SHARING, "edition": pl.Int64}), *tables])


def _select_pooled_pairs(pairs: pl.DataFrame, tables: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    """Return the pairs that share an allowance by the edition known at their position, with the columns of `_POOL`."""
    rows = pairs.with_columns(edition=pl.Series(terms.edition_at(pairs["at"].to_numpy()), dtype=pl.Int64))
    sharing_pairs = rows.join(tables.rename({"plan": "plan_of", "timezone": "zone_of"}), on=["edition", "service"])
    sharing_pairs = sharing_pairs.filter(pl.col("plan_of").is_null() | (pl.col("plan_of") == pl.col("plan")).fill_null(False))
    single = sharing_pairs.unique("pair", keep="first", maintain_order=True)
    owner = pl.when("by_account").then(pl.col("scope").replace("", None)).otherwise("subscriber")
    single = single.hstack([terms.cycle_days_at(single.select("subscriber", "at", time_us="start_us"))])
    index = pl.lit(None, pl.Int64)
    for zone in single["zone_of"].unique().sort().to_list():
        period = period_number(pl.col("period"), zone, pl.col("start_us"), pl.col("cycle_day"))
        index = pl.when(pl.col("zone_of") == zone).then(period).otherwise(index)
    return single.with_columns(who=owner, index=index).drop_nulls("who")


def _find_period_passing(rows: pl.DataFrame, frontier: Frontier) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the position at which both streams have passed the billing period of each row, by its grace."""
    end = pl.lit(None, pl.Int64)
    for zone in rows["zone_of"].unique().sort().to_list():
        last = period_end_us(pl.col("period"), zone, pl.col("index"))
        end = pl.when(pl.col("zone_of") == zone).then(last).otherwise(end)
    instants, grace_us = rows.select(end).to_series().to_numpy(), rows["grace_us"].to_numpy()
    closed_wait_us, policy = rows["closed_wait_us"].to_numpy(), rows["policy"].to_numpy()
    usage_side = np.zeros(rows.height, dtype=np.bool_)
    return np.maximum(*(frontier.passed_at(s, instants, grace_us, closed_wait_us, policy) for s in (usage_side, ~usage_side)))
