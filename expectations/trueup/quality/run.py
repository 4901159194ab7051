"""Quality as one step: the controls, the validation of days that changed, the gate, and what of it people see."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.config import GateConfig, Project
from trueup.events.schema import MOVEMENTS, STATES
from trueup.log.lake import Lake
from trueup.quality.completeness.controls import control
from trueup.quality.completeness.history import standing
from trueup.quality.gate import WEIGHT, Day, Severities, gate, verdict_of
from trueup.quality.project_expectations import expectations
from trueup.quality.statements import statement
from trueup.quality.validation.expectation_findings import KIND
from trueup.quality.validation.validate_days import VALIDATOR, Say, ValidatedDays, told_of_feeds, validate_days
from trueup.quality.validation.validate_result import Validated


@dataclass(frozen=True)
class AtStake:
    """Bounds of money in one currency."""

    currency: str
    low_micros: int
    high_micros: int


@dataclass(frozen=True)
class FeedState:
    """How a feed stands: what arrived, what is missing of it within which bounds, and the worst that is known."""

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
        """What should have arrived, at least and at most."""
        return self.arrived + self.missing_low, self.arrived + self.missing_high


@dataclass(frozen=True)
class QualitySummary:
    """What a run of quality found and decided.

    `standing` are the findings of feeds that stand and that nobody has dismissed (rows of `judge.STANDING`); `docs` is the first
    page of the Data Docs, None where nothing was validated; `actions` counts the findings raised, revised and resolved.
    """

    position: int
    standing: pl.DataFrame
    feeds: list[FeedState]
    days: list[Day]
    validated: list[Validated]
    docs: str | None
    notice: str
    actions: Counter[str]


def quality(
    project: Project, *, clock: Clock = system_clock, validate: bool = True, say: Say | None = None, say_day: Say | None = None
) -> QualitySummary:
    """Judges completeness up to now, validates the days that changed, and decides which days may be reconciled.

    `say_day` gets a line for each day that is validated, `say` what else is worth a line.
    It has a consumer position of its own and may run beside any reconciler. Raises `ConfigError` for expectations that cannot be
    meant.
    """
    severities = {(s, e.name): e.severity for s in (*MOVEMENTS, *STATES) for e in expectations(project, s)}
    with Lake.open(project, clock=clock) as lake:
        controlled = control(lake)
        reaches = controlled.from_position <= lake.consumer_position(VALIDATOR)
        seen = controlled.seen if reaches else None
        validated = (
            validate_days(lake, upto=controlled.to_position, seen=seen, say=say, say_day=say_day)
            if validate else ValidatedDays(notice="not asked for")
        )  # fmt: skip
        arrived = lake.connection.execute(statement("arrived")).pl()
        stands = _undismissed_findings(lake)
    config = project.config
    days = gate(stands, config.quality.gate, config.project.timezone, severities)
    feeds = _feeds(project, stands, arrived, severities)
    return QualitySummary(
        controlled.to_position, stands, feeds, days, validated.results, validated.docs, validated.notice,
        controlled.actions + validated.actions,
    )  # fmt: skip


def _undismissed_findings(lake: Lake) -> pl.DataFrame:
    """The findings of feeds that stand and that nobody has dismissed, as rows of `judge.STANDING`."""
    dismissed = lake.connection.execute(statement("dismissed")).pl()
    return standing(told_of_feeds(lake, lake.last_position()).join(dismissed, on="finding_id", how="anti"))


def _feeds(project: Project, stands: pl.DataFrame, arrived: pl.DataFrame, severities: Severities) -> list[FeedState]:
    counts = {str(source): int(records) for source, records in arrived.iter_rows()}
    states = []
    for source in project.config.source:
        mine = stands.filter(pl.col("source") == source.name)
        stale = mine.filter(pl.col("kind") == "stale_feed")["reason"].to_list()
        # Records that are there and wrong are not missing, whatever money they put at stake.
        missing = mine.filter(pl.col("kind") != KIND)
        worst = _worst(mine, project.config.quality.gate, severities)
        states.append(
            FeedState(
                source.name, source.stream, counts.get(source.name, 0), int(missing["records_low"].sum()),
                int(missing["records_high"].sum()), stale[0] if stale else "", worst, _at_stake(mine),
            )
        )  # fmt: skip
    return states


def _at_stake(mine: pl.DataFrame) -> tuple[AtStake, ...]:
    priced = mine.drop_nulls("money_low").group_by("currency").agg(pl.col("money_low", "money_high").sum()).sort("currency")
    return tuple(AtStake(*row) for row in priced.select("currency", "money_low", "money_high").iter_rows())


def _worst(mine: pl.DataFrame, config: GateConfig, severities: Severities) -> str:
    """What speaks most against a feed: by what it does to its days, then by what it may cost."""

    def weight(row: dict[str, Any]) -> tuple[int, int, str]:
        verdict = verdict_of(row["kind"], row["stream"], row["subject"], config, severities)
        return -WEIGHT[verdict], -(row["money_high"] or 0), row["subject"]

    row = min(mine.iter_rows(named=True), key=weight, default=None)
    return "" if row is None else f"{row['node']}: {row['reason']}".removeprefix(": ")
