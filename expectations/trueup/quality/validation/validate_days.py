"""Validate the days that are due at each tick of the log, as known at that tick, and record failures as findings."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

import polars as pl

from trueup.log.lake import Lake, Transaction
from trueup.progress import LogFn
from trueup.quality.completeness import load
from trueup.quality.completeness.evaluate_tick import billed_charges
from trueup.quality.completeness.history import FINDING_CHANGE, changed, open_findings, renewed, turns_of
from trueup.quality.completeness.inputs import CompletenessInputs, Rules, complete_until
from trueup.quality.policy import QualityPolicy, policy_intervals
from trueup.quality.statements import statement
from trueup.quality.validation.expectation_findings import CONTROL, of_days_over, open_failures
from trueup.quality.validation.validate_result import NOT_COMPUTED, Validated
from trueup.quality.validation.validation_schedule import DayOf, due

if TYPE_CHECKING:
    from trueup.quality.validation.validate import Validation

VALIDATOR = "validation"
"""The consumer whose position is that of the last validated tick."""
Judge = Callable[[Sequence[DayOf], int], Iterable[Validated]]
"""A function that validates days of one feed as of a position, in their order."""


@dataclass(frozen=True)
class ValidatedDays:
    """The results of validation, and how many findings it raised, revised and resolved.

    `docs` is the first page of the Data Docs, None where nothing was validated.
    """

    results: list[Validated] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    docs: str | None = None
    notice: str = ""


def validate_days(
    lake: Lake, *, upto: int, inputs: CompletenessInputs | None = None, log: LogFn | None = None, log_day: LogFn | None = None
) -> ValidatedDays:
    """Validate what was due at the ticks since the last validation, and commit failures and position at once.

    The controls have been evaluated up to `upto`; `inputs` are their inputs, where one policy covers them and they reach back to
    the last validation. Without the library nothing is validated, and due days stay due.
    """
    if importlib.util.find_spec("great_expectations") is None:
        return ValidatedDays(notice="days are not validated: trueup[quality] is not installed")
    after = lake.consumer_position(VALIDATOR)
    if after >= upto:
        return ValidatedDays(notice="nothing new to validate")
    findings, results = feed_findings(lake, upto), list[Validated]()
    before = findings.height
    with _open_library(lake, log_day) as library:
        for part in policy_intervals(lake, after=after, upto=upto):
            looked_at = load.load_inputs(lake, part.policy.rules, after=part.after, upto=part.upto) if inputs is None else inputs
            judge = partial(library.judge, part.policy)
            changes, validated = failures(looked_at, part.policy.rules, judge, after=part.after, upto=part.upto, findings=findings)
            _log_not_computed(validated, log)
            findings, results = pl.concat([findings, changes], how="diagonal_relaxed"), [*results, *validated]
        docs = library.docs()

    new = findings[before:].select(*FINDING_CHANGE)

    def write(transaction: Transaction) -> bool:
        if lake.consumer_position(VALIDATOR) != after:
            return False
        transaction.append("finding", new)
        transaction.set_consumer_position(VALIDATOR, upto)
        return True

    actions = Counter[str](new["action"].to_list() if lake.commit(write) else [])
    return ValidatedDays(results, actions, docs, "" if results else "nothing new to validate")


def _log_not_computed(validated: Sequence[Validated], log: LogFn | None) -> None:
    lines = {f"{v.source}: {c.name}: {c.detail}" for v in validated for c in v.checks if c.detail.startswith(NOT_COMPUTED)}
    for line in sorted(lines):
        if log is not None:
            log(line)


def failures(
    inputs: CompletenessInputs, rules: Rules, judge: Judge, *, after: int, upto: int, findings: pl.DataFrame
) -> tuple[pl.DataFrame, list[Validated]]:
    """Return the changes in failed expectations at the ticks in (after, upto] (`FINDING_CHANGE`), and the validations.

    `findings` are the changes recorded so far (rows of `FINDING_CHANGE`): failures up to `after`, completeness of every tick.
    """
    is_failure = pl.col("control") == CONTROL
    open_rows = open_findings(findings.filter(is_failure & (pl.col("position") <= after)))
    changes, results = [pl.DataFrame(schema=FINDING_CHANGE)], list[Validated]()
    for turn in turns_of(inputs, after=after, upto=upto):
        tick = turn.tick
        by_feed = groupby(due(inputs, rules, tick, turn.before), key=lambda day: (day.stream, day.source))
        due_days = [list(days) for _, days in by_feed]
        validated = [pair for days in due_days for pair in zip(days, judge(days, tick.position), strict=True)]
        if validated or turn.superseded:
            known = inputs.upto(tick.position)
            others = open_findings(findings.filter(~is_failure & (pl.col("position") <= tick.position)))
            retained = of_days_over(open_rows, rules, tick) if turn.superseded else open_rows
            now = open_failures(
                validated, retained, others, known, billed_charges(known, complete_until(known, rules), rules), rules.currency
            )
            changes.append(changed(open_rows, now, rules, tick, renewed(inputs, rules, turn)))
            open_rows, results = now, [*results, *(v for _, v in validated)]
    return pl.concat(changes), results


def feed_findings(lake: Lake, upto: int) -> pl.DataFrame:
    """Return the changes of findings about feeds up to a position, as rows of `events.finding`."""
    return lake.connection.execute(statement("feed_findings"), {"upto": upto}).pl()


class _Library:
    """Opens Great Expectations when the first day needs it, because most runs have no day due."""

    def __init__(self, lake: Lake, log_day: LogFn | None) -> None:
        self._lake, self._log_day = lake, log_day
        self._opened: Validation | None = None

    def judge(self, policy: QualityPolicy, days: Sequence[DayOf], position: int) -> Iterator[Validated]:
        if self._opened is None:
            from trueup.quality.validation.validate import Validation

            self._opened = Validation(self._lake.project)
        expected = policy.expected_of(days[0].stream, days[0].source)
        validated = self._opened.validate(days, position, self._lake.snapshot_of(position), expected)
        for day in days:
            if self._log_day:
                self._log_day(f"validating {day.source}" + (f" of {day.day}" if day.day else ""))
            yield next(validated)

    def docs(self) -> str | None:
        return None if self._opened is None else str(self._opened.docs())

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


@contextmanager
def _open_library(lake: Lake, log_day: LogFn | None) -> Iterator[_Library]:
    library = _Library(lake, log_day)
    try:
        yield library
    finally:
        library.close()
