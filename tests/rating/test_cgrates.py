"""A tariff-plan folder of CGRateS as rows of the tariff book."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pricing import Row, answers, call, calls_of

from trueup.errors import TrueupError
from trueup.rating.book import Book
from trueup.rating.book_validation import refusals
from trueup.rating.cgrates.folder import read_cgrates
from trueup.rating.cgrates.lines import Line
from trueup.rating.cgrates.timings import ALWAYS, Timed, Timing, spans_of
from trueup.rating.rate import rate

FILES = {
    "Destinations.csv": "#Id,Prefix\nDST_DE,49\nDST_DE_MOBILE,+4915\nDST_FREE,49800\n",
    "Rates.csv": """#Id,ConnectFee,Rate,RateUnit,RateIncrement,GroupIntervalStart
RT_PEAK,0.2,0.1,60s,60s,0s
RT_PEAK,0,0.05,60s,1s,60s
RT_OFFPEAK,0,0.06,1m,30s,0s
RT_OFFPEAK,0,0.06,60s,6s,30s
RT_MOBILE,0,0.01,1s,1s,0
RT_FREE,0,0,1m,1m,0
RT_SMS,0,0.09,1,1,0
RT_DATA,0,1,1024,1024,0
""",
    "DestinationRates.csv": """#Id,DestinationId,RatesTag,RoundingMethod,RoundingDecimals,MaxCost,MaxCostStrategy
DR_PEAK,DST_DE,RT_PEAK,*up,4,0,
DR_OFFPEAK,DST_DE,RT_OFFPEAK,*middle,2,,
DR_MOBILE,DST_DE_MOBILE,RT_MOBILE,*up,4,0,
DR_FREE,DST_FREE,RT_FREE,*up,4,0,
DR_SMS,*any,RT_SMS,*up,4,0,
DR_DATA,*any,RT_DATA,*down,2,0,
""",
    "Timings.csv": """#Tag,Years,Months,MonthDays,WeekDays,Time
PEAK,*any,*any,*any,1;2;3;4;5,08:00:00
OFFPEAK_MORNING,*any,*any,*any,1;2;3;4;5,00:00:00
OFFPEAK_EVENING,*any,*any,*any,1;2;3;4;5,19:00:00
OFFPEAK_WEEKEND,*any,*any,*any,6;7,00:00:00
ALWAYS,*any,*any,*any,*any,00:00:00
""",
    "RatingPlans.csv": """#Id,DestinationRatesId,TimingTag,Weight
RP_RETAIL,DR_PEAK,PEAK,10
RP_RETAIL,DR_OFFPEAK,OFFPEAK_MORNING,10
RP_RETAIL,DR_OFFPEAK,OFFPEAK_EVENING,10
RP_RETAIL,DR_OFFPEAK,OFFPEAK_WEEKEND,10
RP_RETAIL,DR_MOBILE,*any,10
RP_FREE,DR_FREE,ALWAYS,10
RP_SMS,DR_SMS,ALWAYS,10
RP_DATA,DR_DATA,*any,0
""",
    "RatingProfiles.csv": """#Tenant,Category,Subject,ActivationTime,RatingPlanId,RatesFallbackSubject
