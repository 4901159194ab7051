"""What must hold of charges: they are the money, so what is misread here is a bill."""

from __future__ import annotations

from trueup.quality.expectation import Expectation, Fact


def _charge(name: str, kind: str, severity: str, notes: str, **arguments: object) -> Expectation:
    return Expectation(name, "charge", kind, arguments, severity, notes)  # type: ignore[arg-type]


CHARGE: tuple[Expectation, ...] = (
    _charge(
        "a record is named", "expect_column_value_lengths_to_be_between", "quarantine",
        "An empty record key makes all such charges one, and the rest of the money a conflict.",
        column="record_key", min_value=1,
    ),
    _charge(
        "an amount has a currency", "expect_column_values_to_not_be_null", "quarantine",
        "An amount without a currency can be added to nothing.",
        column="currency",
    ),
    _charge(
        "a currency is named", "expect_column_value_lengths_to_be_between", "quarantine",
        "An empty currency is a column that was cut off; its amounts would be sums of their own.",
        column="currency", min_value=1,
    ),
    _charge(
        "a currency has the form of ISO 4217", "expect_column_values_to_match_regex", "note",
        "eur and EUR are two currencies to a sum: every charge of the one is told as without usage.",
        column="currency", regex="^[A-Z]{3}$",
    ),
    _charge(
        "parts are counted from zero", "expect_column_values_to_be_between", "quarantine",
        "Parts decide which charge of a session is the main one and which is in excess.",
        column="partial_no", min_value=0,
    ),
    _charge(
        "a charge is not of negative usage", "expect_column_values_to_be_between", "mark",
        "Credits have negative amounts, not quantities; a negative quantity makes a session look overbilled.",
        column="quantity_micros", min_value=0,
    ),
    _charge(
        "a bill comes after the usage", "expect_column_pair_values_a_to_be_greater_than_b", "note",
        "Billed before it began: two clocks or two time zones, and the nearest match looks in the wrong place.",
        column_A="billed_at", column_B="started_at", or_equal=True, ignore_row_if="either_value_is_missing",
    ),
    _charge(
        "an event is there once", "expect_column_values_to_be_unique", "block",
        "Ids are of content: one id twice means that taking in failed, and billed money is counted twice.",
        column="event_id",
    ),
    _charge(
        "the tariff code is in the book", "expect_column_values_to_be_in_set", "note",
        "A code the book does not have was priced by something nobody here can recompute.",
        column="tariff_code", value_set=Fact("tariff_codes"),
    ),
    _charge(
        "charges are tied to sessions as before", "expect_column_proportion_of_non_null_values_to_be_between", "mark",
        "Without the session key no charge finds its usage: one upgrade turns a day's revenue into unbilled usage.",
        column="session_key", min_value=Fact("least_share_of_session_key"), max_value=1.0,
    ),
    _charge(
        "subscribers are filled in as before", "expect_column_proportion_of_non_null_values_to_be_between", "mark",
        "A charge that names nobody can be matched by its key alone.",
        column="subscriber", min_value=Fact("least_share_of_subscriber"), max_value=1.0,
    ),
    _charge(
        "amounts are as large as before", "expect_column_mean_to_be_between", "note",
        "A mean far from that of earlier days is a price, a unit or a currency that changed.",
        column="amount_micros", min_value=Fact("least_mean_amount"), max_value=Fact("greatest_mean_amount"),
    ),
)  # fmt: skip
