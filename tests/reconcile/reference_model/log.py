"""The first third of the reference model: what a log contains, and which content of each record counts.

A log is a list of commits; a commit is a list of `Record`, `Close`, `Tick`, `Supersede`, `Policy` and `Tariff`, all of plain values.
Times are in µs since 1970 UTC. The other two thirds are `bookings` and `history`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from trueup.config import ServiceConfig
from trueup.policies.policy import Policy

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
RecordId = tuple[bool, str, str, str]
"""A record's identity: (is a charge, scope, key scope, record key)."""
Identity = tuple[bool, str | None, str, str]
"""The same, with None for the scope where versions of a record may have different ones."""
Correction = tuple[bool | None, str]
"""What a charge corrects: (is a charge, or None for either side; record key)."""


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
    version: int | None = None
    currency: str | None = None
    node: str | None = None
    scope: str = "s"
    key_scope: str = "k"
    given_event_id: bytes | None = None  # the event id that a lake gave the record, if any
    corrects: Correction | None = field(default=None, repr=False)
    tariff_code: str | None = field(default=None, repr=False)
    invoice: str | None = field(default=None, repr=False)
    versioned: bool = field(default=False, repr=False)  # a source of its key scope numbers versions

    @property
    def time_us(self) -> int | None:
        return self.started_us if self.started_us is not None else self.billed_us

    @property
    def record_id(self) -> RecordId:
        return (self.charge, self.scope, self.key_scope, self.key)

    @property
    def identity(self) -> Identity:
        return (self.charge, None if self.versioned else self.scope, self.key_scope, self.key)

    @property
    def event_id(self) -> bytes:
        own = repr(replace(self, source="")) + (repr(self.corrects) if self.corrects is not None else "")
        own += "".join(repr(value) for value in (self.tariff_code, self.invoice) if value is not None)
        return self.given_event_id or own.encode()


@dataclass(frozen=True)
class Close:
    source: str
    through_us: int


@dataclass(frozen=True)
class Tick:
    now_us: int
    number: int = 0  # distinguishes equal ticks of a log


@dataclass(frozen=True)
class Supersede:
    """Voids all ticks of an earlier commit from this position on, because a log names ticks by position."""

    tick: Tick


@dataclass(frozen=True)
class Tariff:
    """Rows of a tariff book."""

    rows: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class State:
    """A state of a subscription in the network; for each subscriber and instant the state that arrived last counts."""

    subscriber: str
    from_us: int
    cycle_day: int | None
    zone: str | None = None


Item = Record | Close | Tick | Supersede | Policy | Tariff | State
Log = list[list[Item]]


# --- frontiers --------------------------------------------------------------------------------------------------------