cgrates.org,call,*any,2024-01-01T00:00:00Z,RP_RETAIL,
cgrates.org,call,1001,2024-01-01T00:00:00Z,RP_FREE,*any
cgrates.org,sms,*any,2024-01-01T00:00:00Z,RP_SMS,
cgrates.org,data,*any,2024-01-01T00:00:00Z,RP_SMS,
cgrates.org,data,*any,2025-01-01T00:00:00Z,RP_DATA,
""",
}


def folder(where: Path, **changed: str) -> Path:
    """Write the folder, with lines added to some of its files (named without `.csv`)."""
    for name, text in FILES.items():
        (where / name).write_text(text + changed.get(name.removesuffix(".csv"), ""), encoding="utf-8")
    return where


def prices(where: Path, calls: list[Row]) -> list[int | str | None]:
    rows = read_cgrates(where, currency="EUR", timezone="Europe/Berlin", services={"call": "voice"})
    prices = answers(rate(calls_of(calls), Book.of(rows)))
    return [why if amount is None else amount for amount, why in prices.values()]


MORNING, EVENING, SATURDAY = "2025-06-04 10:00", "2025-06-04 17:00", "2025-06-07 10:00"


@pytest.mark.parametrize(
    ("by_hand", "record", "gives"),
    [
        ("peak: 0.20 + the first minute 0.10", call(1, MORNING), 300_000),
        ("peak: 0.20 + 0.10 for a minute", call(60, MORNING), 300_000),
        ("peak: 0.20 + 0.10 + 30 s × 0.05/60 = 0.325", call(90, MORNING), 325_000),
        ("peak: 0.20 + 0.10 + 1 s × 0.05/60 = 0.3008333… → 0.3009", call(61, MORNING), 300_900),
        ("off-peak from 19:00 in Berlin, 17:00Z in summer: 30 s × 0.06/60 = 0.03", call(7, EVENING), 30_000),
        ("off-peak: 36 s × 0.06/60 = 0.036 → 0.04", call(31, EVENING), 40_000),
        ("off-peak at weekends: 60 s × 0.06/60", call(60, SATURDAY), 60_000),
        ("off-peak in the small hours, 00:30 in Berlin", call(60, "2025-06-03 22:30"), 60_000),
        ("mobile is the longer prefix, at any time", call(5, EVENING, peer="+4915111"), 50_000),
        ("subject 1001: free", call(60, MORNING, peer="+49800111", plan="1001"), 0),
        ("subject 1001 falls back on *any", call(60, MORNING, plan="1001"), 300_000),
        ("subject 1001's free number is not free for others", call(60, MORNING, peer="+49800111"), 300_000),
        ("no destination", call(60, MORNING, peer="+33111", plan="1002"), "no_rate"),
        ("before the activation", call(60, "2023-12-31 23:00"), "before_any_tariff"),
        ("a message", call(1, service="sms"), 90_000),
        ("data: 2 × 1024", call(1025, service="data"), 2_000_000),
        ("data before 2025: priced like messages, 2 × 0.09", call(2, "2024-06-01 00:00", service="data"), 180_000),
    ],
)  # fmt: skip
def test_a_tariff_plan_prices_as_it_says(tmp_path: Path, by_hand: str, record: Row, gives: int | str):
    assert prices(folder(tmp_path), [record]) == [gives], by_hand


def test_a_call_over_the_edge_of_a_timing_continues_in_the_next(tmp_path: Path):
    """18:59:30 in Berlin: 0.20 + 0.10 for the first minute, then 30 s × 0.06/60 = 0.03."""
    assert prices(folder(tmp_path), [call(90, "2025-06-04 16:59:30")]) == [330_000]


def test_an_imported_tariff_plan_passes_book_validation(tmp_path: Path):
    rows = read_cgrates(folder(tmp_path), currency="EUR", timezone="Europe/Berlin")
    assert refusals(rows.clear(), rows.with_row_index("source_row")).is_empty()


def test_a_rate_of_several_slots_changes_its_price_within_a_record(tmp_path: Path):
    # As in the tutorial of CGRateS: 0.4 for the first minute in whole minutes, then 0.2 a minute in steps of 10 s, then 0.1 by the second.
    slots = "RT_SMS,0,0.4,60s,60s,0s\nRT_SMS,0,0.2,60s,10s,60s\nRT_SMS,0,0.1,60s,1s,180s\n"
    where = folder(tmp_path)
    rates = where / "Rates.csv"
    rates.write_text(rates.read_text("utf-8").replace("RT_SMS,0,0.09,1,1,0\n", slots), "utf-8")
    calls = [call(seconds, service="sms") for seconds in (1, 60, 61, 180, 181)]
    # 0.4; 0.4; 0.4 + 10/60 × 0.2 = 0.43333… up to 0.4334; 0.4 + 2 × 0.2 = 0.8; 0.8 + 0.1/60 = 0.80166… up to 0.8017
    assert prices(where, calls) == [400_000, 400_000, 433_400, 800_000, 801_700]


def test_one_tenant_of_several_is_chosen(tmp_path: Path):
    where = folder(tmp_path, RatingProfiles="other.org,mms,*any,2024-01-01T00:00:00Z,RP_SMS,\n")
    assert set(read_cgrates(where, currency="EUR", tenant="other.org")["service"]) == {"mms"}


@pytest.mark.parametrize(
    ("file", "line", "says"),
    [
        ("Destinations", "DST_VOICEMAIL,voicemail", "not a prefix of digits (Destinations.csv line 5)"),
        ("Timings", "NEW_YEAR,*any,1,1,*any,00:00:00", "some months is not supported (Timings.csv line 7)"),
        ("Timings", "ASAP,*any,*any,*any,*any,*asap", "not a time of day in whole minutes (Timings.csv line 7)"),
        ("Timings", "ODD,*any,*any,*any,0;8,00:00:00", "not weekdays"),
        ("RatingPlans", "RP_SMS,DR_SMS,*any,10", "has two prices at a time on weekday 1 (RatingPlans.csv line 10)"),
        ("RatingPlans", "RP_SMS,DR_SMS,OFFPEAK_EVENING,heavy", "'heavy' is not a weight (RatingPlans.csv line 10)"),
        ("RatingPlans", "RP_SMS,DR_SMS,PEAK,20\nRP_SMS,DR_SMS,PEAK,20", "two prices at a time on weekday 1 (RatingPlans.csv line 11)"),
        ("RatingPlans", "RP_SMS,DR_CAPPED,PEAK,20", "prices of *any differ in MaxCost (DestinationRates.csv line 8)"),
        ("RatingPlans", "RP_SMS,DR_NONE,*any,10", "no destination rates DR_NONE (RatingPlans.csv line 10)"),
        ("RatingPlans", "RP_SMS,DR_MOBILE,PEAK,10", "no price on weekday 1 from 00:00 on"),
        ("RatingPlans", "RP_SMS,DR_MOBILE,NEVER,10", "no timing NEVER"),
        ("DestinationRates", "DR_SMS,DST_NONE,RT_SMS,*up,4,0,", "no destination DST_NONE (DestinationRates.csv line 8)"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_NONE,*up,4,0,", "no rate RT_NONE"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_SMS,*up,4,0.62,", "MaxCost without MaxCostStrategy has no effect (DestinationRates.csv line 8)"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_SMS,*up,4,0.62,*stop", "the strategy '*stop' is unknown"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_SMS,*up,4,much,*free", "'much' is not a greatest cost of a call"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_SMS,*up,4,-1,*free", "'-1' is not a greatest cost of a call"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_SMS,*up,4,0.0000001,*free", "'0.0000001' is not a greatest cost of a call"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_SMS,*up,8,0,", "rounding *up to 8 decimals is not supported"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_PEAK,*up,0,0,", "connect fee has more decimals"),
        ("Rates", "RT_SMS,0,0.05,1,1,0", "has two slots that begin at once (Rates.csv line 10)"),
        ("Rates", "RT_SMS,0,x,1,1,1", "not a number or duration (Rates.csv line 10)"),
        ("Rates", "RT_SMS,0,0.05,60s,60s,60s", "no one unit"),
        ("RatingProfiles", "cgrates.org,call,1002,2024-01-01T00:00:00Z,RP_FREE,", "every plan of a tariff book does (RatingProfiles.csv line 7)"),
        ("RatingProfiles", "cgrates.org,call,1002,2024-01-01T00:00:00Z,RP_FREE,1001", "falls back on 1001"),
        ("RatingProfiles", "cgrates.org,call,1002,+1h,RP_FREE,*any", "not an activation time"),
        ("RatingProfiles", "cgrates.org,mms,*any,2024-01-01T00:00:00Z,RP_NONE,", "no rating plan RP_NONE"),
        ("RatingProfiles", "other.org,mms,*any,2024-01-01T00:00:00Z,RP_SMS,", "several tenants"),
        ("RatingProfiles", "*out,cgrates.org,call,*any,2014-01-14T00:00:00Z,RP_SMS,,", "has a direction, as in early versions"),
        ("RatingProfiles", "cgrates.org,call,*out,*any,2012-01-01T00:00:00Z,RP_SMS,", "has a direction, as in early versions"),
        ("RatingProfiles", "cgrates.org,mms", "2 fields and lacks a column of Tenant, Category, Subject, ActivationTime, RatingPlanId"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_SMS", "3 fields and lacks a column of Id, DestinationsId, RatesId, RoundingMethod"),
        ("RatingPlans", "RP_SMS,DR_SMS,10", "lacks a column of Id, DestinationRatesId, TimingId, Weight (RatingPlans.csv line 10)"),
    ],
)  # fmt: skip
def test_a_line_without_an_exact_equivalent_is_refused_with_its_number(tmp_path: Path, file: str, line: str, says: str):
    # A timing or a destination has an effect only where a plan uses it.
    timing, tag = (line.split(",")[0] if file == name else "" for name in ("Timings", "Destinations"))
    used = {"RatingPlans": f"RP_SMS,DR_SMS,{timing},20\n"} if timing else {}
    used |= {"RatingPlans": "RP_SMS,DR_USED,*any,10\n", "DestinationRates": f"DR_USED,{tag},RT_SMS,*up,4,0,\n"} if tag else {}
    capped = {"DestinationRates": "DR_CAPPED,*any,RT_SMS,*up,4,0.62,*free\n"} if "DR_CAPPED" in line else {}
    added: dict[str, Any] = {file: f"{line}\n"} | capped | used
    with pytest.raises(TrueupError) as prices:
        read_cgrates(folder(tmp_path, **added), currency="EUR")
    assert says in str(prices.value)


def evening(where: Path, weight: str, *, timing: str = "OFFPEAK_EVENING", rates: str = "DR_FREE_MOBILE") -> Path:
    """Write the folder with a second price of the mobile prefix, under a destination of its own, from a timing on."""
    return folder(
        where, Destinations="DST_MOBILE_AGAIN,4915\n", DestinationRates=f"{rates},DST_MOBILE_AGAIN,RT_FREE,*up,4,0,\n",
        RatingPlans=f"RP_RETAIL,{rates},{timing},{weight}\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("by_hand", "weight", "gives"),
    [
        ("heavier: free from 19:00 in Berlin", "20", [50_000, 0, 50_000]),
        ("of equal weight: the one that began last", "10", [50_000, 0, 50_000]),
        ("lighter: never", "9.5", [50_000, 50_000, 50_000]),
    ],
)  # fmt: skip
def test_of_two_prices_of_one_prefix_the_one_of_the_greater_weight_holds(
    tmp_path: Path, by_hand: str, weight: str, gives: list[int]
):
    calls = [call(5, moment, peer="+4915111") for moment in (MORNING, EVENING, SATURDAY)]
    assert prices(evening(tmp_path, weight), calls) == gives, by_hand


def test_a_heavier_price_of_all_times_leaves_no_time_to_the_others(tmp_path: Path):
    calls = [call(5, moment, peer="+4915111") for moment in (MORNING, EVENING, SATURDAY)]
    assert prices(evening(tmp_path, "20", timing="ALWAYS"), calls) == [0, 0, 0]


def test_two_equal_prices_below_a_heavier_one_do_not_contradict_each_other(tmp_path: Path):
    twice = "RP_RETAIL,DR_MOBILE,*any,10\nRP_RETAIL,DR_MOBILE,*any,20\n"
    assert prices(folder(tmp_path, RatingPlans=twice), [call(5, MORNING, peer="+4915111")]) == [50_000]


TIMINGS = st.builds(
    Timing, st.sampled_from(["00:00", "08:00", "12:30", "19:00"]), st.frozensets(st.integers(1, 7), min_size=1)
)  # fmt: skip
PRICES = st.lists(st.tuples(TIMINGS, st.sampled_from([0, 10, 20])), max_size=5, unique=True)


@given(PRICES)
def test_at_every_time_of_the_week_the_heaviest_timing_that_began_last_holds(others: list[tuple[Timing, int]]):
    """The price is requested at each half hour in turn, in addition to a price of weight 0 that always holds."""
    line = Line("RatingPlans.csv", 1, ())
    prices = [Timed(line, timing, Fraction(weight)) for timing, weight in [(ALWAYS, -1), *others]]
    try:
        spans = spans_of(prices, "49")
    except TrueupError:
        spans = None
    contradiction = False
    for day, time in product(range(1, 8), (f"{hour:02}:{minute}" for hour in range(24) for minute in ("00", "30"))):
        begun = [
            (p.weight, p.timing.begins, i) for i, p in enumerate(prices) if day in p.timing.weekdays and p.timing.begins <= time
        ]
        best = [i for weight, begins, i in begun if (weight, begins) == max(begun)[:2]]
        contradiction |= len(best) > 1
        if spans is not None:
            assert [span.index for span, days in spans.items() if day in days and span.begins <= time < span.ends] == best
    assert (spans is None) == contradiction


@pytest.mark.parametrize(
    ("by_hand", "strategy", "gives"),
    [
        ("0.12 is free beyond 0.10", "*free", [90_000, 100_000]),
        ("a call that was not disconnected has its price", "*disconnect", [90_000, 120_000]),
    ],
)
def test_a_greatest_cost_limits_the_price_of_a_call_where_the_rest_is_free(
    tmp_path: Path, by_hand: str, strategy: str, gives: list[int]
):
    where = folder(
        tmp_path,
        DestinationRates=f"DR_CAPPED,DST_FREE,RT_MOBILE,*up,4,0.10,{strategy}\n",
        RatingPlans="RP_RETAIL,DR_CAPPED,*any,10\n",
    )
    assert prices(where, [call(9, MORNING, peer="+49800111"), call(12, MORNING, peer="+49800111")]) == gives, by_hand


def test_timings_of_actions_and_destinations_without_a_price_are_ignored(tmp_path: Path):
    where = folder(tmp_path, Timings="ASAP,*any,*any,*any,*any,*asap\n", Destinations="DST_VOICEMAIL,voicemail\n")
    assert prices(where, [call(60, MORNING)]) == [300_000]


def test_a_folder_of_rate_profiles_is_refused_by_its_form(tmp_path: Path):
    (tmp_path / "RateProfiles.csv").write_text("#Tenant,ID\ncgrates.org,RP1\n")
    with pytest.raises(TrueupError, match=r"no RatingPlans\.csv, but RateProfiles\.csv: rate profiles of later versions"):
        read_cgrates(tmp_path, currency="EUR")


def test_a_folder_without_its_files_is_refused(tmp_path: Path):
    with pytest.raises(TrueupError, match=r"there is no RatingPlans\.csv"):
        read_cgrates(tmp_path, currency="EUR")
