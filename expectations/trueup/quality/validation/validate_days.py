"""Validation along the log: the days that are due at each tick, as they were known at it; failures as findings."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from trueup.log.lake import Lake, Transaction
from trueup.quality.completeness import load
from trueup.quality.completeness.evaluate_tick import settled_money
from trueup.quality.completeness.history import TOLD, changed, renewed, standing, turns_of
from trueup.quality.completeness.inputs import CompletenessInputs, Rules, complete_until
from trueup.quality.policy import QualityPolicy, stretches_of
from trueup.quality.statements import statement
from trueup.quality.validation.expectation_findings import CONTROL, failing, of_days_over
from trueup.quality.validation.validate_result import NOT_COMPUTED, Validated
from trueup.quality.validation.validation_schedule import DayOf, due

if TYPE_CHECKING:
    from trueup.quality.validation.validate import Validation

VALIDATOR = "validation"
"""The consumer that says up to which position the ticks have been gone through."""
Say = Callable[[str], None]
Judge = Callable[[DayOf, int], Validated]
"""Validates a day of a feed as of a position."""


@dataclass(frozen=True)
class ValidatedDays:
    """What validation found, and how many findings it raised, revised and resolved.

    `docs` is the first page of the Data Docs, None where nothing was validated.
    """

    results: list[Validated] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    docs: str | None = None
    notice: str = ""


def validate_days(
    lake: Lake, *, upto: int, seen: CompletenessInputs | None = None, say: Say | None = None, say_day: Say | None = None
) -> ValidatedDays:
    """Validates what was due at the ticks since the last validation; its failures and how far it came are committed once.

    The controls have been judged up to `upto`; `seen` is what they looked at, where that is all under one policy and reaches back
    as far as the last validation. Without the library nothing is done, and what is due stays due.
    """
    if importlib.util.find_spec("great_expectations") is None:
        return ValidatedDays(notice="days are not validated: trueup[quality] is not installed")
    after = lake.consumer_position(VALIDATOR)
    if after >= upto:
        return ValidatedDays(notice="nothing new to validate")
    told, results = told_of_feeds(lake, upto), list[Validated]()
    before = told.height
    with _library(lake, say_day) as library:
        for part in stretches_of(lake, after=after, upto=upto):
            looked_at = load.seen(lake, part.policy.rules, after=part.after, upto=part.upto) if seen is None else seen
            judge = partial(library.judge, part.policy)
            changes, validated = failures(looked_at, part.policy.rules, judge, after=part.after, upto=part.upto, told=told)
            _tell_not_computed(validated, say)
            told, results = pl.concat([told, changes], how="diagonal_relaxed"), [*results, *validated]
        docs = library.docs()

    new = told[before:].select(*TOLD)

    def write(transaction: Transaction) -> bool:
        if lake.consumer_position(VALIDATOR) != after:
            return False
        transaction.append("finding", new)
        transaction.set_consumer_position(VALIDATOR, upto)
        return True

    actions = Counter[str](new["action"].to_list() if lake.commit(write) else [])
    return ValidatedDays(results, actions, docs, "" if results else "nothing new to validate")


def _tell_not_computed(validated: Sequence[Validated], say: Say | None) -> None:
    told = {f"{v.source}: {c.name}: {c.detail}" for v in validated for c in v.checks if c.detail.startswith(NOT_COMPUTED)}
    for line in sorted(told):
        if say is not None:
            say(line)


def failures(
    seen: CompletenessInputs, rules: Rules, judge: Judge, *, after: int, upto: int, told: pl.DataFrame
) -> tuple[pl.DataFrame, list[Validated]]:
    """What the ticks in (after, upto] change in failed expectations (rows of `TOLD`), and all that was validated for it.

    `told` is what was told of feeds so far (rows of `TOLD`): failures up to `after`, and the completeness of every tick.
    """
    mine = pl.col("control") == CONTROL
    stands = standing(told.filter(mine & (pl.col("position") <= after)))
    changes, results = [pl.DataFrame(schema=TOLD)], list[Validated]()
    for turn in turns_of(seen, after=after, upto=upto):
        tick = turn.tick
        validated = [(day, judge(day, tick.position)) for day in due(seen, rules, tick, turn.before)]
        if validated or turn.superseded:
            known = seen.upto(tick.position)
            others = standing(told.filter(~mine & (pl.col("position") <= tick.position)))
            kept = of_days_over(stands, rules, tick) if turn.superseded else stands
            now = failing(validated, kept, others, known, settled_money(known, complete_until(known, rules), rules), rules.currency)
            changes.append(changed(stands, now, rules, tick, renewed(seen, rules, turn)))
            stands, results = now, [*results, *(v for _, v in validated)]
    return pl.concat(changes), results


def told_of_feeds(lake: Lake, upto: int) -> pl.DataFrame:
    """All that was told of feeds up to a position, as rows of `events.finding`."""
    return lake.connection.execute(statement("told"), {"upto": upto}).pl()


class _Library:
    """Great Expectations, opened when the first day needs it: most runs have none that is due."""

    def __init__(self, lake: Lake, say_day: Say | None) -> None:
        self._lake, self._say_day = lake, say_day
        self._opened: Validation | None = None

    def judge(self, policy: QualityPolicy, day: DayOf, position: int) -> Validated:
        if self._opened is None:
            from trueup.quality.validation.validate import Validation

            self._opened = Validation(self._lake.project)
        if self._say_day:
            self._say_day(f"validating {day.source}" + (f" of {day.day}" if day.day else ""))
        return self._opened.validate(day, position, self._lake.snapshot_of(position), policy.expected_of(day.stream, day.source))

    def docs(self) -> str | None:
        return None if self._opened is None else str(self._opened.docs())

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


@contextmanager
def _library(lake: Lake, say_day: Say | None) -> Iterator[_Library]:
    library = _Library(lake, say_day)
    try:
        yield library
    finally:
        library.close()
