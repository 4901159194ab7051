"""Find gaps and repeats in numbered files and records: missing files, missing records, numbers delivered twice."""

from __future__ import annotations

import polars as pl

from trueup.quality.completeness.inputs import CompletenessInputs, as_findings

_NODE = ["stream", "source", "node"]


def missing_files(inputs: CompletenessInputs) -> pl.DataFrame:
    """Return a row of `FOUND` for each gap in the file numbers of a node; the number of missing records is still unknown."""
    files = (
        inputs.units.drop_nulls("number").group_by(*_NODE, "number").agg(pl.col("first_us").min(), pl.col("last_us").max())
        .sort(*_NODE, "number")
    )  # fmt: skip
    # An empty file has no times. The times around a gap are those of the nearest files with records.
    reached = pl.col("last_us").cum_max().forward_fill().shift(1).over(_NODE)
    before = files.with_columns(
        *(pl.col(n).backward_fill().over(_NODE) for n in ("first_us", "last_us")),
        previous=pl.col("number").shift(1).over(_NODE), reached=reached,
        began=pl.col("first_us").forward_fill().shift(1).over(_NODE),
    )  # fmt: skip
    # Where files overlap in time, as files of billing do, the missing file may cover any time around both files.
    overlap = pl.col("first_us") <= pl.col("reached")
    holes = before.filter(pl.col("number") - pl.col("previous") > 1).with_columns(
        low=pl.col("previous") + 1, high=pl.col("number") - 1,
        from_us=pl.when(overlap).then("began").otherwise(pl.coalesce("reached", "first_us")),
        to_us=pl.when(overlap).then("last_us").otherwise(pl.coalesce("first_us", "reached")),
    )  # fmt: skip
    is_single = pl.col("low") == pl.col("high")
    reason = pl.when(is_single).then(pl.format("file {} did not come", "low")).otherwise(
        pl.format("{} files, {} to {}, did not come", pl.col("high") - pl.col("low") + 1, "low", "high")
    )  # fmt: skip
    return as_findings(
        holes.with_columns(
            kind=pl.lit("missing_records"), control=pl.lit("files"), service=pl.lit(""), subject=pl.col("low").cast(pl.String),
            reason=reason,
        )
    )  # fmt: skip


def missing_numbers(inputs: CompletenessInputs) -> pl.DataFrame:
    """Return a row of `FOUND` for each gap in the record numbers of a node, with the exact number of missing records."""
    runs = inputs.runs.sort(*_NODE, "first", "last")
    before = runs.with_columns(
        reached=pl.col("last").cum_max().shift(1).over(_NODE), from_us=pl.col("last_us").cum_max().shift(1).over(_NODE)
    )
    holes = before.filter(pl.col("first") > pl.col("reached") + 1).with_columns(
        missing=pl.col("first") - pl.col("reached") - 1, low=pl.col("reached") + 1, high=pl.col("first") - 1,
        to_us=pl.max_horizontal("from_us", "first_us"),
    )  # fmt: skip
    return as_findings(
        holes.with_columns(
            kind=pl.lit("missing_records"), control=pl.lit("records"), service=pl.lit(""),
            subject=pl.col("low").cast(pl.String), records=pl.col("missing").cast(pl.Float64), records_variance=pl.lit(0.0),
            reason=pl.format("{} records, {} to {}, are in no file", "missing", "low", "high"),
        )
    )  # fmt: skip


def joined(files: pl.DataFrame, numbers: pl.DataFrame) -> pl.DataFrame:
    """Return one finding for a loss that both numberings show: the finding on the file, with the exact number of records."""
    explained = files.drop("records", "records_variance").join(
        numbers.select(*_NODE, "records", hole=pl.col("subject"), low_us="from_us", high_us="to_us"), on=_NODE
    ).filter((pl.col("low_us") >= pl.col("from_us")) & (pl.col("high_us") <= pl.col("to_us")))  # fmt: skip
    exact = explained.group_by(*_NODE, "subject").agg(pl.col("records").sum())
    counted = files.drop("records").join(exact, on=[*_NODE, "subject"], how="left").with_columns(
        records_variance=pl.when(pl.col("records").is_not_null()).then(0.0)
    )  # fmt: skip
    unexplained = numbers.join(explained.select(*_NODE, subject="hole"), on=[*_NODE, "subject"], how="anti")
    return pl.concat([as_findings(counted), unexplained])


def numbers_twice(inputs: CompletenessInputs) -> pl.DataFrame:
    """Return rows of `FOUND` for file numbers under which different files arrived; the right one is unknown."""
    twice = (
        inputs.units.drop_nulls("number").group_by(*_NODE, "number")
        .agg(pl.col("unit").n_unique().alias("units"), pl.col("first_us").min(), pl.col("last_us").max())
        .filter(pl.col("units") > 1)
    )  # fmt: skip
    return as_findings(
        twice.with_columns(
            kind=pl.lit("total_mismatch"), control=pl.lit("repeats"), service=pl.lit(""),
            subject=pl.col("number").cast(pl.String), from_us=pl.col("first_us"), to_us=pl.col("last_us"),
            reason=pl.format("{} different files came as number {}", "units", "number"),
        )
    )  # fmt: skip


def delivered_twice(inputs: CompletenessInputs) -> pl.DataFrame:
    """Return rows of `FOUND` for units most of whose records are duplicates; no money is at stake, but the sender should know.

    Records that `where` leaves out are not compared with the log, so they are not counted.
    """
    whole = inputs.units.group_by("stream", "source", "unit").agg(
        pl.col("node").first().fill_null(""), pl.col("path").first(), pl.col("records", "duplicate", "filtered").sum(),
        pl.col("first_us").min(), pl.col("last_us").max(),
    ).with_columns(pl.col("records") - pl.col("filtered"))  # fmt: skip
    again = whole.filter((pl.col("duplicate") * 2 > pl.col("records")) & (pl.col("records") > 0))
    return as_findings(
        again.with_columns(
            kind=pl.lit("total_mismatch"), control=pl.lit("duplicates"), service=pl.lit(""), subject=pl.col("unit"),
            from_us=pl.col("first_us"), to_us=pl.col("last_us"),
            reason=pl.format("{} of the {} records of {} had come before", "duplicate", "records", "path"),
            records=pl.lit(None, pl.Float64),
        )
    )  # fmt: skip
