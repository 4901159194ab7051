"""Draw random frames and row rules of every kind, and evaluate them by the library and by the compiled form."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import polars as pl

from trueup.quality.expectation import Expectation
from trueup.quality.row_rules import FORMS, RowRule, row_rule
from trueup.quality.validation import engine

ROWS = 12
TEXTS = [None, "", "a", "MSC01", "msc01", "49151", "٣", "é", "ab c", "a\n", "a_b", "1a", "MSC011", "-", "x.y"]
PATTERNS = ["^[A-Z]{3}[0-9]+$", r"^\d+$", r"^\w*$", "^a|b$", r"^.\..$", r"^[^\d]*$", r"^\D+$", "^(ab|MSC)\\s?.*$", "^$"]
COLUMNS = ("record_key", "peer", "quantity_micros", "amount_micros", "started_at", "billed_at")
"""Two columns of each type that a charge has."""
EPOCH = datetime(2024, 3, 1, tzinfo=UTC)


def frame(chance: random.Random) -> pl.DataFrame:
    """Draw a dozen charges, with every kind of value and many missing values."""
    number = [None, -1, 0, 1, 2, 3, 2**62, -(2**62)]
    time = [None, *(EPOCH + timedelta(microseconds=n) for n in (-1, 0, 1, 86_400_000_000))]
    choices: Sequence[Sequence[Any]] = (TEXTS, TEXTS, number, number, time, time)
    types = (pl.String, pl.String, pl.Int64, pl.Int64, pl.Datetime("us", "UTC"), pl.Datetime("us", "UTC"))
    made = {
        name: pl.Series([chance.choice(values) for _ in range(ROWS)], dtype=dtype)
        for name, values, dtype in zip(COLUMNS, choices, types, strict=True)
    }
    return pl.DataFrame(made)


def rule(chance: random.Random, kind: str) -> Expectation:
    """Draw a rule of one kind with random arguments."""
    text, number = chance.choice(COLUMNS[:2]), chance.choice(COLUMNS[2:4])
    time = chance.choice(COLUMNS[4:])
    low, high = sorted(chance.choice([-2, 0, 1, 2, 3]) for _ in range(2))
    bounds = chance.choice([{"min_value": low}, {"max_value": high}, {"min_value": low, "max_value": high}])
    strict = {f"strict_{end}": True for end in ("min", "max") if f"{end}_value" in bounds and chance.random() < 0.4}
    if kind.endswith("null"):
        arguments: dict[str, Any] = {"column": chance.choice(COLUMNS)}
    elif kind == "expect_column_values_to_be_between" and chance.random() < 0.4:
        arguments = {"column": time, **{n: EPOCH + timedelta(microseconds=v) for n, v in bounds.items()}, **strict}
    elif kind == "expect_column_values_to_be_between":
        arguments = {"column": number, **bounds, **strict}
    elif kind.endswith("in_set"):
        texts = [t for t in TEXTS if t is not None]
        arguments = (
            {"column": number, "value_set": [low, high]}
            if chance.random() < 0.5
            else {"column": text, "value_set": chance.sample(texts, 3)}
        )
    elif kind.endswith("regex"):
        arguments = {"column": text, "regex": chance.choice(PATTERNS)}
    elif kind == "expect_column_value_lengths_to_be_between":
        # The library refuses strict bounds of lengths that are equal; no value would pass.
        arguments = {"column": text, **{n: max(v, 0) for n, v in bounds.items()}}
    elif kind == "expect_column_value_lengths_to_equal":
        arguments = {"column": text, "value": max(low, 0)}
    else:
        first, second = chance.choice([COLUMNS[2:4], COLUMNS[4:], *([COLUMNS[:2]] if kind.endswith("equal") else [])])
        arguments = {"column_A": first, "column_B": second, "ignore_row_if": "either_value_is_missing"}
        if "greater" in kind and chance.random() < 0.5:
            arguments["or_equal"] = True
    return Expectation(f"a random {kind}", "charge", kind, arguments, "quarantine", "it is random")


def drawn(count: int, seed: int) -> list[tuple[pl.DataFrame, Expectation]]:
    """Draw `count` frames, each with a rule; every kind in turn."""
    chance = random.Random(seed)
    kinds = sorted(FORMS)
    return [(frame(chance), rule(chance, kinds[number % len(kinds)])) for number in range(count)]


def by_library(cases: Sequence[tuple[pl.DataFrame, Expectation]]) -> list[set[int]]:
    """Return the rows that Great Expectations finds unexpected; the frames are columns of one table."""
    wide = pl.concat(
        [f.rename({n: f"{n}_{number}" for n in f.columns}) for number, (f, _) in enumerate(cases)], how="horizontal"
    ).with_row_index("row_no").with_columns(pl.col("row_no").cast(pl.Int64))  # fmt: skip
    expectations = []
    for number, (_, expectation) in enumerate(cases):
        names = {n: f"{v}_{number}" for n, v in expectation.arguments.items() if n in ("column", "column_A", "column_B")}
        expectations.append(engine.impl(expectation, **names))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("wide", wide.to_arrow())
        connection.execute("CREATE TABLE frames AS FROM wide")
        results = engine.validated(connection, "frames", expectations, index=["row_no"])
    found = []
    for result, (_, expectation) in zip(results, cases, strict=True):
        assert not result.exception_info.get("raised_exception"), (expectation, result.exception_info)
        rows = {int(row["row_no"]) for row in result.result.get("unexpected_index_list") or []}
        assert result.success is not None and "unexpected_count" in result.result, (expectation, result)
        assert result.success == (not rows), (expectation, result.result)
        found.append(rows)
    return found


def by_compiled(cases: Sequence[tuple[pl.DataFrame, Expectation]], compiled: Any = row_rule) -> list[set[int]]:
    """Return the rows that the compiled rules refuse."""
    found = []
    for rows, expectation in cases:
        made: RowRule = compiled(expectation)
        broken = rows.select(bad=made.broken)["bad"]
        assert broken.null_count() == 0
        found.append(set(broken.arg_true().to_list()))
    return found
