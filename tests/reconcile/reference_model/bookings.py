"""Where the money of each record is, at one position: units, matches, places. Everything is worked out anew, by brute force.

A *unit* is a session (of usage) or a bill (of charges): all records of one session key and currency, or one record alone. A
*place* holds records whose money is judged together; its kind is `pending`, `tolerated` or that of a finding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import fractions_rater
from reference_model.log import EPOCH, US, Held, Known, Rid, closed_wait, rules_of

from trueup.config import ServiceConfig
from trueup.reconcile.domain.policies import Policy

Name = tuple[bool, str, str, str, str]
"""A unit's name, shared by a session and its bill: (alone, scope, key, scope of that key, currency)."""

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
        self.service, self.subscriber, self.peer, self.node = (
            getattr(first.record, n) for n in ("service", "subscriber", "peer", "node")
        )
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
        self.price: int | None = None  # by the tariff book, among all others
        self.whole = self.beyond or not self.in_parts or known.waited(charge, self.last_us, self.rules)

    def money(self, rids: list[Rid] | None = None) -> int:
        return sum(self.held[r].record.amount_micros for r in (self.held if rids is None else rids))

    @property
    def excess(self) -> list[Rid]:
        return [r for r in self.held if r not in self.main]

    @property
    def expected(self) -> int | None:
        if self.booked:
            return self.price
        return priced(self.rules, self.quantity, self.name[4], self.known.policy)

    @property
    def booked(self) -> bool:
        """The tariff book prices it: the rules in force do not."""
        return self.rules.price is None and bool(self.known.book)

    def call(self, quantity: int | None) -> dict[str, Any]:
        """The session as the slow rater takes it; whoever shares does so within one value of the bucket key."""
        first = min(self.held, key=lambda r: (self.held[r].record.time_us is None, self.held[r].record.time_us or 0, r))
        who = None if self.subscriber is None else f"{self.name[1]} {self.subscriber}"
        told = dict.fromkeys(("plan", "direction", "zone", "trunk"))
        return told | {
            "service": self.service, "peer": self.peer, "account": self.name[1] or None, "subscriber": who, "currency": self.name[4],
            "start_us": self.start_us, "quantity_micros": quantity if quantity is not None and quantity < 2**63 else None,
            "order": self.held[first].record.event_id,
        }  # fmt: skip

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


def rate_all(sessions: dict[Name, Unit], known: Known) -> None:
    """What the tariff book makes of all sessions together, in the order of events."""
    mine = [s for s in sessions.values() if s.booked]
    found = fractions_rater.price(known.book, [s.call(s.quantity) | {"call": i} for i, s in enumerate(mine)]) if mine else {}
    for i, s in enumerate(mine):
        s.price = found[i][0]


def price_of(session: Unit, quantity: int | None, sessions: dict[Name, Unit]) -> int | None:
    """The price of another quantity in a session's place, with all other sessions as they are."""
    known = session.known
    if not session.booked:
        return priced(session.rules, quantity, session.name[4], known.policy)
    if quantity is None:
        return None
    mine = [s for s in sessions.values() if s.booked]
    calls = [s.call(quantity if s is session else s.quantity) | {"call": i} for i, s in enumerate(mine)]
    return fractions_rater.price(known.book, calls)[mine.index(session)][0]


# --- pools ------------------------------------------------------------------------------------------------------------

Pool = tuple[object, ...]
LONGEST = ("month", "week", "day")


