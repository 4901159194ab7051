"""Expected amounts of items: each case calculated by hand, on local days of Berlin unless stated otherwise."""

from __future__ import annotations

import polars as pl
import pytest
from item_logs import DAY_US, ZONE, Price, State, inputs_of, us

from trueup.reconcile.recurring.expectations import expectations_of, price_lists
from trueup.reconcile.recurring.subscription_views import subscription_views

Expected = list[tuple[str, str | None, str, str]]
"""For each expectation the first day of its period, the end (exclusive), the due day and the amount."""


def expected(items: list[Price | State], low: str, high: str, name: str = "line") -> Expected:
    """Return the expectations of one item in the periods that [`low`, `high`] touches."""
    inputs = inputs_of(items, 1)
    none = pl.DataFrame(schema={"subscriber": pl.String, "since": pl.Int64})
    views = subscription_views(inputs.terms.states, none, [0, 1], inputs.frontier.policies, after=0, upto=1)
    reached = views.views.select("view", low_us=pl.lit(us(low)), high_us=pl.lit(us(high)))
    rows = expectations_of(views, price_lists(inputs.terms.items, views), reached).filter(pl.col("item") == name)
    zone = views.views["zone"].item()
    days = [pl.col(n).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone).dt.strftime("%Y-%m-%d")
            for n in ("period_from_us", "period_to_us", "due_us")]  # fmt: skip
    shown = rows.sort("period_from_us").select(*days, "expected_micros").rows()
    return [(first, end, due, f"{amount / 1_000_000:.6f}".rstrip("0").rstrip(".")) for first, end, due, amount in shown]


MONTH = ("2026-03-01", "2026-04-01", "2026-03-01")
"""March 2026, in advance."""
SINCE = State("2025-01-01")


def price(price: str = "31", **more: object) -> Price:
    return Price(price, more=more)


def discount(
    amount: str | None = None, name: str = "promo", since: str = "2020-01-01", to: str | None = None, **more: object
) -> Price:
    return Price(amount, since, to, "discount", name, more=more)


def half(**more: object) -> Price:
    return discount(discount_micros=500_000, **more)  # type: ignore[arg-type]


