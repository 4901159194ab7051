"""The quality policy, declared in the log: in force from a position on, so that earlier findings stay as they are.

The gate is not part of the policy, because the verdict on a day is computed at each run.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from trueup.config import FeedConfig, Project
from trueup.errors import ConfigError
from trueup.events.schema import MOVEMENTS, STATES
from trueup.log.lake import Lake, Transaction
from trueup.quality.completeness.inputs import Feed, Rules
from trueup.quality.expectation import Expectation, Fact
from trueup.quality.project_expectations import expectations
from trueup.quality.statements import statement
from trueup.quality.suites import SUITES

KIND = "quality_policy"
Content = dict[str, Any]
_BUILT_IN = {(e.stream, e.name): e for suite in SUITES.values() for e in suite}


@dataclass(frozen=True)
class QualityPolicy:
    """The settings of the controls and the expectations of each stream."""

    rules: Rules
    expectations: tuple[Expectation, ...]

    def expected_of(self, stream: str, source: str) -> list[Expectation]:
        """Return the expectations of a feed: the expectations of its stream, and those of the project for this feed."""
        return [e for e in self.expectations if e.stream == stream and e.source in (None, source)]


@dataclass(frozen=True)
class PolicyInterval:
    """Positions in (after, upto] under one policy."""

    after: int
    upto: int
    policy: QualityPolicy


def policy_of(project: Project) -> QualityPolicy:
    """Return the policy of a configuration; raise `ConfigError` for invalid expectations."""
    config, quality = project.config, project.config.quality
    rules = Rules(
        {s.name: Feed(s.name, s.stream, s.lateness, s.feed) for s in config.source if s.stream in MOVEMENTS},
        config.project.timezone, config.project.currency, frozenset(quality.holidays), quality.false_alarms_per_year,
        quality.lookback,
    )  # fmt: skip
    return QualityPolicy(rules, tuple(e for stream in (*MOVEMENTS, *STATES) for e in expectations(project, stream)))


def ensure_quality_policy(lake: Lake) -> int | None:
    """Declare the project's policy when it differs from the one in force; return its position, None when it is the same.

    Raises `ConfigError` for invalid expectations.
    """
    policy = policy_of(lake.project)
    content = content_of(policy)

    def declare(transaction: Transaction) -> int | None:
        return None if _is_in_force(content, _read_contents(lake)) else transaction.declare(KIND, content=content)

    if _is_in_force(content, _read_contents(lake)):
        return None
    _check_meant(policy)
    return lake.commit(declare)


def _is_in_force(content: Content, declared: Sequence[tuple[int, Content]]) -> bool:
    """Return whether the last declared policy equals this one, regardless of the notes of built-in expectations."""
    return bool(declared) and _drop_built_in_notes(declared[-1][1]) == _drop_built_in_notes(content)


def _drop_built_in_notes(content: Content) -> Content:
    # The notes of built-in expectations are texts of the program, so a reworded note is not a new policy.
    rules = [{n: v for n, v in e.items() if n != "notes" or _find_built_in(e) is None} for e in content["expectations"]]
    return {**content, "expectations": rules}


def _find_built_in(content: Mapping[str, Any]) -> Expectation | None:
    found = _BUILT_IN.get((content["stream"], content["name"]))
    return found if content.get("source") is None else None


def _check_meant(policy: QualityPolicy) -> None:
    """Raise `ConfigError` for an expectation that the library cannot build, before it is declared."""
    if importlib.util.find_spec("great_expectations") is None:
        return
    from trueup.quality.validation.engine import check_meant

    for expectation in policy.expectations:
        check_meant(expectation)


def policy_intervals(lake: Lake, *, after: int, upto: int) -> list[PolicyInterval]:
    """Return the positions in (after, upto] by policy; positions before the first policy are under the first."""
    contents = [(0 if number == 0 else position, content) for number, (position, content) in enumerate(_read_contents(lake))]
    found = list[PolicyInterval]()
    for number, (since, content) in enumerate(contents):
        until = contents[number + 1][0] - 1 if number + 1 < len(contents) else upto
        low, high = max(after, since - 1), min(upto, until)
        if low < high:
            found.append(PolicyInterval(low, high, from_content(content, since=since)))
    return found


def _read_contents(lake: Lake) -> list[tuple[int, Content]]:
    rows = lake.connection.execute(statement("policies"), {"kind": KIND}).fetchall()
    return [(position, json.loads(content)) for position, content in rows]


# --- as JSON ----------------------------------------------------------------------------------------------------------


def content_of(policy: QualityPolicy) -> Content:
    """Return the content of a policy's declaration, exactly as reading the declaration returns it."""
    rules = policy.rules
    content = {
        "feeds": {
            f.name: {"stream": f.stream, "lateness_us": f.lateness_us, **f.feed.model_dump()} for f in rules.feeds.values()
        },
        "timezone": rules.timezone, "currency": rules.currency, "holidays": sorted(map(str, rules.holidays)),
        "false_alarms_per_year": rules.false_alarms_per_year, "lookback_us": rules.lookback_us,
        "expectations": [expectation_content(e) for e in policy.expectations],
    }  # fmt: skip
    read: Content = json.loads(json.dumps(content))
    return read


