"""The second third of the reference model: groups, matches and bookings at one position, computed afresh by brute force.

A *group* is a session (of usage) or a charge group (of charges). It has all records of one session key and currency, or one
record without a key. A *booking* has the records whose money is judged together; its kind is `pending`, `tolerated` or a finding
kind.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import fractions_rater
from reference_model.log import (
    EPOCH,
    US,
    AdmittedRecord,
    KnownAtPosition,
    Record,
    RecordId,
    closed_wait,
    line_of,
    matching_rules_of,
    rules_of,
)

from trueup.config import ServiceConfig
from trueup.policies.policy import Policy

Name = tuple[bool, str, str, str, str]
"""A group's name, which a session and its charge group share: (is unkeyed, scope, key, scope of that key, currency)."""

# --- sessions and charge groups ---------------------------------------------------------------------------------------


class Group:
    """A session (of usage) or a charge group as known at one position."""

    def __init__(self, name: Name, charge: bool, records: dict[RecordId, AdmittedRecord], known: KnownAtPosition) -> None:
        def by_time(record_id: RecordId) -> tuple[bool, int, RecordId]:
            time = records[record_id].record.time_us
            return (time is None, time or 0, record_id)

        order = sorted(records, key=by_time)
        first = records[order[0]]
        self.name, self.charge, self.records, self.known = name, charge, records, known
        self.service, self.subscriber, self.peer, self.node = (
            getattr(first.record, n) for n in ("service", "subscriber", "peer", "node")
        )
        self.rules, self.unkeyed = matching_rules_of(self.service, known.policy), name[0]
        self.beyond_horizon, self.is_correction = first.beyond_horizon, first.record.corrects is not None
        self.match = () if self.beyond_horizon or self.is_correction else self.rules.match
        lines = {r for r in order if charge and in_bill_lines(records[r].record, known)}
        slots: dict[tuple[int | None, RecordId | None], list[RecordId]] = {}
        for record_id in order:
            slot = (records[record_id].record.part, record_id if record_id in lines else None)
            slots.setdefault(slot, []).append(record_id)
        first_of_slot = [min(slot, key=lambda r: (records[r].record.amount_micros < 0, by_time(r))) for slot in slots.values()]
        self.main = first_of_slot if charge else order
        main_records = [records[r].record for r in self.main]
        times, lasts = [r.time_us for r in main_records if r.time_us is not None], [h.last_us for h in records.values()]
        self.start_us = min(times, default=None)
        self.last_us = None if None in lasts else max(t for t in lasts if t is not None)
        self.has_start = all(r.started_us is not None for r in main_records)
        quantities = [r.quantity_micros for r in main_records]
        self.quantity = None if None in quantities else sum(q for q in quantities if q is not None)
        if not charge and self.rules.parts != "sum":
            self.quantity = quantities[-1] if self.rules.parts == "last" else max(q for q in quantities if q is not None)
        is_counter = not charge and self.rules.parts != "sum"
        self.has_partials = is_counter or bool(lines) or any(h.record.part is not None for h in records.values())
        self.price: int | None = None  # by the tariff book, among all other sessions
        self.is_complete = self.beyond_horizon or not self.has_partials or known.passed_grace(charge, self.last_us, self.rules)

    def money(self, record_ids: list[RecordId] | None = None) -> int:
        return sum(self.records[r].record.amount_micros for r in (self.records if record_ids is None else record_ids))

    @property
    def excess(self) -> list[RecordId]:
        return [r for r in self.records if r not in self.main]

    @property
    def expected(self) -> int | None:
        if self.by_book:
            return self.price
        return priced(self.rules, self.quantity, self.name[4], self.known.policy)

    @property
    def by_book(self) -> bool:
        """Return whether the tariff book prices the session, because the rules in force have no flat price."""
        return self.rules.price is None and bool(self.known.book)

    def call(self, quantity: int | None) -> dict[str, Any]:
        """Return the session as a call of the slow rater; allowances are shared only within one value of the bucket key."""
        first = min(self.records, key=lambda r: (self.records[r].record.time_us is None, self.records[r].record.time_us or 0, r))
        subscriber = None if self.subscriber is None else f"{self.name[1]} {self.subscriber}"
        unknown = dict.fromkeys(("plan", "direction", "zone", "trunk"))
        return unknown | {
            "service": self.service, "peer": self.peer, "own_number": self.subscriber, "account": self.name[1] or None, "subscriber": subscriber, "currency": self.name[4],
            "start_us": self.start_us, "quantity_micros": quantity if quantity is not None and quantity < 2**63 else None,
            "order": self.records[first].record.event_id,
            "cycle_day": None if self.start_us is None else self.known.cycle_day(self.subscriber, self.start_us),
        }  # fmt: skip

    @property
    def is_final_unmatched(self) -> bool:
        return self.beyond_horizon or (self.is_complete and self.known.passed_grace(not self.charge, self.last_us, self.rules))

    @property
    def match_ready(self) -> bool:
        wait = self.rules.start_tolerance if self.unkeyed else self.rules.grace
        closed_wait_us = min(wait, closed_wait(self.rules))
        return all(self.known.passed(side, self.last_us, wait, closed_wait_us) for side in (False, True))

    @property
    def awaits_exact_match(self) -> bool:
        return not self.unkeyed and not self.match_ready

    @property
    def party(self) -> tuple[str | None, ...]:
        return (self.name[1], self.name[4], self.service, self.subscriber, self.peer)


