"""Find feeds that are late against their own schedule, by the ticks of the injected clock."""

from __future__ import annotations

import polars as pl

from trueup.quality.completeness.inputs import HOUR_US, CompletenessInputs, Rules, as_findings


def stale(inputs: CompletenessInputs, rules: Rules, now_us: int) -> pl.DataFrame:
    """Return rows of `FOUND` for sources with a schedule whose latest delivery is older than the schedule allows.

    A source that has never delivered a record cannot be late.
    """
    due = {
        name: feed.feed.every + feed.feed.late_after + feed.lateness_us
        for name, feed in rules.feeds.items() if feed.feed.every is not None
    }  # fmt: skip
    last = (
        inputs.units.filter(pl.col("source").is_in(list(due))).group_by("stream", "source").agg(from_us=pl.col("observed_us").max())
    )
    closed = inputs.closed.group_by("source").agg(pl.col("through_us").max())
    waiting = last.join(closed, on="source", how="left").with_columns(
        # A source that is declared complete for a period is not late in it.
        since=pl.max_horizontal("from_us", "through_us"),
        allowed=pl.col("source").replace_strict(due, default=None, return_dtype=pl.Int64) if due else pl.lit(None, pl.Int64),
    ).filter(now_us - pl.col("since") > pl.col("allowed"))  # fmt: skip
    until = now_us // HOUR_US * HOUR_US
    return as_findings(
        waiting.with_columns(
            kind=pl.lit("stale_feed"), control=pl.lit("schedule"), node=pl.lit(""), service=pl.lit(""), from_us=pl.col("since"),
            to_us=pl.lit(until, pl.Int64), subject=pl.col("since").cast(pl.String),
            reason=pl.format("nothing new for {} h", (pl.lit(until) - pl.col("since")) // HOUR_US),
        )
    )  # fmt: skip
