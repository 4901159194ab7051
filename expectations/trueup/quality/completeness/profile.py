"""Estimate the usual number of records of an hour from the same hour of earlier weeks, with trend and spread.

A series is a node's whole traffic, or one service of it. The expected records of an hour are the median of the same hour of up to
eight weeks before, on the wall clock. Both values are multiplied by the ratio of the last week to its own expectation. The spread
is the spread of random counts, times an overdispersion from the median absolute deviation of all hours. One bad day hardly changes
either of them. Hours of holidays, and of days with a change of daylight saving, are not evaluated and not used as history. An hour
with fewer than three weeks of history is not evaluated either.
"""

from __future__ import annotations

import math
from datetime import date

import polars as pl

from trueup.localtime import wall_us
from trueup.quality.completeness.inputs import HOUR_US, WHOLE, Rules

WEEK_HOURS = 168
WEEKS = 8
LEAST_WEEKS = 3
SERIES = ["stream", "source", "node", "service"]
_LARGE = 10.0
"""An hour with fewer records is not used for the trend."""
_LEAST_LARGE_HOURS = 24
_MEDIAN_EXCESS = math.pi / 2
"""Ratio of the variance of a median of independent values to that of their mean."""
_TREND_ERROR = 0.02
"""The assumed standard error of the trend and of effects outside the model, as a share of the expected records."""


def count_by_hour(hours: pl.DataFrame) -> pl.DataFrame:
    """Return the number of records of each hour (`SERIES`, `hour_us`, `records`), by service and for each node as a whole."""
    key = [*SERIES, "hour_us"]
    by_service = hours.group_by(key).agg(pl.col("records").sum())
    whole = by_service.with_columns(service=pl.lit(WHOLE)).group_by(key).agg(pl.col("records").sum())
    several = by_service.group_by("stream", "source", "node").agg(several=pl.col("service").n_unique() > 1)
    of_several = by_service.join(several.filter("several"), on=["stream", "source", "node"], how="semi")
    return pl.concat([whole, of_several.filter(pl.col("service") != WHOLE)])


