"""Gaps in the numbers of files beside a file without records, which has no times."""

from __future__ import annotations

import polars as pl
import pytest

from trueup.quality.completeness.gaps import joined, missing_files, missing_numbers
from trueup.quality.completeness.inputs import HOUR_US, CompletenessInputs


def units(*numbered: tuple[int, int | None, int | None]) -> pl.DataFrame:
    """Return files of one node: number, and the hours of the first and last record, missing for an empty file."""
    rows = [
        {"stream": "usage", "source": "msc", "unit": f"f{n}", "path": f"{n}.csv", "node": "M1", "number": n, "position": n}
        | {"first_us": None if first is None else first * HOUR_US, "last_us": None if last is None else last * HOUR_US}
        for n, first, last in numbered
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


@pytest.mark.parametrize(
    ("files", "hours"),
    [
        ([(1, 0, 9), (2, None, None), (4, 30, 39)], (9, 30)),
        ([(1, 0, 9), (3, None, None), (4, 30, 39)], (9, 30)),
        ([(1, None, None), (3, 20, 29)], (20, 20)),
        ([(1, 0, 9), (3, None, None)], (9, 9)),
        ([(1, 0, 25), (2, None, None), (4, 20, 39)], (0, 39)),
    ],
    ids=["before the gap", "after the gap", "the first file", "the last file", "files that overlap in time"],
)
def test_a_missing_file_beside_an_empty_file_has_the_times_of_the_nearest_files_with_records(
    files: list[tuple[int, int | None, int | None]], hours: tuple[int, int]
) -> None:
    (row,) = missing_files(CompletenessInputs.of(units=units(*files))).to_dicts()
    assert (row["from_us"], row["to_us"]) == (hours[0] * HOUR_US, hours[1] * HOUR_US)


def test_a_loss_that_both_numberings_show_beside_an_empty_file_is_one_finding() -> None:
    runs = pl.DataFrame([
        {"stream": "usage", "source": "msc", "node": "M1", "first": first, "last": last, "first_us": begins * HOUR_US,
         "last_us": ends * HOUR_US, "position": 1}
        for first, last, begins, ends in ((0, 39, 0, 9), (80, 119, 30, 39))
    ])  # fmt: skip
    inputs = CompletenessInputs.of(units=units((1, 0, 9), (2, None, None), (4, 30, 39)), runs=runs)
    (row,) = joined(missing_files(inputs), missing_numbers(inputs)).to_dicts()
    assert (row["control"], row["records"]) == ("files", 40.0)
