"""What reconciliation means, by brute force: at every position everything is worked out anew from the records that count.

Plain Python over plain values, meant to be read and to be slow. `tell(log)` walks a log, a list of commits each of which is a
list of `Record`, `Close`, `Tick` and `Policy`, and tells its story: every change of a finding, the sums after each position, the
place of each record and the pairs that have settled. Carried along a log are only the content that counts of each record, the
settled pairs and what the sources have told of how far they are complete.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from trueup.config import ServiceConfig
from trueup.reconcile.rules import Policy

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
US = timedelta(microseconds=1)
Rid = tuple[bool, str, str, str]
"""A record's name: (is a charge, scope, key scope, record key)."""
Name = tuple[bool, str, str, str, str]
"""A unit's name, shared by a session and its bill: (alone, scope, key, scope of that key, currency)."""


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


Item = Record | Close | Tick | Policy
Log = list[list[Item]]


# --- how far the sources are complete ---------------------------------------------------------------------------------


@dataclass
class Known:
    policy: Policy
    observed: dict[str, int] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    clock_us: int | None = None

    def learn(self, commit: list[Item]) -> dict[str, int]:
        """Takes a commit in; returns the closings that told something new."""
        raised = {}
        for item in commit:
            if isinstance(item, Close) and item.through_us > self.closed.get(item.source, item.through_us - 1):
                raised[item.source] = self.closed[item.source] = item.through_us
            elif isinstance(item, Tick):
                self.clock_us = max(item.now_us, item.now_us if self.clock_us is None else self.clock_us)
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
    """Takes a commit into `held`; returns the records whose counted content is new."""
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


# --- sessions and bills -----------------------------------------------------------------------------------------------


class Unit:
    """A session (of usage) or a bill (of charges) as of one position."""

    def __init__(self, name: Name, charge: bool, held: dict[Rid, Held], known: Known) -> None:
        def by_time(rid: Rid) -> tuple[bool, int, Rid]:
            time = held[rid].record.time_us
            return (time is None, time or 0, rid)

        order = sorted(held, key=by_time)
        first = held[order[0]]
        self.name, self.charge, self.held, self.known = name, charge, held, known
        self.service, self.subscriber, self.peer, self.node = (getattr(first.record, n) for n in ("service", "subscriber", "peer", "node"))
        self.rules, self.alone = rules_of(self.service, known.policy), name[0]
        self.beyond = first.beyond
        self.match = () if self.beyond else self.rules.match
        slots: dict[int | None, list[Rid]] = {}
        for rid in order:
            slots.setdefault(held[rid].record.part, []).append(rid)
        least = [min(slot, key=lambda r: (held[r].record.amount_micros < 0, by_time(r))) for slot in slots.values()]
        self.main = least if charge else order
        core = [held[r].record for r in self.main]
        times, lasts = [r.time_us for r in core if r.time_us is not None], [h.last_us for h in held.values()]
        self.start_us = min(times, default=None)
        self.last_us = None if None in lasts else max(t for t in lasts if t is not None)
        self.has_start = all(r.started_us is not None for r in core)
        quantities = [r.quantity_micros for r in core]
        self.quantity = None if None in quantities else sum(q for q in quantities if q is not None)
        self.in_parts = any(h.record.part is not None for h in held.values())
        self.whole = self.beyond or not self.in_parts or known.waited(charge, self.last_us, self.rules)

    def money(self, rids: list[Rid] | None = None) -> int:
        return sum(self.held[r].record.amount_micros for r in (self.held if rids is None else rids))

    @property
    def excess(self) -> list[Rid]:
        return [r for r in self.held if r not in self.main]

    @property
    def expected(self) -> int | None:
        return priced(self.rules, self.quantity, self.name[4], self.known.policy)

    @property
    def final_alone(self) -> bool:
        return self.beyond or (self.whole and self.known.waited(not self.charge, self.last_us, self.rules))

    @property
    def ripe(self) -> bool:
        wait = self.rules.start_tolerance if self.alone else self.rules.grace
        closed = min(wait, closed_wait(self.rules))
        return all(self.known.passed(side, self.last_us, wait, closed) for side in (False, True))

    @property
    def open_key(self) -> bool:
        return not self.alone and not self.ripe

    @property
    def party(self) -> tuple[str | None, ...]:
        return (self.name[1], self.name[4], self.service, self.subscriber, self.peer)


