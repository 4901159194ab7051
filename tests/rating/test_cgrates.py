"""A tariff-plan folder of CGRateS as rows of the tariff book."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pricing import Row, answers, call, calls_of

from trueup.errors import TrueupError
from trueup.rating.book import Book
from trueup.rating.book_validation import refusals
from trueup.rating.cgrates import read_cgrates
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


def test_one_tenant_of_several_is_chosen(tmp_path: Path):
    where = folder(tmp_path, RatingProfiles="other.org,mms,*any,2024-01-01T00:00:00Z,RP_SMS,\n")
    assert set(read_cgrates(where, currency="EUR", tenant="other.org")["service"]) == {"mms"}


@pytest.mark.parametrize(
    ("file", "line", "says"),
    [
        ("Destinations", "DST_VOICEMAIL,voicemail", "no prefix of digits (Destinations.csv line 5)"),
        ("Timings", "NEW_YEAR,*any,1,1,*any,00:00:00", "some months is not supported (Timings.csv line 7)"),
        ("Timings", "ASAP,*any,*any,*any,*any,*asap", "no time of day of whole minutes (Timings.csv line 7)"),
        ("Timings", "ODD,*any,*any,*any,0;8,00:00:00", "no weekdays"),
        ("RatingPlans", "RP_SMS,DR_SMS,*any,10", "has two prices at a time on weekday 1 (RatingPlans.csv line 10)"),
        ("RatingPlans", "RP_SMS,DR_SMS,OFFPEAK_EVENING,20", "differ in weight (RatingPlans.csv line 10)"),
        ("RatingPlans", "RP_SMS,DR_NONE,*any,10", "no destination rates DR_NONE (RatingPlans.csv line 10)"),
        ("RatingPlans", "RP_SMS,DR_MOBILE,PEAK,10", "no price on weekday 1 from 00:00 on"),
        ("RatingPlans", "RP_SMS,DR_MOBILE,NEVER,10", "no timing NEVER"),
        ("DestinationRates", "DR_SMS,DST_NONE,RT_SMS,*up,4,0,", "no destination DST_NONE (DestinationRates.csv line 8)"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_NONE,*up,4,0,", "no rate RT_NONE"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_SMS,*up,4,0.62,*disconnect", "greatest cost of a call is not supported"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_SMS,*up,8,0,", "rounding *up to 8 decimals is not supported"),
        ("DestinationRates", "DR_SMS,DST_FREE,RT_PEAK,*up,0,0,", "connect fee has more decimals"),
        ("Rates", "RT_SMS,0,0.05,1,1,7", "changes after more than its first increment (Rates.csv line 10)"),
        ("Rates", "RT_SMS,0,x,1,1,1", "no number or duration (Rates.csv line 10)"),
        ("Rates", "RT_SMS,0,0.05,60s,60s,60s", "no one unit"),
        ("RatingProfiles", "cgrates.org,call,1002,2024-01-01T00:00:00Z,RP_FREE,", "every plan of a tariff book does (RatingProfiles.csv line 7)"),
        ("RatingProfiles", "cgrates.org,call,1002,2024-01-01T00:00:00Z,RP_FREE,1001", "falls back on 1001"),
        ("RatingProfiles", "cgrates.org,call,1002,+1h,RP_FREE,*any", "no activation time"),
        ("RatingProfiles", "cgrates.org,mms,*any,2024-01-01T00:00:00Z,RP_NONE,", "no rating plan RP_NONE"),
        ("RatingProfiles", "other.org,mms,*any,2024-01-01T00:00:00Z,RP_SMS,", "several tenants"),
        ("RatingProfiles", "cgrates.org,mms", "2 fields instead of 5"),
    ],
)  # fmt: skip
def test_a_line_without_an_exact_equivalent_is_refused_with_its_number(tmp_path: Path, file: str, line: str, says: str):
    added: dict[str, Any] = {file: f"{line}\n"}
    with pytest.raises(TrueupError) as prices:
        read_cgrates(folder(tmp_path, **added), currency="EUR")
    assert says in str(prices.value)


def test_a_folder_without_its_files_is_refused(tmp_path: Path):
    with pytest.raises(TrueupError, match=r"there is no RatingPlans\.csv"):
        read_cgrates(tmp_path, currency="EUR")
