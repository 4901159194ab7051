"""Expectations of invoices: a truncated number or account would merge many invoices into one."""

from __future__ import annotations

from trueup.quality.expectation import Expectation


def _require_name(name: str, column: str, notes: str) -> Expectation:
    arguments = {"column": column, "min_value": 1}
    return Expectation(name, "invoice", "expect_column_value_lengths_to_be_between", arguments, "quarantine", notes)


INVOICE: tuple[Expectation, ...] = (
    _require_name("a record is named", "record_key", "An empty record key makes all such invoices one."),
    _require_name("a number is there", "number", "Charges find their invoice by its number."),
    _require_name("an account is named", "account", "An invoice of no account has no debtor."),
    _require_name(
        "a currency is named",
        "currency",
        "An empty currency is a column that was cut off; its amounts could be compared with none.",
    ),
)