def terms_of(service: str | None, book: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is shared by the services that hang together with one: allowances, and rates with tiers."""
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
    return all(one[n] == other[n] for n in ("plan", "service", "destination", "band", "zone", "trunk", "direction"))


def services_of(name: str, book: list[dict[str, Any]]) -> set[str]:
    rows = [r for r in book if r["item"] == "allowance" and r["name"] == name]
    return {s.strip() for r in rows for s in r["services"].split(",")}


def pool_of(session: Unit) -> tuple[Pool, int] | None:
    """The pool a session's amount is judged with, and the last instant of its period; None where it shares nothing."""
    book = [r for r in session.known.book if r["item"] in ("rate", "allowance")]
    terms = terms_of(session.service, book)
    if not session.booked or not terms or session.start_us is None:
        return None
    by_account = any(r["shared"] == "account" for r in terms)
    who = session.name[1] or None if by_account else session.subscriber
    if who is None:
        return None
    span = min((LONGEST.index(r["period"] or "month"), r["timezone"] or "UTC") for r in terms)
    group = min(s for r in terms for s in ([r["service"]] if r["item"] == "rate" else services_of(r["name"], book)))
    begins, last_us = billing_period(session.start_us, LONGEST[span[0]], span[1])
    return (session.name[4], session.name[1], who, group, begins), last_us


def billing_period(time_us: int, period: str, zone: str) -> tuple[date, int]:
    """The first day of the billing period an instant lies in, and the period's last microsecond."""
    day = (EPOCH + time_us * US).astimezone(ZoneInfo(zone)).date()
    if period == "month":
        first = day.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    else:
        first = day if period == "day" else day - timedelta(days=day.weekday())
        after = first + timedelta(days=1 if period == "day" else 7)
    return first, begins_us((after - EPOCH.date()).days * 86_400_000_000, zone) - 1


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
    pool: Pool | None = None  # its amount is judged with all others of this pool
    part: str = "main"  # "quantity": of the money of a place alone, its records are those of the main part

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


def places_of(
    sessions: dict[Name, Unit], bills: dict[Name, Unit], matched: Matched, settled: dict[Name, Name], known: Known
) -> list[Place]:
    booked: list[Place] = []
    differences: list[Difference] = []
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
        if s.booked and not is_open and s.expected is not None:
            differences.append(Difference(s, b, billed, charges, price_of(s, b.quantity, sessions)))
            continue
        if not is_open and s.expected is not None and s.quantity is not None:
            kind = judged(s.rules, s.expected, billed, s.quantity, b.quantity, priced(s.rules, b.quantity, s.name[4], known.policy))
        booked.append(place(s, kind, s.expected, billed, s.held, charges))
    for n, s in matched.sessions.items():
        final = s.final_alone and not any(ends[0] == n for ends in matched.edges)
        booked.append(place(s, "pending" if not final else "unrated" if s.expected is None else "unbilled", s.expected, 0, s.held))
    for n, b in matched.bills.items():
        final = b.final_alone and not any(ends[1] == n for ends in matched.edges)
        booked.append(place(b, "charge_without_usage" if final else "pending", 0, b.money(), (), b.held))
    booked += [p for d in differences for p in d.places(differences)]
    return booked + periods(sessions, bills, settled, known)


@dataclass(frozen=True)
class Difference:
    """A pair that the tariff book prices: what its quantity and its amount are off by."""

    session: Unit
    bill: Unit
    billed: int
    charges: list[Rid]
    price: int | None  # of the charged quantity

    @property
    def charged(self) -> int:
        assert self.session.expected is not None
        return self.session.expected if self.price is None else self.price

    @property
    def wrong(self) -> int:
        return self.charged - self.billed

    @property
    def is_off(self) -> bool:
        return abs(self.wrong) > self.session.rules.amount_tolerance

    def by_amount(self, others: list[Difference]) -> tuple[str, Pool | None]:
        """The kind of its amount, and the pool it is judged with."""
        told = pool_of(self.session)
        if not self.is_off or told is None:
            return ("misrated" if self.is_off else "tolerated"), None
        mates = [d for d in others if d.is_off and (pool_of(d.session) or (None,))[0] == told[0]]
        known = self.session.known
        if not all(known.waited(side, told[1], d.session.rules) for d in mates for side in (False, True)):
            return "pending", told[0]
        even = abs(sum(d.wrong for d in mates)) <= sum(d.session.rules.amount_tolerance for d in mates)
        return ("tolerated" if even else "misrated"), told[0]

    def places(self, others: list[Difference]) -> list[Place]:
        s, b = self.session, self.bill
        assert s.expected is not None
        lost, (by_amount, pool) = s.expected - self.charged, self.by_amount(others)
        apart = b.quantity is not None and s.quantity is not None and abs(s.quantity - b.quantity) > s.rules.quantity_tolerance
        by_quantity = ("underbilled" if lost > 0 else "overbilled") if lost and apart else "tolerated"
        if lost and self.wrong and by_quantity != by_amount:
            amount = replace(place(s, by_amount, self.charged, self.billed, s.held, self.charges), pool=pool)
            quantity = replace(place(s, by_quantity, lost, 0), usage=amount.usage, charges=amount.charges, part="quantity")
            return [amount, quantity]
        return [
            replace(place(s, by_amount if self.wrong else by_quantity, s.expected, self.billed, s.held, self.charges), pool=pool)
        ]


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
            # What charges cost by themselves is not told of shares.
            worth = worth_of(charged, unit, known) if rules.price is None else priced(rules, quantity, str(currency), known.policy)
            kind = judged(rules, expected, billed, total, quantity, worth if quantity is not None else None)
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


def worth_of(charged: dict[Rid, Held], unit: Unit, known: Known) -> int | None:
    """What the tariff book makes of the quantities charged, each by itself; None where their service shares something."""
    if any(terms_of(unit.service, [r for r in known.book if r["item"] in ("rate", "allowance")])) or not known.book:
        return None
    told = 0
    for one in charged.values():
        r = one.record
        alone = dict.fromkeys(("plan", "direction", "zone", "trunk", "account", "subscriber"))
        quantity = r.quantity_micros
        call = alone | {
            "call": 0, "service": unit.service, "peer": unit.peer, "currency": unit.name[4], "start_us": one.last_us,
            "quantity_micros": quantity, "order": r.event_id,
        }  # fmt: skip
        amount = fractions_rater.price(known.book, [call])[0][0]
        if amount is None:
            return None
        told += amount
    return told


def wall_us(time_us: int, policy: Policy) -> int:
    shown = (EPOCH + time_us * US).astimezone(ZoneInfo(policy.timezone))
    return (shown.replace(tzinfo=UTC) - EPOCH) // US


def local_day(time_us: int | None, policy: Policy) -> date | None:
    return None if time_us is None else (EPOCH + time_us * US).astimezone(ZoneInfo(policy.timezone)).date()


def period_last_us(index: int, period_us: int, policy: Policy) -> int:
    """One before the next period begins."""
    return begins_us((index + 1) * period_us, policy.timezone) - 1


def begins_us(shown_us: int, timezone: str) -> int:
    """The instant of a wall time: at the later showing of one shown twice, hours on where one is skipped."""
    wall_end, zone = EPOCH + shown_us * US, ZoneInfo(timezone)
    for hours in (0, 1, 2, 24):
        shown = (wall_end + timedelta(hours=hours)).replace(tzinfo=zone)
        moments = [shown.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
        real = [m for m in moments if m.astimezone(zone).replace(tzinfo=None) == shown.replace(tzinfo=None)]
        if real:
            return (max(real) - EPOCH) // US
    raise AssertionError("no zone skips more than a day")
