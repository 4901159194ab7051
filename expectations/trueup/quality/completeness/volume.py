"""Find hours with too few records: a drop below the profile, or a silence too long to be random."""

from __future__ import annotations

import math
from statistics import NormalDist

import polars as pl

from trueup.quality.completeness.inputs import HOUR_US, WHOLE, Rules, as_findings
from trueup.quality.completeness.profile import SERIES

CELL = [*SERIES, "hour_us"]
_HOURS_PER_YEAR = 8_766
_SILENCE_MARGIN = 1.5
"""Safety factor of the silence test, because the expected number of records is an estimate."""


def chance_of_an_alarm(rules: Rules) -> float:
    """Return the probability of a false alarm in an hour: half of the configured rate for each of the two tests."""
    return rules.false_alarms_per_year / _HOURS_PER_YEAR / 2


def low_hours(grid: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Return the cells (`CELL`) with so few records that chance cannot explain it."""
    chance = chance_of_an_alarm(rules)
    limit = NormalDist().inv_cdf(1 - chance)
    judged = grid.filter(pl.col("mean") > 0)
    drop = judged.filter((pl.col("mean") - pl.col("records")) > limit * pl.col("variance").sqrt())
    ordered = judged.sort(CELL).with_columns(
        run=((pl.col("records") > 0) | (pl.col("hour_us").diff().over(SERIES) != HOUR_US).fill_null(True)).cum_sum().over(SERIES)
    )
    silent = ordered.filter(pl.col("records") == 0).with_columns(
        expected=(pl.col("mean") / pl.col("spread")).sum().over(*SERIES, "run")
    ).filter(pl.col("expected") > -math.log(chance) * _SILENCE_MARGIN)  # fmt: skip
    return pl.concat([drop.select(CELL), silent.select(CELL)]).unique()


def settled(low: pl.DataFrame, grid: pl.DataFrame, previous: pl.DataFrame, judged_again: pl.DataFrame) -> pl.DataFrame:
    """Return the low cells: by a new test for the hours to evaluate, by the earlier result for all others.

    An hour is judged by the profile at the time when the hour was complete. A later profile alone neither opens nor closes
    findings.
    """
    again = judged_again.join(grid.select(CELL), on=CELL, how="semi")
    retained = previous.select(CELL).join(again, on=CELL, how="anti")
    return pl.concat([retained, low.join(again, on=CELL, how="semi").select(CELL)]).unique()


def low_periods(cells: pl.DataFrame, grid: pl.DataFrame) -> pl.DataFrame:
    """Return rows of `FOUND` for periods of low hours: of a node's whole traffic, or else of single services."""
    node = ["stream", "source", "node", "hour_us"]
    whole = cells.filter(pl.col("service") == WHOLE)
    rest = cells.filter(pl.col("service") != WHOLE).join(whole.select(node), on=node, how="anti")
    known = pl.concat([whole, rest]).join(grid, on=CELL, how="left").sort(CELL)
    new = (pl.col("hour_us").diff().over(SERIES) != HOUR_US).fill_null(True)
    runs = known.with_columns(run=new.cum_sum().over(SERIES)).group_by(*SERIES, "run", maintain_order=True).agg(
        from_us=pl.col("hour_us").min(), to_us=pl.col("hour_us").max() + HOUR_US, counted=pl.col("records").sum(),
        records=(pl.col("mean") - pl.col("records")).sum(), records_variance=pl.col("variance").sum(),
    )  # fmt: skip
    hours = (pl.col("to_us") - pl.col("from_us")) // HOUR_US
    return as_findings(
        runs.with_columns(
            kind=pl.lit("volume_drop"), control=pl.lit("volume"), subject=pl.col("from_us").cast(pl.String),
            reason=pl.when(pl.col("counted") == 0).then(pl.format("silent for {} h", hours)).otherwise(
                pl.format("only {} records in {} h", "counted", hours)
            ),
        )
    )  # fmt: skip
