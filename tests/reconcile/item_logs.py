"""Logs of subscription states, items and charges in plain values, as the reconciliation of items takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from trueup.config import ServiceConfig
from trueup.events.schema import CORE, UTC_TIME
from trueup.policies.policy import NEVER_POSITION, Policies, Policy, SourceRules
from trueup.rating.charged_items.items import items_of
from trueup.reconcile.domain.frontier import Frontier, RunningMax
from trueup.reconcile.domain.tariff_terms import SUBSCRIBER_CHANGE, TARIFF_CHANGE, Terms, changes_of, states_of
from trueup.reconcile.log_io.item_charges import ITEM_CHARGE
from trueup.reconcile.recurring.reconcile_items import ItemInputs
from trueup.units import MICROS

ZONE = "Europe/Berlin"
DAY_US = 86_400_000_000
POLICY = Policy(
    0,
    default=ServiceConfig.model_validate({"grace": "5d"}),
    sources={"b": SourceRules("charge", None)},
    timezone=ZONE,
    horizon_us=400 * DAY_US,
)
"""One source of charges that closings move; grace is five days."""


def at(text: str, zone: str = ZONE) -> datetime:
    """Return the instant of a local date, with a time of day if there is one."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def us(text: str, zone: str = ZONE) -> int:
    return int(at(text, zone).timestamp()) * MICROS


@dataclass(frozen=True)
class State:
    """A state of a subscription from a local time on."""

    since: str
    plan: str | None = "A"
    status: str = "active"
    to: str | None = None
    at: int = 1
    subscriber: str = "s"
    system: str = "billing"
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Price:
    """A row of the tariff book: by default a monthly rental of 31.00 in advance, prorated by days."""

    price: str | None = "31"
    since: str = "2020-01-01"
    to: str | None = None
    item: str = "recurring"
    name: str = "line"
    plan: str | None = None
    at: int = 1
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bill:
    """A charge line of an item that arrived at position `at`."""

    amount: str
    period: tuple[str, str] | None = None
    time: str | None = None
    at: int = 2
    item: str = "line"
    subscriber: str = "s"
    key: str | None = None
    currency: str = "EUR"
    service: str = "rental"
    content: str | None = None
    corrects: str | None = None
    version: int | None = None


@dataclass(frozen=True)
class Closed:
    """At position `at` the charges of all times before `through` are complete."""

    through: str
    at: int = 3


Item = State | Price | Bill | Closed


def micros(amount: str) -> int:
    whole, _, rest = amount.lstrip("-").partition(".")
    return (-1 if amount.startswith("-") else 1) * (int(whole) * MICROS + int(rest.ljust(6, "0")[:6]))


def _build_states(states: Sequence[State]) -> pl.DataFrame:
    rows = [
        {"bucket": 0, "position": s.at, "system": s.system, "subscriber": s.subscriber, "plan": s.plan, "status": s.status,
         "valid_from": at(s.since), "valid_to": at(s.to) if s.to else None, "event_id": repr(s).encode(), **s.more}
        for s in states
    ]  # fmt: skip
    schema = {"event_id": pl.Binary, "position": pl.Int64, "bucket": pl.Int16, **CORE["subscriber"]}
    return states_of(pl.DataFrame(rows, schema=schema))


def tariff_rows(prices: Sequence[Price]) -> pl.DataFrame:
    usual = {"recurring": {"service": "rental", "currency": "EUR"}, "one_off": {"service": "rental", "currency": "EUR"}}
    rows = [
        {"position": p.at, "source_row": n, "item": p.item, "name": p.name, "plan": p.plan, "valid_from": at(p.since),
         "valid_to": at(p.to) if p.to else None, "price_micros": None if p.price is None else micros(p.price),
         **usual.get(p.item, {"currency": "EUR"}), **p.more}
        for n, p in enumerate(prices)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema={"position": pl.Int64, "source_row": pl.Int64, **CORE["tariff"]})


def _build_charges(bills: Sequence[Bill]) -> pl.DataFrame:
    rows = []
    for n, b in enumerate(bills):
        key = b.key or f"c{n}"
        first, last = (us(b.period[0]), us(b.period[1])) if b.period else (None, None)
        own = us(b.time) if b.time else first
        rows.append({
            "charge": True, "event_id": repr((key, b.amount)).encode(), "position": b.at, "source": "b", "bucket": 0, "scope": b.subscriber,
            "key_scope": "b", "record_key": key, "service": b.service, "subscriber": b.subscriber, "time_us": own, "started": True,
            "amount_micros": micros(b.amount), "currency": b.currency, "corrected_key": b.corrects, "item": b.item, "period_from_us": first, "period_to_us": last,
            "content": (b.content or repr((b.amount, b.period, b.item, b.currency))).encode(),
        })  # fmt: skip
    return pl.DataFrame(rows, schema=ITEM_CHARGE)


def inputs_of(log: Sequence[Item], upto: int, policies: Sequence[Policy] = (POLICY,)) -> ItemInputs:
    """Return the inputs from the positions of a log up to `upto`."""
    known = [i for i in log if i.at <= upto]
    states, items = (
        _build_states([s for s in known if isinstance(s, State)]),
        items_of(tariff_rows([p for p in known if isinstance(p, Price)])),
    )
    closed = pl.DataFrame(
        [(c.at, us(c.through)) for c in known if isinstance(c, Closed)],
        schema={"position": pl.Int64, "value": pl.Int64},
        orient="row",
    )
    bills = [b for b in known if isinstance(b, Bill)]
    charges = _build_charges(bills)
    since = min((s.at for s in known if isinstance(s, State)), default=NEVER_POSITION)
    causes = dict.fromkeys((s.at for s in known if isinstance(s, State)), SUBSCRIBER_CHANGE)
    causes |= dict.fromkeys((p.at for p in known if isinstance(p, Price)), TARIFF_CHANGE)
    terms = Terms((), states, changes_of([], states), causes, since, NEVER_POSITION, items)
    in_force = Policies([p for p in policies if p.position <= upto] or policies[:1])
    observed = RunningMax.of(charges.select("position", value="time_us"))
    frontier = Frontier(in_force, {"b": observed}, {"b": RunningMax.of(closed)})
    return ItemInputs(frontier, terms, charges, RunningMax.of(charges.select("position", value=-pl.col("time_us"))))


def utc(time_us: pl.Expr) -> pl.Expr:
    return time_us.cast(UTC_TIME)
