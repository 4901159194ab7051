"""The expectations of random subscriptions and books are those of a slow rater in fractions."""

from __future__ import annotations

import random
from datetime import date, timedelta

import polars as pl
import pytest
from item_logs import Item, Price, State, inputs_of, us
from slow_items import slow_expectations

from trueup.reconcile.recurring.expectations import expectations_of, price_lists
from trueup.reconcile.recurring.subscription_views import subscription_views

FIRST = date(2027, 12, 1)


def random_states(r: random.Random) -> list[State]:
    """Return states around a leap February, at midnights and at other times, with and without ends."""
    days = sorted(r.sample(range(120), r.randint(1, 5)))
    states = []
    for n, day in enumerate(days):
        since = (FIRST + timedelta(days=day)).isoformat() + r.choice(("", "", "T12:00", "T23:30"))
        ends = (FIRST + timedelta(days=day + r.randint(1, 60))).isoformat() if r.random() < 0.2 else None
        more = {"cycle_day": r.choice((1, 15, 29, 30, 31))} if r.random() < 0.5 else {}
        status = r.choice(("active", "active", "active", "suspended", "ceased")) if n else "active"
        states.append(State(since, r.choice(("A", "B", None)), status, ends, more=more))
    return states


def _draw_end(r: random.Random, since: str) -> str | None:
    if r.random() < 0.6:
        return None
    begin = max(date.fromisoformat(since[:10]), FIRST)
    return (begin + timedelta(days=r.randint(1, 60))).isoformat() + r.choice(("", "T12:00"))


def random_book(r: random.Random) -> list[Price]:
    book = []
    for name in ("line", "tv"):
        for plan in r.sample((None, "A", "B"), r.randint(1, 3)):
            starts = [
                "2020-01-01",
                *(
                    (FIRST + timedelta(days=r.randint(0, 120))).isoformat() + r.choice(("", "T12:00"))
                    for _ in range(r.randint(0, 2))
                ),
            ]
            period = r.choice(("day", "week", "month", "cycle"))
            for since in sorted(set(starts)):
                choices = {
                    "due": ("advance", "arrears"), "suspended": ("charged", "free"), "decimals": (0, 2, 6),
                    "rounding": ("up", "down", "half_up", "half_even"), "tax_micros": (190_000, 77_777),
                    "proration": ("day", "none", "30") if period in ("month", "cycle") else ("day", "none"),
                }  # fmt: skip
                more = {n: r.choice(values) for n, values in choices.items() if r.random() < 0.5} | {"period": period}
                amount = r.choice(("31", "10", "0.000007", "-3.5"))
                book.append(Price(amount, since, _draw_end(r, since), plan=plan, name=name, more=more))
    for n in range(r.randint(0, 4)):
        begin = FIRST + timedelta(days=r.randint(0, 100))
        more = {"discount_micros": r.choice((100_000, 333_333, 600_000))} if r.random() < 0.7 else {}
        more |= {"months": r.randint(1, 3)} if r.random() < 0.4 else {}
        more |= {"applies_to": "tv"} if n > 1 and r.random() < 0.3 else {}
        ends = (begin + timedelta(days=r.randint(1, 50))).isoformat() if r.random() < 0.5 else None
        book.append(
            Price(
                None if more.get("discount_micros") else "4.2",
                begin.isoformat(),
                ends,
                "discount",
                f"d{n // 2}",
                (None, "A")[n % 2],
                more=more,
            )
        )
    return book


def compare(seed: str) -> None:
    r = random.Random(seed)
    states, book = random_states(r), random_book(r)
    low = FIRST + timedelta(days=r.randint(0, 100))
    high = low + timedelta(days=r.randint(0, 40))
    items: list[Item] = [*states, *book]
    inputs = inputs_of(items, 1)
    none = pl.DataFrame(schema={"subscriber": pl.String, "since": pl.Int64})
    views = subscription_views(inputs.terms.states, none, [0, 1], inputs.frontier.policies, after=0, upto=1)
    reached = views.views.select("view", low_us=pl.lit(us(low.isoformat())), high_us=pl.lit(us(high.isoformat())))
    rows = expectations_of(views, price_lists(inputs.terms.items, views), reached)
    days = [
        pl.col(n).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone("Europe/Berlin").dt.date() for n in ("period_to_us", "due_us")
    ]
    shown = rows.select("item", "currency", "period", "day", *days, "expected_micros").rows()
    actual = {(i, c, p, d, e): (due, a) for i, c, p, d, e, due, a in shown if d <= high and e > low}
    assert actual == slow_expectations(states, book, low, high), f"{seed}: {states} {book} {low} {high}"


@pytest.mark.parametrize("part", range(4))
def test_random_subscriptions_are_rated_as_the_slow_rater_rates_them(part: int) -> None:
    for n in range(5 * part, 5 * part + 5):
        compare(f"items/{n}")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_many_random_subscriptions_are_rated_as_the_slow_rater_rates_them(part: int) -> None:
    for n in range(50 * part, 50 * part + 50):
        compare(f"many items/{n}")
