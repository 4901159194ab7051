"""Quality as one step: the controls, the validation of days that changed, the gate, and what of it people see."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.events.schema import MOVEMENTS, STATES
from trueup.log.lake import Lake
from trueup.quality.completeness.controls import Controlled, control
from trueup.quality.gate import WEIGHT, Day, gate
from trueup.quality.rules import expectations
from trueup.quality.statements import statement
from trueup.quality.validate_result import Validated

if TYPE_CHECKING:
    from trueup.quality.validate import Validation

VALIDATOR = "validation"
"""The consumer that says up to which position days have been validated."""
Say = Callable[[str], None]


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
    at_stake_low_micros: int | None
    at_stake_high_micros: int | None
    currency: str

    @property
    def expected(self) -> tuple[int, int]:
        """What should have arrived, at least and at most."""
        return self.arrived + self.missing_low, self.arrived + self.missing_high


@dataclass(frozen=True)
class QualitySummary:
    """What a run of quality found and decided; `docs` is the first page of the Data Docs, None where nothing was validated."""

    controlled: Controlled
    feeds: list[FeedState]
    days: list[Day]
    validated: list[Validated]
    docs: str | None
    notice: str = ""


def quality(project: Project, *, clock: Clock = system_clock, validate: bool = True, say: Say | None = None) -> QualitySummary:
    """Judges completeness up to now, validates the days that changed, and decides which days may be reconciled.

    It has a consumer position of its own and may run beside any reconciler. Raises `ConfigError` for expectations that cannot be
    meant.
    """
    for stream in (*MOVEMENTS, *STATES):
        expectations(project, stream)
    with Lake.open(project, clock=clock) as lake:
        controlled = control(lake)
        validated, docs, notice = _validated(lake, say) if validate else ([], None, "not asked for")
        arrived = lake.connection.execute(statement("arrived")).pl()
    config = project.config
    days = gate(controlled.standing, validated, config.quality.gate, config.project.timezone)
    return QualitySummary(controlled, _feeds(project, controlled, validated, arrived), days, validated, docs, notice)


def _validated(lake: Lake, say: Say | None) -> tuple[list[Validated], str | None, str]:
    """Validates what changed since the last validation, and says so in the log once it is done."""
    if importlib.util.find_spec("great_expectations") is None:
        return [], None, "days are not validated: trueup[quality] is not installed"
    after, upto = lake.consumer_position(VALIDATOR), lake.last_position()
    work = _work(lake, after)
    if not work:
        return [], None, "nothing new to validate"
    from trueup.quality.validate import Validation

    validation: Validation = Validation(lake.project)
    try:
        found = list[Validated]()
        for stream, day in work:
            if say:
                say(f"validating {stream}" + (f" of {day}" if day else ""))
            found += validation.validate(stream, day)
        docs = str(validation.docs())
    finally:
        validation.close()
    lake.commit(lambda transaction: transaction.consumed(VALIDATOR, upto))
    return found, docs, ""


def _work(lake: Lake, after: int) -> list[tuple[str, date | None]]:
    work = list[tuple[str, date | None]]()
    for stream in MOVEMENTS:
        days = lake.connection.execute(statement("touched_days", stream=stream), {"after": after}).fetchall()
        work += [(stream, day) for (day,) in days]
    for stream in STATES:
        (count,) = lake.connection.execute(statement("touched_states", stream=stream), {"after": after}).fetchall()[0]
        work += [(stream, None)] if count else []
    return work


def _feeds(project: Project, controlled: Controlled, validated: list[Validated], arrived: pl.DataFrame) -> list[FeedState]:
    counts = {str(source): int(records) for source, records in arrived.iter_rows()}
    states = []
    for source in project.config.source:
        mine = controlled.standing.filter(pl.col("source") == source.name)
        stale = mine.filter(pl.col("kind") == "stale_feed")["reason"].to_list()
        priced = mine.drop_nulls("money_low")
        states.append(
            FeedState(
                source.name, source.stream, counts.get(source.name, 0), int(mine["records_low"].sum()),
                int(mine["records_high"].sum()), stale[0] if stale else "", _worst(source.stream, mine, validated),
                int(priced["money_low"].sum()) if priced.height else None,
                int(priced["money_high"].sum()) if priced.height else None, project.config.project.currency,
            )
        )  # fmt: skip
    return states


def _worst(stream: str, mine: pl.DataFrame, validated: list[Validated]) -> str:
    """The heaviest rule that does not hold: of the days validated now, else the finding that costs most."""
    weight = {**WEIGHT, "quarantine": WEIGHT["block"]}
    failed = [check for result in validated if result.stream == stream for check in result.failed]
    heaviest = min(failed, key=lambda check: (-weight[check.severity], check.name), default=None)
    if heaviest is not None and (mine.is_empty() or weight[heaviest.severity] >= WEIGHT["mark"]):
        return heaviest.name
    if mine.is_empty():
        return ""
    row = mine.sort(pl.col("money_high").fill_null(0), "subject", descending=[True, False]).row(0, named=True)
    return f"{row['node']}: {row['reason']}".removeprefix(": ")