def in_bill_lines(record: Record, known: KnownAtPosition) -> bool:
    """Return whether a charge is a line of a bill: by the latest rule of its source, and because it has no part number."""
    return record.part is None and known.bill_lines.get(record.source, False)


def priced(rules: ServiceConfig, quantity: int | None, currency: str, policy: Policy) -> int | None:
    """Return the price of a quantity, rounded half to even; None if the rules in force have no price in that currency."""
    if rules.price is None or quantity is None or (rules.currency or policy.currency) != currency:
        return None
    price, rest = divmod(quantity * rules.price, divisor := rules.price_per * 1_000_000)
    return price + (2 * rest > divisor or (2 * rest == divisor and price % 2))


def groups_of(records: dict[RecordId, AdmittedRecord], charge: bool, known: KnownAtPosition) -> dict[Name, Group]:
    records_of: dict[Name, dict[RecordId, AdmittedRecord]] = {}
    for record_id, one in records.items():
        if record_id[0] == charge:
            unkeyed = one.beyond_horizon or one.record.session is None or one.record.corrects is not None
            key, key_scope = (
                (record_id[3], f"{int(one.beyond_horizon)}{record_id[2]}") if unkeyed else (one.record.session or "", "")
            )
            records_of.setdefault((unkeyed, record_id[1], key, key_scope, one.currency), {})[record_id] = one
    return {name: Group(name, charge, members, known) for name, members in records_of.items()}


def price_by_book(sessions: dict[Name, Group], known: KnownAtPosition) -> None:
    """Set the tariff book's price of each session that it prices; all sessions are rated together, in the order of events."""
    rated = [s for s in sessions.values() if s.by_book]
    prices = fractions_rater.price(known.book, [s.call(s.quantity) | {"call": i} for i, s in enumerate(rated)]) if rated else {}
    for i, s in enumerate(rated):
        s.price = prices[i][0]


def price_of_quantity(session: Group, quantity: int | None, sessions: dict[Name, Group]) -> int | None:
    """Return the price of another quantity in place of a session's own, with all other sessions unchanged."""
    known = session.known
    if not session.by_book:
        return priced(session.rules, quantity, session.name[4], known.policy)
    if quantity is None:
        return None
    rated = [s for s in sessions.values() if s.by_book]
    calls = [s.call(quantity if s is session else s.quantity) | {"call": i} for i, s in enumerate(rated)]
    return fractions_rater.price(known.book, calls)[rated.index(session)][0]


