"""The gate between taking in and reconciling: which days may be judged, which only for now, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import polars as pl

from trueup.config import GateConfig
from trueup.localtime import local_day
from trueup.quality.expectation import Severity
from trueup.quality.validation.expectation_findings import KIND, name_of

Verdict = Literal["block", "mark", "note"]
WEIGHT: dict[str, int] = {"note": 0, "mark": 1, "block": 2}
_LONGEST_DAYS = 400
Severities = Mapping[tuple[str, str], Severity]
"""The severity of each expectation, by stream and name."""


@dataclass(frozen=True)
class Day:
    """What was decided for a day of the project's time zone, and everything that speaks against it."""

    day: date
    verdict: Verdict
    reasons: tuple[str, ...]


def gate(standing: pl.DataFrame, config: GateConfig, timezone: str, severities: Severities) -> list[Day]:
    """The days something speaks against, the heaviest reason deciding; a day that is not listed is sound.

    `standing` are the findings of feeds that stand and that nobody has dismissed.
    """
    told = sorted(set(_told(standing, config, timezone, severities)), key=lambda t: (t[0], -WEIGHT[t[1]], t[2]))
    days = []
    for day in sorted({day for day, _, _ in told}):
        mine = [(verdict, reason) for d, verdict, reason in told if d == day]
        days.append(Day(day, mine[0][0], tuple(reason for _, reason in mine)))
    return days


def blocked_from(days: Iterable[Day]) -> date | None:
    """The first day that must not be reconciled, None when every day may."""
    return min((d.day for d in days if d.verdict == "block"), default=None)


def verdict_of(kind: str, stream: str, subject: str, config: GateConfig, severities: Severities) -> Verdict:
    """What a finding does to its days: what the gate is told of its kind, or the expectation of itself.

    A record that a quarantine rule would refuse today came before the rule: its day is not as good as others. An expectation
    that nobody has any more is only told of.
    """
    if kind != KIND:
        verdict: Verdict = getattr(config, kind)
        return verdict
    severity = severities.get((stream, name_of(subject)), "note")
    return "mark" if severity == "quarantine" else severity


def _told(standing: pl.DataFrame, config: GateConfig, timezone: str, severities: Severities) -> Iterable[tuple[date, Verdict, str]]:
    # States are of no day.
    days = standing.drop_nulls("from_us").with_columns(
        first=local_day(pl.col("from_us"), timezone), last=local_day(pl.max_horizontal("from_us", pl.col("to_us") - 1), timezone)
    )
    for row in days.iter_rows(named=True):
        verdict = verdict_of(row["kind"], row["stream"], row["subject"], config, severities)
        where = f"{row['source']} {row['node']}".strip()
        for offset in range(min((row["last"] - row["first"]).days, _LONGEST_DAYS) + 1):
            yield row["first"] + timedelta(days=offset), verdict, f"{row['kind']}: {where}: {row['reason']}"
