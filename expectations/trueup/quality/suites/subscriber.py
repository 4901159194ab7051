"""Expectations of subscriptions: a misread state serves a customer who pays nothing."""

from __future__ import annotations

from trueup.quality.expectation import Expectation


def _state(name: str, kind: str, severity: str, notes: str, **arguments: object) -> Expectation:
    return Expectation(name, "subscriber", kind, arguments, severity, notes)  # type: ignore[arg-type]


SUBSCRIBER: tuple[Expectation, ...] = (
    _state(
        "a subscription is named", "expect_column_value_lengths_to_be_between", "quarantine",
        "The empty number would be a subscription that every record without a number belongs to.",
        column="subscriber", min_value=1,
    ),
    _state(
        "a state ends after it begins", "expect_column_pair_values_a_to_be_greater_than_b", "mark",
        "A state that is valid at no time hides that the subscription was active then: usage is told as of an inactive one.",
        column_A="valid_to", column_B="valid_from", ignore_row_if="either_value_is_missing",
    ),
    _state(
        "a system is network or billing", "expect_column_values_to_be_in_set", "mark",
        "States of no known side are compared with nothing, so that what is served and not billed goes unseen.",
        column="system", value_set=["network", "billing"],
    ),
    _state(
        "a cycle begins on a day of the month", "expect_column_values_to_be_between", "quarantine",
        "A billing cycle that begins on no day has no periods, so that no rental of it is expected.",
        column="cycle_day", min_value=1, max_value=31,
    ),
    _state(
        "a plan is named", "expect_column_values_to_not_be_null", "note",
        "Without a plan there is no price by plan.",
        column="plan",
    ),
)  # fmt: skip
