"""The gate between taking in and reconciling: which days may be judged, which only for now, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import polars as pl

from trueup.config import GateConfig
from trueup.localtime import local_day
from trueup.quality.validate_result import Validated

Verdict = Literal["block", "mark", "note"]
WEIGHT: dict[str, int] = {"note": 0, "mark": 1, "block": 2}
_LONGEST_DAYS = 400


@dataclass(frozen=True)
class Day:
    """What was decided for a day of the project's time zone, and everything that speaks against it."""

    day: date
    verdict: Verdict
    reasons: tuple[str, ...]


def gate(standing: pl.DataFrame, validated: Sequence[Validated], config: GateConfig, timezone: str) -> list[Day]:
    """The days something speaks against, the heaviest reason deciding; a day that is not listed is sound."""
    told = sorted({*_of_findings(standing, config, timezone), *_of_checks(validated)}, key=lambda t: (t[0], -WEIGHT[t[1]], t[2]))
    days = []
    for day in sorted({day for day, _, _ in told}):
        mine = [(verdict, reason) for d, verdict, reason in told if d == day]
        days.append(Day(day, mine[0][0], tuple(reason for _, reason in mine)))
    return days


def blocked_from(days: Iterable[Day]) -> date | None:
    """The first day that must not be reconciled, None when every day may."""
    return min((d.day for d in days if d.verdict == "block"), default=None)


def _of_findings(standing: pl.DataFrame, config: GateConfig, timezone: str) -> Iterable[tuple[date, Verdict, str]]:
    days = standing.with_columns(
        first=local_day(pl.col("from_us"), timezone), last=local_day(pl.max_horizontal("from_us", pl.col("to_us") - 1), timezone)
    )
    for row in days.iter_rows(named=True):
        verdict: Verdict = getattr(config, row["kind"])
        where = f"{row['source']} {row['node']}".strip()
        for offset in range(min((row["last"] - row["first"]).days, _LONGEST_DAYS) + 1):
            yield row["first"] + timedelta(days=offset), verdict, f"{row['kind']}: {where}: {row['reason']}"


def _of_checks(validated: Sequence[Validated]) -> Iterable[tuple[date, Verdict, str]]:
    for result in validated:
        for check in result.failed if result.day is not None else ():
            # A record that a quarantine rule would refuse today came before the rule: the day is not as good as others.
            verdict: Verdict = "mark" if check.severity == "quarantine" else check.severity
            assert result.day is not None
            yield result.day, verdict, f"{result.stream}: {check.name}"
