"""Inputs of the controls: units, hours and runs of record numbers, each with the position of its commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from trueup.config import FeedConfig

HOUR_US = 3_600_000_000
WHOLE = ""
"""The service name of a series that covers the whole traffic of a node."""

UNIT: dict[str, pl.DataType] = {
    "stream": pl.String(), "source": pl.String(), "unit": pl.String(), "path": pl.String(), "node": pl.String(),
    "number": pl.Int64(), "declared": pl.Int64(), "records": pl.Int64(), "accepted": pl.Int64(), "duplicate": pl.Int64(),
    "filtered": pl.Int64(), "first_us": pl.Int64(), "last_us": pl.Int64(), "observed_us": pl.Int64(), "position": pl.Int64(),
    "sums": pl.String(),
}  # fmt: skip
"""A source unit, or part of one; `node` and `number` are read from its name, and are NULL where the name has none."""
HOUR: dict[str, pl.DataType] = {
    "stream": pl.String(), "source": pl.String(), "node": pl.String(), "service": pl.String(), "hour_us": pl.Int64(),
    "records": pl.Int64(), "zeros": pl.Int64(), "no_subscriber": pl.Int64(), "no_peer": pl.Int64(), "numbered": pl.Int64(),
    "number_mean": pl.Float64(), "number_deviation": pl.Float64(), "position": pl.Int64(),
}  # fmt: skip
"""Records of one UTC hour in one commit: their count, how many lack a quantity, subscriber or peer, and their range of numbers."""
DESTINATION: dict[str, pl.DataType] = {
    "stream": pl.String(), "source": pl.String(), "node": pl.String(), "destination": pl.String(), "hour_us": pl.Int64(),
    "records": pl.Int64(), "position": pl.Int64(),
}  # fmt: skip
"""Records of one UTC hour to one destination in one commit."""
RUN: dict[str, pl.DataType] = {
    "stream": pl.String(), "source": pl.String(), "node": pl.String(), "first": pl.Int64(), "last": pl.Int64(),
    "first_us": pl.Int64(), "last_us": pl.Int64(), "position": pl.Int64(),
}  # fmt: skip
"""A gapless run of record numbers of a node in one commit, with the starts of its first and last record."""
MONEY: dict[str, pl.DataType] = {
    "source": pl.String(), "service": pl.String(), "day": pl.Date(), "currency": pl.String(), "used": pl.Int64(),
    "charged": pl.Int64(), "amount": pl.Float64(), "amount_squared": pl.Float64(), "position": pl.Int64(),
}  # fmt: skip
"""Usage records and charges of a feed, service and UTC day, and the sums of amounts and their squares, in whole units of
currency.

`currency` is NULL for records without a currency.

The sums are floats because they only serve an estimate; they enter no sum of money that is owed.
"""
TICK: dict[str, pl.DataType] = {"position": pl.Int64(), "at_us": pl.Int64(), "superseded_at": pl.Int64()}
"""A tick of the injected clock. It is void from `superseded_at` on, which is NULL while the tick is in force."""
CLOSED: dict[str, pl.DataType] = {"source": pl.String(), "through_us": pl.Int64(), "position": pl.Int64()}
STATE: dict[str, pl.DataType] = {"stream": pl.String(), "source": pl.String(), "position": pl.Int64()}
"""Commits of subscriptions or tariffs, by feed."""

FOUND: dict[str, pl.DataType] = {
    "kind": pl.String(), "control": pl.String(), "stream": pl.String(), "source": pl.String(), "node": pl.String(),
    "service": pl.String(), "subject": pl.String(), "from_us": pl.Int64(), "to_us": pl.Int64(), "records": pl.Float64(),
    "records_variance": pl.Float64(), "reason": pl.String(), "exact_money": pl.Int64(), "exact_currency": pl.String(),
}  # fmt: skip
"""A finding of a control: the number of missing records (NULL: none), and the observation in words as `reason`.

`exact_money` (millionths of `exact_currency`) is declared money that is missing in the log; it is NULL where the money is
estimated.
"""


@dataclass(frozen=True)
class Feed:
    """The expected schedule and numbering of one source."""

    name: str
    stream: str
    lateness_us: int = 0
    feed: FeedConfig = field(default_factory=FeedConfig)


@dataclass(frozen=True)
class Rules:
    """The settings of the controls; `since` is the position from which they are in force, 0 for the first."""

    feeds: Mapping[str, Feed]
    timezone: str = "UTC"
    currency: str = "EUR"
    holidays: frozenset[object] = frozenset()
    false_alarms_per_year: int = 2
    lookback_us: int = 62 * 24 * HOUR_US
    since: int = 0


@dataclass(frozen=True)
class CompletenessInputs:
    """The frames from which the controls are evaluated."""

    units: pl.DataFrame
    hours: pl.DataFrame
    destinations: pl.DataFrame
    runs: pl.DataFrame
    money: pl.DataFrame
    ticks: pl.DataFrame
    closed: pl.DataFrame
    states: pl.DataFrame

    @classmethod
    def of(cls, **frames: pl.DataFrame) -> CompletenessInputs:
        """Build the inputs from the given frames, with empty frames for all others."""
        return cls(**{name: _cast_to_schema(frames.get(name), schema) for name, schema in _SEEN.items()})

    def upto(self, position: int) -> CompletenessInputs:
        """Return the inputs from commits up to a position."""
        return replace(self, **{n: getattr(self, n).filter(pl.col("position") <= position) for n in _SEEN})


_SEEN = {
    "units": UNIT, "hours": HOUR, "destinations": DESTINATION, "runs": RUN, "money": MONEY, "ticks": TICK, "closed": CLOSED,
    "states": STATE,
}  # fmt: skip


def _cast_to_schema(frame: pl.DataFrame | None, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    if frame is None:
        return pl.DataFrame(schema=schema)
    missing = {name: pl.lit(None, dtype) for name, dtype in schema.items() if name not in frame.columns}
    return frame.with_columns(**missing).select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def as_findings(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a control as rows of `FOUND`."""
    return _cast_to_schema(frame, FOUND)


def complete_until(inputs: CompletenessInputs, rules: Rules) -> pl.DataFrame:
    """Return how far each source is complete (`source`, `passed_us`): its latest record less its lateness, or its closing."""
    lateness = {name: feed.lateness_us for name, feed in rules.feeds.items()}
    observed = inputs.units.group_by("source").agg(pl.col("observed_us").max()).select(
        "source", passed_us=pl.col("observed_us") - pl.col("source").replace_strict(lateness, default=0, return_dtype=pl.Int64)
    )  # fmt: skip
    closed = inputs.closed.group_by("source").agg(passed_us=pl.col("through_us").max())
    return pl.concat([observed, closed]).group_by("source").agg(pl.col("passed_us").max()).drop_nulls()
