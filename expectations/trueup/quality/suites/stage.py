"""Expectations of the records of a stage: they show at which stage a record was lost."""

from __future__ import annotations

from trueup.quality.expectation import Expectation


def _stage(name: str, kind: str, notes: str, **arguments: object) -> Expectation:
    return Expectation(name, "stage", kind, arguments, "quarantine", notes)


STAGE: tuple[Expectation, ...] = (
    _stage(
        "a record is named", "expect_column_value_lengths_to_be_between",
        "Records without a record key count as one record: the others look lost at this stage.",
        column="record_key", min_value=1,
    ),
    _stage(
        "a stage is named", "expect_column_value_lengths_to_be_between",
        "A record without a stage is compared with no other.",
        column="stage", min_value=1,
    ),
    _stage(
        "a currency is named", "expect_column_value_lengths_to_be_between",
        "An empty currency is a truncated column; its amounts are compared with none.",
        column="currency", min_value=1,
    ),
)  # fmt: skip
