"""Tariffs of the kind people have, with right prices by hand. They are kept outside of the project; skipped without them."""

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
    # C27: a minute costs 0.10 at 10:00 and 0.20 at 13:00, whether the timing of the afternoon is as heavy as the other or heavier.
    case = case_of("C27-cgrates-same-prefix-two-tags", tmp_path)
    plans = case / "tp/RatingPlans.csv"
    plans.write_text(plans.read_text("utf-8").replace("RP,DR_B,AFT,10", f"RP,DR_B,AFT,{weight}"), "utf-8")
    starts = [f"2026-11-20T{hour}:00:00Z" for hour in (10, 13)]
    (case / "calls.csv").write_text("service,peer,start,quantity\n" + "".join(f"call,34600,{s},60\n" for s in starts), "utf-8")
    command = ["rate", str(case / "calls.csv"), "--cgrates", str(case / "tp"), "--currency", "EUR", "--json"]
    assert main([*command, "--project", str(case)]) == 0, capsys.readouterr().err
    assert [row["amount"] for row in json.loads(capsys.readouterr().out)] == [0.1, 0.2]
