"""Prices of the fast path: price all usage that it may take in one request, before amounts are compared."""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.reconcile.kernel.fast_path.candidates import Candidates, Rows
from trueup.reconcile.pricing.price_table import RECORD_COLUMNS, PriceTable

EXPECTED: dict[str, pl.DataType] = {"row": pl.Int64(), "expected_micros": pl.Int128()}


def price_usage(rows: Rows, candidates: Candidates, prices: PriceTable) -> pl.DataFrame:
    """Return the price of usage records (`EXPECTED`), in the order of `rows`; NULL where no price is valid from their position on.

    The fast path takes only records that arrived under the latest policy, with a price unchanged since the first record of the
    pair. So the price at the record's own position is also its price at the position of its charge.
    """
    rules, rule_of_row = candidates.frontier.policies.frame, candidates.rule_index[rows]
    numbers = np.unique(rule_of_row)
    if len(numbers) == 1:
        return _build_prices(rows, _price_by_rule(rows, rules.row(int(numbers[0]), named=True), candidates, prices))
    expected = [pl.Series(dtype=pl.Int128)]
    places = [np.flatnonzero(rule_of_row == number) for number in numbers]
    for number, of_rule in zip(numbers.tolist(), places, strict=True):
        expected.append(_price_by_rule(rows[of_rule], rules.row(number, named=True), candidates, prices))
    place_of_row = np.argsort(np.concatenate([np.empty(0, dtype=np.int64), *places]))
    return _build_prices(rows, pl.concat(expected).gather(place_of_row))


def _build_prices(rows: Rows, expected: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"row": rows, "expected_micros": expected}, schema=EXPECTED)


def _price_by_rule(rows: Rows, rule: dict[str, object], candidates: Candidates, prices: PriceTable) -> pl.Series:
    """Return the prices of records of one rule. Only a tariff book needs more columns of a record than its quantity.

    The money of a record that arrived under the latest policy is in the currency of its rule.
    """
    price_micros, price_per = rule["price_micros"], rule["price_per"]
    if price_micros is None:
        records = candidates.columns_of(rows, RECORD_COLUMNS).with_columns(row=pl.Series(rows, dtype=pl.Int64))
        without_price = {"price_micros": pl.lit(None, pl.Int64), "price_per": pl.lit(None, pl.Int64)}
        return prices.price_records(records.with_columns(**without_price, price_currency=pl.lit(rule["price_currency"], pl.String)))
    assert isinstance(price_micros, int) and isinstance(price_per, int)
    quantities = candidates.columns_of(rows, ["quantity_micros"])["quantity_micros"]
    return prices.price_records_flat(quantities, price_micros, price_per)
