"""Random logs in which a tariff book prices usage with shared allowances and tiers."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from random_logs import MICRO, LogGenerator, any_log, clamp_int64
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
    "very late",
    "currencies",
    "horizon",
    "key scopes",
    "undated",
)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PRICE = 2 * MICRO


class AllowanceLogGenerator(LogGenerator):
    """Generates logs in which a tariff book prices most services."""

    def rules(self) -> ServiceConfig:
        rules = super().rules()
        slack = self.rng.choice((0, 10, 2 * MICRO, 8 * MICRO))
        by_book = {"price": None, "amount_tolerance": slack}
        return rules.model_copy(update=by_book) if self.rng.random() < 0.85 else rules

    def charge(self, number: int, usage: list[Record], start: int, key: str | None) -> Record:
        """Return a charge with one of a few amounts: billing consumes allowances in an order of its own."""
        billed = super().charge(number, usage, start, key)
        full_price = (billed.quantity_micros or 0) * 2
        amount = self.rng.choice((0, 0, full_price, full_price, full_price // 2, full_price - 2 * PRICE, billed.amount_micros))
        return replace(billed, amount_micros=clamp_int64(-amount if billed.amount_micros < 0 else amount))


def row(item: str, **values: Any) -> dict[str, Any]:
    return dict.fromkeys(TARIFF) | {"item": item, "valid_from": LONG_AGO} | values


def rate(service: str, price_micros: int = PRICE, **values: Any) -> dict[str, Any]:
    return row("rate", service=service, currency="EUR", price_micros=price_micros, price_per=1, unit="s", **values)


def allowance(name: str, units_micros: int, services: str, **values: Any) -> dict[str, Any]:
    return row("allowance", name=name, units_micros=units_micros, services=services, **values)


def book_of(generator: LogGenerator) -> list[dict[str, Any]]:
    """Return prices of all services, some with a tier, and allowances of some services."""
    r = generator.rng
    by_account = generator.bucket_by == "account" and r.random() < 0.6
    sharing: dict[str, Any] = {
        "shared": "account" if by_account else r.choice((None, "subscriber")), "timezone": r.choice((None, generator.zone)),
        "period": "cycle" if "states" in generator.facets else r.choice((None, "day", "day", "week")),
    }  # fmt: skip
    rows = []
    for service in ("voice", "sms", "iot", "web"):
        tiered = r.random() < 0.35
        terms = sharing if tiered else {}
        step = r.choice((None, None, MICRO))
        beginning: dict[str, Any] = {
            "free_first_micros": r.choice((None, None, None, MICRO)), "chargeable_from_micros": r.choice((None, None, None, 2 * MICRO)),
            "priced_at": r.choice((None, None, "start")), "maximum_micros": r.choice((None, None, None, 5 * MICRO)),
        }  # fmt: skip
        rows.append(rate(service, **terms, **beginning, first_increment_micros=step, next_increment_micros=step))
        rows += [rate(service, r.choice((MICRO, 3 * MICRO)), tier_from_micros=r.choice((3, 6)) * MICRO, **terms)] if tiered else []
        # Subscribers are named s and t.
        rows += [rate(service, r.choice((MICRO, 3 * MICRO)), origin=r.choice("st"))] if r.random() < 0.3 else []
    # Peers are named p and q.
    rows += [rate("voice", 3 * MICRO, destination="q")] if r.random() < 0.3 else []
    if r.random() < 0.3:
        middle = (EPOCH + generator.middle * generator.step_us * US).replace(microsecond=0)
        rows.append(row("ported", destination="p", rated_as="q", valid_from=r.choice((LONG_AGO, middle))))
    for name in r.sample(("A", "B"), r.choice((0, 1, 1, 2))):
        services = ", ".join(r.sample(("voice", "sms", "iot", "web"), r.choice((1, 2, 3))))
        other = {"period": r.choice(("day", "month"))} if r.random() < 0.2 else {}
        rows.append(allowance(name, r.choice((2, 5, 9)) * MICRO, services, **(sharing | other)))
    return rows


def allowance_log(rng: random.Random, size: int | None = None, further: tuple[str, ...] = ()) -> tuple[LogGenerator, Log]:
    """Return a generator and a log of it, in which the book may arrive late, and again with other prices.

    With the `further` facet `states` subscriptions have billing cycles, over which allowances and tiers count.
    """
    without = {"accounts", "mixed keys"} if "states" in further else set()
    facets = [*(f for f in FACETS if rng.random() < 0.15 and f not in without), *further]
    generator, log = any_log(rng, facets, size or rng.choice((3, 5, 8, 12)), of=AllowanceLogGenerator)
    first: list[Any] = [Tariff(tuple(book_of(generator)))]
    log = [first, *log] if rng.random() < 0.8 else [*log[: len(log) // 2], first, *log[len(log) // 2 :]]
    if rng.random() < 0.3:
        moment = EPOCH + (generator.middle + rng.randrange(-4, 4)) * generator.step_us * US
        change = rate(rng.choice(("voice", "web")), 3 * MICRO) | {"valid_from": moment.replace(microsecond=0)}
        at = rng.randrange(1, len(log) + 1)
        log = [*log[:at], [Tariff((change,))], *log[at:]]
    return generator, log


def moment(text: str) -> int:
    """Return a UTC time such as `2024-05-01 12:00` in µs since 1970."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
