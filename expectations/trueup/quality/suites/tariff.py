"""Expectations of the tariff book: one wrong row gives every record under it a wrong price."""

from __future__ import annotations

from trueup.quality.expectation import Expectation


def _row(name: str, kind: str, severity: str, notes: str, **arguments: object) -> Expectation:
    return Expectation(name, "tariff", kind, arguments, severity, notes)  # type: ignore[arg-type]


TARIFF: tuple[Expectation, ...] = (
    _row(
        "a price is per something", "expect_column_values_to_be_between", "quarantine",
        "A price per zero units prices no record.",
        column="price_per", min_value=1,
    ),
    _row(
        "a row ends after it begins", "expect_column_pair_values_a_to_be_greater_than_b", "mark",
        "A row that ends before it begins is never valid: a shorter prefix prices its records, or none does.",
        column_A="valid_to", column_B="valid_from", ignore_row_if="either_value_is_missing",
    ),
    _row(
        "a currency has the form of ISO 4217", "expect_column_values_to_match_regex", "note",
        "A price in eur never equals a charge in EUR.",
        column="currency", regex="^[A-Z]{3}$",
    ),
    _row(
        "a destination is a prefix", "expect_column_values_to_match_regex", "note",
        "A prefix with + or a blank matches no number: its traffic gets the price of a shorter prefix.",
        column="destination", regex="^[0-9]*$",
    ),
)  # fmt: skip