def from_content(content: Content, *, since: int) -> QualityPolicy:
    """Return the policy of a declaration, in force since its position."""
    rules = Rules(
        {name: _build_feed(name, values) for name, values in content["feeds"].items()}, content["timezone"], content["currency"],
        frozenset(map(date.fromisoformat, content["holidays"])), content["false_alarms_per_year"], content["lookback_us"], since,
    )  # fmt: skip
    return QualityPolicy(rules, tuple(expectation_from(values) for values in content["expectations"]))


def _build_feed(name: str, values: Mapping[str, Any]) -> Feed:
    settings = {n: v for n, v in values.items() if n not in ("stream", "lateness_us")}
    # The settings were checked when they were declared, and durations are numbers.
    return Feed(name, values["stream"], values["lateness_us"], FeedConfig.model_construct(**settings))


def expectation_content(e: Expectation) -> Content:
    """Return an expectation as JSON values; raise `ConfigError` for an argument that JSON cannot hold."""
    return {**asdict(e), "arguments": {n: _to_json(v, e.name) for n, v in e.arguments.items()}}


def expectation_from(content: Mapping[str, Any]) -> Expectation:
    """Return the expectation that `expectation_content` wrote; a built-in one has the notes of this version."""
    known = _find_built_in(content)
    read = {"arguments": {name: _from_json(value) for name, value in content["arguments"].items()}}
    return Expectation(**{**content, **read, **({} if known is None else {"notes": known.notes})})


def _to_json(value: object, name: str) -> object:
    if isinstance(value, Fact):
        return {"fact": value.name}
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    if isinstance(value, Mapping):
        return {"table": {str(n): _to_json(v, name) for n, v in value.items()}}
    if isinstance(value, Sequence | frozenset | set) and not isinstance(value, str | bytes):
        return [_to_json(v, name) for v in (value if isinstance(value, Sequence) else sorted(value))]
    if value is None or isinstance(value, str | int | float):
        return value
    raise ConfigError(
        f"invalid argument: {value!r} has no form in JSON", where=f"expectation {name!r}",
        todo="use texts, numbers, times, and lists or tables of them",
    )  # fmt: skip


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        ((kind, stored),) = value.items()
        return _READ[kind](stored)
    return [_from_json(v) for v in value] if isinstance(value, list) else value


_READ: dict[str, Callable[[Any], Any]] = {
    "fact": Fact, "time": datetime.fromisoformat, "date": date.fromisoformat,
    "table": lambda table: {name: _from_json(value) for name, value in table.items()},
}  # fmt: skip
