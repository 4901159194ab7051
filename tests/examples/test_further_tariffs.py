"""Two more tariffs for each kind of field case, with correct prices worked out by hand.

One book has all, each as a service of its own.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from trueup.cli import main

YEAR = {"valid_from": "2026-01-01T00:00:00Z", "currency": "EUR", "price_per": "60", "unit": "s"}
Row = dict[str, str]


@dataclass(frozen=True)
class Case:
    """Rows of the tariff book of one service, calls as columns that differ from the usual, and the price of each."""

    name: str
    book: tuple[Row, ...]
    calls: tuple[Row, ...]
    prices: tuple[str, ...]


def lasting(*seconds: str, start: str = "2026-11-20T10:00:00Z", peer: str = "49301") -> tuple[Row, ...]:
    return tuple({"quantity": s, "start": start, "peer": peer} for s in seconds)


CASES = [
    # 0.06 a minute: 60 s for the first second, then steps of 6 s: 61 s are 66, 66.1 s are 72.
    Case("C01 increments 60/6", ({"price": "0.06", "first_increment": "60", "next_increment": "6"},),
         lasting("0", "1", "60", "61", "66", "66.1"), ("0", "0.06", "0.06", "0.066", "0.066", "0.072")),
    # In milliseconds: 30,000 first, then steps of 1,000; 30,001 ms are 31,000.
    Case("C01 increments in milliseconds", ({"price": "0.06", "price_per": "60000", "unit": "ms", "first_increment": "30000",
                                             "next_increment": "1000"},),
         lasting("1", "30000", "30001", "90500"), ("0.03", "0.03", "0.031", "0.091")),
    # Ten seconds are included, and minutes begin after them: 70 s are one minute, 71 s are two.
    Case("C04 included seconds before whole minutes", ({"price": "0.6", "free_first": "10", "first_increment": "60",
                                                        "next_increment": "60"},),
         lasting("10", "11", "70", "71"), ("0", "0.6", "0.6", "1.2")),
    # An account has 60 s free: the first line takes 40 s, the second 20 s of its 40 s; the rest costs 0.01 a second.
    Case("C04 included seconds shared by two lines", ({"price": "0.6"}, {"item": "allowance", "name": "shared", "shared": "account",
                                                       "units": "60", "period": "month", "price_per": "", "currency": "", "unit": ""}),
         tuple({"quantity": "40", "start": f"2026-11-20T10:0{n}:00Z", "peer": "49301", "account": "A", "subscriber": s}
               for n, s in ((0, "491"), (5, "492"), (6, "491"))), ("0", "0.2", "0.4")),
    # 0.125 for 25 s: half to even 0.12 before 19 % tax: 0.1428.
    Case("C05 half to even before tax", ({"price": "0.3", "rounding": "half_even", "decimals": "2", "rounding_stage": "record",
                                          "tax": "0.19"},), lasting("25"), ("0.1428",)),
    # Three steps of 10 s at 0.00833… are cut to 0.00 each; the fee of 0.15 remains.
    Case("C05 each increment rounded down, beside a fee", ({"price": "0.05", "setup": "0.15", "first_increment": "10",
                                                            "next_increment": "10", "rounding": "down", "decimals": "2",
                                                            "rounding_stage": "increment"},), lasting("30", "0"), ("0.15", "0")),
    # The longest origin holds, however book and record write it.
    Case("C25 origins of a country and of a part of it", tuple({"price": price, "destination": "49151", "origin": origin}
                                                               for price, origin in (("0.8", ""), ("0.3", "+44"), ("0.4", "0044 7624"))),
         tuple({"quantity": "60", "start": "2026-11-20T10:00:00Z", "peer": "+49 151 1", "subscriber": s}
               for s in ("+1 212 5550100", "00442079460001", "tel:+44-7624-300000", "anonymous")), ("0.8", "0.3", "0.4", "0.8")),
    # The longer destination comes before any origin.
    Case("C25 a longer destination is more specific than an origin", ({"price": "0.5", "destination": "49", "origin": "44"},
                                                                      {"price": "0.7", "destination": "49151"}),
         tuple({"quantity": "60", "start": "2026-11-20T10:00:00Z", "peer": peer, "subscriber": "44207"}
               for peer in ("49151000", "4930")), ("0.7", "0.5")),
    # From 02:30 summer time on, 120 minutes: 30 + 60 within the repeated hour from 2 to 3, 30 after it.
    Case("C26 a price of the hour that is shown twice", ({"price": "0.06"}, {"price": "0.12", "band": "two"},
         {"item": "band", "band": "two", "from_time": "02:00", "to_time": "03:00", "timezone": "Europe/Berlin", "price_per": "",
          "currency": "", "unit": ""}), lasting("7200", start="2026-10-25T00:30:00Z"), ("12.6",)),
    # The hour from 2 to 3 is skipped in March; a new price holds from local midnight of the next day.
    Case("C26 a skipped hour, and a new price at local midnight", ({"price": "0.6", "first_increment": "60", "next_increment": "60"},
         {"price": "1.2", "first_increment": "60", "next_increment": "60", "valid_from": "2026-03-29T22:00:00Z"},
         {"price": "9", "band": "gap", "first_increment": "60", "next_increment": "60"},
         {"item": "band", "band": "gap", "from_time": "02:00", "to_time": "03:00", "timezone": "Europe/Berlin", "price_per": "",
          "currency": "", "unit": "", "weekdays": "7"}),
         (*lasting("120", start="2026-03-29T00:59:00Z"), *lasting("90", start="2026-03-29T21:59:30Z")), ("1.2", "1.8")),
    # 1234 is longer than 1, however each is written; 0049 and +49 are one prefix.
    Case("C02 prefixes and numbers with typographic signs", tuple({"price": price, "destination": prefix} for price, prefix in (
         ("0.012", "+1"), ("0.24", "1 (234)"), ("0.03", "0049"))),
         tuple({"quantity": "60", "start": "2026-11-20T10:00:00Z", "peer": peer} for peer in (
             "+1\u2011234\u2011555", "\u202a+1 234 555\u202c", "\"A\" <sip:+12345@h>", "+1\u00a0212\u2009555", "00 49 (0)30")),
         ("0.24", "0.24", "0.24", "0.012", "0.03")),
]  # fmt: skip


def written(rows: list[Row]) -> str:
    """Return rows as CSV with all of their columns."""
    held = io.StringIO()
    writer = csv.DictWriter(held, list(dict.fromkeys(name for row in rows for name in row)), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return held.getvalue()


@pytest.fixture(scope="module")
def amounts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the price of each call of each case, as text."""
    folder = tmp_path_factory.mktemp("tariffs")
    book = [
        {"item": "rate", "service": f"s{n}", "tariff_code": case.name[:3]} | YEAR | row | ({"services": f"s{n}"} if "units" in row else {})
        for n, case in enumerate(CASES) for row in case.book
    ]  # fmt: skip
    for row in book:
        if row["item"] != "rate":
            row["service"] = row["tariff_code"] = ""
    (folder / "book.csv").write_text(written(book), "utf-8")
    (folder / "calls.csv").write_text(written([{"service": f"s{n}"} | call for n, case in enumerate(CASES) for call in case.calls]))
    out = folder / "prices.csv"
    command = ["rate", str(folder / "calls.csv"), "--book", str(folder / "book.csv"), "--to", str(out), "--project", str(folder)]
    assert main(command) == 0
    return [row["amount"] for row in csv.DictReader(io.StringIO(out.read_text("utf-8")))]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_prices_are_those_calculated_by_hand(number: int, amounts: list[str]) -> None:
    first = sum(len(case.calls) for case in CASES[:number])
    found = amounts[first : first + len(CASES[number].calls)]
    assert [Decimal(amount) for amount in found] == [Decimal(price) for price in CASES[number].prices]


