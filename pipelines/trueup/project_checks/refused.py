"""Rules about records in quarantine: files refused whole, and files with a larger refused share than the source allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from trueup.project_checks.facts import Facts
from trueup.project_checks.log_summary import RefusedUnit
from trueup.project_checks.problem import Instance, Rule
from trueup.units import MICROS

_TODO = "correct the file's settings, then map its records again by `trueup recycle --source {source}`"


def _refused_whole(facts: Facts) -> Iterator[Instance]:
    return _find_in_sources(facts, lambda unit: unit.refused >= unit.records)


def _find_refused_in_part(facts: Facts) -> Iterator[Instance]:
    most = facts.config.quality.quarantine_share
    return _find_in_sources(facts, lambda unit: unit.refused < unit.records and unit.refused * MICROS > unit.records * most)


def _find_in_sources(facts: Facts, is_concerned: Callable[[RefusedUnit], bool]) -> Iterator[Instance]:
    """Yield one instance for each source with such units; the newest unit is the example."""
    for source, of_source in groupby(filter(is_concerned, facts.log.refused), lambda unit: unit.source):
        units = list(of_source)
        newest = units[-1]
        others = f" and of {len(units) - 1} more of its files" if len(units) > 1 else ""
        yield {
            "where": newest.path, "source": source, "refused": newest.refused, "records": newest.records, "others": others,
            "example": newest.example, "whole": _describe_whole(newest.records, others),
        }  # fmt: skip


def _describe_whole(records: int, others: str) -> str:
    """Return subject and verb of the sentence for a unit whose records are all in quarantine."""
    if records > 1:
        return f"all {records} records of this file{others} are"
    return f"the only record of this file{' and all' * bool(others)}{others.removeprefix(' and')} {'are' if others else 'is'}"


LOG_RULES = (
    Rule(
        "refused-file", "warning", "source {source}: {whole} in quarantine ({example})",
        _TODO, _refused_whole,
    ),
    Rule(
        "refused-share", "warning",
        "source {source}: {refused} of {records} records of this file{others} are in quarantine ({example})", _TODO,
        _find_refused_in_part, fails_check=False,
    ),
)  # fmt: skip
