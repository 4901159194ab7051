"""The rules of rating, case by case, each worked out by hand.

Amounts are in millionths: 200000 is 0.20. The records lie on a Wednesday of summer, 10:00 UTC, unless stated otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pricing import Row, answers, at, band, call, exchange, free, holiday, micros, rated, rated_at, stepped

BERLIN = {"timezone": "Europe/Berlin"}
DAY_NIGHT = [
    rated_at("0.60", band="day"), rated_at("0.06", band="night"),
    band("day", from_time="08:00", to_time="20:00", **BERLIN), band("night", from_time="20:00", to_time="08:00", **BERLIN),
]  # fmt: skip
WEEK = [
    rated_at("0.60"), rated_at("0.06", band="weekend"), band("weekend", weekdays="6-7,hol", calendar="DE", **BERLIN),
    holiday("2025-10-03", "DE"),
]  # fmt: skip
MINUTE = rated_at("0.10", **stepped(60, 60))


@dataclass(frozen=True)
class Case:
    """A rule, its arithmetic by hand, and the amounts (or reasons) of some calls by some rows."""

    rule: str
    by_hand: str
    rows: list[Row]
    calls: list[Row]
    gives: list[int | str]


def one(rule: str, by_hand: str, rows: list[Row], record: Row, gives: int | str) -> Case:
    return Case(rule, by_hand, rows, [record], [gives])


def rounded_to(decimals: int, how: str | None, price: str = "0.10", stage: str | None = None, **more: Any) -> Row:
    return rated_at(price, per=1, decimals=decimals, rounding=how, rounding_stage=stage, **more)


def data(price: str, per: int = 1, **more: Any) -> Row:
    return rated_at(price, per=per, **{"service": "data", "unit": "KB", **more})


def used(quantity: str | int, service: str = "data", **more: Any) -> Row:
    return call(quantity, service=service, **more)


INCREMENTS = [
    one("60/60 of nothing is nothing", "0 minutes", [MINUTE], call(0), 0),
    one("60/60 of one second is a minute", "1 × 0.10", [MINUTE], call(1), 100_000),
    one("60/60 of sixty seconds is a minute", "1 × 0.10", [MINUTE], call(60), 100_000),
    one("60/60 of a minute and a second is two minutes", "2 × 0.10", [MINUTE], call(61), 200_000),
    one("60/60 of a millionth above a minute is two minutes", "2 × 0.10", [MINUTE], call("60.000001"), 200_000),
    one("30/6: the first half minute is charged whole", "30 s × 0.10/60 s", [rated_at("0.10", **stepped(30, 6))], call(7), 50_000),
    one("30/6 of 31 s is 36 s", "36 × 0.10/60 = 0.06", [rated_at("0.10", **stepped(30, 6))], call(31), 60_000),
    one("30/6 of 36 s is 36 s", "36 × 0.10/60 = 0.06", [rated_at("0.10", **stepped(30, 6))], call(36), 60_000),
    one("1/1 of 59.2 s is 60 s", "60 × 0.10/60", [rated_at("0.10", **stepped(1, 1))], call("59.2"), 100_000),
    one("60/1 of 59 s is a minute", "60 × 0.10/60", [rated_at("0.10", **stepped(60, 1))], call(59), 100_000),
    one("60/1 of 61 s is 61 s", "61 × 0.12/60 = 0.122", [rated_at("0.12", **stepped(60, 1))], call(61), 122_000),
    one("without increments what was used is charged", "12.5 × 0.12/60 = 0.025", [rated_at("0.12")], call("12.5"), 25_000),
    one(
        "a first increment alone: beyond it what was used", "60 + 2.5 = 62.5 s × 0.12/60 = 0.125",
        [rated_at("0.12", first_increment_micros=micros(60))], call("62.5"), 125_000,
    ),
    one(
        "next increments alone hold from the start", "ceil(61/30) = 3 × 30 s × 0.12/60 = 0.18",
        [rated_at("0.12", next_increment_micros=micros(30))], call(61), 180_000,
    ),
    one("an amount is exact to the millionth, half to even", "1 s × 0.10/60 = 0.0016666… → 0.001667", [rated_at("0.10")], call(1), 1_667),
    one("half a millionth goes to the even one below", "1 s × 0.000005/2 = 2.5 µ → 2", [rated_at("0.000005", per=2)], call(1), 2),
    one("half a millionth goes to the even one above", "1 s × 0.000007/2 = 3.5 µ → 4", [rated_at("0.000007", per=2)], call(1), 4),
]  # fmt: skip
FEES = [
    one("a set-up fee is once", "0.05 + 2 × 0.10", [MINUTE | {"setup_micros": micros("0.05")}], call(61), 250_000),
    one("a set-up fee is not for nothing", "0 s", [MINUTE | {"setup_micros": micros("0.05")}], call(0), 0),
    one("a minimum lifts what is below it", "max(0.10, 0.25)", [MINUTE | {"minimum_micros": micros("0.25")}], call(30), 250_000),
    one("a minimum leaves what is above it", "max(0.30, 0.25)", [MINUTE | {"minimum_micros": micros("0.25")}], call(150), 300_000),
    one("a minimum is not for nothing", "0 s", [MINUTE | {"minimum_micros": micros("0.25")}], call(0), 0),
    one(
        "a minimum counts the set-up fee", "max(0.15 + 0.10, 0.25)",
        [MINUTE | {"minimum_micros": micros("0.25"), "setup_micros": micros("0.15")}], call(60), 250_000,
    ),
    one("a price of nothing still has its set-up fee", "0.05 + 0", [rated_at("0", setup_micros=micros("0.05"))], call(9), 50_000),
    one("a negative price is a credit", "60 s × −0.02/60", [rated_at("-0.02", **stepped(60, 60))], call(5), -20_000),
    one("half a millionth of a credit goes to the even one too", "−2.5 µ → −2", [rated_at("-0.000005", per=2)], call(1), -2),
]  # fmt: skip
ALLOWANCES = [
    one("an allowance covers a record whole", "60 of 100 s free", [MINUTE, free("A", 100)], call(60), 0),
    one("what is wholly free has no set-up fee", "60 of 100 s free", [MINUTE | {"setup_micros": 1}, free("A", 100)], call(60), 0),
    one("what is wholly free has no minimum", "60 of 100 s free", [MINUTE | {"minimum_micros": 9}, free("A", 100)], call(60), 0),
    Case(
        "an allowance ends within a record", "90 s free: the first 60; then 30 of 60 s free, 30 s × 0.10/60 = 0.05; then 0.10",
        [MINUTE, free("A", 90)], [call(60, "2025-06-04 10:00"), call(60, "2025-06-04 11:00"), call(60, "2025-06-04 12:00")],
        [0, 50_000, 100_000],
    ),
    Case(
        "an allowance is taken in the order of events, not of rows", "the earlier call is the free one",
        [MINUTE, free("A", 60)], [call(60, "2025-06-04 12:00"), call(60, "2025-06-04 11:00")], [100_000, 0],
    ),
    Case(
        "of two calls that begin at once the event id says which is first", "order 01 before 02",
        [MINUTE, free("A", 60)], [call(60, order=b"\x02"), call(60, order=b"\x01")], [100_000, 0],
    ),
    one("an allowance covers what is charged", "61 s are 120 s; 120 − 90 = 30 s × 0.10/60", [MINUTE, free("A", 90)], call(61), 50_000),
    one(
        "two allowances follow one another by name", "100 s: 40 by A, 30 by B, 30 s × 0.12/60 = 0.06",
        [rated_at("0.12"), free("B", 30), free("A", 40)], call(100), 60_000,
    ),
    Case(
        "an allowance of an account is shared by its subscribers", "60 s by s, then none for t",
        [MINUTE, free("A", 60, shared="account")], [call(60, subscriber="s"), call(60, "2025-06-04 11:00", subscriber="t")], [0, 100_000],
    ),
    Case(
        "an allowance of a subscriber is its own", "60 s each",
        [MINUTE, free("A", 60)], [call(60, subscriber="s"), call(60, "2025-06-04 11:00", subscriber="t")], [0, 0],
    ),
    Case(
        "an allowance of a group of services is one", "60 s of voice leave 40 KB: 20 KB × 0.01 = 0.20",
        [MINUTE, data("0.01"), free("A", 100, services="voice, data")], [call(60), used(60, start="2025-06-04 11:00")], [0, 200_000],
    ),
    one("an allowance of one service is not for another", "60 KB × 0.01", [data("0.01"), free("A", 100)], used(60), 600_000),
    Case(
        "an allowance of a destination is for it alone", "+49 is free, +33 is not",
        [MINUTE, free("A", 500, destination="+49")], [call(60, peer="+4930111"), call(60, peer="+33111")], [0, 100_000],
    ),
    Case(
        "an allowance of a destination covers its numbers however they are written", "0049 is +49: all three are free",
        [MINUTE, free("A", 500, destination="0049")],
        [call(60, peer=peer) for peer in ("+4930111", "004930111", "+49 (0)30 111")], [0, 0, 0],
    ),
    Case(
        "an allowance of a plan is for it alone", "P is free, Q is not",
        [MINUTE, free("A", 500, plan="P")], [call(60, plan="P"), call(60, plan="Q")], [0, 100_000],
    ),
    Case(
        "an allowance begins anew each month, on the wall clock of its zone",
        "2025-06-30 21:59Z is June in Berlin, 22:00Z is July: 60 s each",
        [MINUTE, free("A", 60, **BERLIN)],
        [call(60, "2025-06-30 21:00"), call(60, "2025-06-30 21:59"), call(60, "2025-06-30 22:00")], [0, 100_000, 0],
    ),
    Case(
        "an allowance of a day begins anew at midnight", "60 s each day",
        [MINUTE, free("A", 60, period="day")],
        [call(60, "2025-06-04 10:00"), call(60, "2025-06-04 23:59"), call(60, "2025-06-05 00:00")], [0, 100_000, 0],
    ),
    Case(
        "a week begins on Monday", "Sunday 2025-06-08 is of the week of the 2nd, Monday the 9th is not",
        [MINUTE, free("A", 60, period="week")],
        [call(60, "2025-06-02 00:00"), call(60, "2025-06-08 23:00"), call(60, "2025-06-09 00:00")], [0, 100_000, 0],
    ),
    one(
        "a record of an unknown subscriber draws on no allowance of subscribers", "0.10", [MINUTE, free("A", 60)],
        call(60, subscriber=None), 100_000,
    ),
]  # fmt: skip
TIERS = [rated_at("0.60"), rated_at("0.30", tier_from_micros=micros(100))]
VOLUME = [
    Case(
        "beyond a volume another price holds", "90 s × 0.60/60 = 0.90; 10 s × 0.01 + 80 s × 0.005 = 0.50; 60 s × 0.005 = 0.30",
        TIERS, [call(90), call(90, "2025-06-04 11:00"), call(60, "2025-06-04 12:00")], [900_000, 500_000, 300_000],
    ),
    one("a tier's edge belongs to what is before it", "100 s × 0.01", TIERS, call(100), 1_000_000),
    Case(
        "a tier counts what is paid for, not what is free", "120 s: 80 free, 40 × 0.01; then 60 × 0.01, 10 × 0.005 = 0.65",
        [*TIERS, free("A", 80)], [call(120), call(70, "2025-06-04 11:00")], [400_000, 650_000],
    ),
    Case(
        "a tier begins anew each month", "June: 100 s × 0.01, July: 60 s × 0.01",
        TIERS, [call(100, "2025-06-30 10:00"), call(60, "2025-07-01 00:00")], [1_000_000, 600_000],
    ),
    one(
        "a tier says another price and nothing else", "(100 × 0.01 + 20 × 0.005 + 0.05) × 1.19 = 1.3685",
        [TIERS[0] | {"setup_micros": 50_000, "tax_micros": 190_000}, TIERS[1]], call(120), 1_368_500,
    ),
    Case(
        "the terms of a record that begins in a tier are those of the rate without it", "(60 × 0.005 + 0.05) × 1.19 = 0.4165",
        [TIERS[0] | {"setup_micros": 50_000, "tax_micros": 190_000}, TIERS[1]],
        [call(100), call(60, "2025-06-04 11:00")], [1_249_500, 416_500],
    ),
    Case(
        "the last tier has no end: terabytes of a month, counted in bytes", "2 TB × 1/GB = 2000.00 each",
        [rated_at("2", per=10**9, unit="B"), rated_at("1", per=10**9, unit="B", tier_from_micros=1)],
        [call(2 * 10**12), call(2 * 10**12, "2025-06-04 11:00"), call(2 * 10**12, "2025-06-04 12:00")],
        [2_000_000_000, 2_000_000_000, 2_000_000_000],
    ),
]  # fmt: skip
CHOICE = [
    Case(
        "the longest prefix is chosen", "+4930 0.03, +49 0.02, else 0.01",
        [rated_at("0.01", per=1), rated_at("0.02", per=1, destination="+49"), rated_at("0.03", per=1, destination="4930")],
        [call(1, peer="+4930111"), call(1, peer="+4915111"), call(1, peer="+33111"), call(1, peer=None)],
        [30_000, 20_000, 10_000, 10_000],
    ),
    Case(
        "a number has the prefix of its digits however it is written", "all are 12345550000: 0.03 of prefix 1234",
        [rated_at("0.01", destination="+1"), rated_at("0.03", destination="001234")],
        [call(60, peer=peer) for peer in ("+12345550000", "12345550000", "0012345550000", "+1 (234) 555-0000", "tel:+1-234-555-0000")],
        [30_000] * 5,
    ),
    one("no prefix fits", "only +33", [rated_at("0.01", destination="+33")], call(1), "no_rate"),
    one(
        "a plan's price comes before any plan's, whatever the prefixes", "P: 0.05, though +4930 is longer",
        [rated_at("0.05", per=1, plan="P"), rated_at("0.01", per=1, destination="+4930")], call(1, plan="P"), 50_000,
    ),
    one(
        "what a plan has no price for falls back on any plan's", "P has only +33",
        [rated_at("0.05", per=1, plan="P", destination="+33"), rated_at("0.01", per=1)], call(1, plan="P"), 10_000,
    ),
    one("an unknown plan has no price of a plan", "only P", [rated_at("0.05", plan="P")], call(1, plan="X"), "no_rate"),
    one("a record without a plan has none where plans have prices", "only P", [rated_at("0.05", plan="P")], call(1), "no_plan"),
    one(
        "a trunk comes before a zone", "trunk t",
        [rated_at("0.02", per=1, trunk="t"), rated_at("0.03", per=1, zone="z")], call(1, trunk="t", zone="z"), 20_000,
    ),
    one(
        "a zone comes before a direction", "zone z",
        [rated_at("0.03", per=1, zone="z"), rated_at("0.04", per=1, direction="out")], call(1, zone="z", direction="out"), 30_000,
    ),
    one(
        "a direction comes before any", "direction out",
        [rated_at("0.04", per=1, direction="out"), rated_at("0.05", per=1)], call(1, direction="out"), 40_000,
    ),
    one("a price of a zone is not for a record of none", "home", [rated_at("0.04", zone="z")], call(1), "no_rate"),
    Case(
        "a zero-rated prefix costs nothing", "+49800 is free, the rest is not",
        [rated_at("0.60"), rated_at("0", destination="+49800")], [call(60, peer="+49800123"), call(60, peer="+4930")], [0, 600_000],
    ),
    one("another service has another price", "none for sms", [rated_at("0.60")], used(1, "sms"), "no_rate"),
    one("a record without a quantity has no price", "NULL", [rated_at("0.60")], call(1) | {"quantity_micros": None}, "no_quantity"),
]  # fmt: skip
TIME = [
    Case(
        "day and night are on the wall clock", "June: 10:00Z is 12:00 in Berlin, 18:00Z is 20:00, 05:59Z is 07:59",
        DAY_NIGHT, [call(60, "2025-06-04 10:00"), call(60, "2025-06-04 18:00"), call(60, "2025-06-04 05:00")], [600_000, 60_000, 60_000],
    ),
    one(
        "a record over the edge of a band is charged by both", "19:59:30 to 20:00:30: 30 × 0.01 + 30 × 0.001 = 0.33",
        DAY_NIGHT, call(60, "2025-06-04 17:59:30"), 330_000,
    ),
    one(
        "an increment is charged whole at the price in force when it begins",
        "from 19:59:30 in minutes: 1 × 0.60 (to 20:00:30), then 1 × 0.06",
        [r | (stepped(60, 60) if r["item"] == "rate" else {}) for r in DAY_NIGHT], call(61, "2025-06-04 17:59:30"), 660_000,
    ),
    one(
        "a night goes over midnight", "23:59:30 to 00:00:30: 60 × 0.001", DAY_NIGHT, call(60, "2025-06-04 21:59:30"), 60_000,
    ),
    Case(
        "a weekend is local", "Friday 22:00Z in June is Saturday in Berlin; Sunday 22:00Z is Monday",
        WEEK, [call(60, "2025-06-06 21:59"), call(60, "2025-06-06 22:00"), call(60, "2025-06-08 22:00")], [600_000, 60_000, 600_000],
    ),
    one("a holiday is a weekend", "2025-10-03 is a Friday", WEEK, call(60, "2025-10-03 10:00"), 60_000),
    one(
        "a band of weekdays with a calendar is not on its holidays", "the band's 0.60 does not hold, 0.06 does",
        [
            rated_at("0.06"), rated_at("0.60", band="work"), band("work", weekdays="1-5", calendar="DE", **BERLIN),
            holiday("2025-10-03", "DE"),
        ],
        call(60, "2025-10-03 10:00"), 60_000,
    ),
    one(
        "the small hours belong to the day a night began on", "Saturday 00:30 is of Friday's night",
        [rated_at("0.60"), rated_at("0.06", band="n"), band("n", weekdays="5", from_time="20:00", to_time="06:00")],
        call(60, "2025-06-07 00:30"), 60_000,
    ),
    one(
        "the hour that is shown twice counts twice", "2025-10-26 00:30Z to 02:30Z is 02:30 to 03:30 with 02:00–03:00 twice: 90 min × 0.06",
        [rated_at("0.60"), rated_at("0.06", band="n"), band("n", from_time="02:00", to_time="03:00", **BERLIN)],
        call(7200, "2025-10-26 00:30"), 90 * 60_000 + 30 * 600_000,
    ),
    one(
        "the hour that is skipped counts not at all", "2025-03-30 00:30Z to 01:30Z is 01:30 to 03:30: none of 02:00–03:00",
        [rated_at("0.60"), rated_at("0.06", band="n"), band("n", from_time="02:00", to_time="03:00", **BERLIN)],
        call(3600, "2025-03-30 00:30"), 60 * 600_000,
    ),
    one(
        "a price may change in mid-record", "30 s × 0.01 + 30 s × 0.02 = 0.90",
        [rated_at("0.60"), rated_at("1.20", valid_from=at("2025-06-04 10:00:30"))], call(60), 900_000,
    ),
    one(
        "an increment begun before a change of price is charged by the price before", "1 × 0.60 + 1 × 1.20",
        [rated_at("0.60", **stepped(60, 60)), rated_at("1.20", valid_from=at("2025-06-04 10:00:30"), **stepped(60, 60))],
        call(61), 1_800_000,
    ),
    one("before any tariff there is no price", "2019", [rated_at("0.60")], call(1, "2019-12-31 23:59"), "before_any_tariff"),
    one("after a tariff has ended there is none", "to 2025-01-01", [rated_at("0.60", valid_to=at("2025-01-01 00:00"))], call(1), "no_rate"),
    one(
        "a tariff that ends in mid-record leaves it without a price", "to 10:00:30",
        [rated_at("0.60", valid_to=at("2025-06-04 10:00:30"))], call(60), "no_rate",
    ),
    one(
        "what has ended is passed over for the next best", "P has ended, any plan has not",
        [rated_at("0.60", plan="P", valid_to=at("2025-01-01 00:00")), rated_at("0.06")], call(60, plan="P"), 60_000,
    ),
    one(
        "a band that is not active is no reason to say there was no tariff yet", "weekend only, on a Wednesday",
        [rated_at("0.60", band="w"), band("w", weekdays="6-7")], call(60), "no_rate",
    ),
    one(
        "of two of one key and beginning the one known later counts", "0.06", [rated_at("0.60"), rated_at("0.06")], call(60), 60_000,
    ),
    one(
        "a volume is at one instant, however much of it there is", "10:00, 120 KB: 60 first + 60, all × 0.01, though from 10:01 it is 0.02",
        [
            data("0.01", rounding_stage="increment", decimals=2, **stepped(60, 60)),
            data("0.02", valid_from=at("2025-06-04 10:01"), rounding_stage="increment", decimals=2, **stepped(60, 60)),
        ],
        used(120), 1_200_000,
    ),
]  # fmt: skip
TAX = [
    one("tax is added to a price without it", "0.10 × 1.19", [MINUTE | {"tax_micros": 190_000}], call(60), 119_000),
    one("a price with tax stays", "0.10", [MINUTE | {"tax_micros": 190_000, "tax_included": True}], call(60), 100_000),
    one("tax is on the set-up fee too", "(0.10 + 0.05) × 1.19", [MINUTE | {"tax_micros": 190_000, "setup_micros": 50_000}], call(60), 178_500),
    one("tax is on the minimum too", "0.25 × 1.19", [MINUTE | {"tax_micros": 190_000, "minimum_micros": 250_000}], call(60), 297_500),
]  # fmt: skip
ROUNDING = [
    one("up goes to the next cent", "0.101 → 0.11", [rounded_to(2, "up", "0.101")], call(1), 110_000),
    one("up leaves a whole cent", "0.11", [rounded_to(2, "up", "0.11")], call(1), 110_000),
    one("up is away from nothing", "−0.101 → −0.11", [rounded_to(2, "up", "-0.101")], call(1), -110_000),
    one("down goes to the cent before", "0.109 → 0.10", [rounded_to(2, "down", "0.109")], call(1), 100_000),
    one("down is towards nothing", "−0.109 → −0.10", [rounded_to(2, "down", "-0.109")], call(1), -100_000),
    one("half up lifts a half", "0.105 → 0.11", [rounded_to(2, "half_up", "0.105")], call(1), 110_000),
    one("half up leaves what is less", "0.104999 → 0.10", [rounded_to(2, "half_up", "0.104999")], call(1), 100_000),
    one("half up is away from nothing", "−0.105 → −0.11", [rounded_to(2, "half_up", "-0.105")], call(1), -110_000),
    one("half even goes down to an even cent", "0.105 → 0.10", [rounded_to(2, "half_even", "0.105")], call(1), 100_000),
    one("half even goes up to an even cent", "0.115 → 0.12", [rounded_to(2, "half_even", "0.115")], call(1), 120_000),
    one("half even lifts what is more than half", "0.105001 → 0.11", [rounded_to(2, "half_even", "0.105001")], call(1), 110_000),
    one("half even is the default", "0.105 → 0.10", [rounded_to(2, None, "0.105")], call(1), 100_000),
    one("no decimals are whole units", "0.5 → 0", [rounded_to(0, None, "0.5")], call(1), 0),
    one("without decimals only millionths are rounded, by the same rule", "1/3 up", [rated_at("1", per=3, rounding="up")], call(1), 333_334),
    one(
        "each increment may be rounded", "3 × 6 s × 0.001 = 0.006 → 0.01 each = 0.03",
        [rounded_to(2, "half_up", "0.001", "increment", **stepped(6, 6))], call(18), 30_000,
    ),
    one(
        "a first increment is rounded apart", "30 s × 0.001 = 0.03; 6 s × 0.001 = 0.006 → 0.01: 0.04",
        [rounded_to(2, "half_up", "0.001", "increment", **stepped(30, 6))], call(31), 40_000,
    ),
    one(
        "a record may be rounded before tax", "0.105 → 0.11; × 1.19 = 0.1309",
        [rounded_to(2, "half_up", "0.105", "record", tax_micros=190_000)], call(1), 130_900,
    ),
    one(
        "or after tax", "0.105 × 1.19 = 0.12495 → 0.12", [rounded_to(2, "half_up", "0.105", "total", tax_micros=190_000)], call(1), 120_000,
    ),
    one("after tax is the usual stage", "0.12495 → 0.12", [rounded_to(2, "half_up", "0.105", tax_micros=190_000)], call(1), 120_000),
]  # fmt: skip
EXCHANGE = [
    one("an amount is exchanged at the rate in force", "0.10 × 1.25", [MINUTE, exchange("1.25")], call(60, currency="USD"), 125_000),
    one("an amount in its own currency stays", "0.10", [MINUTE, exchange("1.25")], call(60, currency="EUR"), 100_000),
    Case(
        "an exchange rate has its time", "1.25 until June, then 1.50",
        [MINUTE, exchange("1.25"), exchange("1.50", valid_from=at("2025-06-01 00:00"))],
        [call(60, "2025-05-31 23:59:59", currency="USD"), call(60, "2025-06-01 00:00", currency="USD")], [125_000, 150_000],
    ),
    one("without an exchange rate there is no price", "EUR → CHF", [MINUTE, exchange("1.25")], call(60, currency="CHF"), "no_exchange_rate"),
    one("an exchange rate is one way", "USD → EUR is not EUR → USD", [MINUTE | {"currency": "USD"}, exchange("1.25")], call(60, currency="EUR"), "no_exchange_rate"),
    one(
        "rounding comes before exchange", "0.105 → 0.11; × 1.25 = 0.1375",
        [rounded_to(2, "half_up", "0.105"), exchange("1.25")], call(1, currency="USD"), 137_500,
    ),
    one("an exchange rate may be per many", "0.10 × 160 / 100", [MINUTE, exchange("160", to="JPY", price_per=100)], call(60, currency="JPY"), 160_000),
]  # fmt: skip
VOLUMES = [
    one("data is per kilobyte", "1500 KB × 0.20 / 1024 = 0.29296875 → 0.292969", [data("0.20", 1024)], used(1500), 292_969),
    one("data in steps of a megabyte", "2 × 1024 KB × 0.20 / 1024", [data("0.20", 1024, **stepped(1024, 1024))], used(1500), 400_000),
    one("messages are each", "3 × 0.09", [rated_at("0.09", per=1, service="sms", unit="message")], used(3, "sms"), 270_000),
    one("events are each", "1 × 1.99", [rated_at("1.99", per=1, service="premium", unit="event")], used(1, "premium"), 1_990_000),
    one("a missing unit is a volume", "2 × 0.05", [rated_at("0.05", per=1, service="iot", unit=None)], used(2, "iot"), 100_000),
]  # fmt: skip
CASES = [*INCREMENTS, *FEES, *ALLOWANCES, *VOLUME, *CHOICE, *TIME, *TAX, *ROUNDING, *EXCHANGE, *VOLUMES]


@pytest.mark.parametrize("case", CASES, ids=[case.rule for case in CASES])
def test_a_record_has_the_price_worked_out_by_hand(case: Case):
    prices = answers(rated(case.rows, case.calls))
    assert [why if amount is None else amount for amount, why in prices.values()] == case.gives, case.by_hand


def test_every_rule_is_listed_once():
    assert len({case.rule for case in CASES}) == len(CASES) >= 60
