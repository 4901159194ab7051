"""Random logs of worlds in which a tariff book prices what shares free units and tiers."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from random_logs import MICRO, LogGenerator, any_log, fitting
from reference_model.log import EPOCH, US, Log, Record, Tariff

from trueup.config import ServiceConfig
from trueup.rating.book import TARIFF

FACETS = (
    "policies",
    "contents",
    "accounts",
    "zone",
    "mixed keys",
    "nulls",
    "long ago",
    "currencies",
    "horizon",
    "key scopes",
    "untimed",
)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PRICE = 2 * MICRO


class Sharing(LogGenerator):
    """A world whose services are mostly priced by a book."""

    def rules(self) -> ServiceConfig:
        told = super().rules()
        slack = self.rng.choice((0, 10, 2 * MICRO, 8 * MICRO))
        booked = {"price": None, "amount_tolerance": slack}
        return told.model_copy(update=booked) if self.rng.random() < 0.85 else told

    def charge(self, number: int, usage: list[Record], start: int, key: str | None) -> Record:
        """Billing consumes what is free in an order of its own: its amounts are of a few kinds."""
        billed = super().charge(number, usage, start, key)
        whole = (billed.quantity_micros or 0) * 2
        amount = self.rng.choice((0, 0, whole, whole, whole // 2, whole - 2 * PRICE, billed.amount_micros))
        return replace(billed, amount_micros=fitting(-amount if billed.amount_micros < 0 else amount))


def row(item: str, **told: Any) -> dict[str, Any]:
    return dict.fromkeys(TARIFF) | {"item": item, "valid_from": LONG_AGO} | told


def rate(service: str, price_micros: int = PRICE, **told: Any) -> dict[str, Any]:
    return row("rate", service=service, currency="EUR", price_micros=price_micros, price_per=1, unit="s", **told)


def free(name: str, units_micros: int, services: str, **told: Any) -> dict[str, Any]:
    return row("allowance", name=name, units_micros=units_micros, services=services, **told)


def book_of(world: LogGenerator) -> list[dict[str, Any]]:
    """Prices of every service, some with a tier, and free units of some of them."""
    r = world.rng
    by_account = world.bucket_by == "account" and r.random() < 0.6
    told: dict[str, Any] = {
        "shared": "account" if by_account else r.choice((None, "subscriber")), "timezone": r.choice((None, world.zone)),
        "period": r.choice((None, "day", "day", "week")),
    }  # fmt: skip
    rows = []
    for service in ("voice", "sms", "iot", "web"):
        tiered = r.random() < 0.35
        terms = told if tiered else {}
        step = r.choice((None, None, MICRO))
        rows.append(rate(service, **terms, first_increment_micros=step, next_increment_micros=step))
        rows += [rate(service, r.choice((MICRO, 3 * MICRO)), tier_from_micros=r.choice((3, 6)) * MICRO, **terms)] if tiered else []
    for name in r.sample(("A", "B"), r.choice((0, 1, 1, 2))):
        services = ", ".join(r.sample(("voice", "sms", "iot", "web"), r.choice((1, 2, 3))))
        other = {"period": r.choice(("day", "month"))} if r.random() < 0.2 else {}
        rows.append(free(name, r.choice((2, 5, 9)) * MICRO, services, **(told | other)))
    return rows


def shared(rng: random.Random, size: int | None = None) -> tuple[LogGenerator, Log]:
    """A world, and a log of it in which the book may come late, and again with other prices."""
    facets = [f for f in FACETS if rng.random() < 0.15]
    world, log = any_log(rng, facets, size or rng.choice((3, 5, 8, 12)), of=Sharing)
    first: list[Any] = [Tariff(tuple(book_of(world)))]
    log = [first, *log] if rng.random() < 0.8 else [*log[: len(log) // 2], first, *log[len(log) // 2 :]]
    if rng.random() < 0.3:
        moment = EPOCH + (world.middle + rng.randrange(-4, 4)) * world.step_us * US
        change = rate(rng.choice(("voice", "web")), 3 * MICRO) | {"valid_from": moment.replace(microsecond=0)}
        at = rng.randrange(1, len(log) + 1)
        log = [*log[:at], [Tariff((change,))], *log[at:]]
    return world, log


def moment(text: str) -> int:
    """An instant of UTC in µs since 1970: `2024-05-01 12:00`."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