CASES: dict[str, tuple[list[Price | State], Expected]] = {
    "a whole month costs the price": ([SINCE, price()], [(*MONTH, "31")]),
    "a plan's own price has expired, so the general one is charged": (
        [SINCE, Price("30"), Price("20", "2025-06-01", "2026-01-01", plan="A")], [(*MONTH, "30")],
    ),
    "a plan's own price expires on the 11th: ten days at 1, 21 days at 2": (
        [SINCE, Price("62"), Price("31", "2025-06-01", "2026-03-11", plan="A")], [(*MONTH, "52")],
    ),
    "a plan's own price expires at noon of the 11th, that day is its own": (
        [SINCE, Price("62"), Price("31", "2025-06-01", "2026-03-11T12:00", plan="A")], [(*MONTH, "51")],
    ),
    "a plan's own price begins on the 11th: ten days at 2, 21 days at 1": (
        [SINCE, Price("62"), Price("31", "2026-03-11", plan="A")], [(*MONTH, "41")],
    ),
    "the general price between two prices of the plan: 10 days at 1, 10 at 2, 11 at 3": (
        [SINCE, Price("62"), Price("31", "2025-06-01", "2026-03-11", plan="A"), Price("93", "2026-03-21", plan="A")],
        [(*MONTH, "63")],
    ),
    "a plan's own discount of a quarter expires on the 11th, then the general half: 7.5 + 10.5": (
        [SINCE, price(), half(), Price(None, "2020-01-01", "2026-03-11", "discount", "promo", "A", more={"discount_micros": 250_000})],
        [(*MONTH, "18")],
    ),
    "in arrears it is due at its end": (
        [SINCE, price(due="arrears")], [("2026-03-01", "2026-04-01", "2026-04-01", "31")],
    ),
    "activated on the 10th, 22 of 31 days": (
        [State("2026-03-10"), price()], [("2026-03-01", "2026-04-01", "2026-03-10", "22")],
    ),
    "activated in the evening of the 10th, that day counts": (
        [State("2026-03-10T22:00"), price()], [("2026-03-01", "2026-04-01", "2026-03-10", "22")],
    ),
    "activated on the 10th, in arrears, due at the end": (
        [State("2026-03-10"), price(due="arrears")], [("2026-03-01", "2026-04-01", "2026-04-01", "22")],
    ),
    "activated on the last day": ([State("2026-03-31"), price()], [("2026-03-01", "2026-04-01", "2026-03-31", "1")]),
    "activated in the next month": ([State("2026-04-02"), price()], []),
    "ceased at the midnight that begins the 11th, ten days": (
        [State("2025-01-01", to="2026-03-11"), price()], [(*MONTH, "10")],
    ),
    "ceased at noon of the 11th, that day counts": (
        [State("2025-01-01", to="2026-03-11T12:00"), price()], [(*MONTH, "11")],
    ),
    "ceased by a state of its own": (
        [SINCE, State("2026-03-11", status="ceased"), price()], [(*MONTH, "10")],
    ),
    "ceased on the first": ([State("2025-01-01", to="2026-03-01"), price()], []),
    "active for one day": (
        [State("2026-03-05T08:00", to="2026-03-05T20:00"), price()], [("2026-03-01", "2026-04-01", "2026-03-05", "1")],
    ),
    "ceased and activated again on one day, which counts once": (
        [State("2025-01-01", to="2026-03-10T08:00"), State("2026-03-10T18:00"), price()], [(*MONTH, "31")],
    ),
    "two lives in one month": (
        [State("2025-01-01", to="2026-03-06"), State("2026-03-26"), price()], [(*MONTH, "11")],
    ),
    "suspended days are free": (
        [SINCE, State("2026-03-11", status="suspended"), State("2026-03-21"), price()], [(*MONTH, "21")],
    ),
    "suspended days are charged where the item says so": (
        [SINCE, State("2026-03-11", status="suspended"), State("2026-03-21"), price(suspended="charged")], [(*MONTH, "31")],
    ),
    "suspended for the whole month": ([State("2026-01-01"), State("2026-02-01", status="suspended"), price()], []),
    "suspended during one day, which is active as well": (
        [SINCE, State("2026-03-11T08:00", status="suspended"), State("2026-03-11T20:00"), price()], [(*MONTH, "31")],
    ),
    "upgraded on the 16th: 15 days of A, 16 of B": (
        [SINCE, State("2026-03-16", "B"), Price("31", plan="A"), Price("62", plan="B")], [(*MONTH, "47")],
    ),
    "upgraded at noon of the 16th: the day is of B": (
        [SINCE, State("2026-03-16T12:00", "B"), Price("31", plan="A"), Price("62", plan="B")], [(*MONTH, "47")],
    ),
    "upgraded on the first": (
        [SINCE, State("2026-03-01", "B"), Price("31", plan="A"), Price("62", plan="B")], [(*MONTH, "62")],
    ),
    "upgraded on the last day": (
        [SINCE, State("2026-03-31", "B"), Price("31", plan="A"), Price("62", plan="B")], [(*MONTH, "32")],
    ),
    "two upgrades on one day: the last one counts": (
        [SINCE, State("2026-03-16T08:00", "B"), State("2026-03-16T09:00", "C"), Price("31", plan="A"), Price("62", plan="B"),
         Price("93", plan="C")], [(*MONTH, "63")],
    ),
    "downgraded to a plan without the item": (
        [SINCE, State("2026-03-16", "B"), Price("31", plan="A")], [(*MONTH, "15")],
    ),
    "a row of the plan hides the row of any plan": ([SINCE, price("99"), Price("31", plan="A")], [(*MONTH, "31")]),
    "a plan without a row of its own has the row of any plan": ([SINCE, price("31"), Price("99", plan="B")], [(*MONTH, "31")]),
    "a subscription without plan has the row of any plan": ([State("2025-01-01", None), price("31")], [(*MONTH, "31")]),
    "an unknown plan has no price of another": ([State("2025-01-01", "X"), Price("31", plan="A")], []),
    "a new price from the 21st": (
        [SINCE, Price("31"), Price("62", "2026-03-21")], [(*MONTH, "42")],
    ),
    "a price that ends on the 21st": ([SINCE, Price("31", to="2026-03-21")], [(*MONTH, "20")]),
    "not prorated: a day costs the whole": ([State("2026-03-31"), price(proration="none")], [("2026-03-01", "2026-04-01", "2026-03-31", "31")]),
    "not prorated: the price of the first day": (
        [SINCE, Price("31", more={"proration": "none"}), Price("62", "2026-03-21", more={"proration": "none"})], [(*MONTH, "31")],
    ),
    "by 30: ten days": ([State("2025-01-01", to="2026-03-11"), price("30", proration="30")], [(*MONTH, "10")]),
    "by 30: the 31st is free": ([State("2026-03-31"), price("30", proration="30")], [("2026-03-01", "2026-04-01", "2026-03-31", "0")]),
    "by 30: a month of 31 days costs the price": ([SINCE, price("30", proration="30")], [(*MONTH, "30")]),
    "by 30: from the 30th to the end is one day": ([State("2026-03-30"), price("30", proration="30")], [("2026-03-01", "2026-04-01", "2026-03-30", "1")]),
    "a third of a month is rounded to the millionth": ([State("2026-03-31"), price("10")], [("2026-03-01", "2026-04-01", "2026-03-31", "0.322581")]),
    "rounded to two decimals": ([State("2026-03-31"), price("10", decimals=2)], [("2026-03-01", "2026-04-01", "2026-03-31", "0.32")]),
    "rounded up to two decimals": ([State("2026-03-31"), price("10", decimals=2, rounding="up")], [("2026-03-01", "2026-04-01", "2026-03-31", "0.33")]),
    "tax is added": ([SINCE, price("100", tax_micros=190_000)], [(*MONTH, "119")]),
    "included tax is not added": ([SINCE, price("119", tax_micros=190_000, tax_included=True)], [(*MONTH, "119")]),
    "half price": ([SINCE, price(), half()], [(*MONTH, "15.5")]),
    "half price for the first ten days": ([SINCE, price(), half(to="2026-03-11")], [(*MONTH, "26")]),
    "half price from the 21st": ([SINCE, price(), half(since="2026-03-21")], [(*MONTH, "25.5")]),
    "two discounts of a half overlap for ten days": (
        [SINCE, price(), half(), half(name="more", since="2026-03-11", to="2026-03-21")], [(*MONTH, "10.5")],
    ),
    "discounts beyond the price make it free, and no credit": ([SINCE, price(), half(), half(name="b"), half(name="c")], [(*MONTH, "0")]),
    "an amount off": ([SINCE, price(), discount("10")], [(*MONTH, "21")]),
    "an amount off is prorated like the price": ([State("2025-01-01", to="2026-03-11"), price(), discount("15.5")], [(*MONTH, "5")]),
    "a fraction comes before an amount": ([SINCE, price("40"), half(), discount("5", name="off")], [(*MONTH, "15")]),
    "a discount in another currency is none": ([SINCE, price(), discount("10", currency="USD")], [(*MONTH, "31")]),
    "a discount on another item": ([SINCE, price(), Price("5", name="tv"), half(applies_to="tv")], [(*MONTH, "31")]),
    "a discount of another plan": ([SINCE, price(), Price(None, item="discount", name="p", plan="B", more={"discount_micros": 500_000})], [(*MONTH, "31")]),
    "half price for three months from the activation, the last ends on the 9th": (
        [State("2025-12-10"), price(), half(months=3)], [(*MONTH, "26.5")],
    ),
    "the three months are over": ([State("2025-11-10"), price(), half(months=3)], [(*MONTH, "31")]),
    "a promotion for activations of January only": ([State("2026-02-10"), price(), half(months=6, since="2026-01-01", to="2026-02-01")], [(*MONTH, "31")]),
    "a promotion lasts beyond its own end": ([State("2026-01-10"), price(), half(months=6, since="2026-01-01", to="2026-02-01")], [(*MONTH, "15.5")]),
    "a suspension does not begin a promotion again": (
        [State("2025-06-01"), State("2026-02-01", status="suspended"), State("2026-03-01"), price(), half(months=3)], [(*MONTH, "31")],
    ),
    "a new life begins it again": (
        [State("2025-06-01", to="2026-01-01"), State("2026-03-01"), price(), half(months=3)], [(*MONTH, "15.5")],
    ),
    "a credit every month": ([SINCE, price("-5")], [(*MONTH, "-5")]),
    "the network's states where billing has none": ([State("2026-03-22", system="network"), price()], [("2026-03-01", "2026-04-01", "2026-03-22", "10")]),
    "billing's states where both have some": (
        [State("2026-03-01", system="network"), State("2026-03-22"), price()], [("2026-03-01", "2026-04-01", "2026-03-22", "10")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda name: name.replace(" ", "_"))
def test_march_2026(case: str) -> None:
    items, amounts = CASES[case]
    assert expected(items, "2026-03-01", "2026-03-31") == amounts


PERIODS: dict[str, tuple[list[Price | State], tuple[str, str], Expected]] = {
    "february of a leap year": (
        [State("2028-02-29"), price("29")], ("2028-02-01", "2028-02-29"), [("2028-02-01", "2028-03-01", "2028-02-29", "1")],
    ),
    "february of another year": (
        [State("2026-02-28"), price("28")], ("2026-02-01", "2026-02-28"), [("2026-02-01", "2026-03-01", "2026-02-28", "1")],
    ),
    "by 30, the last day of february counts three": (
        [State("2026-02-28"), price("30", proration="30")], ("2026-02-01", "2026-02-28"), [("2026-02-01", "2026-03-01", "2026-02-28", "3")],
    ),
    "by 30, the last day of a leap february counts two": (
        [State("2028-02-29"), price("30", proration="30")], ("2028-02-01", "2028-02-29"), [("2028-02-01", "2028-03-01", "2028-02-29", "2")],
    ),
    "weeks begin on Monday": (
        [State("2026-03-05"), price("7", period="week")], ("2026-03-02", "2026-03-09"),
        [("2026-03-02", "2026-03-09", "2026-03-05", "4"), ("2026-03-09", "2026-03-16", "2026-03-09", "7")],
    ),
    "days, also the one of 23 hours": (
        [SINCE, price("2", period="day")], ("2026-03-28", "2026-03-30"),
        [(d, e, d, "2") for d, e in (("2026-03-28", "2026-03-29"), ("2026-03-29", "2026-03-30"), ("2026-03-30", "2026-03-31"))],
    ),
    "a cycle on the 15th": (
        [State("2026-01-20", more={"cycle_day": 15}), price("31", period="cycle")], ("2026-01-20", "2026-02-20"),
        [("2026-01-15", "2026-02-15", "2026-01-20", "26"), ("2026-02-15", "2026-03-15", "2026-02-15", "31")],
    ),
    "a cycle on the 31st begins on the last day of shorter months": (
        [State("2026-01-31", more={"cycle_day": 31}), price("28", period="cycle")], ("2026-01-31", "2026-04-30"),
        [("2026-01-31", "2026-02-28", "2026-01-31", "28"), ("2026-02-28", "2026-03-31", "2026-02-28", "28"),
         ("2026-03-31", "2026-04-30", "2026-03-31", "28"), ("2026-04-30", "2026-05-31", "2026-04-30", "28")],
    ),
    "a cycle on the 30th in a leap year": (
        [State("2028-01-30", more={"cycle_day": 30}), price("30", period="cycle")], ("2028-01-30", "2028-03-01"),
        [("2028-01-30", "2028-02-29", "2028-01-30", "30"), ("2028-02-29", "2028-03-30", "2028-02-29", "30")],
    ),
    "an account without a cycle has that of the first": (
        [SINCE, price("31", period="cycle")], ("2026-03-01", "2026-03-31"), [(*MONTH, "31")],
    ),
    "a change of cycle from the 1st to the 15th on the 10th: 9 of 31, 5 of 28, then whole": (
        [State("2025-01-01", more={"cycle_day": 1}), State("2026-03-10", more={"cycle_day": 15}), price("868", period="cycle")],
        ("2026-03-01", "2026-03-20"),
        [("2026-03-01", "2026-03-10", "2026-03-01", "252"), ("2026-03-10", "2026-03-15", "2026-03-10", "155"),
         ("2026-03-15", "2026-04-15", "2026-03-15", "868")],
    ),
    "a change of cycle from the 1st to the 15th on the 20th: 19 of 31, then 26 of 31": (
        [State("2025-01-01", more={"cycle_day": 1}), State("2026-03-20", more={"cycle_day": 15}), price("31", period="cycle")],
        ("2026-03-01", "2026-04-14"),
        [("2026-03-01", "2026-03-20", "2026-03-01", "19"), ("2026-03-20", "2026-04-15", "2026-03-20", "26")],
    ),
    "a change of cycle to the same day changes nothing": (
        [State("2025-01-01", more={"cycle_day": 1}), State("2026-03-10", more={"cycle_day": 1}), price("31", period="cycle")],
        ("2026-03-01", "2026-03-20"), [(*MONTH, "31")],
    ),
    "an upgrade in a leap february, in arrears: 14 days of A, 15 of B": (
        [SINCE, State("2028-02-15", "B"), Price("29", plan="A", more={"due": "arrears"}), Price("58", plan="B", more={"due": "arrears"})],
        ("2028-02-01", "2028-02-29"), [("2028-02-01", "2028-03-01", "2028-03-01", "44")],
    ),
    "a discount that ends with the 28th of a leap february": (
        [SINCE, price("29"), half(to="2028-02-29")], ("2028-02-01", "2028-02-29"), [("2028-02-01", "2028-03-01", "2028-02-01", "15")],
    ),
    "days of the subscription's own zone": (
        [State("2026-03-01T20:00", more={"timezone": "Asia/Tokyo"}), price("31")], ("2026-03-05", "2026-03-06"),
        [("2026-03-01", "2026-04-01", "2026-03-02", "30")],
    ),
    "two months, one upgrade": (
        [State("2026-01-01"), State("2026-02-15", "B"), Price("28", plan="A"), Price("56", plan="B")], ("2026-01-01", "2026-02-28"),
        [("2026-01-01", "2026-02-01", "2026-01-01", "28"), ("2026-02-01", "2026-03-01", "2026-02-01", "42")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PERIODS, ids=lambda name: name.replace(" ", "_"))
def test_periods(case: str) -> None:
    items, window, amounts = PERIODS[case]
    assert expected(items, *window) == amounts


def fee(event: str, amount: str = "20", **more: object) -> Price:
    return Price(amount, item="one_off", name="fee", more={"event": event, **more})


EVENTS: dict[str, tuple[list[Price | State], Expected]] = {
    "an activation": ([State("2026-03-05"), fee("activation")], [("2026-03-05", None, "2026-03-05", "20")]),
    "with tax and rounding": (
        [State("2026-03-05"), fee("activation", "9.999", tax_micros=190_000, decimals=2)], [("2026-03-05", None, "2026-03-05", "11.9")],
    ),
    "a second state of the plan activates nothing": (
        [State("2026-03-05"), State("2026-03-08"), fee("activation")], [("2026-03-05", None, "2026-03-05", "20")],
    ),
    "the end of a suspension activates nothing": (
        [State("2026-03-05"), State("2026-03-08", status="suspended"), State("2026-03-09"), fee("activation")],
        [("2026-03-05", None, "2026-03-05", "20")],
    ),
    "ceased and activated again": (
        [State("2026-03-05", to="2026-03-06"), State("2026-03-08"), fee("activation")],
        [("2026-03-05", None, "2026-03-05", "20"), ("2026-03-08", None, "2026-03-08", "20")],
    ),
    "a termination": (
        [State("2026-03-05"), State("2026-06-05", status="ceased"), fee("termination")], [("2026-06-05", None, "2026-06-05", "20")],
    ),
    "a termination by the end of the state": ([State("2026-03-05", to="2026-06-05"), fee("termination")], [("2026-06-05", None, "2026-06-05", "20")]),
    "a termination within the commitment of 24 months": (
        [State("2026-03-05", to="2028-03-04"), fee("termination", months=24)], [("2028-03-04", None, "2028-03-04", "20")],
    ),
    "a termination after the commitment": ([State("2026-03-05", to="2028-03-05"), fee("termination", months=24)], []),
    "a termination on the day after 18 months, which are half a year of summer time longer": (
        [State("2024-11-01", to="2026-05-01"), fee("termination", months=18)], [],
    ),
    "a termination at noon of the last day of 18 months": (
        [State("2024-10-01", to="2026-03-31T12:00"), fee("termination", months=18)], [("2026-03-31", None, "2026-03-31", "20")],
    ),
    "a commitment counts from the day of activation, not from its time": (
        [State("2024-10-01T15:00", to="2026-04-01T12:00"), fee("termination", months=18)], [],
    ),
    "a plan's own fee has expired before the event": (
        [State("2026-03-05"), fee("activation"),
         Price("25", "2025-01-01", "2026-03-01", "one_off", "fee", "A", more={"event": "activation"})],
        [("2026-03-05", None, "2026-03-05", "20")],
    ),
    "a plan's own fee expires on the day after the event": (
        [State("2026-03-05"), fee("activation"),
         Price("25", "2025-01-01", "2026-03-06", "one_off", "fee", "A", more={"event": "activation"})],
        [("2026-03-05", None, "2026-03-05", "25")],
    ),
    "a change of plan": (
        [State("2026-03-05"), State("2026-03-08", "B"), fee("plan_change")], [("2026-03-08", None, "2026-03-08", "20")],
    ),
    "a change of SIM": (
        [State("2026-03-05", more={"imsi": "1"}), State("2026-03-08", more={"imsi": "2"}), fee("sim_change")],
        [("2026-03-08", None, "2026-03-08", "20")],
    ),
    "the price in force at the event": (
        [State("2026-03-05"), fee("activation"), Price("25", "2026-03-01", item="one_off", name="fee", more={"event": "activation"})],
        [("2026-03-05", None, "2026-03-05", "25")],
    ),
    "free activation in March": (
        [State("2026-03-05"), fee("activation"), discount(since="2026-03-01", to="2026-04-01", discount_micros=1_000_000, applies_to="fee")],
        [("2026-03-05", None, "2026-03-05", "0")],
    ),
    "a discount of any item is of recurring ones only": (
        [State("2026-03-05"), fee("activation"), half()], [("2026-03-05", None, "2026-03-05", "20")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EVENTS, ids=lambda name: name.replace(" ", "_"))
def test_events(case: str) -> None:
    items, amounts = EVENTS[case]
    assert expected(items, "2026-03-01", "2026-03-31", "fee") == amounts


def test_a_day_is_that_of_its_zone() -> None:
    assert (us("2026-03-30") - us("2026-03-29"), ZONE) == (DAY_US * 23 // 24, "Europe/Berlin")
