"""What a log tells, and which of it counts: the first third of the model (then `meaning`, then `story`).

A log is a list of commits, each a list of `Record`, `Close`, `Tick`, `Supersede`, `Policy` and `Tariff`. Plain values, times in µs
since 1970 UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from trueup.config import ServiceConfig
from trueup.reconcile.domain.policies import Policy

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
Rid = tuple[bool, str, str, str]
"""A record's name: (is a charge, scope, key scope, record key)."""


@dataclass(frozen=True)
class Record:
    charge: bool
    source: str
    key: str
    session: str | None = None
    service: str | None = "voice"
    subscriber: str | None = "s"
    peer: str | None = "p"
    started_us: int | None = None
    billed_us: int | None = None
    quantity_micros: int | None = 0
    amount_micros: int = 0
    part: int | None = None
    currency: str | None = None
    node: str | None = None
    scope: str = "s"
    key_scope: str = "k"
    known_as: bytes | None = None  # the event id, where a lake has given one

    @property
    def time_us(self) -> int | None:
        return self.started_us if self.started_us is not None else self.billed_us

    @property
    def rid(self) -> Rid:
        return (self.charge, self.scope, self.key_scope, self.key)

    @property
    def event_id(self) -> bytes:
        return self.known_as or repr(replace(self, source="")).encode()


@dataclass(frozen=True)
class Close:
    source: str
    through_us: int


@dataclass(frozen=True)
class Tick:
    now_us: int
    number: int = 0  # which of the log's ticks it is


@dataclass(frozen=True)
class Supersede:
    """A tick of an earlier commit is void from here on."""

    tick: Tick


@dataclass(frozen=True)
class Tariff:
    """Rows of a tariff book, as plain values."""

    rows: tuple[dict[str, Any], ...]


Item = Record | Close | Tick | Supersede | Policy | Tariff
Log = list[list[Item]]


# --- how far the sources are complete ---------------------------------------------------------------------------------


@dataclass
class Known:
    policy: Policy
    observed: dict[str, int] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    ticks: tuple[Tick, ...] = ()
    book: list[dict[str, Any]] = field(default_factory=list)

    @property
    def clock_us(self) -> int | None:
        return max((tick.now_us for tick in self.ticks), default=None)

    def forget(self, commit: list[Item]) -> None:
        """The ticks that a commit supersedes say nothing from it on."""
        for item in commit:
            if isinstance(item, Supersede):
                self.ticks = tuple(tick for tick in self.ticks if tick != item.tick)

    def learn(self, commit: list[Item]) -> dict[str, int]:
        """Takes a commit in; returns the closings that told something new."""
        raised = {}
        for item in commit:
            if isinstance(item, Tariff):
                self.book = [*self.book, *item.rows]
            elif isinstance(item, Close) and item.through_us > self.closed.get(item.source, item.through_us - 1):
                raised[item.source] = self.closed[item.source] = item.through_us
            elif isinstance(item, Tick):
                self.ticks = (*self.ticks, item)
            elif isinstance(item, Record) and item.started_us is not None:
                self.observed[item.source] = max(item.started_us, self.observed.get(item.source, item.started_us))
        return raised

    def passed(self, charge: bool, instant_us: int | None, wait_us: int, closed_wait_us: int) -> bool:
        sources = [n for n, s in self.policy.sources.items() if s.stream == ("charge" if charge else "usage")]
        return instant_us is not None and bool(sources) and all(self._one(n, instant_us, wait_us, closed_wait_us) for n in sources)

    def _one(self, name: str, instant_us: int, wait_us: int, closed_wait_us: int) -> bool:
        rules = self.policy.sources[name]
        said = [(self.closed.get(name), closed_wait_us)]
        if rules.lateness_us is not None:
            said.append((self.observed.get(name), wait_us + rules.lateness_us))
        if rules.idle_after_us is not None:
            said.append((self.clock_us, wait_us + rules.idle_after_us))
        return any(mark is not None and mark > instant_us + wait for mark, wait in said)

    def waited(self, charge: bool, instant_us: int | None, rules: ServiceConfig) -> bool:
        """The stream has passed the instant by grace."""
        return self.passed(charge, instant_us, rules.grace, closed_wait(rules))


def closed_wait(rules: ServiceConfig) -> int:
    return rules.start_tolerance if "nearest" in rules.match else 0


# --- which content of a record counts ---------------------------------------------------------------------------------


@dataclass
class Held:
    record: Record
    since: int
    late: bool
    beyond: bool
    currency: str
    contents: set[bytes]
    shut: bool = False  # its stream has passed its time since it came
    due_us: int | None = None  # of a record without any time

    @property
    def last_us(self) -> int | None:
        return self.record.time_us if self.record.time_us is not None else self.due_us


def rank(record: Record) -> tuple[int, int, bytes]:
    return (record.quantity_micros or 0, record.amount_micros, record.event_id)


def admit(held: dict[Rid, Held], commit: list[Item], position: int, before: Known) -> dict[Rid, Held]:
    """Takes a commit into `blocked_by_edge`; returns the records whose counted content is new."""
    fresh: dict[Rid, dict[bytes, Record]] = {}
    for record in sorted((i for i in commit if isinstance(i, Record)), key=lambda r: r.source, reverse=True):
        fresh.setdefault(record.rid, {})[record.event_id] = record

    def late(record: Record) -> bool:
        return before.passed(record.charge, record.time_us, 0, 0)

    new: dict[Rid, Held] = {}
    for rid, contents in fresh.items():
        known = held.get(rid)
        if known is None:
            best, rivals = max(contents.values(), key=rank), []
        else:
            rivals = [r for i, r in contents.items() if i not in known.contents and not late(r) and not known.shut]
            best = max([known.record, *rivals], key=rank)
        seen = (known.contents if known else set()) | set(contents)
        if known is not None and best is known.record:
            known.contents = seen
            continue
        horizon = before.policy.horizon_us
        behind = known is None and before.passed(best.charge, best.time_us, horizon, horizon)
        held[rid] = new[rid] = Held(best, position, known is None and late(best), behind, currency_of(best, before.policy), seen)
    return new


def currency_of(record: Record, policy: Policy) -> str:
    told = record.currency if record.charge else rules_of(record.service, policy).currency
    return told or policy.currency


def rules_of(service: str | None, policy: Policy) -> ServiceConfig:
    return policy.services.get(service, policy.default) if service is not None else policy.default