# --- pools ------------------------------------------------------------------------------------------------------------

Pool = tuple[object, ...]
PERIODS = ("cycle", "month", "week", "day")


def shared_terms_of(service: str | None, book: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the shared terms (allowances, and rates with tiers) of a service and of all services that share terms with it."""
    tiers = [
        r
        for r in book
        if r["item"] == "rate" and any(t["tier_from_micros"] for t in book if t["item"] == "rate" and same_rate(r, t))
    ]
    shared = [(r, {r["service"]}) for r in tiers] + [(r, services_of(r["name"], book)) for r in book if r["item"] == "allowance"]
    group, grown = {service}, {service}
    while grown:
        grown = {s for _, services in shared if services & group for s in services} - group
        group |= grown
    return [r for r, services in shared if services & group]


def same_rate(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[n] == other[n] for n in ("plan", "service", "destination", "origin", "band", "zone", "trunk", "direction"))


def services_of(name: str, book: list[dict[str, Any]]) -> set[str]:
    rows = [r for r in book if r["item"] == "allowance" and r["name"] == name]
    return {s.strip() for r in rows for s in r["services"].split(",")}


def pool_of(session: Group) -> tuple[Pool, int] | None:
    """Return the allowance pool of a session and the last instant of its period; None if the session shares nothing."""
    book = [r for r in session.known.book if r["item"] in ("rate", "allowance")]
    terms = shared_terms_of(session.service, book)
    if not session.by_book or not terms or session.start_us is None:
        return None
    by_account = any(r["shared"] == "account" for r in terms)
    sharer = session.name[1] or None if by_account else session.subscriber
    if sharer is None:
        return None
    span = min((PERIODS.index(r["period"] or "month"), r["timezone"] or "UTC") for r in terms)
    group = min(s for r in terms for s in ([r["service"]] if r["item"] == "rate" else services_of(r["name"], book)))
    cycle_day = session.known.cycle_day(session.subscriber, session.start_us)
    begins, last_us = billing_period(session.start_us, PERIODS[span[0]], span[1], cycle_day)
    return (session.name[4], session.name[1], sharer, group, begins), last_us


def billing_period(time_us: int, period: str, zone: str, cycle_day: int) -> tuple[object, int]:
    """Return the name of the billing period that contains an instant, and the period's last microsecond."""
    day = (EPOCH + time_us * US).astimezone(ZoneInfo(zone)).date()
    if period == "cycle":
        month = day.year * 12 + day.month
        month -= day < cycle_begins(month, cycle_day)
        after = cycle_begins(month + 1, cycle_day)
        return (month, cycle_day), instant_us((after - EPOCH.date()).days * 86_400_000_000, zone) - 1
    if period == "month":
        first = day.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    else:
        first = day if period == "day" else day - timedelta(days=day.weekday())
        after = first + timedelta(days=1 if period == "day" else 7)
    return first, instant_us((after - EPOCH.date()).days * 86_400_000_000, zone) - 1


# --- matching ---------------------------------------------------------------------------------------------------------


@dataclass
class Matching:
    exact: set[Name]  # sessions matched with the charge group of their own name
    excess: set[Name]  # charge groups whose session has settled with another
    free_sessions: dict[Name, Group]
    free_charge_groups: dict[Name, Group]
    edges: dict[tuple[Name, Name], tuple[object, ...]]


def match(sessions: dict[Name, Group], charge_groups: dict[Name, Group], settled: dict[Name, Name]) -> Matching:
    """Match by key, then add each decidable nearest match to `settled` (session → charge group) until none is left."""
    same = {
        n for n, s in sessions.items()
        if n in charge_groups and not s.unkeyed and "session_key" in s.match and "aggregate" not in charge_groups[n].match and n not in settled.values()
    }  # fmt: skip
    exact, excess = same - settled.keys(), same & settled.keys()
    while True:
        free_s = {n: s for n, s in sessions.items() if n not in exact | settled.keys() and "aggregate" not in s.match}
        busy = exact | excess | set(settled.values())
        free_c = {n: c for n, c in charge_groups.items() if n not in busy and "aggregate" not in c.match}
        edges = {(s, c): edge for s in free_s for c in free_c if (edge := edge_of(free_s[s], free_c[c])) is not None}
        stable = {
            (s, c) for (s, c), edge in edges.items()
            if free_s[s].match_ready and free_c[c].match_ready and all(edge <= e for ends, e in edges.items() if s == ends[0] or c == ends[1])
        }  # fmt: skip
        if not stable:
            return Matching(exact, excess, free_s, free_c, edges)
        settled.update(stable)


def edge_of(s: Group, c: Group) -> tuple[object, ...] | None:
    if (
        "nearest" not in s.match
        or c.beyond_horizon
        or c.is_correction
        or s.party != c.party
        or not c.has_start
        or c.quantity is None
        or s.quantity is None
    ):
        return None
    assert s.start_us is not None and c.start_us is not None
    start_difference, quantity_difference = abs(s.start_us - c.start_us), abs(s.quantity - c.quantity)
    undecided = s.awaits_exact_match or c.awaits_exact_match
    if start_difference > s.rules.start_tolerance or (quantity_difference > s.rules.quantity_tolerance and not undecided):
        return None
    return (not undecided, start_difference, quantity_difference, s.name, c.name)


# --- corrections ------------------------------------------------------------------------------------------------------


def corrected_records(records: dict[RecordId, AdmittedRecord]) -> dict[RecordId, RecordId]:
    """Return the record that each correcting charge names: usage before charges, of its scope and currency, else by key scope.

    A charge that names no record is missing here: it is a charge group of its own.
    """
    named: dict[RecordId, RecordId] = {}
    for record_id, one in records.items():
        if one.record.corrects is not None:
            side, key = one.record.corrects
            found = [
                r for r, other in records.items()
                if r[1] == record_id[1] and r[3] == key and side in (None, r[0]) and other.record.corrects is None
                and other.currency == one.currency
            ]  # fmt: skip
            if found:
                named[record_id] = min(found)
    return named


@dataclass(frozen=True)
class Corrections:
    """Correcting charges by the record that they name, with their amounts."""

    records: dict[RecordId, AdmittedRecord]
    named: dict[RecordId, RecordId]

    def of(self, members: object) -> list[RecordId]:
        """Return the correcting charges of a booking of these records."""
        return [r for r, named in self.named.items() if named in members]  # type: ignore[operator]

    def money(self, record_ids: list[RecordId]) -> int:
        return sum(self.records[r].record.amount_micros for r in record_ids)


def corrected_kind(kind: str, expected: int, billed: int, rules: ServiceConfig) -> str:
    """Return the kind of usage without a charge of its own, after correcting charges: it keeps its kind while money is missing."""
    if abs(expected - billed) <= rules.amount_tolerance:
        return "tolerated"
    return "overbilled" if billed > expected else kind


# --- bookings ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Booking:
    kind: str
    owner: tuple[object, ...]
    service: str
    day: date | None
    currency: str
    expected: int
    billed: int
    usage: tuple[RecordId, ...]
    charges: tuple[RecordId, ...]
    unrated: int
    display: tuple[object, ...]  # subscriber, peer, node and start: shown with a finding; a difference here is no revision
    pool: Pool | None = None  # the amounts of one pool are judged together
    part: str = "main"  # "quantity": money only; its records are those of the main part

    @property
    def content(self) -> tuple[object, ...]:
        return (self.service, self.day, self.currency, self.expected, self.billed, self.usage, self.charges)


def book(group: Group, kind: str, expected: int | None, billed: int, usage: object = (), charges: object = ()) -> Booking:
    """Return a booking that a group owns. A session without a price is unrated; a booking without a difference is tolerated."""
    rated = expected or 0
    if kind not in ("pending", "unrated") and rated == billed:
        kind = "tolerated"
    return Booking(
        kind, ("charge group" if group.charge else "session", group.name), group.service or "", local_day(group.start_us, group.known.policy), group.name[4],
        rated, billed, tuple(sorted(usage)), tuple(sorted(charges)), 0 if expected is not None else len(group.records),
        (group.subscriber, group.peer, group.node, group.start_us),
    )  # type: ignore[call-overload]  # fmt: skip


def classify(rules: ServiceConfig, expected: int, billed: int, used: int, charged: int | None, other: int | None) -> str:
    """Return the kind of a matched pair or period; `other` is the price of the quantity charged."""
    if charged is not None and abs(used - charged) > rules.quantity_tolerance:
        return "underbilled" if expected > billed else "overbilled"
    prices = [expected, expected if other is None else other]
    slack = rules.amount_tolerance
    return "tolerated" if min(prices) - slack <= billed <= max(prices) + slack else "misrated"


def bookings_of(
    sessions: dict[Name, Group],
    charge_groups: dict[Name, Group],
    matching: Matching,
    settled: dict[Name, Name],
    known: KnownAtPosition,
    corrections: Corrections,
) -> list[Booking]:
    bookings: list[Booking] = []
    differences: list[Difference] = []
    for s_name, c_name in {**settled, **{n: n for n in matching.exact}}.items():
        s, c, further = sessions[s_name], charge_groups[c_name], [charge_groups[s_name]] if s_name in matching.excess else []
        own = corrections.of({**s.records, **c.records, **{r: one for f in further for r, one in f.records.items()}})
        credits = [r for r in own if corrections.money([r]) < 0]
        added = [r for r in own if r not in credits]
        extra = [*c.excess, *(r for f in further for r in f.records), *credits]
        extra_money = c.money(c.excess) + sum(f.money() for f in further) + corrections.money(credits)
        is_open = s_name not in settled and not (s.is_complete and c.is_complete)
        charges, billed = [*c.main, *added], c.money(c.main) + corrections.money(added)
        if extra_money > 0 and not is_open:
            bookings.append(book(s, "duplicate_charge", 0, extra_money, (), extra))
        else:
            charges, billed = charges + extra, billed + extra_money
        kind = "pending" if is_open else "unrated"
        if s.by_book and not is_open and s.expected is not None:
            difference = Difference(s, c, billed, charges, price_of_quantity(s, c.quantity, sessions))
            if own and (not difference.exceeds_tolerance or pool_of(s) is None):
                assert s.quantity is not None
                kind = classify(s.rules, s.expected, billed, s.quantity, c.quantity, difference.price)
                kind = "tolerated" if abs(s.expected - billed) <= s.rules.amount_tolerance else kind
                bookings.append(book(s, kind, s.expected, billed, s.records, charges))
            else:
                differences.append(difference)
            continue
        if not is_open and s.expected is not None and s.quantity is not None:
            kind = classify(
                s.rules, s.expected, billed, s.quantity, c.quantity, priced(s.rules, c.quantity, s.name[4], known.policy)
            )
            kind = "tolerated" if own and abs(s.expected - billed) <= s.rules.amount_tolerance else kind
        bookings.append(book(s, kind, s.expected, billed, s.records, charges))
    for n, s in matching.free_sessions.items():
        final = s.is_final_unmatched and not any(ends[0] == n for ends in matching.edges)
        own = corrections.of(s.records)
        kind = "pending" if not final else "unrated" if s.expected is None else "unbilled"
        if own and kind == "unbilled" and s.expected is not None:
            kind = corrected_kind(kind, s.expected, corrections.money(own), s.rules)
        bookings.append(book(s, kind, s.expected, corrections.money(own), s.records, own))
    for n, c in matching.free_charge_groups.items():
        final = c.is_final_unmatched and not any(ends[1] == n for ends in matching.edges)
        own = corrections.of(c.records)
        kind = "charge_without_usage" if final else "pending"
        bookings.append(book(c, kind, 0, c.money() + corrections.money(own), (), [*c.records, *own]))
    bookings += [p for d in differences for p in d.bookings(differences)]
    return bookings + period_bookings(sessions, charge_groups, settled, known, corrections)


@dataclass(frozen=True)
class Difference:
    """A pair that the tariff book prices, with the differences of its quantity and its amount."""

    session: Group
    charge_group: Group
    billed: int
    charges: list[RecordId]
    price: int | None  # of the charged quantity

    @property
    def charged(self) -> int:
        assert self.session.expected is not None
        return self.session.expected if self.price is None else self.price

    @property
    def amount_difference(self) -> int:
        return self.charged - self.billed

    @property
    def exceeds_tolerance(self) -> bool:
        return abs(self.amount_difference) > self.session.rules.amount_tolerance

    def amount_kind(self, others: list[Difference]) -> tuple[str, Pool | None]:
        """Return the kind of the amount, and the pool whose amounts are judged together with it."""
        pool = pool_of(self.session)
        if not self.exceeds_tolerance or pool is None:
            return ("misrated" if self.exceeds_tolerance else "tolerated"), None
        mates = [d for d in others if d.exceeds_tolerance and (pool_of(d.session) or (None,))[0] == pool[0]]
        known = self.session.known
        if not all(known.passed_grace(side, pool[1], d.session.rules) for d in mates for side in (False, True)):
            return "pending", pool[0]
        is_even = abs(sum(d.amount_difference for d in mates)) <= sum(d.session.rules.amount_tolerance for d in mates)
        return ("tolerated" if is_even else "misrated"), pool[0]

    def bookings(self, others: list[Difference]) -> list[Booking]:
        s, c = self.session, self.charge_group
        assert s.expected is not None
        quantity_difference, (by_amount, pool) = s.expected - self.charged, self.amount_kind(others)
        quantities_differ = (
            c.quantity is not None and s.quantity is not None and abs(s.quantity - c.quantity) > s.rules.quantity_tolerance
        )
        by_quantity = (
            ("underbilled" if quantity_difference > 0 else "overbilled")
            if quantity_difference and quantities_differ
            else "tolerated"
        )
        if quantity_difference and self.amount_difference and by_quantity != by_amount:
            amount = replace(book(s, by_amount, self.charged, self.billed, s.records, self.charges), pool=pool)
            quantity = replace(
                book(s, by_quantity, quantity_difference, 0), usage=amount.usage, charges=amount.charges, part="quantity"
            )
            return [amount, quantity]
        return [
            replace(
                book(s, by_amount if self.amount_difference else by_quantity, s.expected, self.billed, s.records, self.charges),
                pool=pool,
            )
        ]


def period_bookings(
    sessions: dict[Name, Group],
    charge_groups: dict[Name, Group],
    settled: dict[Name, Name],
    known: KnownAtPosition,
    corrections: Corrections,
) -> list[Booking]:
    """Return one booking per scope, currency, service, subscriber and period: sessions by start, charges each by its own time."""
    cells: dict[tuple[object, ...], tuple[list[Group], dict[RecordId, AdmittedRecord], Group]] = {}

    def cell(group: Group, time_us: int | None) -> tuple[list[Group], dict[RecordId, AdmittedRecord], Group]:
        day = 1 if time_us is None else known.cycle_day(group.subscriber, time_us)
        zone = known.zone(group.subscriber, time_us, group.rules)
        index = None if time_us is None else period_index(time_us, group.rules.period, zone, day)
        line = line_of(group.service, known.policy)
        return cells.setdefault((group.name[1], group.name[4], line, group.subscriber, index, zone), ([], {}, group))

    for s in sessions.values():
        if "aggregate" in s.match and s.name not in settled:
            cell(s, s.start_us)[0].append(s)
    for c in charge_groups.values():
        if "aggregate" in c.match and c.name not in settled.values():
            for record_id, one in c.records.items():
                cell(c, one.last_us)[1][record_id] = one
    bookings = []
    for (scope, currency, service, subscriber, index, zone), (used, charged, group) in cells.items():
        line = group if group.service == service else None
        period = Period(str(service or ""), rules_of(service, known.policy), str(currency), used, charged, line or group, known)  # type: ignore[arg-type]
        own = corrections.of({r for s in used for r in s.records} | charged.keys())
        expected = sum(s.expected or 0 for s in used)
        unrated = sum(len(s.records) for s in used if s.expected is None)
        end_us = None if index is None else period_last_us(index, period.rules.period, str(zone))  # type: ignore[arg-type]
        is_final = all(known.passed_grace(side, end_us, period.rules) for side in (False, True))
        kind = "pending" if not is_final else "unrated" if unrated else period.kind(charged, expected, corrections, own)
        excess = period.excess(expected, corrections, own) if kind in ("misrated", "overbilled", "underbilled") else []
        billed = corrections.money([*charged, *own]) - corrections.money(excess)
        kind = "tolerated" if excess or (kind not in ("pending", "unrated") and expected == billed) else kind
        starts = [t for t in (*(s.start_us for s in used), *(h.record.time_us for h in charged.values())) if t is not None]
        day = None if index is None else (EPOCH + period_begin_us(index, period.rules.period) * US).date()  # type: ignore[arg-type]
        main = Booking(
            kind, ("period", scope, currency, service, subscriber, index, period.rules.period, zone), str(service or ""),
            day, str(currency), expected, billed, tuple(sorted(r for s in used for r in s.records)),
            tuple(sorted([r for r in charged if r not in excess] + own)), unrated, (subscriber, None, None, min(starts, default=None)),
        )  # fmt: skip
        bookings.append(main)
        if excess:
            money = corrections.money(excess)
            bookings.append(
                replace(main, kind="duplicate_charge", expected=0, billed=money, usage=(), charges=tuple(excess), unrated=0)
            )
    return bookings


@dataclass(frozen=True)
class Period:
    """The sessions and the lines of one service, subscriber and period; those of a covering service are of several services."""

    service: str
    rules: ServiceConfig
    currency: str
    used: list[Group]
    charged: dict[RecordId, AdmittedRecord]
    group: Group
    known: KnownAtPosition

    def kind(self, lines: dict[RecordId, AdmittedRecord], expected: int, corrections: Corrections, own: list[RecordId]) -> str:
        """Return the kind that the period would have with these lines."""
        billed = corrections.money([*lines, *own])
        is_charged = any(one.record.amount_micros or not self.known.policy.judges_lines for one in lines.values())
        if not is_charged:
            return corrected_kind("unbilled", expected, billed, self.rules) if own else "unbilled"
        if not self.used:
            return "charge_without_usage"
        if own and abs(expected - billed) <= self.rules.amount_tolerance:
            return "tolerated"
        quantities = [one.record.quantity_micros for one in lines.values()]
        # Quantities of several services have no common unit.
        quantity = None if None in quantities or self.rules.covers else sum(quantities)  # type: ignore[arg-type]
        total = sum(s.quantity for s in self.used)  # type: ignore[misc]
        # The price of the charged quantity is unknown where the service shares terms.
        if self.rules.price is None:
            value = value_by_book(lines, self.group, self.known)
        else:
            value = priced(self.rules, quantity, self.currency, self.known.policy)
        return classify(self.rules, expected, billed, total, quantity, value if quantity is not None else None)

    def excess(self, expected: int, corrections: Corrections, own: list[RecordId]) -> list[RecordId]:
        """Return the last line that equals another and without which the period is within tolerance, if there is one."""

        def compared(one: AdmittedRecord) -> tuple[object, ...]:
            r = one.record
            return (r.key_scope, r.service, r.subscriber, r.session, r.peer, r.node, r.started_us, r.quantity_micros, r.amount_micros,
                    r.currency, r.part, r.version, r.tariff_code)  # fmt: skip

        if not self.known.policy.judges_lines:
            return []
        contents = [compared(one) for one in self.charged.values()]
        fitting = [
            (one.last_us, record_id) for record_id, one in self.charged.items()
            if one.record.amount_micros > 0 and contents.count(compared(one)) > 1
            and self.kind({r: o for r, o in self.charged.items() if r != record_id}, expected, corrections, own) == "tolerated"
        ]  # fmt: skip
        return [max(fitting, key=lambda line: (line[0] or 0, line[1]))[1]] if fitting else []


def value_by_book(charged: dict[RecordId, AdmittedRecord], group: Group, known: KnownAtPosition) -> int | None:
    """Return the tariff book's price of the charged quantities, each rated by itself; None if their service shares terms."""
    if any(shared_terms_of(group.service, [r for r in known.book if r["item"] in ("rate", "allowance")])) or not known.book:
        return None
    total = 0
    for one in charged.values():
        r = one.record
        unknown = dict.fromkeys(("plan", "direction", "zone", "trunk", "account", "subscriber"))
        quantity = r.quantity_micros
        call = unknown | {
            "call": 0, "service": group.service, "peer": group.peer, "own_number": group.subscriber, "currency": group.name[4], "start_us": one.last_us,
            "quantity_micros": quantity, "order": r.event_id,
        }  # fmt: skip
        amount = fractions_rater.price(known.book, [call])[0][0]
        if amount is None:
            return None
        total += amount
    return total


def wall_us(time_us: int, zone: str) -> int:
    shown = (EPOCH + time_us * US).astimezone(ZoneInfo(zone))
    return (shown.replace(tzinfo=UTC) - EPOCH) // US


def local_day(time_us: int | None, policy: Policy) -> date | None:
    return None if time_us is None else (EPOCH + time_us * US).astimezone(ZoneInfo(policy.timezone)).date()


def cycle_begins(month: int, day: int) -> date:
    """Return the day on which a billing cycle of a numbered month begins: on its last day where it has no such day."""
    year, number = divmod(month - 1, 12)
    return date(year, number + 1, min(day, calendar.monthrange(year, number + 1)[1]))


def period_index(time_us: int, period: int | str, zone: str, cycle_day: int) -> int:
    """Return the number of the period of an instant: of a month (12 a year), of a week from Monday, or of spans from 1970.

    The number of a billing cycle is that of the month in which it begins, times 32, plus its day of the month.
    """
    shown = EPOCH + wall_us(time_us, zone) * US
    if period == "month":
        return shown.year * 12 + shown.month
    if period == "cycle":
        month = shown.year * 12 + shown.month
        return (month if shown.date() >= cycle_begins(month, cycle_day) else month - 1) * 32 + cycle_day
    if period == "week":
        return ((shown.date() - EPOCH.date()).days + 3) // 7
    return wall_us(time_us, zone) // int(period)


def period_begin_us(index: int, period: int | str) -> int:
    """Return the wall-clock time at which a period begins."""
    if period == "month":
        year, month = divmod(index - 1, 12)
        return (datetime(year, month + 1, 1, tzinfo=UTC) - EPOCH) // US
    if period == "cycle":
        return (cycle_begins(*divmod(index, 32)) - EPOCH.date()) // US
    return (7 * index - 3) * 86_400_000_000 if period == "week" else index * int(period)


def period_last_us(index: int, period: int | str, zone: str) -> int:
    """Return the last microsecond of a period."""
    return instant_us(period_begin_us(index + (32 if period == "cycle" else 1), period), zone) - 1


def instant_us(wall_us: int, timezone: str) -> int:
    """Return the instant of a wall time: the later of two where a clock change repeats it, hours on where one skips it."""
    wall_end, zone = EPOCH + wall_us * US, ZoneInfo(timezone)
    for hours in (0, 1, 2, 24):
        shown = (wall_end + timedelta(hours=hours)).replace(tzinfo=zone)
        moments = [shown.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
        real = [m for m in moments if m.astimezone(zone).replace(tzinfo=None) == shown.replace(tzinfo=None)]
        if real:
            return (max(real) - EPOCH) // US
    raise AssertionError("no zone skips more than a day")