def priced(rules: ServiceConfig, quantity: int | None, currency: str, policy: Policy) -> int | None:
    """The price of a quantity, rounded half to even; None where the rules in force name none in that currency."""
    if rules.price is None or quantity is None or (rules.currency or policy.currency) != currency:
        return None
    whole, rest = divmod(quantity * rules.price, divisor := rules.price_per * 1_000_000)
    return whole + (2 * rest > divisor or (2 * rest == divisor and whole % 2))


def units_of(held: dict[Rid, Held], charge: bool, known: Known) -> dict[Name, Unit]:
    groups: dict[Name, dict[Rid, Held]] = {}
    for rid, one in held.items():
        if rid[0] == charge:
            alone = one.beyond or one.record.session is None
            key, its_scope = (rid[3], f"{int(one.beyond)}{rid[2]}") if alone else (one.record.session or "", "")
            groups.setdefault((alone, rid[1], key, its_scope, one.currency), {})[rid] = one
    return {name: Unit(name, charge, members, known) for name, members in groups.items()}


# --- matching ---------------------------------------------------------------------------------------------------------


@dataclass
class Matched:
    links: set[Name]  # sessions with the bill of their own name
    excess: set[Name]  # bills whose session has settled with another
    sessions: dict[Name, Unit]  # free
    bills: dict[Name, Unit]
    edges: dict[tuple[Name, Name], tuple[object, ...]]


def match(sessions: dict[Name, Unit], bills: dict[Name, Unit], settled: dict[Name, Name]) -> Matched:
    """Links exactly, then adds to `settled` (session → bill) whatever can be decided, until nothing can."""
    same = {
        n for n, s in sessions.items()
        if n in bills and not s.alone and "session_key" in s.match and "aggregate" not in bills[n].match and n not in settled.values()
    }  # fmt: skip
    links, excess = same - settled.keys(), same & settled.keys()
    while True:
        free_s = {n: s for n, s in sessions.items() if n not in links | settled.keys() and "aggregate" not in s.match}
        busy = links | excess | set(settled.values())
        free_b = {n: b for n, b in bills.items() if n not in busy and "aggregate" not in b.match}
        edges = {(s, b): edge for s in free_s for b in free_b if (edge := edge_of(free_s[s], free_b[b])) is not None}
        first = {
            (s, b) for (s, b), edge in edges.items()
            if free_s[s].ripe and free_b[b].ripe and all(edge <= e for ends, e in edges.items() if s == ends[0] or b == ends[1])
        }  # fmt: skip
        if not first:
            return Matched(links, excess, free_s, free_b, edges)
        settled.update(first)


def edge_of(s: Unit, b: Unit) -> tuple[object, ...] | None:
    if "nearest" not in s.match or b.beyond or s.party != b.party or not b.has_start or b.quantity is None or s.quantity is None:
        return None
    assert s.start_us is not None and b.start_us is not None
    apart, more = abs(s.start_us - b.start_us), abs(s.quantity - b.quantity)
    undecided = s.open_key or b.open_key
    if apart > s.rules.start_tolerance or (more > s.rules.quantity_tolerance and not undecided):
        return None
    return (not undecided, apart, more, s.name, b.name)


# --- where the money of each record is --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    kind: str
    subject: tuple[object, ...]
    service: str
    day: date | None
    currency: str
    expected: int
    billed: int
    usage: tuple[Rid, ...]
    charges: tuple[Rid, ...]
    unrated: int
    shown: tuple[object, ...]  # subscriber, peer, node and start: told with a finding, but no change of it

    @property
    def content(self) -> tuple[object, ...]:
        return (self.service, self.day, self.currency, self.expected, self.billed, self.usage, self.charges)


