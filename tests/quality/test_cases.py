"""Faults of feeds, one case each: found on the right node, in the right period."""

from __future__ import annotations

import polars as pl
import pytest
import simulated_operator as op

from trueup.quality.completeness.history import history, open_findings
from trueup.quality.completeness.inputs import HOUR_US

HOUR = 5 * 168 + 34
"""Ten in the morning of a Tuesday in the sixth week."""


@pytest.fixture(scope="module")
def made() -> pl.DataFrame:
    return op.made(7)


def found(open_rows: pl.DataFrame) -> list[tuple[str, str, str]]:
    return open_rows.select("kind", "control", "node").rows()


def test_lost_files_are_one_finding_with_every_record_of_them(made: pl.DataFrame) -> None:
    missing = made.select((pl.col("node") == "MSC02") & pl.col("file").is_in([140, 141])).to_series()
    open_rows = op.open_rows(made.filter(~missing), made, numbered=True)
    assert found(open_rows) == [("missing_records", "files", "MSC02")]
    (row,) = open_rows.to_dicts()
    assert row["reason"] == "2 files, 140 to 141, did not come"
    assert row["records_low"] == row["records_high"] == missing.sum()
    assert row["from_us"] < op.moment(141 * op.FILE_HOURS) < row["to_us"]


def test_prices_of_days_before_the_lookback_do_not_move_the_bounds_of_missing_records(made: pl.DataFrame) -> None:
    missing = made.select((pl.col("node") == "MSC02") & pl.col("file").is_in([140, 141])).to_series()
    known = op.inputs_of_records(made.filter(~missing), made, numbered=True)
    # One run reads the whole log; a later run of many reads only its last months.
    dear = known["money"].with_columns(pl.col("day").dt.offset_by("-400d"), pl.col("amount") * 9, pl.col("amount_squared") * 81)
    whole = known | {"money": pl.concat([dear, known["money"]])}
    of_one_run, of_many = (op.open_at_end(inputs) for inputs in (whole, known))
    assert of_one_run.height == 1
    assert of_one_run.equals(of_many)


def test_a_gap_within_a_file_is_counted_to_the_record(made: pl.DataFrame) -> None:
    missing = made.select(op.between(HOUR, 1, "MSC01")).to_series()
    open_rows = op.open_rows(made.filter(~missing), made, numbered=True)
    assert found(open_rows) == [("missing_records", "records", "MSC01")]
    (row,) = open_rows.to_dicts()
    assert row["records_low"] == row["records_high"] == missing.sum()
    assert abs(row["from_us"] - op.moment(HOUR)) < HOUR_US // 2
    assert abs(row["to_us"] - op.moment(HOUR + 1)) < HOUR_US // 2


def test_a_node_silent_for_three_hours_is_found_without_any_numbers(made: pl.DataFrame) -> None:
    missing = made.select(op.between(HOUR, 3, "MSC02")).to_series()
    open_rows = op.open_rows(made.filter(~missing), made, numbered=False)
    assert found(open_rows) == [("volume_drop", "volume", "MSC02")]
    (row,) = open_rows.to_dicts()
    assert (row["from_us"], row["to_us"], row["reason"]) == (op.moment(HOUR), op.moment(HOUR + 3), "silent for 3 h")
    assert row["records_low"] <= missing.sum() <= row["records_high"]


def test_a_field_that_is_null_after_an_upgrade_is_found_from_its_hour_on(made: pl.DataFrame) -> None:
    upgraded = made.with_columns(
        anonymous=pl.col("anonymous") | ((pl.col("node") == "MSC01") & (pl.col("at_us") >= op.moment(HOUR)))
    )
    open_rows = op.open_rows(upgraded, made, numbered=False)
    assert found(open_rows) == [("total_mismatch", "mix", "MSC01")]
    (row,) = open_rows.to_dicts()
    assert row["from_us"] == op.moment(HOUR)
    assert row["to_us"] > op.END_US - 8 * HOUR_US
    assert "without a subscriber" in row["reason"]
    concerned = made.filter((pl.col("node") == "MSC01") & (pl.col("at_us") >= op.moment(HOUR))).height
    assert 0.9 * concerned < row["records_high"] < 1.2 * concerned


