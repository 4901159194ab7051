"""Pairs of the fast path: match one usage record and one charge of a session key in time, and judge their difference."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import polars as pl

from trueup.reconcile.domain.bookings import TOLERATED
from trueup.reconcile.domain.tariff_terms import Terms, shared_terms
from trueup.reconcile.kernel.classification import classify
from trueup.reconcile.kernel.fast_path.candidates import Candidates, Rows
from trueup.reconcile.pricing.billing_error import misrating_reason
from trueup.reconcile.pricing.price_table import FLAT_COLUMNS, RECORD_COLUMNS, PriceTable

_KEY = ["session_key", "scope", "currency"]
JUDGED: dict[str, pl.DataType] = {
    "row": pl.Int64(), "row_charge": pl.Int64(), "expected_micros": pl.Int128(), "billed_micros": pl.Int128(),
}  # fmt: skip
FOUND: dict[str, pl.DataType] = JUDGED | {"at": pl.Int64(), "kind": pl.String(), "reason": pl.String()}


@dataclass(frozen=True)
class JudgedPairs:
    """The pairs whose difference is `tolerated` (`JUDGED`), and those `found` to differ, with their kind (`FOUND`)."""

    tolerated: pl.DataFrame
    found: pl.DataFrame


def pairs_in_time(candidates: Candidates, terms: Terms) -> pl.DataFrame:
    """Return (`row`, `row_charge`) of the pairs of one key whose first record was not final before the second arrived.

    Neither record has parts, conflicts or neighbours, is beyond the horizon, or has a price that changed since the first one
    arrived.
    """
    return _keep_pairs_in_time(_keep_equal_keys(_find_pairs(candidates), candidates), candidates, terms)


def _find_pairs(candidates: Candidates) -> pl.DataFrame:
    """Return (`row`, `row_charge`) of sessions with one usage record and one charge, without partials, conflicts or neighbours."""
    usage, charge = candidates.usage, candidates.charge
    under_last, by_key, by_aggregate = (
        candidates.under_last,
        candidates.rule("by_key", usage),
        candidates.rule("by_aggregate", charge),
    )
    agree_so_far = (
        under_last[usage]
        & under_last[charge]
        & by_key
        & ~by_aggregate
        & ~candidates.has_neighbour[usage]
        & ~candidates.has_neighbour[charge]
    )
    return pl.DataFrame({"row": usage[agree_so_far], "row_charge": charge[agree_so_far]}).cast(pl.Int64)


def _keep_equal_keys(pairs: pl.DataFrame, candidates: Candidates) -> pl.DataFrame:
    """Return the pairs whose true keys are equal."""
    if pairs.is_empty():
        return pairs
    usage, charge = pairs["row"].to_numpy(), pairs["row_charge"].to_numpy()
    # Where all money is in one currency, currencies need no comparison.
    key = _KEY if candidates.rows["currency"].n_unique() > 1 else _KEY[:2]
    usage_keys, charge_keys = candidates.columns_of(usage, key), candidates.columns_of(charge, key)
    return pairs.filter(reduce(operator.and_, ((usage_keys[n] == charge_keys[n]).fill_null(False) for n in key)))


def _keep_pairs_in_time(pairs: pl.DataFrame, candidates: Candidates, terms: Terms) -> pl.DataFrame:
    """Return the pairs whose first record was not yet final when the second arrived, and in which neither is beyond the horizon."""
    if pairs.is_empty():
        return pairs
    usage, charge = pairs["row"].to_numpy(), pairs["row_charge"].to_numpy()
    usage_position, charge_position = candidates.position[usage], candidates.position[charge]
    first = np.where(usage_position <= charge_position, usage, charge)
    final_before = candidates.other_passed_at(first) < np.maximum(usage_position, charge_position)
    beyond = candidates.beyond_horizon(usage) | candidates.beyond_horizon(charge)
    is_undated = candidates.column("time_us").is_null().to_numpy()
    untimed = is_undated[usage] | (is_undated[charge] & (charge_position < usage_position))
    in_time = ~(final_before & (usage_position != charge_position) | beyond | untimed) & candidates.unchanged(usage, first, terms)
    return pairs if in_time.all() else pairs.filter(pl.Series(in_time))


def judge_pairs(pairs: pl.DataFrame, candidates: Candidates, prices: PriceTable, *, after: int) -> JudgedPairs:
    """Judge pairs with `expected_micros`, the price of their usage; pairs in neither result go through all steps.

    At a flat price, quantities may differ without impact, and the pair then raises no finding. Only under a tariff can two
    differences cancel out in an equal amount. A pair that `classify` divides into two rows has two findings, so it goes through all
    steps.
    """
    if pairs.is_empty():
        return JudgedPairs(pl.DataFrame(schema=JUDGED), pl.DataFrame(schema=FOUND))
    usage, charge = pairs["row"].to_numpy(), pairs["row_charge"].to_numpy()
    billed = candidates.columns_of(charge, ["amount_micros"])["amount_micros"]
    priced = pairs.with_columns(billed_micros=billed.cast(pl.Int128)).select(*JUDGED)
    agrees = (priced["expected_micros"] == priced["billed_micros"]).fill_null(False)
    is_flat = pl.Series(candidates.frontier.policies.frame["price_micros"].is_not_null().to_numpy()[candidates.rule_index[usage]])
    if not is_flat.all():
        agrees &= is_flat | _has_equal_quantities(usage, charge, candidates)
    agreeing, differing = priced.filter(agrees), priced.filter(~agrees & priced["expected_micros"].is_not_null())
    if differing.is_empty():
        return JudgedPairs(agreeing, pl.DataFrame(schema=FOUND))
    judged = _classify_differences(differing, candidates, prices).filter(pl.col("row").is_unique())
    no_impact = pl.col("expected_micros") == pl.col("billed_micros")
    is_tolerated = judged.select((pl.col("kind") == TOLERATED) | no_impact).to_series()
    tolerated = judged.filter(is_tolerated).select(*JUDGED)
    return JudgedPairs(
        pl.concat([agreeing, tolerated]) if tolerated.height else agreeing,
        _find_differences(judged.filter(~is_tolerated), prices, after),
    )


def _find_differences(judged: pl.DataFrame, prices: PriceTable, after: int) -> pl.DataFrame:
    """Return differing pairs as `FOUND`, except those that must be judged together with others of their pool.

    Only findings raised after the position `after` need a reason.
    """
    if not shared_terms(prices.terms).is_empty():
        judged = judged.filter(pl.col("price_micros").is_not_null())
    misrated = judged.filter((pl.col("kind") == "misrated") & pl.col("price_micros").is_null() & (pl.col("at") > after))
    reason = pl.lit(None, pl.String)
    if not misrated.is_empty():
        requests = misrated.with_columns(pool_session_id=pl.lit(None, pl.Int64))
        why = misrated.select("row", why=misrating_reason(requests, prices.terms, prices.pools))
        judged, reason = judged.join(why, on="row", how="left"), pl.col("why")
    return judged.with_columns(reason=reason).select(pl.col(n).cast(t) for n, t in FOUND.items())


def _has_equal_quantities(usage: Rows, charge: Rows, candidates: Candidates) -> pl.Series:
    """Return whether charges declare the quantity of their usage, or none."""
    used, charged = (candidates.columns_of(rows, ["quantity_micros"])["quantity_micros"] for rows in (usage, charge))
    return (used == charged).fill_null(charged.is_null())


def _classify_differences(pairs: pl.DataFrame, candidates: Candidates, prices: PriceTable) -> pl.DataFrame:
    """Return pairs with a difference, with their kind (as `classify`) and the columns by which they were judged."""
    prepared = _with_rule_columns(pairs, candidates, prices).with_columns(
        # The difference of two 64-bit numbers may not fit 64 bits.
        usage_quantity=pl.col("quantity_micros").cast(pl.Int128),
        open=pl.lit(False),
        unrated=pl.lit(False),
        part=pl.lit(0),
        unrated_records=pl.lit(0),
        verdict=pl.lit(None, pl.String),
        is_corrected=pl.lit(False),
    )  # fmt: skip
    return classify(prices.with_charged_price(prepared))


def _with_rule_columns(pairs: pl.DataFrame, candidates: Candidates, prices: PriceTable) -> pl.DataFrame:
    """Add the columns of usage and rule that classify a pair, and those that price the charged quantity."""
    usage, charge = pairs["row"].to_numpy(), pairs["row_charge"].to_numpy()
    rules = candidates.frontier.policies.frame.drop("policy", "rule", "timezone")[candidates.rule_index[usage]]
    is_flat = not rules["price_micros"].null_count()
    records = candidates.columns_of(usage, FLAT_COLUMNS if is_flat else RECORD_COLUMNS)
    of_charge = candidates.columns_of(charge, ["position", "quantity_micros"]).select(
        position_charge="position", charge_quantity="quantity_micros"
    )
    columns = pl.concat([pairs, records, of_charge, rules], how="horizontal")
    matched = columns.with_columns(at=pl.max_horizontal("position", "position_charge"))
    return matched if is_flat else prices.as_requests(matched)
