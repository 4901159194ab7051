"""Ingestion of item charges: which are accepted, and which are quarantined."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from trueup.collect.commit.cross_row_checks import find_bad_item_charges, find_unknown_zones
from trueup.events.schema import CORE
from trueup.rating.book import TARIFF
from trueup.rating.book_validation import refusals

MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
WHOLE = {"item": "line", "subscriber": "s", "period_from": MARCH, "period_to": APRIL}


@pytest.mark.parametrize(
    ("charge", "rule"),
    [
        (WHOLE, None),
        ({"item": "fee", "subscriber": "s", "billed_at": MARCH}, None),
        ({"subscriber": "s", "started_at": MARCH}, None),
        (WHOLE | {"subscriber": None}, "subscriber: is there, for a charge of an item"),
        ({"item": "line", "subscriber": "s"}, "period_from: is there, or the charge has a time"),
        (WHOLE | {"item": None}, "item: is there, for a charge of a period"),
        (WHOLE | {"period_from": None, "billed_at": MARCH}, "period_from: is there"),
        (WHOLE | {"period_to": MARCH}, "period_to: is after period_from"),
    ],
)  # fmt: skip
def test_a_charge_of_an_item_has_a_subscriber_and_a_time(charge: dict[str, object], rule: str | None) -> None:
    rows = pl.DataFrame([{**charge, "source_row": 0}], schema={"source_row": pl.Int64, **CORE["charge"]})
    assert find_bad_item_charges(rows)["rule"].to_list() == ([rule] if rule else [])


def test_a_state_in_an_unknown_zone_is_refused() -> None:
    rows = pl.DataFrame({"source_row": range(5), "timezone": ["Europe/Berlin", "Berlin", None, "Factory", "localtime"]})
    refused = [(row, "value_out_of_range", "timezone: is a time zone") for row in (1, 3, 4)]
    assert find_unknown_zones(rows).rows() == refused


RENTAL = {"item": "recurring", "name": "line", "service": "rental", "price_micros": 1, "currency": "EUR", "valid_from": MARCH}
FEE = RENTAL | {"item": "one_off", "name": "fee", "event": "activation"}
DISCOUNT = {"item": "discount", "name": "promo", "discount_micros": 500_000, "valid_from": MARCH}


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (RENTAL | {"period": "cycle", "proration": "30", "due": "arrears", "suspended": "charged"}, None),
        (FEE, None),
        (FEE | {"event": "termination", "months": 24}, None),
        (DISCOUNT | {"applies_to": "base"}, None),
        (RENTAL | {"name": None}, "name: is there"),
        (FEE | {"event": None}, "event: is there"),
        (RENTAL | {"due": "later"}, "due: is one of advance, arrears"),
        (RENTAL | {"event": "activation"}, "event: is of the item one_off"),
        (RENTAL | {"destination": "49"}, "destination: has no effect on what is charged without usage"),
        (RENTAL | {"period": "week", "proration": "30"}, "proration: 30 days are of the period month or cycle"),
        (FEE | {"period": "month"}, "period: is of the item recurring"),
        (FEE | {"months": 24}, "months: are of a discount, or of the event termination"),
        (DISCOUNT | {"discount_micros": None}, "discount_micros: a discount has a fraction or a price"),
        (DISCOUNT | {"discount_micros": 1_500_000}, "discount_micros: is a fraction of 0 to 1"),
        (DISCOUNT | {"price_micros": 1}, "currency: is that of the discount's price"),
        (DISCOUNT | {"tax_micros": 190_000}, "tax_micros: is that of the item, not of its discount"),
        (DISCOUNT | {"applies_to": "tv"}, "applies_to: is an item of the book"),
        (FEE | {"name": "base"}, "name: is that of a recurring or of a one-off item, not of both"),
    ],
)  # fmt: skip
def test_a_row_of_an_item_is_complete_and_has_no_term_without_effect(row: dict[str, object], rule: str | None) -> None:
    known = pl.DataFrame([RENTAL | {"name": "base"}], schema=TARIFF)
    new = pl.DataFrame([{**row, "source_row": 0}], schema={"source_row": pl.Int64, **TARIFF})
    assert refusals(known, new)["rule"].to_list() == ([rule] if rule else [])
