"""What decides the findings of feeds, as declared in the log: in force from a position on, so that earlier findings stay as told.

The gate is no part of it: what becomes of a day is decided anew each time somebody asks.
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

KIND = "quality_policy"
Content = dict[str, Any]


@dataclass(frozen=True)
class QualityPolicy:
    """What decides the controls and what is expected of each stream."""

    rules: Rules
    expectations: tuple[Expectation, ...]

    def expected_of(self, stream: str, source: str) -> list[Expectation]:
        """What must hold of a feed: what is expected of its stream, and of it alone."""
        return [e for e in self.expectations if e.stream == stream and e.source in (None, source)]


@dataclass(frozen=True)
class Stretch:
    """Positions in (after, upto] under one policy."""

    after: int
    upto: int
    policy: QualityPolicy


def policy_of(project: Project) -> QualityPolicy:
    """The policy of a configuration; raises `ConfigError` for expectations that cannot be meant."""
    config, quality = project.config, project.config.quality
    rules = Rules(
        {s.name: Feed(s.name, s.stream, s.lateness, s.feed) for s in config.source if s.stream in MOVEMENTS},
        config.project.timezone, config.project.currency, frozenset(quality.holidays), quality.false_alarms_per_year,
        quality.lookback,
    )  # fmt: skip
    return QualityPolicy(rules, tuple(e for stream in (*MOVEMENTS, *STATES) for e in expectations(project, stream)))


def ensure_quality_policy(lake: Lake) -> int | None:
    """Declares the project's policy when it differs from the one in force; returns its position, None when nothing changed.

    Raises `ConfigError` for expectations that cannot be meant.
    """
    policy = policy_of(lake.project)
    wanted = content_of(policy)

    def declare(transaction: Transaction) -> int | None:
        standing = _contents(lake)
        return None if standing and standing[-1][1] == wanted else transaction.declare(KIND, content=wanted)

    standing = _contents(lake)
    if standing and standing[-1][1] == wanted:
        return None
    _check_meant(policy)
    return lake.commit(declare)


def _check_meant(policy: QualityPolicy) -> None:
    """Raises `ConfigError` for what the library could not make, before it is in force for good."""
    if importlib.util.find_spec("great_expectations") is None:
        return
    from trueup.quality.validation.engine import check_meant

    for expectation in policy.expectations:
        check_meant(expectation)


def stretches_of(lake: Lake, *, after: int, upto: int) -> list[Stretch]:
    """Positions in (after, upto] by the policy they are under; what came before the first is under the first."""
    contents = [(0 if number == 0 else position, content) for number, (position, content) in enumerate(_contents(lake))]
    found = list[Stretch]()
    for number, (since, content) in enumerate(contents):
        until = contents[number + 1][0] - 1 if number + 1 < len(contents) else upto
        low, high = max(after, since - 1), min(upto, until)
        if low < high:
            found.append(Stretch(low, high, from_content(content, since=since)))
    return found


def _contents(lake: Lake) -> list[tuple[int, Content]]:
    rows = lake.connection.execute(statement("policies"), {"kind": KIND}).fetchall()
    return [(position, json.loads(content)) for position, content in rows]


# --- as JSON ----------------------------------------------------------------------------------------------------------


def content_of(policy: QualityPolicy) -> Content:
    """A policy as what its declaration says, exactly as reading that gives it back."""
    rules = policy.rules
    told = {
        "feeds": {
            f.name: {"stream": f.stream, "lateness_us": f.lateness_us, **f.feed.model_dump()} for f in rules.feeds.values()
        },
        "timezone": rules.timezone, "currency": rules.currency, "holidays": sorted(map(str, rules.holidays)),
        "false_alarms_per_year": rules.false_alarms_per_year, "lookback_us": rules.lookback_us,
        "expectations": [expectation_content(e) for e in policy.expectations],
    }  # fmt: skip
    read: Content = json.loads(json.dumps(told))
    return read


def from_content(content: Content, *, since: int) -> QualityPolicy:
    """The policy that a declaration says, in force since its position."""
    rules = Rules(
        {name: _feed(name, told) for name, told in content["feeds"].items()}, content["timezone"], content["currency"],
        frozenset(map(date.fromisoformat, content["holidays"])), content["false_alarms_per_year"], content["lookback_us"], since,
    )  # fmt: skip
    return QualityPolicy(rules, tuple(expectation_from(told) for told in content["expectations"]))


def _feed(name: str, told: Mapping[str, Any]) -> Feed:
    rest = {n: v for n, v in told.items() if n not in ("stream", "lateness_us")}
    # It was checked when it was declared, and its durations are numbers now.
    return Feed(name, told["stream"], told["lateness_us"], FeedConfig.model_construct(**rest))


def expectation_content(e: Expectation) -> Content:
    """An expectation as JSON values; raises `ConfigError` for an argument that JSON cannot hold."""
    return {**asdict(e), "arguments": {n: _told(v, e.name) for n, v in e.arguments.items()}}


def expectation_from(told: Mapping[str, Any]) -> Expectation:
    """The expectation that `expectation_content` wrote."""
    return Expectation(**{**told, "arguments": {name: _meant(value) for name, value in told["arguments"].items()}})


def _told(value: object, name: str) -> object:
    if isinstance(value, Fact):
        return {"fact": value.name}
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    if isinstance(value, Mapping):
        return {"table": {str(n): _told(v, name) for n, v in value.items()}}
    if isinstance(value, Sequence | frozenset | set) and not isinstance(value, str | bytes):
        return [_told(v, name) for v in (value if isinstance(value, Sequence) else sorted(value))]
    if value is None or isinstance(value, str | int | float):
        return value
    raise ConfigError(
        f"{value!r} is no argument that can be written down", where=f"expectation {name!r}",
        todo="use texts, numbers, times, and lists or tables of them",
    )  # fmt: skip


def _meant(value: Any) -> Any:
    if isinstance(value, dict):
        ((kind, told),) = value.items()
        return _READ[kind](told)
    return [_meant(v) for v in value] if isinstance(value, list) else value


_READ: dict[str, Callable[[Any], Any]] = {
    "fact": Fact, "time": datetime.fromisoformat, "date": date.fromisoformat,
    "table": lambda told: {name: _meant(value) for name, value in told.items()},
}  # fmt: skip