@dataclass
class KnownAtPosition:
    """Policy, frontiers, ticks and tariff book as known at one position."""

    policy: Policy
    observed: dict[str, int] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    ticks: tuple[tuple[Tick, ...], ...] = ()  # of each commit
    matched_nearest: bool = False  # some policy so far matches by nearest
    bill_lines: dict[str, bool] = field(default_factory=dict)  # by source: the rule of the last policy that has it
    book: list[dict[str, Any]] = field(default_factory=list)
    states: dict[tuple[str, int], State] = field(default_factory=dict)  # by subscriber and instant

    def cycle_day(self, subscriber: str | None, time_us: int) -> int:
        """Return the day of the month on which the billing cycle that contains an instant of a subscriber begins."""
        state = self._state(subscriber, time_us)
        return (state.cycle_day if state else None) or 1

    def zone(self, subscriber: str | None, time_us: int | None, rules: ServiceConfig) -> str:
        """Return the time zone of the period that contains an instant of a subscriber."""
        has_own = rules.period_zone == "subscriber" and time_us is not None
        state = self._state(subscriber, time_us) if has_own else None  # type: ignore[arg-type]
        return (state.zone if state else None) or self.policy.timezone

    def _state(self, subscriber: str | None, time_us: int) -> State | None:
        begun = [from_us for who, from_us in self.states if who == subscriber and from_us <= time_us]
        return self.states[str(subscriber), max(begun)] if begun else None

    @property
    def clock_us(self) -> int | None:
        return max((tick.now_us for of_commit in self.ticks for tick in of_commit), default=None)

    def void_ticks(self, commit: list[Item]) -> None:
        """Remove the ticks that a commit supersedes."""
        for item in commit:
            if isinstance(item, Supersede):
                self.ticks = tuple(of_commit for of_commit in self.ticks if item.tick not in of_commit)

    def add(self, commit: list[Item]) -> dict[str, int]:
        """Add a commit; return the closings that advanced a source, by source."""
        advanced = {}
        # Of several states of one instant in a commit the greatest content counts, whatever their order.
        for state in sorted((i for i in commit if isinstance(i, State)), key=repr):
            self.states[state.subscriber, state.from_us] = state
        self.ticks = (*self.ticks, tuple(item for item in commit if isinstance(item, Tick)))
        for item in commit:
            if isinstance(item, Tariff):
                self.book = [*self.book, *item.rows]
            elif isinstance(item, Close) and item.through_us > self.closed.get(item.source, item.through_us - 1):
                advanced[item.source] = self.closed[item.source] = item.through_us
            elif isinstance(item, Record) and item.started_us is not None:
                self.observed[item.source] = max(item.started_us, self.observed.get(item.source, item.started_us))
        return advanced

    def passed(self, charge: bool, instant_us: int | None, wait_us: int, closed_wait_us: int) -> bool:
        sources = [n for n, s in self.policy.sources.items() if s.stream == ("charge" if charge else "usage")]
        return (
            instant_us is not None
            and bool(sources)
            and all(self._has_source_passed(n, instant_us, wait_us, closed_wait_us) for n in sources)
        )

    def _has_source_passed(self, name: str, instant_us: int, wait_us: int, closed_wait_us: int) -> bool:
        rules = self.policy.sources[name]
        marks = [(self.closed.get(name), closed_wait_us)]
        if rules.lateness_us is not None:
            marks.append((self.observed.get(name), wait_us + rules.lateness_us))
        if rules.idle_after_us is not None:
            marks.append((self.clock_us, wait_us + rules.idle_after_us))
        return any(mark is not None and mark > instant_us + wait for mark, wait in marks)

    def passed_grace(self, charge: bool, instant_us: int | None, rules: ServiceConfig) -> bool:
        """Return whether the stream has passed the instant by grace."""
        return self.passed(charge, instant_us, rules.grace, closed_wait(rules))


def closed_wait(rules: ServiceConfig) -> int:
    return rules.start_tolerance if "nearest" in rules.match else 0


# --- which content of a record counts ---------------------------------------------------------------------------------


@dataclass
class AdmittedRecord:
    """The content of a record that counts, and how it arrived."""

    record: Record
    position: int
    late: bool
    beyond_horizon: bool
    currency: str
    contents: dict[bytes, int | None]  # all contents, with their versions
    in_conflict: bool = False
    corrected: bool = False  # it replaced a content of a lesser version
    frozen: bool = False  # its stream has passed a time that counted, so the record may be settled
    assigned_time_us: int | None = None  # of an undated record: its time, which a closing of its source assigns

    @property
    def last_us(self) -> int | None:
        return self.record.time_us if self.record.time_us is not None else self.assigned_time_us


def version_of(record: Record) -> tuple[bool, int]:
    """Return the version of a content; one without is the least."""
    return (record.version is not None, record.version or 0)


def rank(record: Record) -> tuple[tuple[bool, int], int, int, bytes]:
    return (version_of(record), record.quantity_micros or 0, record.amount_micros, record.event_id)


