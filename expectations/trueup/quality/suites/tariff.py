"""What must hold of the tariff book: one wrong row prices every record under it."""

from __future__ import annotations

from trueup.quality.expectation import Expectation


def _row(name: str, kind: str, severity: str, notes: str, **arguments: object) -> Expectation:
    return Expectation(name, "tariff", kind, arguments, severity, notes)  # type: ignore[arg-type]


TARIFF: tuple[Expectation, ...] = (
    _row(
        "a price is per something", "expect_column_values_to_be_between", "quarantine",
        "A price per no units cannot price anything.",
        column="price_per", min_value=1,
    ),
    _row(
        "a row ends after it begins", "expect_column_pair_values_a_to_be_greater_than_b", "mark",
        "A rate that is valid at no time leaves its records to the next longer prefix, or unrated.",
        column_A="valid_to", column_B="valid_from", ignore_row_if="either_value_is_missing",
    ),
    _row(
        "a currency has the form of ISO 4217", "expect_column_values_to_match_regex", "note",
        "What is priced in eur is never equal to what was charged in EUR.",
        column="currency", regex="^[A-Z]{3}$",
    ),
    _row(
        "a destination is a prefix", "expect_column_values_to_match_regex", "note",
        "A prefix with a + or a blank is the longest prefix of no number: its traffic gets a shorter one's price.",
        column="destination", regex="^[0-9]*$",
    ),
)  # fmt: skip
