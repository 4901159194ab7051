"""Pairs of the fast path: one usage record and one charge of one session key, matched in time, that agree."""

from __future__ import annotations

import operator
from functools import reduce

import numpy as np
import polars as pl

from trueup.rating.flat import flat_prices
from trueup.reconcile.domain.bookings import TOLERATED
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.classification import classify, with_charged_price
from trueup.reconcile.kernel.fast_path.candidates import Candidates, Rows
from trueup.reconcile.pricing.allowance_pools import Pools
from trueup.reconcile.pricing.session_price import price_sessions
from trueup.reconcile.sessions.grouping import RATED_BY

_KEY = ["session_key", "scope", "currency"]
_RULE_COLUMNS = ["currency", "position", "time_us", "service", "quantity_micros"]
PRICED_BY = ["scope", "subscriber", "peer", *RATED_BY, "event_id"]
"""Further columns of a usage record on which its price by the tariff book depends."""
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


def agreeing_pairs(pairs: pl.DataFrame, candidates: Candidates, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Return the pairs that agree, with their price and their billed amount: rows of `AGREED`."""
    if pairs.is_empty():
        return pl.DataFrame(schema=AGREED)
    agreeing, others = _equal_at_flat_price(pairs, candidates)
    others = with_pool_sessions(others, pools)
    if others.is_empty():
        return agreeing
    return pl.concat([agreeing, _agreeing_pairs(_with_rule_columns(others, candidates), terms, pools)])


def _equal_at_flat_price(pairs: pl.DataFrame, candidates: Candidates) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the pairs that are billed at their flat price (`AGREED`), and the other pairs that have a price.

    Quantities may differ: a pair without impact raises no finding. Only a tariff can have two differences behind an equal amount.
    The usage of a pair arrived under the policy in force last, so its money is in the currency of its price.
    """
    rules, rule_of_pair = candidates.frontier.policies.frame, candidates.rule_index[pairs["row"].to_numpy()]
    equal, others = [pl.DataFrame(schema=AGREED)], [pairs.clear()]
    for number in np.unique(rule_of_pair).tolist():
        of_rule = rule_of_pair == number
        some = pairs if of_rule.all() else pairs.filter(pl.Series(of_rule))
        price_micros, price_per = rules.select("price_micros", "price_per").row(number)
        if price_micros is None:
            others.append(some)
            continue
        usage = candidates.columns_of(some["row"].to_numpy(), ["quantity_micros"])["quantity_micros"]
        billed = candidates.columns_of(some["row_charge"].to_numpy(), ["amount_micros"])["amount_micros"]
        priced = some.with_columns(
            expected_micros=flat_prices(usage, price_micros, price_per), billed_micros=billed.cast(pl.Int128)
        )
        is_equal = (priced["expected_micros"] == priced["billed_micros"]).fill_null(False)
        equal.append(priced.filter(is_equal).select(*AGREED))
        others.append(some.filter(~is_equal & usage.is_not_null()))
    return pl.concat(equal), pl.concat(others)


def with_pool_sessions(rows: pl.DataFrame, pools: Pools) -> pl.DataFrame:
    """Add `pool_session_id` to rows; rows whose price in the pool ever changes are left out."""
    if pools.is_empty:
        return rows.with_columns(pool_session_id=pl.lit(None, pl.Int64))
    numbered = rows.join(pools.records.cast({"row": pl.Int64}), on="row", how="left", maintain_order="left")
    return numbered.filter(pools.has_stable_price(numbered))


def rules_of(rows: Rows, candidates: Candidates) -> pl.DataFrame:
    """Return the rule of each row under the policy in force last, without its numbers and time zone."""
    return candidates.frontier.policies.frame.drop("policy", "rule", "timezone")[candidates.rule_index[rows]]


def _with_rule_columns(pairs: pl.DataFrame, candidates: Candidates) -> pl.DataFrame:
    """Add the columns needed of both records of each pair, and of their rules."""
    usage, charge = pairs["row"].to_numpy(), pairs["row_charge"].to_numpy()
    rules = rules_of(usage, candidates)
    # Only a tariff book needs more than the quantity.
    columns = [*_RULE_COLUMNS, *PRICED_BY] if rules["price_micros"].null_count() else _RULE_COLUMNS
    of_charge = candidates.columns_of(charge, ["position", "quantity_micros", "amount_micros"]).select(
        position_charge="position", charge_quantity="quantity_micros", billed_micros=pl.col("amount_micros").cast(pl.Int128)
    )
    return pl.concat([pairs, candidates.columns_of(usage, columns), of_charge, rules], how="horizontal")


def pricing_request(rows: pl.DataFrame, terms: Terms, at: pl.Expr) -> pl.DataFrame:
    """Return usage records with the columns that `price_sessions` needs, for a price at a position."""
    requests = rows.with_columns(at=at)
    if not rows["price_micros"].null_count():
        return requests
    requests = requests.with_columns(start_us="time_us", order="event_id")
    return requests.hstack(terms.states_at(requests.select("subscriber", "at", "time_us")))


def _agreeing_pairs(pairs: pl.DataFrame, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Return the pairs that agree, with their price and their billed amount."""
    requests = pricing_request(pairs, terms, pl.max_horizontal("position", "position_charge")).with_columns(
        # The difference of two 64-bit numbers need not fit one.
        usage_quantity=pl.col("quantity_micros").cast(pl.Int128), open=pl.lit(False),
    )  # fmt: skip
    prices = price_sessions(requests, terms, pools)
    equal_amount = prices["expected_micros"] == requests["billed_micros"]
    quantity = pl.coalesce("charge_quantity", "usage_quantity") == pl.col("usage_quantity")
    # Equal amount and equal quantity: no difference to classify.
    no_difference = (equal_amount & requests.select(quantity).to_series()).fill_null(False)
    priced = requests.hstack(prices)
    differing = priced.filter(~no_difference & prices["expected_micros"].is_not_null())
    agreeing = priced.filter(no_difference).select(*AGREED)
    if not differing.is_empty():
        agreeing = pl.concat([agreeing, _tolerated_pairs(differing, terms, pools).select(*AGREED)])
    return agreeing


def _tolerated_pairs(pairs: pl.DataFrame, terms: Terms, pools: Pools) -> pl.DataFrame:
    """Return, of pairs with a difference, those whose difference is tolerated or nets to zero."""
    prepared = pairs.with_columns(
        unrated=pl.lit(False),
        part=pl.lit(0),
        unrated_records=pl.lit(0),
        verdict=pl.lit(None, pl.String),
        is_corrected=pl.lit(False),
    )  # fmt: skip
    no_impact = pl.col("expected_micros") == pl.col("billed_micros")
    # A pair that became two rows differs by quantity and by amount, so it is not tolerated.
    return classify(with_charged_price(prepared, terms, pools)).filter(
        pl.col("row").is_unique() & ((pl.col("kind") == TOLERATED) | no_impact)
    )
