"""The value of missing records: in the currency of the charges, and never in two currencies."""

from __future__ import annotations

from datetime import date

import polars as pl

from trueup.quality.completeness.exposure import with_bounds
from trueup.quality.completeness.inputs import FOUND, HOUR, MONEY

DAY_US = 86_400_000_000
TENTH_US = 19_792 * DAY_US
"""The beginning of 10 March 2024."""


def money(*rows_of: tuple[str, str, str, float]) -> pl.DataFrame:
    """Return nine days of a hundred charges a day: by source, service, currency and amount of each."""
    rows = [
        {
            "source": source, "service": service, "day": date(2024, 3, day), "currency": currency, "used": 0, "charged": 100,
            "amount": 100 * amount, "amount_squared": 100 * amount**2, "position": 1,
        }
        for source, service, currency, amount in rows_of for day in range(1, 10)
    ]  # fmt: skip
    used = [
        {"source": "msc", "service": s, "day": date(2024, 3, day), "used": 100, "charged": 0, "amount": 0.0, "amount_squared": 0.0,
         "position": 1}
        for s in sorted({service for _, service, _, _ in rows_of}) for day in range(1, 10)
    ]  # fmt: skip
    return pl.DataFrame([*rows, *used], MONEY)


def hours(*rows_of: tuple[str, str, str, int]) -> pl.DataFrame:
    rows = [
        {"stream": s, "source": n, "node": "", "service": v, "hour_us": 0, "records": r, "position": 1} for s, n, v, r in rows_of
    ]
    return pl.DataFrame(rows, HOUR)


def missing(stream: str, source: str, service: str = "") -> pl.DataFrame:
    row = {
        "kind": "missing_records", "control": "files", "stream": stream, "source": source, "node": "", "service": service,
        "subject": "1", "from_us": TENTH_US, "to_us": TENTH_US + DAY_US, "records": 10.0, "records_variance": 0.0,
    }  # fmt: skip
    return pl.DataFrame([row], FOUND)


def test_a_bound_is_in_the_currency_the_services_charges_are_in() -> None:
    known = money(("billing", "roaming", "USD", 2.0))
    (row,) = with_bounds(missing("usage", "msc"), known, hours(("usage", "msc", "roaming", 5)), "EUR").to_dicts()
    assert row["currency"] == "USD"
    assert row["money_low"] < 20_000_000 < row["money_high"]


def test_where_two_currencies_charge_for_a_service_the_more_frequent_counts_and_the_other_adds_nothing() -> None:
    known = money(("billing", "voice", "EUR", 2.0), ("partners", "voice", "USD", 900.0), ("retail", "voice", "EUR", 2.0))
    (row,) = with_bounds(missing("usage", "msc"), known, hours(("usage", "msc", "voice", 5)), "CHF").to_dicts()
    assert row["currency"] == "EUR"
    assert row["money_low"] < 40_000_000 < row["money_high"] < 100_000_000


def test_a_missing_charge_is_valued_by_the_charges_of_its_own_feed() -> None:
    known = money(("billing", "voice", "EUR", 2.0), ("partners", "voice", "USD", 900.0))
    lacks = missing("charge", "partners")
    (row,) = with_bounds(lacks, known, hours(("charge", "partners", "voice", 5)), "EUR").to_dicts()
    assert row["currency"] == "USD"
    assert row["money_low"] < 9_000_000_000 < row["money_high"]


def test_of_services_in_two_currencies_the_one_with_most_records_is_bounded() -> None:
    known = money(("billing", "voice", "EUR", 2.0), ("billing", "roaming", "USD", 50.0))
    came = hours(("usage", "msc", "voice", 90), ("usage", "msc", "roaming", 10))
    (row,) = with_bounds(missing("usage", "msc"), known, came, "EUR").to_dicts()
    assert row["currency"] == "EUR"
    assert row["money_low"] < 18_000_000 < row["money_high"] < 40_000_000


def test_a_service_without_charges_has_no_bound_and_the_projects_currency() -> None:
    (row,) = with_bounds(missing("usage", "msc"), money(), hours(("usage", "msc", "voice", 5)), "EUR").to_dicts()
    assert (row["currency"], row["money_low"], row["money_high"], row["records_low"]) == ("EUR", None, None, 10)