def place(unit: Unit, kind: str, expected: int | None, billed: int, usage: object = (), charges: object = ()) -> Place:
    """A place under a session's or bill's own name; what cannot be priced is unrated, what bears no money is tolerated."""
    rated = expected or 0
    if kind not in ("pending", "unrated") and rated == billed:
        kind = "tolerated"
    return Place(
        kind, ("bill" if unit.charge else "session", unit.name), unit.service or "", local_day(unit.start_us, unit.known.policy), unit.name[4],
        rated, billed, tuple(sorted(usage)), tuple(sorted(charges)), 0 if expected is not None else len(unit.held),
        (unit.subscriber, unit.peer, unit.node, unit.start_us),
    )  # type: ignore[call-overload]  # fmt: skip


def judged(rules: ServiceConfig, expected: int, billed: int, used: int, charged: int | None, other: int | None) -> str:
    """The kind of a matched pair or period; `other` is the price of the quantity charged."""
    if charged is not None and abs(used - charged) > rules.quantity_tolerance:
        return "underbilled" if expected > billed else "overbilled"
    prices = [expected, expected if other is None else other]
    slack = rules.amount_tolerance
    return "tolerated" if min(prices) - slack <= billed <= max(prices) + slack else "misrated"


def places_of(sessions: dict[Name, Unit], bills: dict[Name, Unit], matched: Matched, settled: dict[Name, Name], known: Known) -> list[Place]:
    booked: list[Place] = []
    for sid, bid in {**settled, **{n: n for n in matched.links}}.items():
        s, b, further = sessions[sid], bills[bid], [bills[sid]] if sid in matched.excess else []
        extra = [*b.excess, *(r for f in further for r in f.held)]
        extra_money = b.money(b.excess) + sum(f.money() for f in further)
        is_open = sid not in settled and not (s.whole and b.whole)
        charges, billed = list(b.main), b.money(b.main)
        if extra_money > 0 and not is_open:
            booked.append(place(s, "duplicate_charge", 0, extra_money, (), extra))
        else:
            charges, billed = charges + extra, billed + extra_money
        kind = "pending" if is_open else "unrated"
        if not is_open and s.expected is not None and s.quantity is not None:
            kind = judged(s.rules, s.expected, billed, s.quantity, b.quantity, priced(s.rules, b.quantity, s.name[4], known.policy))
        booked.append(place(s, kind, s.expected, billed, s.held, charges))
    for n, s in matched.sessions.items():
        final = s.final_alone and not any(ends[0] == n for ends in matched.edges)
        booked.append(place(s, "pending" if not final else "unrated" if s.expected is None else "unbilled", s.expected, 0, s.held))
    for n, b in matched.bills.items():
        final = b.final_alone and not any(ends[1] == n for ends in matched.edges)
        booked.append(place(b, "charge_without_usage" if final else "pending", 0, b.money(), (), b.held))
    return booked + periods(sessions, bills, settled, known)


def periods(sessions: dict[Name, Unit], bills: dict[Name, Unit], settled: dict[Name, Name], known: Known) -> list[Place]:
    """Sums per scope, currency, service, subscriber and period: sessions by their start, charges each by its own time."""
    cells: dict[tuple[object, ...], tuple[list[Unit], dict[Rid, Held], Unit]] = {}

    def cell(unit: Unit, time_us: int | None) -> tuple[list[Unit], dict[Rid, Held], Unit]:
        index = None if time_us is None else wall_us(time_us, known.policy) // unit.rules.period
        return cells.setdefault((unit.name[1], unit.name[4], unit.service, unit.subscriber, index), ([], {}, unit))

    for s in sessions.values():
        if "aggregate" in s.match and s.name not in settled:
            cell(s, s.start_us)[0].append(s)
    for b in bills.values():
        if "aggregate" in b.match and b.name not in settled.values():
            for rid, one in b.held.items():
                cell(b, one.last_us)[1][rid] = one
    booked = []
    for (scope, currency, service, subscriber, index), (used, charged, unit) in cells.items():
        rules, amounts = unit.rules, [h.record.amount_micros for h in charged.values()]
        quantities = [h.record.quantity_micros for h in charged.values()]
        quantity, total = None if None in quantities else sum(quantities), sum(s.quantity for s in used)  # type: ignore[arg-type,misc]
        expected, billed = sum(s.expected or 0 for s in used), sum(amounts)
        unrated = sum(len(s.held) for s in used if s.expected is None)
        end_us = None if index is None else period_last_us(index, rules.period, known.policy)  # type: ignore[arg-type]
        if not all(known.waited(side, end_us, rules) for side in (False, True)):
            kind = "pending"
        elif unrated:
            kind = "unrated"
        elif not amounts:
            kind = "unbilled"
        elif not used:
            kind = "charge_without_usage"
        else:
            kind = judged(rules, expected, billed, total, quantity, priced(rules, quantity, str(currency), known.policy))
        kind = "tolerated" if kind not in ("pending", "unrated") and expected == billed else kind
        starts = [t for t in (*(s.start_us for s in used), *(h.record.time_us for h in charged.values())) if t is not None]
        day = None if index is None else (EPOCH + index * rules.period * US).date()  # type: ignore[operator]
        booked.append(
            Place(
                kind, ("period", scope, currency, service, subscriber, index, rules.period, known.policy.timezone), str(service or ""), day,
                str(currency), expected, billed, tuple(sorted(r for s in used for r in s.held)), tuple(sorted(charged)), unrated,
                (subscriber, None, None, min(starts, default=None)),
            )
        )  # fmt: skip
    return booked


