"""Prices without reconciliation: for one record or a file, by the tariff book of the lake or of a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

BOOK = """item,tariff_code,plan,service,destination,valid_from,currency,price,price_per,unit,first_increment,next_increment,name,services,units
rate,T1,A,voice,,2024-01-01T00:00:00Z,EUR,0.60,60,s,60,60,,,
rate,T2,A,voice,44,2024-01-01T00:00:00Z,EUR,6,60,s,,,,,
allowance,,A,,,2024-01-01T00:00:00Z,,,,,,,free,voice,100
"""
CALLS = "service,plan,peer,start,quantity,subscriber\nvoice,A,4930,2024-03-01T10:00:00,61,s\nvoice,A,4420,2024-03-01T11:00:00,30,s\n,A,4930,2024-03-01T12:00,,s\n"
LAKE = """
[lake]
buckets = 2
[[source]]
name = "book"
stream = "tariff"
path = "landing/book*.csv"
identity = "content"
[[source]]
name = "states"
stream = "subscriber"
path = "landing/states.csv"
identity = "content"
columns = { subscriber = "who", plan = "plan", status = "status", valid_from = "from" }
constants = { system = "billing" }
"""
ONE = ["--service", "voice", "--start", "2024-03-01T10:00:00Z", "--quantity", "61", "--plan", "A"]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book.csv").write_text(BOOK, "utf-8")
    return tmp_path / "book.csv"


def priced(result) -> list[tuple[float | None, str | None]]:
    assert result.status == 0, result.err
    return [(row["amount"], row["reason"]) for row in json.loads(result.out)]


def one_line(result) -> str:
    assert result.status == 2
    assert result.err.count("\n") == 1, result.err
    return str(result.err)


def test_a_book_file_prices_one_record_with_its_arithmetic(invoke, book: Path) -> None:
    assert priced(invoke("rate", *ONE, "--book", book, "--json")) == [(1.2, None)]
    result = invoke("rate", *ONE, "--book", book, "--explain", "--subscriber", "s").out.splitlines()
    assert result[-2:] == [
        "  from 10:00:00Z: 120 s in increments of 60/60, 100 free by free; 20 × 0.6 per 60 s = 0.2",
        "  = 0.2 EUR",
    ]
    assert "tariff T1 as of 2024-01-01T00:00:00Z: service voice, plan A, any destination" in result[1]


def test_records_of_a_file_are_priced_in_order_and_share_allowances(invoke, book: Path, tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text(CALLS, "utf-8")
    result = invoke("rate", tmp_path / "calls.csv", "--book", book, "--service", "voice", "--json")
    assert priced(result) == [(0.2, None), (3, None), (None, "no_quantity")]
    rows = [dict(zip(CALLS.splitlines()[0].split(","), line.split(","), strict=True)) for line in CALLS.splitlines()[1:]]
    (tmp_path / "calls.ndjson").write_text("".join(json.dumps({k: v or None for k, v in r.items()}) + "\n" for r in rows), "utf-8")
    assert priced(invoke("rate", tmp_path / "calls.ndjson", "--book", book, "--service", "voice", "--json")) == priced(result)
    pl.DataFrame(rows[:2]).with_columns(pl.col("start").str.to_datetime(), pl.col("quantity").cast(pl.Int64)).write_parquet(
        tmp_path / "calls.parquet"
    )
    assert invoke("rate", tmp_path / "calls.parquet", "--book", book, "--to", tmp_path / "prices.csv").status == 0
    assert pl.read_csv(tmp_path / "prices.csv")["amount"].to_list() == [0.2, 3.0]


def test_times_without_an_offset_are_in_the_given_time_zone(invoke, book: Path) -> None:
    arguments = ["--service", "voice", "--quantity", "1", "--plan", "A", "--book", book, "--json"]
    assert priced(invoke("rate", "--start", "2024-01-01T00:30:00", "--timezone", "Europe/Berlin", *arguments)) == [
        (None, "before_any_tariff")
    ]
    assert priced(invoke("rate", "--start", "2024-01-01T00:30:00", *arguments)) == [(0.6, None)]


def test_the_lakes_book_prices_as_of_a_position_by_the_plan_of_the_subscription(invoke, tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "trueup.toml").write_text(LAKE, "utf-8")
    (tmp_path / "landing/book1.csv").write_text(BOOK, "utf-8")
    (tmp_path / "landing/states.csv").write_text("who,plan,status,from\ns,A,active,2024-01-01\n", "utf-8")
    arguments = [
        "--service",
        "voice",
        "--start",
        "2024-03-01",
        "--quantity",
        "200",
        "--subscriber",
        "s",
        "--json",
        "--project",
        tmp_path,
    ]
    assert "no lake" in one_line(invoke("rate", *arguments))
    assert invoke("ingest", "--project", tmp_path).status == 0
    first = invoke("sql", "SELECT max(position) AS p FROM tariffs", "--json", "--project", tmp_path)
    position = json.loads(first.out)[0]["p"]
    (tmp_path / "landing/book2.csv").write_text(BOOK.replace("0.60", "0.30"), "utf-8")
    assert invoke("ingest", "--project", tmp_path).status == 0
    assert priced(invoke("rate", *arguments)) == [(0.7, None)]
    assert priced(invoke("rate", *arguments, "--as-of", position + 1)) == [(1.4, None)]
    assert "no tariff book is known at position 0" in one_line(invoke("rate", *arguments, "--as-of", "2020-01-01"))


def test_a_tariff_plan_of_cgrates_prices_and_becomes_a_book_that_prices_the_same(invoke, tmp_path: Path) -> None:
    files = {
        "Destinations": "DE,49\n", "Rates": "R,0.2,0.1,60s,30s,0s\n", "DestinationRates": "D,DE,R,*up,2,,\n",
        "RatingPlans": "P,D,*any,10\n", "RatingProfiles": "t,call,*any,2024-01-01T00:00:00Z,P,\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text, "utf-8")
    record = ["--service", "call", "--start", "2024-03-01", "--quantity", "61", "--peer", "+4930", "--json"]
    assert priced(invoke("rate", *record, "--cgrates", tmp_path, "--currency", "EUR")) == [(0.35, None)]
    result = invoke("cgrates", tmp_path, tmp_path / "book.csv", "--currency", "EUR", "--timezone", "Europe/Berlin")
    assert result.status == 0
    assert 'stream = "tariff"' in result.out
    assert priced(invoke("rate", *record, "--book", tmp_path / "book.csv")) == [(0.35, None)]
    assert "no currency" in one_line(invoke("rate", *record, "--cgrates", tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--service", "voice", "--start", "soon", "--quantity", "1"], "invalid time: 'soon'.*--start"),
        (["--service", "voice", "--start", "2024-03-01", "--quantity", "-1"], "invalid quantity: '-1'"),
        (["--service", "voice", "--quantity", "1"], "needs --start"),
        ([*ONE[:-1], "B"], "there is no plan 'B'.*has A"),
        (["nothing.csv"], r"no such file \(nothing.csv\)"),
        (["calls.xlsx"], "does not show the format"),
        (["calls.csv", "--quantity", "1"], "the file has a value for each record"),
        ([*ONE, "--timezone", "Mars"], "unknown time zone.*--timezone"),
        ([*ONE, "--to", "x.txt"], "neither .csv nor .parquet"),
    ],
)
def test_a_record_that_cannot_be_priced_is_reported_in_one_line(invoke, book: Path, arguments: list[str], message: str) -> None:
    assert re.search(message, one_line(invoke("rate", *arguments, "--book", book)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("service,start\nvoice,2024-03-01\n", "no column quantity"),
        ("service,start,quantity,seconds\nvoice,2024-03-01,1,1\n", "the column seconds is unknown"),
        ("service,start,quantity\nvoice,2024-03-01,1\nvoice,yesterday,1\n", "record 1 .*start: is a time"),
        ("service,start,quantity\nvoice,2024-03-01,x\n", "record 0 .*quantity: is a number"),
        ("service,start,quantity\n,2024-03-01,1\n", "record 0 .*service: is there"),
    ],
)
def test_an_unreadable_record_of_a_file_is_named(invoke, book: Path, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "calls.csv").write_text(text, "utf-8")
    assert re.search(message, one_line(invoke("rate", tmp_path / "calls.csv", "--book", book)))


@pytest.mark.parametrize(
    ("book_text", "message"),
    [
        (BOOK + "rate,T1,A,voice,,2024-01-01T00:00:00Z,EUR,9,60,s,,,,,\n", "record 3 .*repeated_key"),
        (BOOK.replace("0.60", "cheap"), "record 0 .*price: is a decimal number"),
        (BOOK.replace("unit,", "units_of,", 1), "the column units_of is unknown"),
        (BOOK.replace("valid_from", "since"), "no column valid_from"),
    ],
)
def test_an_invalid_book_is_refused_with_its_row(invoke, book: Path, book_text: str, message: str) -> None:
    book.write_text(book_text, "utf-8")
    assert re.search(message, one_line(invoke("rate", *ONE, "--book", book)))
