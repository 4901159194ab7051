"""Schedule the validation of days: each once it is over, and again when records arrive for it.

Due days depend on the log alone, so the results do not depend on when validation runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from trueup.localtime import local_day, utc_us
from trueup.quality.completeness.evaluate_tick import Tick
from trueup.quality.completeness.inputs import HOUR_US, CompletenessInputs, Rules

_DAY_US = 24 * HOUR_US
_FEED = ["stream", "source"]


@dataclass(frozen=True)
class DayOf:
    """A day of a feed in the project's time zone, with its first UTC microsecond and the first one after it.

    States have no day: for a feed of states all three are None.
    """

    stream: str
    source: str
    day: date | None
    from_us: int | None
    to_us: int | None


def due(inputs: CompletenessInputs, rules: Rules, tick: Tick, before: Tick | None) -> list[DayOf]:
    """Return the days to validate at a tick, and the feeds of states with new records.

    A day is due if it is over by the clock of this tick, and was not over at the tick `before`. It is also due if it is over and
    has received records since.
    """
    days = _list_local_days(inputs.hours.filter(pl.col("position") <= tick.position), rules)
    over, new = pl.col("over_us") <= tick.at_us, pl.lit(True)
    if before is not None:
        new = (pl.col("over_us") > before.at_us) | (pl.col("position") > before.position)
    since = 0 if before is None else before.position
    states = inputs.states.filter(pl.col("position").is_between(since + 1, tick.position))
    return [*_iterate_days(days.filter(over & new)), *_iterate_days(states.select(_FEED).unique())]


def _list_local_days(hours: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Return the local days of hours: `stream`, `source`, `day`, `from_us`, `to_us`, when it is over, and the newest position."""
    lateness = {name: feed.lateness_us for name, feed in rules.feeds.items()}
    # Midnight need not be on a whole hour of UTC.
    ends = (pl.col("hour_us"), pl.col("hour_us") + HOUR_US - 1)
    touched = pl.concat(hours.select(*_FEED, "position", day=local_day(end, rules.timezone)) for end in ends)
    days = touched.group_by(*_FEED, "day").agg(pl.col("position").max())
    wall = pl.col("day").cast(pl.Datetime("us")).cast(pl.Int64)
    return days.with_columns(from_us=utc_us(wall, rules.timezone), to_us=utc_us(wall + _DAY_US, rules.timezone)).with_columns(
        over_us=pl.col("to_us") + pl.col("source").replace_strict(lateness, default=0, return_dtype=pl.Int64)
    )  # fmt: skip


def _iterate_days(rows: pl.DataFrame) -> Iterator[DayOf]:
    ordered = rows.sort(n for n in (*_FEED, "day") if n in rows.columns)
    for row in ordered.iter_rows(named=True):
        yield DayOf(row["stream"], row["source"], row.get("day"), row.get("from_us"), row.get("to_us"))