def wall_us(time_us: int, policy: Policy) -> int:
    shown = (EPOCH + time_us * US).astimezone(ZoneInfo(policy.timezone))
    return (shown.replace(tzinfo=UTC) - EPOCH) // US


def local_day(time_us: int | None, policy: Policy) -> date | None:
    return None if time_us is None else (EPOCH + time_us * US).astimezone(ZoneInfo(policy.timezone)).date()


def period_last_us(index: int, period_us: int, policy: Policy) -> int:
    """One before the next period begins: at the later showing of a wall time shown twice, hours on where one is skipped."""
    wall_end, zone = EPOCH + (index + 1) * period_us * US, ZoneInfo(policy.timezone)
    for hours in (0, 1, 2, 24):
        shown = (wall_end + timedelta(hours=hours)).replace(tzinfo=zone)
        moments = [shown.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
        real = [m for m in moments if m.astimezone(zone).replace(tzinfo=None) == shown.replace(tzinfo=None)]
        if real:
            return (max(real) - EPOCH) // US - 1
    raise AssertionError("no zone skips more than a day")


# --- the story --------------------------------------------------------------------------------------------------------


Sums = dict[tuple[str, date | None, str], tuple[int, ...]]
"""By (service, day, currency): expected, billed, impact, tolerated, pending, unrated records."""


@dataclass
class Story:
    changes: list[dict[str, object]] = field(default_factory=list)
    sums: list[Sums] = field(default_factory=list)  # after position 1, 2, …
    places: list[dict[Rid, Place]] = field(default_factory=list)
    settled: list[dict[Name, Name]] = field(default_factory=list)
    standing: list[dict[tuple[object, ...], Place]] = field(default_factory=list)
    held: dict[Rid, Held] = field(default_factory=dict)


def tell(log: Log, first_policy: Policy) -> Story:
    """The whole story of a log; `first_policy` is in force until another is declared."""
    story, known, settled = Story(), Known(first_policy), dict[Name, Name]()
    before: list[Place] = []
    for position, commit in enumerate(log, start=1):
        known.policy = next((i for i in commit if isinstance(i, Policy)), known.policy)
        ids_before = {rid: one.record.event_id for rid, one in story.held.items()}
        seen_before = {rid: len(one.contents) for rid, one in story.held.items()}
        new = admit(story.held, commit, position, known)
        raised = known.learn(commit)
        for one in story.held.values():
            one.shut = one.shut or known.passed(one.record.charge, one.record.time_us, 0, 0)
            if one.due_us is None and one.record.time_us is None and one.record.source in raised:
                one.due_us = raised[one.record.source] - 1
        sessions, bills = (units_of(story.held, side, known) for side in (False, True))
        booked = places_of(sessions, bills, match(sessions, bills, settled), settled, known)
        declared = any(isinstance(i, Policy) for i in commit)
        story.changes += changes(position, before, booked, new, declared, story.held, ids_before)
        for rid, one in story.held.items():
            if len(one.contents) > max(seen_before.get(rid, 1), 1):
                story.changes.append(conflict(position, one, seen_before.get(rid, 1) == 1, known))
        story.sums.append(added_up(booked))
        story.places.append({rid: p for p in booked for rid in (*p.usage, *p.charges)})
        story.standing.append(standing(booked))
        story.settled.append(dict(settled))
        assert sum(len(p.usage) + len(p.charges) for p in booked) == len(story.places[-1]) == len(story.held)
        before = booked
    return story


def standing(places: list[Place]) -> dict[tuple[object, ...], Place]:
    return {(p.kind, p.subject): p for p in places if p.kind not in ("pending", "tolerated")}


def changes(
    position: int, before: list[Place], now: list[Place], new: dict[Rid, Held], declared: bool, held: dict[Rid, Held], ids_before: dict[Rid, bytes]
) -> list[dict[str, object]]:
    """What the findings of two positions differ by, and why."""
    was, stands, told = standing(before), standing(now), []
    for fid in {**was, **stands}:
        old, new_one = was.get(fid), stands.get(fid)
        if old and new_one and old.content == new_one.content:
            continue
        near = {r for p in (old, new_one) if p for r in (*p.usage, *p.charges)}
        subjects = {p.subject for p in (*before, *now) if near & {*p.usage, *p.charges}}
        near |= {r for p in (*before, *now) if p.subject in subjects for r in (*p.usage, *p.charges)}
        arrived = near & new.keys()
        decided = any(p.kind != "pending" and near & {*p.usage, *p.charges} for p in before)
        if not arrived:
            cause = "policy_change" if declared else "frontier"
        elif any(new[r].beyond for r in arrived):
            cause = "beyond_horizon"
        elif decided or any(new[r].late for r in arrived):
            cause = "late_charge" if any(r[0] for r in arrived) else "late_usage"
        else:
            cause = "arrival"
        shown = new_one or old
        assert shown
        gone = "resolved" if cause == "late_charge" else "retracted"
        ids = {rid: one.record.event_id for rid, one in held.items()} if new_one else ids_before
        told.append(
            told_of(position, "raised" if not old else "revised" if new_one else gone, cause, shown, [ids[r] for r in shown.usage],
                    [ids[r] for r in shown.charges], [])
        )  # fmt: skip
    return told


def conflict(position: int, one: Held, first: bool, known: Known) -> dict[str, object]:
    r, ids = one.record, [one.record.event_id]
    shown = Place(
        "conflicting_charge" if r.charge else "conflicting_usage", ("record", r.rid), r.service or "", local_day(r.time_us, known.policy),
        one.currency, 0, 0, (), (), 0, (r.subscriber, r.peer, r.node, r.time_us),
    )  # fmt: skip
    mine = ([], ids) if r.charge else (ids, [])
    return told_of(position, "raised" if first else "revised", "conflict", shown, *mine, sorted(one.contents))


def told_of(position: int, action: str, cause: str, p: Place, usage: list[bytes], charges: list[bytes], contents: list[bytes]) -> dict[str, object]:
    subscriber, peer, node, started_us = p.shown
    return {
        "finding": (p.kind, p.subject), "position": position, "action": action, "cause": cause, "kind": p.kind, "service": p.service,
        "subscriber": subscriber, "peer": peer, "node": node, "day": p.day, "started_us": started_us, "expected_micros": p.expected,
        "billed_micros": p.billed, "currency": p.currency, "usage_event_ids": tuple(sorted(usage)),
        "charge_event_ids": tuple(sorted(charges)), "content_event_ids": tuple(contents),
    }  # fmt: skip


def added_up(places: list[Place]) -> Sums:
    cells: dict[tuple[str, date | None, str], Counter[str]] = {}
    for p in places:
        row = cells.setdefault((p.service, p.day, p.currency), Counter())
        row.update(expected=p.expected, billed=p.billed, unrated=p.unrated)
        row[p.kind if p.kind in ("pending", "tolerated") else "impact"] += p.expected - p.billed
    rows = {cell: tuple(row[n] for n in ("expected", "billed", "impact", "tolerated", "pending", "unrated")) for cell, row in cells.items()}
    return {cell: row for cell, row in rows.items() if any(row)}
