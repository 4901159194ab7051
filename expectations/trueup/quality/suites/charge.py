"""Expectations of charges: a misread charge is a wrong bill."""

from __future__ import annotations

from trueup.quality.expectation import Expectation, Fact


def _charge(name: str, kind: str, severity: str, notes: str, **arguments: object) -> Expectation:
    return Expectation(name, "charge", kind, arguments, severity, notes)  # type: ignore[arg-type]


CHARGE: tuple[Expectation, ...] = (
    _charge(
        "a record is named", "expect_column_value_lengths_to_be_between", "quarantine",
        "Charges without a record key count as one charge: the others become conflicts.",
        column="record_key", min_value=1,
    ),
    _charge(
        "an amount has a currency", "expect_column_values_to_not_be_null", "quarantine",
        "An amount without a currency can enter no sum.",
        column="currency",
    ),
    _charge(
        "a currency is named", "expect_column_value_lengths_to_be_between", "quarantine",
        "An empty currency is a truncated column; its amounts would form sums of their own.",
        column="currency", min_value=1,
    ),
    _charge(
        "a currency has the form of ISO 4217", "expect_column_values_to_match_regex", "note",
        "Sums distinguish eur from EUR: every charge in eur becomes a charge without usage.",
        column="currency", regex="^[A-Z]{3}$",
    ),
    _charge(
        "parts are counted from zero", "expect_column_values_to_be_between", "quarantine",
        "The part number decides which charge of a session is the main charge and which is an excess.",
        column="partial_no", min_value=0,
    ),
    _charge(
        "a charge is not of negative usage", "expect_column_values_to_be_between", "mark",
        "A credit has a negative amount, not a negative quantity; a negative quantity makes a session look overbilled.",
        column="quantity_micros", min_value=0,
    ),
    _charge(
        "a bill comes after the usage", "expect_column_pair_values_a_to_be_greater_than_b", "note",
        "A bill before the session start means two clocks or two time zones: the nearest match then searches the wrong interval.",
        column_A="billed_at", column_B="started_at", or_equal=True, ignore_row_if="either_value_is_missing",
    ),
    _charge(
        "an event is there once", "expect_column_values_to_be_unique", "block",
        "Event ids come from content: a repeated id means that ingestion failed and billed money counts twice.",
        column="event_id",
    ),
    _charge(
        "the tariff code is in the book", "expect_column_values_to_be_in_set", "note",
        "A tariff code outside the tariff book has a price that trueup cannot recompute.",
        column="tariff_code", value_set=Fact("tariff_codes"),
    ),
    _charge(
        "charges are tied to sessions as before", "expect_column_proportion_of_non_null_values_to_be_between", "mark",
        "A charge without session key matches no usage: one upgrade can turn the revenue of a day into unbilled usage.",
        column="session_key", min_value=Fact("least_share_of_session_key"), max_value=1.0,
    ),
    _charge(
        "subscribers are filled in as before", "expect_column_proportion_of_non_null_values_to_be_between", "mark",
        "A charge without subscriber can match by session key only.",
        column="subscriber", min_value=Fact("least_share_of_subscriber"), max_value=1.0,
    ),
    _charge(
        "amounts are as large as before", "expect_column_mean_to_be_between", "note",
        "A mean far from that of earlier days shows a changed price, unit or currency.",
        column="amount_micros", min_value=Fact("least_mean_amount"), max_value=Fact("greatest_mean_amount"),
    ),
)  # fmt: skip