def grid(counts: pl.DataFrame, passed: pl.DataFrame, rules: Rules, spared: pl.DataFrame) -> pl.DataFrame:
    """Return every hour of every series up to the frontier of its source, with its records and its expectation.

    Columns: `SERIES`, `hour_us`, `records`, `mean` (NULL where nothing can be expected), `variance`, `spread`. The hours of
    `spared` (`SERIES`, `hour_us`) are known to be bad and are not used as history.
    """
    ends = counts.join(passed, on="source").group_by(SERIES).agg(
        first=pl.col("hour_us").min(), last=(pl.col("passed_us").first() // HOUR_US - 1) * HOUR_US
    )  # fmt: skip
    start = pl.max_horizontal("first", pl.col("last") - rules.lookback_us // HOUR_US * HOUR_US - WEEKS * WEEK_HOURS * HOUR_US)
    lines = ends.filter(pl.col("last") >= pl.col("first")).with_columns(
        hour_us=pl.int_ranges(start, pl.col("last") + HOUR_US, HOUR_US, dtype=pl.Int64)
    ).explode("hour_us").drop("first", "last")  # fmt: skip
    if lines.is_empty():
        return pl.DataFrame(schema={**_GRID})
    whole = lines.join(counts, on=[*SERIES, "hour_us"], how="left").with_columns(pl.col("records").fill_null(0))
    whole = whole.with_columns(wall=wall_us(pl.col("hour_us"), rules.timezone))
    bad = spared.select(*SERIES, "hour_us", spared=pl.lit(True))
    whole = whole.join(bad, on=[*SERIES, "hour_us"], how="left").with_columns(
        usable=_is_usual_day(whole, rules) & pl.col("spared").is_null()
    )  # fmt: skip
    return _expect_records(whole)


_GRID: dict[str, pl.DataType] = {
    **dict.fromkeys(SERIES, pl.String()), "hour_us": pl.Int64(), "records": pl.Int64(), "mean": pl.Float64(),
    "variance": pl.Float64(), "spread": pl.Float64(),
}  # fmt: skip


def _is_usual_day(whole: pl.DataFrame, rules: Rules) -> pl.Expr:
    """Return whether an hour is on an ordinary day: not a holiday, and 24 hours long."""
    day = pl.col("wall").cast(pl.Datetime("us")).dt.date()
    hours = whole.select("hour_us", "wall").unique()
    lengths = hours.group_by(day=day).agg(
        shift=(pl.col("wall") - pl.col("hour_us")).max() != (pl.col("wall") - pl.col("hour_us")).min()
    )  # fmt: skip
    unusual = [*lengths.filter("shift")["day"].to_list(), *(d for d in rules.holidays if isinstance(d, date))]
    return ~day.is_in(unusual)


def _expect_records(whole: pl.DataFrame) -> pl.DataFrame:
    # On the wall clock every series has all its hours, so the week before is a shift by 168 rows.
    bounds = whole.group_by(SERIES).agg(low=pl.col("wall").min(), high=pl.col("wall").max())
    lines = bounds.with_columns(wall=pl.int_ranges("low", pl.col("high") + HOUR_US, HOUR_US, dtype=pl.Int64)).explode("wall")
    value = pl.when("usable").then(pl.col("records").cast(pl.Float64))
    values = whole.select(*SERIES, "wall", value=value).group_by(*SERIES, "wall").agg(pl.col("value").mean())
    line = lines.drop("low", "high").join(values, on=[*SERIES, "wall"], how="left").sort(*SERIES, "wall")
    weeks = pl.concat_list(pl.col("value").shift(WEEK_HOURS * n).over(SERIES) for n in range(1, WEEKS + 1)).list.drop_nulls()
    line = line.with_columns(weeks=weeks).with_columns(known=pl.col("weeks").list.len(), base=pl.col("weeks").list.median())
    enough = pl.col("known") >= LEAST_WEEKS
    line = line.with_columns(base=pl.when(enough).then("base"))
    ratio = pl.when(pl.col("base") >= _LARGE).then(pl.col("value") / pl.col("base"))
    trend = ratio.rolling_median(WEEK_HOURS, min_samples=_LEAST_LARGE_HOURS).shift(1).over(SERIES).clip(0.5, 2.0).fill_null(1.0)
    line = line.with_columns(mean=pl.col("base") * trend)
    residual = (pl.col("value") - pl.col("mean")) / pl.max_horizontal("mean", pl.lit(1.0)).sqrt()
    spread = (residual.abs().median() * 1.4826).pow(2).over(SERIES).fill_null(1.0).clip(lower_bound=1.0)
    line = line.with_columns(spread=spread)
    counted = pl.col("spread") * pl.col("mean") * (1 + _MEDIAN_EXCESS / pl.col("known"))
    line = line.with_columns(variance=counted + (pl.col("mean") * _TREND_ERROR).pow(2))
    judged = whole.join(line.select(*SERIES, "wall", "mean", "variance", "spread"), on=[*SERIES, "wall"], how="left")
    return judged.with_columns(mean=pl.when("usable").then("mean")).select(pl.col(n).cast(t) for n, t in _GRID.items())


def add_usual_records(grid: pl.DataFrame, periods: pl.DataFrame) -> pl.DataFrame:
    """Add the usual number of records of their nodes to periods (`stream`, `source`, `node`, `from_us`, `to_us`).

    `usual` and `usual_variance` are NULL where an hour of the period has no expectation; `came` is the number of records that
    arrived. An hour that lies partly in the period counts with that part.
    """
    node = ["stream", "source", "node"]
    whole = grid.filter(pl.col("service") == WHOLE)
    numbered = periods.with_row_index("period")
    hours = numbered.select("period", *node, "from_us", "to_us").join(whole, on=node).filter(
        (pl.col("hour_us") < pl.col("to_us")) & (pl.col("hour_us") + HOUR_US > pl.col("from_us"))
    )  # fmt: skip
    inside = pl.min_horizontal("to_us", pl.col("hour_us") + HOUR_US) - pl.max_horizontal("from_us", "hour_us")
    share = inside / HOUR_US
    sums = hours.group_by("period").agg(
        usual=pl.when(pl.col("mean").is_not_null().all()).then((pl.col("mean") * share).sum()),
        usual_variance=(pl.col("variance") * share).sum(),
        came=(pl.col("records") * pl.when(inside >= HOUR_US).then(1.0).otherwise(0.0)).sum(),
    )
    return numbered.join(sums, on="period", how="left", maintain_order="left").drop("period")
