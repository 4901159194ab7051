"""Run quality as one step: the controls, the validation of changed days, the gate, and the summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.config import GateConfig, Project
from trueup.events.schema import MOVEMENTS, STATES
from trueup.log.lake import Lake
from trueup.progress import LogFn
from trueup.quality.completeness.controls import control
from trueup.quality.completeness.history import open_findings
from trueup.quality.gate import WEIGHT, Day, Severities, gate, verdict_of
from trueup.quality.project_expectations import expectations
from trueup.quality.statements import statement
from trueup.quality.validation.expectation_findings import KIND
from trueup.quality.validation.validate_days import VALIDATOR, ValidatedDays, feed_findings, validate_days
from trueup.quality.validation.validate_result import Validated
from trueup.reconcile.domain.decision_kinds import STATUS_DECISIONS


@dataclass(frozen=True)
class AtStake:
    """Bounds of money in one currency."""

    currency: str
    low_micros: int
    high_micros: int


@dataclass(frozen=True)
class FeedState:
    """The state of a feed: records arrived, bounds of records missing, and its worst finding."""

    feed: str
    stream: str
    arrived: int
    missing_low: int
    missing_high: int
    late: str
    worst_rule: str
    at_stake: tuple[AtStake, ...]

    @property
    def expected(self) -> tuple[int, int]:
        """The minimum and maximum number of records that should have arrived."""
        return self.arrived + self.missing_low, self.arrived + self.missing_high


@dataclass(frozen=True)
class QualitySummary:
    """The result of a run of quality.

    `open_findings` are the open findings of feeds that no decision has dismissed (rows of `OPEN_FINDING`). `docs` is the first
    page of the Data Docs, None where nothing was validated. `actions` counts the findings raised, revised and resolved.
    """

    position: int
    open_findings: pl.DataFrame
    feeds: list[FeedState]
    days: list[Day]
    validated: list[Validated]
    docs: str | None
    notice: str
    actions: Counter[str]


def quality(
    project: Project, *, clock: Clock = system_clock, validate: bool = True, log: LogFn | None = None, log_day: LogFn | None = None
) -> QualitySummary:
    """Evaluate completeness up to now, validate the days that changed, and decide which days may be reconciled.

    `log_day` receives a line for each validated day, `log` all other lines. Quality has consumer positions of its own and may
    run beside any reconciler. Raises `ConfigError` for invalid expectations.
    """
    severities = {(s, e.name): e.severity for s in (*MOVEMENTS, *STATES) for e in expectations(project, s)}
    with Lake.open(project, clock=clock) as lake:
        controlled = control(lake)
        reaches = controlled.from_position <= lake.consumer_position(VALIDATOR)
        inputs = controlled.inputs if reaches else None
        validated = (
            validate_days(lake, upto=controlled.to_position, inputs=inputs, log=log, log_day=log_day)
            if validate else ValidatedDays(notice="not asked for")
        )  # fmt: skip
        arrived = lake.connection.execute(statement("arrived")).pl()
        open_rows = _read_undismissed_findings(lake)
    config = project.config
    days = gate(open_rows, config.quality.gate, config.project.timezone, severities)
    feeds = _list_feeds(project, open_rows, arrived, severities)
    return QualitySummary(
        controlled.to_position, open_rows, feeds, days, validated.results, validated.docs, validated.notice,
        controlled.actions + validated.actions,
    )  # fmt: skip


def _read_undismissed_findings(lake: Lake) -> pl.DataFrame:
    """Return the open findings of feeds that no decision has dismissed, as rows of `OPEN_FINDING`."""
    dismissed = lake.connection.execute(statement("dismissed"), {"status_decisions": list(STATUS_DECISIONS)}).pl()
    return open_findings(feed_findings(lake, lake.last_position()).join(dismissed, on="finding_id", how="anti"))


def _list_feeds(project: Project, open_rows: pl.DataFrame, arrived: pl.DataFrame, severities: Severities) -> list[FeedState]:
    counts = {str(source): int(records) for source, records in arrived.iter_rows()}
    states = []
    for source in project.config.source:
        of_source = open_rows.filter(pl.col("source") == source.name)
        stale = of_source.filter(pl.col("kind") == "stale_feed")["reason"].to_list()
        # Wrong records that have arrived are not missing, even if money is at stake.
        missing = of_source.filter(pl.col("kind") != KIND)
        worst = _find_worst(of_source, project.config.quality.gate, severities)
        states.append(
            FeedState(
                source.name, source.stream, counts.get(source.name, 0), int(missing["records_low"].sum()),
                int(missing["records_high"].sum()), stale[0] if stale else "", worst, _sum_at_stake(of_source),
            )
        )  # fmt: skip
    return states


def _sum_at_stake(of_source: pl.DataFrame) -> tuple[AtStake, ...]:
    priced = of_source.drop_nulls("money_low").group_by("currency").agg(pl.col("money_low", "money_high").sum()).sort("currency")
    return tuple(AtStake(*row) for row in priced.select("currency", "money_low", "money_high").iter_rows())


def _find_worst(of_source: pl.DataFrame, config: GateConfig, severities: Severities) -> str:
    """Return the worst finding of a feed: by its effect on days, then by the money at stake."""

    def weight(row: dict[str, Any]) -> tuple[int, int, str]:
        verdict = verdict_of(row["kind"], row["stream"], row["subject"], config, severities)
        return -WEIGHT[verdict], -(row["money_high"] or 0), row["subject"]

    row = min(of_source.iter_rows(named=True), key=weight, default=None)
    return "" if row is None else f"{row['node']}: {row['reason']}".removeprefix(": ")
