"""Simulate feeds directly as inputs of the controls: hours, numbers, files and money, with chosen losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from trueup.config import FeedConfig
from trueup.quality.completeness.history import history, open_findings
from trueup.quality.completeness.inputs import HOUR_US, CompletenessInputs, Feed, Rules

START = datetime(2024, 1, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
DAY_US = 24 * HOUR_US
WEEKS = 6
HOURS = WEEKS * 168
FILE_HOURS = 6
MICROS = 1_000_000
DESTINATIONS = 30
NODES = ("MSC01", "MSC02")
PLAIN = FeedConfig()
SCHEDULED = FeedConfig.model_validate({"every": "6h", "late_after": "2h"})
NUMBERED = FeedConfig.model_validate({"file": r"(?P<node>M\d+)-(?P<sequence>\d+)", "record": r"(?P<sequence>\d+)"})


@dataclass
class Operator:
    """The records that two switches wrote (`made`) and the arrived ones (`came`), each with its true value in millionths."""

    made: pl.DataFrame
    lost: pl.Series = field(default_factory=pl.Series)

    def worth(self) -> tuple[int, int]:
        """Return the number of lost records and their value."""
        missing = self.made.filter(self.lost)
        return missing.height, int(missing["worth"].sum())


def made(seed: int, *, per_hour: float = 60.0) -> pl.DataFrame:
    """Return six weeks of records: busy by day, quiet by night and at weekends, with growth from week to week and uneven hours."""
    rng = np.random.default_rng(seed)
    hours = np.arange(HOURS)
    of_day, of_week = hours % 24, hours % 168
    shape = (0.15 + np.sin(np.pi * np.clip(of_day - 5, 0, 18) / 18) ** 2) * np.where(of_week >= 120, 0.7, 1.0)
    frames = []
    for number, node in enumerate(NODES):
        lumps = rng.gamma(50, 1 / 50, HOURS)
        counts = rng.poisson(per_hour * (1 + number) * shape * (1 + 0.01 * (hours / 168)) * lumps)
        hour = np.repeat(hours, counts)
        service = np.where(rng.random(len(hour)) < 0.3, "sms", "voice")
        worth = np.where(service == "sms", 90_000, np.round(rng.lognormal(-1.5, 1.0, len(hour)) * MICROS)).astype(np.int64)
        at = START_US + hour * HOUR_US + rng.integers(0, HOUR_US, len(hour))
        one = pl.DataFrame({"node": node, "at_us": at, "service": service, "worth": worth}).sort("at_us")
        named = pl.Series(rng.random(len(hour)) < 0.02)
        frames.append(
            one.with_columns(
                number=pl.int_range(pl.len(), dtype=pl.Int64), anonymous=named, zero=pl.Series(rng.random(len(hour)) < 0.08),
                destination=_draw_destinations(seed, number, hour),
            )
        )  # fmt: skip
    return pl.concat(frames).with_columns(file=(pl.col("at_us") - START_US) // (FILE_HOURS * HOUR_US))


def _draw_destinations(seed: int, node: int, hour: np.ndarray) -> pl.Series:
    """Draw destinations: a few large destinations, many small ones, and more abroad in the evening."""
    rng = np.random.default_rng([seed, node])
    weight = 1 / np.arange(1, DESTINATIONS + 1) ** 1.5
    drawn = rng.choice(DESTINATIONS, len(hour), p=weight / weight.sum())
    abroad = (hour % 24 >= 18) & (rng.random(len(hour)) < 0.2)
    return pl.Series(np.where(abroad, rng.integers(1, DESTINATIONS, len(hour)), drawn)).cast(pl.String)


def rules(feed: FeedConfig = PLAIN, *, alarms: int = 2) -> Rules:
    return Rules({"msc": Feed("msc", "usage", 0, feed), "billing": Feed("billing", "charge")}, false_alarms_per_year=alarms)


def ticked(inputs: dict[str, pl.DataFrame], *ticks: tuple[int, int]) -> CompletenessInputs:
    return CompletenessInputs.of(**inputs, ticks=pl.DataFrame(ticks, schema=["position", "at_us"], orient="row"))


def inputs_of_records(
    records: pl.DataFrame, everything: pl.DataFrame, *, numbered: bool, position: int = 1
) -> dict[str, pl.DataFrame]:
    """Return the inputs for the records that arrived; charges cover all records, since billing lost none."""
    base = records.with_columns(stream=pl.lit("usage"), source=pl.lit("msc"), hour_us=pl.col("at_us") // HOUR_US * HOUR_US)
    key = ["stream", "source", "node"]
    hours = base.group_by(*key, "service", "hour_us").agg(
        records=pl.len(), zeros=pl.col("zero").sum(), no_subscriber=pl.col("anonymous").sum(), no_peer=pl.lit(0),
        numbered=pl.len() if numbered else pl.lit(0), number_mean=pl.col("number").mean(),
        number_deviation=pl.col("number").std(ddof=0),
    )  # fmt: skip
    destinations = base.group_by(*key, "destination", "hour_us").agg(records=pl.len())
    units = base.group_by(*key, "file").agg(
        records=pl.len(), first_us=pl.col("at_us").min(), last_us=pl.col("at_us").max()
    ).with_columns(
        unit=pl.format("msc@{}{}", "node", "file"), path=pl.format("{}-{}", "node", "file"),
        number=pl.col("file") if numbered else pl.lit(None, pl.Int64), accepted="records", duplicate=0, filtered=0,
        observed_us="last_us",
    )  # fmt: skip
    billing = pl.DataFrame({
        "stream": "charge", "source": "billing", "unit": "billing@1", "path": "b", "node": None, "records": 1, "accepted": 1,
        "duplicate": 0, "filtered": 0, "observed_us": START_US + HOURS * HOUR_US,
    })  # fmt: skip
    found = {
        "hours": hours,
        "destinations": destinations,
        "units": pl.concat([units.drop("file"), billing], how="diagonal_relaxed"),
        "money": money(everything),
    }
    if numbered:
        line = base.sort(*key, "number")
        new = (pl.col("number").diff().over(key) != 1).fill_null(True).cum_sum().over(key)
        found["runs"] = line.with_columns(run=new).group_by(*key, "run").agg(
            first=pl.col("number").first(), last=pl.col("number").last(), first_us=pl.col("at_us").first(),
            last_us=pl.col("at_us").last(),
        )  # fmt: skip
    return {n: f.with_columns(position=pl.lit(position, pl.Int64)) for n, f in found.items()}


def money(everything: pl.DataFrame) -> pl.DataFrame:
    amount = pl.col("worth") / MICROS
    return everything.group_by(
        "service", source=pl.lit("billing"), currency=pl.lit("EUR"), day=pl.from_epoch(pl.col("at_us"), time_unit="us").dt.date()
    ).agg(used=pl.len(), charged=pl.len(), amount=amount.sum(), amount_squared=amount.pow(2).sum())


END_US = START_US + HOURS * HOUR_US


def open_rows(
    records: pl.DataFrame, everything: pl.DataFrame, *, numbered: bool, alarms: int = 2, feed: FeedConfig | None = None
) -> pl.DataFrame:
    """Return the open findings for the records that arrived, at one tick after the end."""
    inputs = inputs_of_records(records, everything, numbered=numbered)
    return open_at_end(inputs, feed or (NUMBERED if numbered else PLAIN), alarms=alarms)


def open_at_end(inputs: dict[str, pl.DataFrame], feed: FeedConfig = NUMBERED, *, alarms: int = 2) -> pl.DataFrame:
    """Return the open findings of inputs at one tick after the end."""
    return open_findings(history(ticked(inputs, (2, END_US)), rules(feed, alarms=alarms), after=0, upto=2))


def between(first_hour: int, hours: int, *nodes: str) -> pl.Expr:
    low = START_US + first_hour * HOUR_US
    return pl.col("node").is_in(nodes) & (pl.col("at_us") >= low) & (pl.col("at_us") < low + hours * HOUR_US)


def moment(hour: int) -> int:
    return START_US + hour * HOUR_US


def day(hour: int) -> date:
    return (START + timedelta(hours=hour)).date()
