"""Expectations of subscriptions: a misread state can serve a customer without a bill."""

from __future__ import annotations

from trueup.quality.expectation import Expectation


def _state(name: str, kind: str, severity: str, notes: str, **arguments: object) -> Expectation:
    return Expectation(name, "subscriber", kind, arguments, severity, notes)  # type: ignore[arg-type]


SUBSCRIBER: tuple[Expectation, ...] = (
    _state(
        "a subscription is named", "expect_column_value_lengths_to_be_between", "quarantine",
        "Every record without a subscriber would belong to a subscription with an empty name.",
        column="subscriber", min_value=1,
    ),
    _state(
        "a state ends after it begins", "expect_column_pair_values_a_to_be_greater_than_b", "mark",
        "A state that ends before it begins hides an active subscription, so its usage becomes usage of an inactive one.",
        column_A="valid_to", column_B="valid_from", ignore_row_if="either_value_is_missing",
    ),
    _state(
        "a system is network or billing", "expect_column_values_to_be_in_set", "mark",
        "A state of an unknown system is compared with no other, so service without billing raises no finding.",
        column="system", value_set=["network", "billing"],
    ),
    _state(
        "a cycle begins on a day of the month", "expect_column_values_to_be_between", "quarantine",
        "A billing cycle without a first day has no periods, so no rental is expected.",
        column="cycle_day", min_value=1, max_value=31,
    ),
    _state(
        "a plan is named", "expect_column_values_to_not_be_null", "note",
        "Without a plan there is no price by plan.",
        column="plan",
    ),
)  # fmt: skip
