"""Realistic tariffs with correct prices worked out by hand.

They are stored outside the project; without them the tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from trueup.cli import main

ROOT = Path(__file__).resolve().parents[2]
CASES = Path(os.environ.get("TRUEUP_CASES", ROOT.parent / "shared" / "cases"))


def case_of(name: str, folder: Path) -> Path:
    """Return a copy of a case; skip the test without it."""
    if not (CASES / name).is_dir():
        pytest.skip(f"there is no {CASES / name}; set TRUEUP_CASES to the folder of cases")
    return Path(shutil.copytree(CASES / name, folder / "case"))


def prices(case: Path, capsys: pytest.CaptureFixture[str], *options: str, book: str = "book.csv") -> list[Decimal]:
    """Return the prices of a case's calls by one of its books."""
    command = ["rate", str(case / "calls.csv"), "--book", str(case / book), "--project", str(case), "--json", *options]
    assert main(command) == 0, capsys.readouterr().err
    return [Decimal(row["amount"]) for row in json.loads(capsys.readouterr().out, parse_float=Decimal, parse_int=Decimal)]


def test_the_price_of_a_call_may_depend_on_the_country_of_the_caller(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C25: a minute to 49151 costs 0.30 from 44… and 0.80 from 1…. The zone is another way to write the origin, and is left out.
    case = case_of("C25-origin-based-rate", tmp_path)
    pl.read_csv(case / "book-origin.csv", infer_schema=False).drop("zone").write_csv(case / "book.csv")
    assert prices(case, capsys) == [Decimal("0.3"), Decimal("0.8"), Decimal("0.3")]


@pytest.mark.parametrize("weight", ["10", "20"])
def test_the_timing_of_the_afternoon_prices_a_prefix_of_two_destinations(
    weight: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # C27: a minute costs 0.10 at 10:00 and 0.20 at 13:00, whether the timing of the afternoon has the same weight as the other
    # timing or a greater one.
    case = case_of("C27-cgrates-same-prefix-two-tags", tmp_path)
    plans = case / "tp/RatingPlans.csv"
    plans.write_text(plans.read_text("utf-8").replace("RP,DR_B,AFT,10", f"RP,DR_B,AFT,{weight}"), "utf-8")
    starts = [f"2026-11-20T{hour}:00:00Z" for hour in (10, 13)]
    (case / "calls.csv").write_text("service,peer,start,quantity\n" + "".join(f"call,34600,{s},60\n" for s in starts), "utf-8")
    command = ["rate", str(case / "calls.csv"), "--cgrates", str(case / "tp"), "--currency", "EUR", "--json"]
    assert main([*command, "--project", str(case)]) == 0, capsys.readouterr().err
    assert [row["amount"] for row in json.loads(capsys.readouterr().out)] == [0.1, 0.2]


def test_the_first_ten_seconds_of_each_call_are_included(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # C04: 8 s 0; 10 s 0; 15 s 0.05; 0 s 0: by the term for it as by a negative set-up fee with a minimum of 0.
    case = case_of("C04-included-seconds", tmp_path)
    book = pl.read_csv(case / "book.csv", infer_schema=False)
    book.drop("setup", "minimum").with_columns(free_first=pl.lit("10")).write_csv(case / "included.csv")
    right = [Decimal(0), Decimal(0), Decimal("0.05"), Decimal(0)]
    assert prices(case, capsys) == prices(case, capsys, book="included.csv") == right


def test_a_price_that_changes_in_a_call_holds_from_then_on_or_for_later_calls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # C26: 90 s from 23:59:30 cost 30 × 0.01 + 60 × 0.02 = 1.50, at 60/60 0.60 + 1.20; at the price of the start 0.90, and 1.20.
    case = case_of("C26-price-change-in-call", tmp_path)
    book = pl.read_csv(case / "book.csv", infer_schema=False)
    book.with_columns(priced_at=pl.lit("start")).write_csv(case / "start.csv")
    zone = ("--timezone", "America/Sao_Paulo")
    assert prices(case, capsys, *zone) == [Decimal(p) for p in ("1.5", "1.8", "1.8", "1.2")]
    assert prices(case, capsys, *zone, book="start.csv") == [Decimal(p) for p in ("0.9", "1.2", "1.8", "1.2")]


def test_a_call_rounded_once_and_one_rounded_by_increments_have_their_prices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # C05: 0.15 + 0.025 = 0.175 → 0.18 for the call; three increments of 0.00833… → 0.01 each are 0.18 with the fee.
    case = case_of("C05-rounding-stage", tmp_path)
    assert prices(case, capsys) == [Decimal("0.18")] * 4
