"""Pairs of the fast path: one usage record and one charge of one session key, matched in time, that agree."""

from __future__ import annotations

import operator
from functools import reduce

import numpy as np
import polars as pl

from trueup.reconcile.domain.bookings import TOLERATED
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.classification import classify
from trueup.reconcile.kernel.fast_path.candidates import Candidates, Rows
from trueup.reconcile.pricing.price_table import FLAT_COLUMNS, RECORD_COLUMNS, PriceTable

_KEY = ["session_key", "scope", "currency"]
AGREED: dict[str, pl.DataType] = {
    "row": pl.Int64(), "row_charge": pl.Int64(), "expected_micros": pl.Int128(), "billed_micros": pl.Int128()
}  # fmt: skip


def pairs_in_time(candidates: Candidates, terms: Terms) -> pl.DataFrame:
    """Return (`row`, `row_charge`) of the pairs of one key whose first record was not final before the second arrived.

    Neither has parts, conflicts or neighbours, is beyond the horizon, or has a price that changed since the first arrived.
    """
    return _in_time(_of_one_key(_pairs(candidates), candidates), candidates, terms)


def _pairs(candidates: Candidates) -> pl.DataFrame:
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


def _of_one_key(pairs: pl.DataFrame, candidates: Candidates) -> pl.DataFrame:
    """Return the pairs whose true keys are equal."""
    if pairs.is_empty():
        return pairs
    usage, charge = pairs["row"].to_numpy(), pairs["row_charge"].to_numpy()
    # Where all money is in one currency, there is nothing to compare.
    key = _KEY if candidates.rows["currency"].n_unique() > 1 else _KEY[:2]
    usage_keys, charge_keys = candidates.columns_of(usage, key), candidates.columns_of(charge, key)
    return pairs.filter(reduce(operator.and_, ((usage_keys[n] == charge_keys[n]).fill_null(False) for n in key)))


def _in_time(pairs: pl.DataFrame, candidates: Candidates, terms: Terms) -> pl.DataFrame:
    """Return the pairs whose first record was not final before the second arrived, with neither beyond the horizon."""
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


def agreeing_pairs(pairs: pl.DataFrame, candidates: Candidates, prices: PriceTable) -> pl.DataFrame:
    """Return the pairs (with `expected_micros`, the price of their usage) that agree, with their billed amount: rows of `AGREED`.

    At a flat price quantities may differ: a pair without impact raises no finding. Only a tariff can have two differences behind
    an equal amount.
    """
    if pairs.is_empty():
        return pl.DataFrame(schema=AGREED)
    usage, charge = pairs["row"].to_numpy(), pairs["row_charge"].to_numpy()
    billed = candidates.columns_of(charge, ["amount_micros"])["amount_micros"]
    priced = pairs.with_columns(billed_micros=billed.cast(pl.Int128)).select(*AGREED)
    agrees = (priced["expected_micros"] == priced["billed_micros"]).fill_null(False)
    is_flat = pl.Series(candidates.frontier.policies.frame["price_micros"].is_not_null().to_numpy()[candidates.rule_index[usage]])
    if not is_flat.all():
        agrees &= is_flat | _has_equal_quantities(usage, charge, candidates)
    differing = priced.filter(~agrees & priced["expected_micros"].is_not_null())
    tolerated = _tolerated_pairs(differing, candidates, prices)
    return pl.concat([priced.filter(agrees), tolerated]) if tolerated.height else priced.filter(agrees)


def _has_equal_quantities(usage: Rows, charge: Rows, candidates: Candidates) -> pl.Series:
    """Return whether charges declare the quantity of their usage, or none."""
    used, charged = (candidates.columns_of(rows, ["quantity_micros"])["quantity_micros"] for rows in (usage, charge))
    return (used == charged).fill_null(charged.is_null())


def _tolerated_pairs(pairs: pl.DataFrame, candidates: Candidates, prices: PriceTable) -> pl.DataFrame:
    """Return, of pairs with a difference, those whose difference is tolerated or nets to zero."""
    if pairs.is_empty():
        return pairs
    prepared = _with_rule_columns(pairs, candidates, prices).with_columns(
        # The difference of two 64-bit numbers need not fit one.
        usage_quantity=pl.col("quantity_micros").cast(pl.Int128),
        open=pl.lit(False),
        unrated=pl.lit(False),
        part=pl.lit(0),
        unrated_records=pl.lit(0),
        verdict=pl.lit(None, pl.String),
        is_corrected=pl.lit(False),
    )  # fmt: skip
    no_impact = pl.col("expected_micros") == pl.col("billed_micros")
    # A pair that became two rows differs by quantity and by amount, so it is not tolerated.
    tolerated = classify(prices.with_charged_price(prepared)).filter(
        pl.col("row").is_unique() & ((pl.col("kind") == TOLERATED) | no_impact)
    )
    return tolerated.select(*AGREED)


def _with_rule_columns(pairs: pl.DataFrame, candidates: Candidates, prices: PriceTable) -> pl.DataFrame:
    """Add the columns of usage and rule by which a pair is classified, and those by which the charged quantity is priced."""
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