def cgrates(folder: Path, timing: str, rates: str, profile: str = "cgrates.org,call,*any,2026-01-01T00:00:00Z,RP,\n") -> Path:
    """Return a tariff-plan folder of CGRateS with these timings and rates; prefix 34 has the tags D_A and D_B."""
    folder.mkdir()
    files = {
        "Destinations": "#Id,Prefix\nD_A,+34\nD_B,34\n", "Timings": f"#Tag,Years,Months,MonthDays,WeekDays,Time\n{timing}",
        "Rates": f"#Id,ConnectFee,Rate,RateUnit,RateIncrement,GroupIntervalStart\n{rates}",
        "DestinationRates": "#Id,DestinationId,RatesTag,RoundingMethod,RoundingDecimals,MaxCost,MaxCostStrategy\n"
                            "DR_A,D_A,R_A,*up,4,0,\nDR_B,D_B,R_B,*up,4,0,\n",
        "RatingPlans": "#Id,DestinationRatesId,TimingTag,Weight\nRP,DR_A,*any,10\nRP,DR_B,T,20\n",
        "RatingProfiles": f"#Tenant,Category,Subject,ActivationTime,RatingPlanId,RatesFallbackSubject\n{profile}",
    }  # fmt: skip
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("timing", "zone", "starts", "right"),
    [
        # Saturday and Sunday cost 0.20, from midnight in Berlin on: 22:30 of Friday in UTC is 23:30 there, 23:30 is 00:30.
        ("T,*any,*any,*any,6;7,00:00:00\n", "Europe/Berlin", ("20T22:30", "20T23:30", "22T22:59", "22T23:00"),
         ("0.1", "0.2", "0.2", "0.1")),
        # The evening begins at 18:00 and lasts until midnight.
        ("T,*any,*any,*any,*any,18:00:00\n", "UTC", ("20T17:59", "20T18:00", "20T23:59", "21T00:00"), ("0.1", "0.2", "0.2", "0.1")),
    ],
    ids=["weekends", "evenings"],
)  # fmt: skip
def test_a_heavier_timing_of_cgrates_holds_from_its_time_until_midnight(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], timing: str, zone: str, starts: tuple[str, ...], right: tuple[str, ...]
) -> None:
    folder = cgrates(tmp_path / "tp", timing, "R_A,0,0.1,60s,60s,0s\nR_B,0,0.2,60s,60s,0s\n")
    calls = "service,peer,start,quantity\n" + "".join(f"call,34600,2026-11-{start}:00Z,30\n" for start in starts)
    (tmp_path / "calls.csv").write_text(calls)
    command = ["rate", str(tmp_path / "calls.csv"), "--cgrates", str(folder), "--currency", "EUR", "--timezone", zone, "--json"]
    assert main([*command, "--project", str(tmp_path)]) == 0, capsys.readouterr().err
    found = [row["amount"] for row in json.loads(capsys.readouterr().out, parse_float=Decimal)]
    assert found == [Decimal(price) for price in right]
