"""What must hold of the records of a stage: where a record was lost is read from them."""

from __future__ import annotations

from trueup.quality.expectation import Expectation


def _stage(name: str, kind: str, notes: str, **arguments: object) -> Expectation:
    return Expectation(name, "stage", kind, arguments, "quarantine", notes)


STAGE: tuple[Expectation, ...] = (
    _stage(
        "a record is named", "expect_column_value_lengths_to_be_between",
        "An empty record key makes all such records one, and the others look lost at this stage.",
        column="record_key", min_value=1,
    ),
    _stage(
        "a stage is named", "expect_column_value_lengths_to_be_between",
        "A record of no stage cannot be compared with any other.",
        column="stage", min_value=1,
    ),
    _stage(
        "a currency is named", "expect_column_value_lengths_to_be_between",
        "An empty currency is a column that was cut off; its amounts could be compared with none.",
        column="currency", min_value=1,
    ),
)  # fmt: skip