def test_a_destination_that_takes_over_is_found_from_its_hour_on(made: pl.DataFrame) -> None:
    pumped = op.between(HOUR, 6, "MSC02") & (pl.col("number") % 3 == 0)
    shifted = made.with_columns(destination=pl.when(pumped).then(pl.lit("17")).otherwise("destination"))
    open_rows = op.open_rows(shifted, made, numbered=False)
    assert found(open_rows) == [("total_mismatch", "mix", "MSC02")]
    (row,) = open_rows.to_dicts()
    assert (row["from_us"], row["to_us"]) == (op.moment(HOUR), op.moment(HOUR + 6))
    assert "are to 17, unlike before" in row["reason"]
    assert row["records_high"] is None, "what goes elsewhere is not missing"


def test_a_file_delivered_twice_with_other_bytes_is_a_finding_without_money(made: pl.DataFrame) -> None:
    inputs = op.inputs_of_records(made, made, numbered=False)
    first = inputs["units"].filter(pl.col("node") == "MSC01").sort("first_us").head(1)
    again = first.with_columns(unit=pl.lit("msc@again"), duplicate="records", accepted=pl.lit(0), path=pl.lit("again"))
    inputs["units"] = pl.concat([inputs["units"], again], how="vertical_relaxed")
    open_rows = open_findings(history(op.ticked(inputs, (2, op.END_US)), op.rules(), after=0, upto=2))
    assert found(open_rows) == [("total_mismatch", "duplicates", "MSC01")]
    assert open_rows["money_high"].to_list() == [None]
    assert open_rows.select("from_us", "to_us").rows() == first.select("first_us", "last_us").rows()


def test_a_clock_that_jumps_ahead_and_back_is_found_as_a_clock_jump(made: pl.DataFrame) -> None:
    wrong = op.between(HOUR, 4, "MSC02")
    jumped = made.with_columns(at_us=pl.when(wrong).then(pl.col("at_us") + 3 * HOUR_US).otherwise("at_us"))
    open_rows = op.open_rows(jumped, made, numbered=True).filter(pl.col("node") == "MSC02")
    clock = open_rows.filter(pl.col("control") == "clock")
    assert clock.height == 1
    # Records of ten to two carry the times one to five, so from one on two times share an hour.
    assert op.moment(HOUR + 3) <= clock["from_us"][0] <= op.moment(HOUR + 5)
    assert op.moment(HOUR + 5) <= clock["to_us"][0] <= op.moment(HOUR + 7)
    silent = open_rows.filter(pl.col("control") == "volume")
    assert silent.select("from_us", "to_us").rows() == [(op.moment(HOUR), op.moment(HOUR + 3))]
    assert open_rows.filter(pl.col("kind") == "missing_records").is_empty(), "no number is missing"


def test_late_records_resolve_the_silence_and_a_further_tick_changes_nothing(made: pl.DataFrame) -> None:
    missing = made.select(op.between(HOUR, 3, "MSC01")).to_series()
    first, late = (
        op.inputs_of_records(made.filter(~missing), made, numbered=False),
        op.inputs_of_records(made.filter(missing), made, numbered=False, position=3),
    )
    both = {n: pl.concat([first[n], late[n]], how="diagonal_relaxed") if n != "money" else first[n] for n in first}
    inputs = op.ticked(both, (2, op.END_US), (4, op.END_US), (5, op.END_US + HOUR_US))
    changes = history(inputs, op.rules(), after=0, upto=5)
    assert changes.select("position", "action", "cause", "kind").rows() == [
        (2, "raised", "frontier", "volume_drop"), (4, "resolved", "late_usage", "volume_drop"),
    ]  # fmt: skip
    # The history is the same for a division at any tick.
    head = history(inputs, op.rules(), after=0, upto=2)
    tail = history(inputs, op.rules(), after=2, upto=5, open_before=open_findings(head))
    assert pl.concat([head, tail]).equals(changes)
