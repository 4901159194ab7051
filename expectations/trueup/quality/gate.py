"""The gate between ingest and reconciliation: which days are blocked, which are provisional, and why."""

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
    """The verdict on a day of the project's time zone, and all reasons against it."""

    day: date
    verdict: Verdict
    reasons: tuple[str, ...]


def gate(findings: pl.DataFrame, config: GateConfig, timezone: str, severities: Severities) -> list[Day]:
    """Return the days with reasons against them, each with the verdict of its most serious reason; all other days are sound.

    `standing` are the findings of feeds that are neither resolved nor dismissed.
    """
    reasons = sorted(set(_list_day_reasons(findings, config, timezone, severities)), key=lambda t: (t[0], -WEIGHT[t[1]], t[2]))
    days = []
    for day in sorted({day for day, _, _ in reasons}):
        of_day = [(verdict, reason) for d, verdict, reason in reasons if d == day]
        days.append(Day(day, of_day[0][0], tuple(reason for _, reason in of_day)))
    return days


def blocked_from(days: Iterable[Day]) -> date | None:
    """Return the first day that must not be reconciled, None when every day may."""
    return min((d.day for d in days if d.verdict == "block"), default=None)


def verdict_of(kind: str, stream: str, subject: str, config: GateConfig, severities: Severities) -> Verdict:
    """Return the effect of a finding on its days: by the configuration of its kind, or the severity of its expectation.

    A record that a quarantine rule would refuse now, but that arrived before the rule, marks its day. A finding of an expectation
    that is no longer configured is only noted.
    """
    if kind != KIND:
        verdict: Verdict = getattr(config, kind)
        return verdict
    severity = severities.get((stream, name_of(subject)), "note")
    return "mark" if severity == "quarantine" else severity


def _list_day_reasons(
    findings: pl.DataFrame, config: GateConfig, timezone: str, severities: Severities
) -> Iterable[tuple[date, Verdict, str]]:
    # States have no day.
    days = findings.drop_nulls("from_us").with_columns(
        first=local_day(pl.col("from_us"), timezone), last=local_day(pl.max_horizontal("from_us", pl.col("to_us") - 1), timezone)
    )
    for row in days.iter_rows(named=True):
        verdict = verdict_of(row["kind"], row["stream"], row["subject"], config, severities)
        where = f"{row['source']} {row['node']}".strip()
        for offset in range(min((row["last"] - row["first"]).days, _LONGEST_DAYS) + 1):
            yield row["first"] + timedelta(days=offset), verdict, f"{row['kind']}: {where}: {row['reason']}"