def admit(
    records: dict[RecordId, AdmittedRecord], commit: list[Item], position: int, before: KnownAtPosition
) -> dict[RecordId, AdmittedRecord]:
    """Add a commit to `records`; return the records whose counted content is new, and those that a version withdrew.

    A version with another scope withdraws the record of the former scope at the same position.
    """
    fresh: dict[Identity, dict[bytes, Record]] = {}
    for record in sorted((i for i in commit if isinstance(i, Record)), key=lambda r: r.source, reverse=True):
        fresh.setdefault(record.identity, {})[record.event_id] = record
    counted = {one.record.identity: record_id for record_id, one in records.items()}

    def late(record: Record) -> bool:
        return before.passed(record.charge, record.time_us, 0, 0)

    def behind_horizon(record: Record) -> bool:
        return before.passed(record.charge, record.time_us, before.policy.horizon_us, before.policy.horizon_us)

    def may_correct(record: Record, known: AdmittedRecord) -> bool:
        was = (known.record.scope, known.record.session, known.currency, (known.record.corrects or (None, None))[1])
        corrects = (record.corrects or (None, None))[1]
        is_regrouped = (record.scope, record.session, currency_of(record, before.policy), corrects) != was
        may_be_settled = known.frozen and before.matched_nearest
        return not (behind_horizon(record) or behind_horizon(known.record) or (is_regrouped and may_be_settled))

    new: dict[RecordId, AdmittedRecord] = {}
    for identity, contents in fresh.items():
        known = records.get(counted.get(identity))  # type: ignore[arg-type]
        refused = False
        if known is None:
            best = max(contents.values(), key=rank)
        else:
            unseen = [r for i, r in contents.items() if i not in known.contents]
            corrections = [r for r in unseen if version_of(r) > version_of(known.record)]
            applied = [r for r in corrections if may_correct(r, known)]
            refused = len(applied) < len(corrections)
            rivals = [r for r in unseen if version_of(r) == version_of(known.record) and not late(r) and not known.frozen]
            best = max([known.record, *rivals, *applied], key=rank)
        seen = (known.contents if known else {}) | {i: r.version for i, r in contents.items()}
        in_conflict = refused or bool(known and known.in_conflict) or len(set(seen.values())) < len(seen)
        if known is not None and best is known.record:
            known.contents, known.in_conflict = seen, in_conflict
            continue
        beyond_horizon = known is None and behind_horizon(best) and best.corrects is None
        if known is not None and known.record.record_id != best.record_id:
            withdrawn = records.pop(known.record.record_id)
            new[known.record.record_id] = replace(
                withdrawn, record=replace(withdrawn.record, corrects=None), late=False, beyond_horizon=False,
                corrected=version_of(best) > version_of(known.record),
            )  # fmt: skip
        records[best.record_id] = new[best.record_id] = AdmittedRecord(
            best, position, known is None and late(best), beyond_horizon, currency_of(best, before.policy), seen, in_conflict,
            known is not None and version_of(best) > version_of(known.record), known is not None and known.frozen,
        )  # fmt: skip
    return new


def currency_of(record: Record, policy: Policy) -> str:
    currency = record.currency if record.charge else rules_of(record.service, policy).currency
    return currency or policy.currency


def rules_of(service: str | None, policy: Policy) -> ServiceConfig:
    return policy.services.get(service, policy.default) if service is not None else policy.default


def line_of(service: str | None, policy: Policy) -> str | None:
    """Return the service that covers another, or else that service itself; its sums contain the money of both."""
    lines = [name for name, rules in policy.services.items() if service in rules.covers]
    return lines[0] if lines else service


def matching_rules_of(service: str | None, policy: Policy) -> ServiceConfig:
    """Return the rules of a service; of a covered one its own prices, and all else of the service that covers it."""
    own, line = rules_of(service, policy), line_of(service, policy)
    if line == service:
        return own
    return rules_of(line, policy).model_copy(
        update={"price": own.price, "price_per": own.price_per, "currency": own.currency, "parts": own.parts, "covers": ()}
    )
