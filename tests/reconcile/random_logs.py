"""Random logs: few parties and keys around a midnight, so that look-alikes, collisions and late records are the rule.

A log has *facets*, each of which adds one kind of difficulty. Times and waits are counted in steps: a step may be a second in one
log, and ten minutes around a clock change in another.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from reference_model.bookings import priced
from reference_model.log import EPOCH, US, Close, Item, KnownAtPosition, Log, Record, State, Supersede, Tick, closed_wait, rules_of

from trueup.config import ServiceConfig
from trueup.policies.policy import NO_HORIZON_US, Policy, SourceRules

MICRO = 1_000_000
FACETS = (
    "policies",
    "currencies",
    "unrated",
    "undated",
    "horizon",
    "idle",
    "zone",
    "mixed keys",
    "key scopes",
    "nulls",
    "keys only",
    "contents",
    "huge",
    "accounts",
    "very late",
    "counters",
    "versions",
)
"""Difficulties of a log.

* `keys only`: most charges have only a key and an amount;
* `mixed keys`: a key joins records of several parties;
* `counters`: usage records are counters so far, and charges lines of bills, under some policies;
* `versions`: records have versions, and some are corrected.
"""
MATCHES = (("session_key", "nearest"), ("session_key", "nearest"), ("session_key",), ("nearest",), ("aggregate",))
ZONES = (("Europe/Berlin", "2024-03-31T01:00Z"), ("Europe/Berlin", "2024-10-27T01:00Z"), ("Asia/Jakarta", "2024-06-01T17:00Z"),
         ("Europe/Berlin", "2024-03-31T22:00Z"), ("Australia/Lord_Howe", "2024-04-06T15:00Z"), ("America/Havana", "2024-11-03T05:00Z"), ("Antarctica/Troll", "2024-03-31T01:00Z"))  # fmt: skip


def service(
    match: Sequence[str],
    *,
    start_tolerance: int = 0,
    quantity_tolerance: int = 0,
    amount_tolerance: int = 0,
    grace: int = 0,
    price: int | None = MICRO,
    price_per: int = 1,
    currency: str | None = None,
    parts: str = "sum",
    period: int | str = 1,
    covers: Sequence[str] = (),
) -> ServiceConfig:
    """Return the rules of a service; times in µs, quantities and amounts in millionths.

    A setting without effect has its default, because a project that writes it is refused.
    """
    unused = ServiceConfig()
    period = period if "aggregate" in match else unused.period
    price_per = price_per if price is not None else unused.price_per
    return ServiceConfig.model_construct(
        match=tuple(match), start_tolerance=start_tolerance, quantity_tolerance=quantity_tolerance, amount_tolerance=amount_tolerance,
        grace=grace, price=price, price_per=price_per, currency=currency, parts=parts, period=period, covers=tuple(covers),
    )  # fmt: skip


def summed_rules(rules: ServiceConfig, step_us: int) -> ServiceConfig:
    """Return rules under which sums are compared."""
    period = 20 * step_us if rules.match != ("aggregate",) else rules.period
    return rules.model_copy(update={"match": ("aggregate",), "period": period, "start_tolerance": 0})


@dataclass
class LogGenerator:
    """Generates the records of a log, and the rules by which they are reconciled."""

    rng: random.Random
    facets: frozenset[str]
    in_time_only: bool = False

    def __post_init__(self) -> None:
        r = self.rng
        self.step_us = MICRO if "zone" not in self.facets else r.choice((600, 1_800)) * MICRO
        zone, moment = r.choice(ZONES) if "zone" in self.facets else ("UTC", "2024-05-02T00:00Z")
        self.zone, self.middle = zone, (datetime.fromisoformat(moment) - EPOCH) // US // self.step_us
        self.crowd = r.choice((6, 20, 50))
        self.low, self.high = self.middle - self.crowd // 2, self.middle + self.crowd - self.crowd // 2
        self.names: list[str | None] = ["voice", "sms", "iot", "web"][: r.choice((1, 2, 4, 4))]
        self.sources = {"n1": "usage", "b1": "charge"} | ({"n_2": "usage", "b_2": "charge"} if r.random() < 0.6 else {})
        self.first = self.policy()
        if "nulls" in self.facets:
            self.names.append(None)
        self.record_count = self.ticks = 0
        self.of_source: Counter[str] = Counter()
        # In logs in time, the records of a key are within one grace period; in others they may be further apart.
        self.spread = min(s.grace for s in (*self.first.services.values(), self.first.default)) // self.step_us
        self.spread = self.spread if self.in_time_only else 3 * self.spread + 3

    @property
    def bucket_by(self) -> str:
        return "session_key" if "keys only" in self.facets else "account" if "accounts" in self.facets else "subscriber"

    @property
    def has_ticks(self) -> bool:
        return bool(self.facets & {"idle", "wrong clock"})

    # --- rules --------------------------------------------------------------------------------------------------------

    def rules(self) -> ServiceConfig:
        r, step = self.rng, self.step_us
        match = r.choice(MATCHES) if "keys only" not in self.facets else ("session_key",)
        match = ("aggregate",) if "sums" in self.facets else match
        tolerance = r.choice((0, 1, 2, 3)) if "nearest" in match else 0
        return service(
            match, start_tolerance=tolerance * step, quantity_tolerance=r.choice((0, 0, MICRO, 2 * MICRO)), amount_tolerance=r.choice((0, 0, 10, 2 * MICRO)),
            grace=max(tolerance, r.choice((0, 3, 5, 8, 12))) * step, price_per=r.choice((1, 1, 60)),
            price=None if "unrated" in self.facets and r.random() < 0.4 else r.choice((MICRO, 10 * MICRO, 7_300_001)),
            currency=r.choice((None, "EUR", "USD")) if "currencies" in self.facets else None,
            parts=r.choice(("sum", "last", "max")) if "counters" in self.facets else "sum",
            period=r.choice(("week", "month", *(n * (step if step == MICRO else 6 * step) for n in (1, 6, 20)))),
        )  # fmt: skip

    def policy(self, before: Policy | None = None) -> Policy:
        """Return a new policy, or `before` with some changes."""
        r = self.rng
        changes_before = before is not None and r.random() < 0.5
        services = {
            n: before.services.get(n, self.rules()) if before and changes_before and r.random() < 0.6 else self.rules()
            for n in self.names
            if n
        }
        if r.random() < 0.2:
            services.pop(r.choice(sorted(services)))
        services = self.with_covers(services) if "lines" in self.facets else services
        if "cycles" in self.facets:
            rules_by_cycle = {n: summed_rules(s, self.step_us).model_copy(update={"period": "cycle"}) for n, s in services.items()}
            line_of = {c: n for n, s in services.items() for c in s.covers}
            services = {n: rules_by_cycle[n] if n not in line_of and r.random() < 0.8 else s for n, s in services.items()}
        if "zones" in self.facets:
            covered = {c for s in services.values() for c in s.covers}
            summed = {n for n, s in services.items() if "aggregate" in s.match and n not in covered}
            in_own_zone = {"period_zone": "subscriber"}
            services = {n: s.model_copy(update=in_own_zone) if n in summed else s for n, s in services.items()}
        sources = {
            n: SourceRules(
                stream,
                None if r.random() < (0.4 if n == "b_2" else 0.1) else r.choice((0, 0, 4, 6)) * self.step_us,
                r.choice((None, 5, 20)) if self.has_ticks else None,
                "counters" in self.facets and stream == "charge" and r.random() < 0.5,
            )
            for n, stream in self.sources.items()
        }  # fmt: skip
        if self.has_ticks:
            sources = {n: replace(s, idle_after_us=s.idle_after_us and s.idle_after_us * self.step_us) for n, s in sources.items()}
        if "policies" in self.facets and r.random() < 0.3:
            sources.pop(r.choice(sorted(sources)))  # Another policy adds or drops this source.
        if changes_before and before is not None and r.random() < 0.5:
            sources = dict(before.sources)
        currency = r.choice(("EUR", "EUR", "USD")) if "currencies" in self.facets else "EUR"
        zone = self.zone if before is None or r.random() < 0.7 else "UTC"
        horizon = r.choice((12, 20, 40)) * self.step_us if "horizon" in self.facets else NO_HORIZON_US
        return Policy(0, services, self.rules(), sources, zone, currency, horizon)

    def with_covers(self, services: dict[str, ServiceConfig]) -> dict[str, ServiceConfig]:
        """Return services of which most are compared by sums, and one of which covers others."""
        r = self.rng
        summed = {
            n: s if s.match == ("aggregate",) or r.random() < 0.2 else summed_rules(s, self.step_us) for n, s in services.items()
        }
        names = sorted(summed)
        line, others = names[0] if names else "bundle", names[1:]
        # A service without a table is priced by the default one, which may be in another currency.
        untabled = [] if "currencies" in self.facets else [n for n in self.names if n and n not in summed and n != line]
        covered = [n for n in (*others, *untabled) if r.random() < 0.6]
        of_line = summed_rules(summed.get(line, ServiceConfig()), self.step_us).model_copy(
            update={"covers": tuple(covered), "quantity_tolerance": 0}
        )
        plain = {n: s.model_copy(update={"covers": ()}) for n, s in summed.items()}
        prices = {n: s for n, s in plain.items() if n in covered}
        own = {n: service(("aggregate",), price=s.price, price_per=s.price_per, currency=of_line.currency, parts=s.parts,
                          period=ServiceConfig().period) for n, s in prices.items()}  # fmt: skip
        return {**plain, **own, line: of_line} if covered else plain

    def billed_once_too_often(self, number: int) -> list[Record]:
        """Return usage of a subscriber of its own, of one or two services, and equal lines for all of it."""
        r = self.rng
        subscriber, at = f"v{number}", self.random_step()
        names = r.sample(self.names, min(len(self.names), r.choice((1, 2))))
        usage = [self.record(False, None, name, subscriber, "p", at, 3 * MICRO) for name in names]
        rules = [rules_of(u.service, self.first) for u in usage]
        money = sum(
            priced(s, u.quantity_micros, s.currency or self.first.currency, self.first) or 0
            for s, u in zip(rules, usage, strict=True)
        )
        line = next((n for n, s in self.first.services.items() if names[0] in s.covers), names[0])
        parts = r.choice((1, 1, 2))
        of_all = clamp_int64(money // parts + r.choice((0, 0, 0, 5)))
        charge = self.record(True, None, line, subscriber, "p", at, 3 * MICRO * len(names) // parts, of_all)
        billed = (
            replace(charge, currency=usage[0].currency, started_us=None, billed_us=charge.started_us)
            if r.random() < 0.3
            else charge
        )
        return [*usage, billed, *equal_lines(r, billed, parts)]

    # --- records ------------------------------------------------------------------------------------------------------

    def time_us(self, step: int) -> int:
        return step * self.step_us + (self.rng.choice((0, 0, 0, 1, -1)) if not self.in_time_only else 0)

    def random_step(self) -> int:
        return self.rng.randrange(self.low, self.high)

    def record_key(self) -> str:
        self.record_count += 1
        return f"r{self.rng.randrange(100):02d}{self.record_count:03d}"

    def session(self) -> list[Record]:
        """Return the usage records of one session and their charges."""
        r = self.rng
        kind, peer = r.choice(self.names), r.choice("ppq")
        subscriber: str | None = r.choice("st")
        if "nulls" in self.facets:
            peer, subscriber = r.choice((peer, peer, None)), r.choice((subscriber, subscriber, None))
        # In logs in time a key belongs to one party.
        key = (
            None
            if r.random() < 0.4
            else f"K{r.randrange(6)}"
            + (f"{kind}{subscriber}{peer}" if "mixed keys" not in self.facets or self.in_time_only else "")
        )
        if "keys only" in self.facets:
            key = f"K{r.randrange(9)}"
        start, parts = self.random_step(), r.choice((1, 1, 1, 2, 3)) if key else 1
        dense = self.crowd == 6
        usage: list[Record] = []
        for part in range(parts):
            quantity = r.choice((2, 4, 4) if dense else (0, 1, 2, 3, 3, 4)) * MICRO + (0 if dense else r.choice((0, 0, 500_000, 1)))
            at = start if part == 0 else start + r.randrange(self.spread + 1)
            usage.append(
                self.record(False, key, kind, subscriber, peer, at, quantity, part=part if parts > 1 and r.random() < 0.8 else None)
            )
        if "mixed keys" in self.facets and not self.in_time_only and key and r.random() < 0.5:
            usage[-1] = replace(usage[-1], service=r.choice(self.names), peer=r.choice("pq"))
        charges = [] if r.random() < 0.1 else [self.charge(n, usage, start, key) for n in range(r.choice((0, 1, 1, 1, 1, 2, 3)))]
        return (usage if r.random() < 0.88 else []) + charges

    def charge(self, number: int, usage: list[Record], start: int, key: str | None) -> Record:
        r, first = self.rng, usage[0]
        quantity = clamp_int64(
            max(0, sum(u.quantity_micros or 0 for u in usage) + r.choice((0, 0, 0, 0, MICRO, -MICRO, 4 * MICRO)))
        )
        rules = rules_of(first.service, self.first)
        price = priced(rules, quantity, rules.currency or self.first.currency, self.first) or 0
        amount = clamp_int64(price + r.choice((0, 0, 0, 0, 5, -20 * MICRO)))
        if number and r.random() < 0.3:
            amount = clamp_int64(-amount)  # A credit.
        at = start + (r.choice((0, 0, 1, -1, 2, 3)) if r.random() < 0.85 else r.randrange(self.spread + 1))
        if key and r.random() < 0.25 and "keys only" not in self.facets:
            key = r.choice((None, f"{key[:1]}{r.randrange(9)}{key[2:]}"))
        billed = self.record(
            True,
            key,
            first.service,
            first.subscriber,
            first.peer,
            at,
            quantity,
            amount,
            r.choice((None, None, 1, 2)) if number else None,
        )
        if "mixed keys" in self.facets and not self.in_time_only and r.random() < 0.3:
            billed = replace(billed, service=r.choice(self.names), peer=r.choice("pq"))
        if "keys only" in self.facets and r.random() < 0.8:
            billed = replace(
                billed, service=None, subscriber=None, peer=None, started_us=None, quantity_micros=None, billed_us=billed.started_us
            )
        elif r.random() < 0.1:
            billed = replace(billed, quantity_micros=None)
        if "undated" in self.facets and r.random() < 0.4:
            billed = replace(billed, started_us=None, billed_us=None)
        elif r.random() < 0.1 and billed.started_us is not None:
            billed = replace(billed, started_us=None, billed_us=billed.started_us)
        return billed

    def record(self, charge: bool, key: str | None, kind: str | None, subscriber: str | None, peer: str | None, at: int, quantity: int,
               amount: int = 0, part: int | None = None) -> Record:  # fmt: skip
        r = self.rng
        if "huge" in self.facets and r.random() < 0.3:
            quantity, amount = r.choice((quantity, 2**63 - 1, 2**62)), r.choice((amount, 2**63 - 1, -(2**63))) if charge else 0
        record = Record(
            charge, r.choice([n for n, s in self.sources.items() if s == ("charge" if charge else "usage")]), self.record_key(), key, kind,
            subscriber, peer, self.time_us(at), None, quantity, amount, part, node=r.choice((None, "x", "y")),
            versioned="versions" in self.facets,
        )  # fmt: skip
        if charge and "currencies" in self.facets:
            record = replace(record, currency=r.choice((None, None, "EUR", "USD")))
        if "key scopes" in self.facets:
            # The same record key in two key scopes names two records. In logs in time no key scope has it twice.
            twice = r.random() < 0.5
            number = r.randrange(8) if twice else 0
            self.of_source[record.source] += 1
            shared = f"r{self.of_source[record.source] if self.in_time_only else number}"
            record = replace(record, key_scope=record.source, key=shared if twice else record.key)
        if "keys only" in self.facets:
            return replace(record, scope=record.session or record.key)
        # A subscriber may have several accounts, and an account several subscribers.
        return replace(record, scope=r.choice(("A", "A", "B", "")) if "accounts" in self.facets else record.subscriber or "")

    def with_other_content(self, record: Record) -> Record:
        """Return the same record with another content."""
        r = self.rng
        change: dict[str, Any] = (
            {"amount_micros": record.amount_micros + MICRO} if record.charge and record.amount_micros < 2**62 else {}
        )
        if record.quantity_micros is not None and record.quantity_micros < 2**62 and (not record.charge or r.random() < 0.5):
            change = {"quantity_micros": max(0, record.quantity_micros + r.choice((-MICRO, MICRO, 2 * MICRO)))}
        if not self.in_time_only and r.random() < 0.4 and record.started_us is not None:
            change["started_us"] = self.time_us(self.random_step())
        if not self.in_time_only and r.random() < 0.3 and "keys only" not in self.facets:
            change["session"] = r.choice((None, f"K{r.randrange(6)}", record.session))
        if not self.in_time_only and r.random() < 0.1:
            change["peer"], change["service"] = r.choice("pq"), r.choice(self.names)
        if "moved" in self.facets and r.random() < 0.7:
            change |= self.other_scope(record)
        return replace(record, **change)

    def other_scope(self, record: Record) -> dict[str, Any]:
        """Return the changes that put a record under another bucket key or, by chance, under the same one."""
        r = self.rng
        if "keys only" in self.facets:
            session = f"K{r.randrange(9)}"
            return {"session": session, "scope": session}
        if "accounts" in self.facets:
            return {"scope": r.choice(("A", "B", ""))}
        subscriber = r.choice("stu")
        return {"subscriber": subscriber, "scope": subscriber}

    def records(self, size: int) -> list[Record]:
        records: list[Record] = []
        while len(records) < size:
            records += self.session()
        repeated = [r for r in records if self.rng.random() < 0.1]
        probability = 0.3 if {"contents", "versions"} & self.facets else 0.08
        others = [self.with_other_content(r) for r in records if self.rng.random() < probability]
        others += [self.with_other_content(r) for r in records if self.rng.random() < 0.4] if "moved" in self.facets else []
        if "lines" in self.facets:
            records = with_equal_lines(self.rng, records) + [r for n in range(2) for r in self.billed_once_too_often(n)]
        if "versions" in self.facets:
            records = [replace(r, version=self.rng.choice((None, 1, 1, 2))) for r in records]
            others = [replace(r, version=self.rng.choice((None, 1, 2, 2, 3))) for r in others]
            repeated = [replace(r, version=self.rng.choice((None, 2, 4))) if "moved" in self.facets else r for r in repeated]
        return records + repeated + others

    def advance_watermarks(self, at: int) -> list[Item]:
        """Return records, closings and ticks that make each source pass all earlier times."""
        items: list[Item] = [Close(n, self.time_us(at)) for n in self.sources if self.rng.random() < 0.3]
        if self.has_ticks:
            items.append(self.tick(at + self.rng.choice((0, 10))))
        for source, stream in self.sources.items():
            far = Record(
                stream == "charge",
                source,
                f"far{source}{at}",
                f"far{source}{at}",
                self.names[0],
                "z",
                "z",
                self.time_us(at),
                scope="z",
                key_scope=source,
            )
            items.append(replace(far, scope=far.session or "") if "keys only" in self.facets else far)
        return items

    def closings(self) -> list[Item]:
        items: list[Item] = [
            Close(n, self.time_us(self.random_step()))
            for n in self.sources
            for _ in range(self.rng.randrange(3))
            if self.rng.random() < 0.4
        ]
        if self.has_ticks:
            items += [self.tick(self.random_step() + 10) for _ in range(self.rng.randrange(3))]
        return items

    def tick(self, step: int) -> Tick:
        self.ticks += 1
        return Tick(self.time_us(step), self.ticks)


def clamp_int64(micros: int) -> int:
    """Return the nearest number that fits into 64 bits."""
    return max(-(2**63), min(micros, 2**63 - 1))


def random_facets(rng: random.Random) -> frozenset[str]:
    return frozenset(f for f in FACETS if rng.random() < 0.22)


def any_log(
    rng: random.Random, facets: Iterable[str] | None = None, size: int | None = None, of: type[LogGenerator] = LogGenerator
) -> tuple[LogGenerator, Log]:
    """Return a generator and a log of it, in which each item may arrive at any time."""
    generator = of(rng, random_facets(rng) if facets is None else frozenset(facets))
    items: list[Item] = [*generator.records(size or rng.choice((3, 5, 8, 12, 20))), *generator.closings()]
    for at in sorted(rng.sample(range(generator.low, generator.high + 60), rng.randrange(3))):
        items += generator.advance_watermarks(at)
    order = rng.choice(("shuffled", "by time", "charges first"))
    if order == "shuffled":
        rng.shuffle(items)
    else:
        items.sort(
            key=lambda i: (
                order == "charges first" and isinstance(i, Record) and not i.charge,
                time_of_item_us(i) + rng.randrange(12) * generator.step_us,
            )
        )
    if rng.random() < 0.6:
        items += generator.advance_watermarks(generator.high + 200)
    if "very late" in generator.facets:
        # The rest arrives days later, when all findings are final.
        at = rng.randrange(1, len(items) + 1)
        items = [
            *items[:at],
            *generator.advance_watermarks(generator.high + 3 * 86_400 * MICRO // generator.step_us),
            *items[at:],
            *generator.session(),
        ]
    if "recoveries" in generator.facets:
        items = with_corrections(rng, generator, items)
    if {"cycles", "states"} & generator.facets:
        items = with_states(rng, generator, items)
    log = split_into_commits(rng, items)
    if "policies" in generator.facets:
        policy = generator.first
        for at in sorted(rng.sample(range(len(log) + 1), min(len(log), rng.choice((1, 2, 3)))), reverse=True):
            policy = generator.policy(policy)
            log.insert(at, [policy])
    if rng.random() < 0.2:
        log.insert(rng.randrange(len(log)), [])
    return generator, with_superseded_ticks(rng, log) if "wrong clock" in generator.facets else log


def recovery_facets(rng: random.Random) -> frozenset[str]:
    """Return random facets and that of correcting charges, which other logs never have, so their random numbers stay."""
    return random_facets(rng) | {"recoveries"}


def moved_facets(rng: random.Random) -> frozenset[str]:
    """Return random facets and that of versions under other bucket keys, which other logs never have."""
    return random_facets(rng) | {"versions", "moved"}


def line_facets(rng: random.Random) -> frozenset[str]:
    """Return random facets and that of covering services and equal lines, which other logs never have."""
    return random_facets(rng) - {"keys only"} | {"lines"}


def cycle_facets(rng: random.Random) -> frozenset[str]:
    """Return random facets and those of sums of billing cycles, in which each subscriber has a bucket key of its own."""
    return random_facets(rng) - {"keys only", "accounts", "mixed keys"} | {"cycles", *(["lines"] if rng.random() < 0.3 else [])}


def zone_facets(rng: random.Random) -> frozenset[str]:
    """Return the facets of sums of periods in the time zones of subscriptions, two thirds of them billing cycles."""
    facets = cycle_facets(rng) | {"zones", "states"}
    return facets if rng.random() < 0.67 else facets - {"cycles"} | {"sums"}


def sum_facets(rng: random.Random) -> frozenset[str]:
    """Return random facets and that of services of which only sums are compared, which other logs never have."""
    return random_facets(rng) - {"keys only"} | {"sums", *(["lines"] if rng.random() < 0.3 else [])}


def moved_line_facets(rng: random.Random) -> frozenset[str]:
    """Return the facets of covering services and equal lines, whose records also move, and half of the time those of sums."""
    return line_facets(rng) | {"versions", "moved", *(["sums"] if rng.random() < 0.5 else [])}


def with_states(rng: random.Random, generator: LogGenerator, items: list[Item]) -> list[Item]:
    """Add states of subscriptions: early and late ones, back-dated ones, and corrections of earlier ones."""
    days = [(EPOCH + generator.middle * generator.step_us * US + timedelta(days=n)).day for n in (-1, 0, 1)] + [31, 1, None]
    items, moments = list(items), [0, *(generator.time_us(generator.random_step()) for _ in range(2))]
    for _ in range(rng.choice((1, 2, 3, 5))):
        state = State(rng.choice("st"), rng.choice(moments), rng.choice(days))
        if "zones" in generator.facets:
            state = replace(state, zone=rng.choice((None, "UTC", "Asia/Tokyo", "America/New_York")))
        items.insert(rng.choice((0, 0, rng.randrange(len(items) + 1), len(items))), state)
    return items


def with_equal_lines(rng: random.Random, records: list[Record]) -> list[Record]:
    """Add lines that equal others but for record key and invoice, lines of zero, and lines that differ in the tariff code alone."""
    charges = [r for r in records if r.charge and rng.random() < 0.6]
    kept = [r for r in records if not r.charge or rng.random() < 0.8]
    return kept + [r for charge in charges for r in equal_lines(rng, charge, rng.choice((1, 1, 2)))]


def equal_lines(rng: random.Random, charge: Record, number: int) -> list[Record]:
    """Return lines that equal a charge, and some that nearly do."""
    keyed = [replace(charge, key=f"{charge.key}{n}", invoice=rng.choice((None, "I"))) for n in range(number)]
    coded = [replace(r, tariff_code=rng.choice((None, None, None, "A"))) for r in keyed]
    return [replace(r, amount_micros=0) if rng.random() < 0.1 else r for r in coded]


def wrong_clock_facets(rng: random.Random) -> frozenset[str]:
    """Return random facets and that of superseded ticks, which other logs never have, so their random numbers stay."""
    return random_facets(rng) | {"wrong clock"}


def with_corrections(rng: random.Random, generator: LogGenerator, items: list[Item]) -> list[Item]:
    """Add charges that correct records: of any age and amount, before or after the record, twice, and of unknown records."""
    items = list(items)
    for named in [i for i in items if isinstance(i, Record) and rng.random() < 0.4]:
        side, amount = rng.choice((None, named.charge)), rng.choice((-3, -1, 1, 2, 3, 5, 10, 20, 30)) * MICRO
        is_stray, by_session = rng.random() < 0.05, "keys only" in generator.facets
        scope = "z" if is_stray else named.scope
        session = scope if by_session else rng.choice((None, named.session))
        charge = generator.record(True, session, named.service, "z" if is_stray else named.subscriber, named.peer,
                                  generator.random_step(), rng.choice((0, 1, 3)) * MICRO, amount)  # fmt: skip
        exact = (
            named.amount_micros
            if named.charge
            else priced(rules_of(named.service, generator.first), named.quantity_micros, "EUR", generator.first)
        )
        charge = replace(
            charge, scope=scope, corrects=(side, named.key if rng.random() < 0.95 else "none"),
            currency=named.currency, started_us=charge.started_us if rng.random() < 0.8 else 0,
            amount_micros=amount if exact is None or rng.random() < 0.6 or abs(exact) >= 2**62 else -exact if named.charge else exact,
        )  # fmt: skip
        items.insert(rng.randrange(len(items) + 1), charge)
    return items


def with_superseded_ticks(rng: random.Random, log: Log) -> Log:
    """Supersede some ticks of a log later, in commits of their own or within other commits."""
    for tick in [i for commit in log for i in commit if isinstance(i, Tick)]:
        if rng.random() < 0.6:
            tick_at = next(at for at, commit in enumerate(log) if tick in commit)
            at = rng.randrange(tick_at + 1, len(log) + 1)
            if at < len(log) and rng.random() < 0.3:
                log[at] = [*log[at], Supersede(tick)]
            else:
                log.insert(at, [Supersede(tick)])
    return log


def time_of_item_us(item: Item) -> int:
    if isinstance(item, Record):
        return item.time_us or 0
    return item.through_us if isinstance(item, Close) else item.now_us if isinstance(item, Tick) else 0


def split_into_commits(rng: random.Random, items: list[Item]) -> Log:
    log: Log = []
    while items:
        n = rng.choice((1, 1, 2, 3, 5))
        log, items = [*log, items[:n]], items[n:]
    return log


# --- logs in time -----------------------------------------------------------------------------------------------------


def in_time_log(
    rng: random.Random, facets: Iterable[str] | None = None, size: int | None = None
) -> tuple[LogGenerator, list[Item]]:
    """Return a generator and its items, which `deliver_in_time` can deliver in time."""
    allowed = frozenset(random_facets(rng) if facets is None else facets) - {"policies", "undated", "mixed keys", "horizon"}
    generator = LogGenerator(rng, allowed, in_time_only=True)
    items = [*generator.records(size or rng.choice((3, 5, 8, 12))), *generator.closings()]
    return generator, items + (
        generator.advance_watermarks(generator.high + rng.choice((-20, 0, 200))) if rng.random() < 0.5 else []
    )


def deliver_in_time(rng: random.Random, items: list[Item], policy: Policy) -> Log:
    """Return the items in random order, split into commits, so that the first delivery of each record is in time.

    A record is in time if its stream has passed neither its own time nor, by grace, the first time of its session key.
    """
    remaining, known, log = list(items), KnownAtPosition(policy), Log()
    firsts: dict[tuple[str, str], int] = {}
    for r in items:
        if isinstance(r, Record) and r.session is not None and r.time_us is not None:
            at = (r.scope, r.session)
            firsts[at] = min(firsts.get(at, r.time_us), r.time_us)
    delivered: set[bytes] = set()
    while remaining:
        for n in (*rng.choices((1, 2, 3), k=10), 1, 1, len(remaining)):
            commit = rng.sample(remaining, min(n, len(remaining)))
            ahead = KnownAtPosition(policy, dict(known.observed), dict(known.closed), known.ticks)
            ahead.add(commit)
            delivered_then = delivered | {r.event_id for r in commit if isinstance(r, Record)}
            if not any(
                isinstance(r, Record) and r.event_id not in delivered_then and is_too_late(r, ahead, firsts) for r in remaining
            ):
                break
        for item in commit:
            remaining.remove(item)
        known, delivered = ahead, delivered_then
        log.append(commit)
    return log


def is_too_late(record: Record, known: KnownAtPosition, firsts: dict[tuple[str, str], int]) -> bool:
    if known.passed(record.charge, record.time_us, 0, 0):
        return True
    if record.session is None:
        return False
    every = [*known.policy.services.values(), known.policy.default]
    rules = [rules_of(record.service, known.policy)] if record.service is not None else every
    grace, closed_wait_us = min(s.grace for s in rules), min(closed_wait(s) for s in rules)
    return known.passed(record.charge, firsts[record.scope, record.session], grace, closed_wait_us)
