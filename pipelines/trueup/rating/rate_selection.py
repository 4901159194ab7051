"""Select the rates that may price a record: matching decks and destination prefixes, most specific first."""

from __future__ import annotations

import polars as pl

from trueup.party_numbers import international_digits
from trueup.rating.book import DECK, Book

CANDIDATE: dict[str, pl.DataType] = {"call": pl.Int64(), "rate": pl.Int64(), "rank": pl.Int64()}
"""A rate that may price a call; at an instant, the valid one with the least rank does."""
_LONGEST = 32


def candidates(calls: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Return the `CANDIDATE` rates of calls.

    Plan, trunk, zone and direction rank first, then the longest prefix, then a rate with a band before one without.
    """
    kinds = calls.select(DECK).unique().with_row_index("kind")
    fitting = _fitting(kinds, book)
    calls = calls.select("call", *DECK, pl.col("peer").fill_null(""))
    placed = calls.join(kinds, on=DECK, nulls_equal=True).select("call", "kind", "peer")
    lines = placed.select("kind", "peer").unique().with_row_index("line")
    dialled = lines.with_columns(international_digits(pl.col("peer")).str.strip_prefix("+").alias("peer"))
    matches = _matches(dialled.join(fitting, on="kind"), book)
    named = placed.join(lines, on=["kind", "peer"]).select("call", "line")
    return named.join(matches, on="line").select(*CANDIDATE)


def _fitting(kinds: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Return (`kind`, `deck`, `rank`) of the decks whose every given dimension equals that of a kind of call."""
    met = kinds.join(book.decks.rename({n: f"{n}_deck" for n in DECK if n != "service"}), on="service")
    fits = [(pl.col(f"{n}_deck").is_null() | (pl.col(f"{n}_deck") == pl.col(n))).fill_null(False) for n in DECK if n != "service"]
    return met.filter(pl.all_horizontal(fits)).select("kind", "deck", "rank")


def _matches(lines: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Return (`line`, `rate`, `rank`) of every rate of a line's decks whose prefix its number begins with."""
    priced = book.priced.select("rate", "deck", "prefix", "banded")
    lengths = priced.select(pl.col("prefix").str.len_chars().unique()).to_series().sort().to_list()
    found = []
    for length in lengths:
        of_length = priced.filter(pl.col("prefix").str.len_chars() == length)
        prefixed = lines if not length else lines.with_columns(prefix=pl.col("peer").str.head(length))
        met = prefixed.join(of_length.drop("prefix"), on="deck") if not length else prefixed.join(of_length, on=["deck", "prefix"])
        order = (pl.col("rank") * _LONGEST + (_LONGEST - 1 - length)) * 2 + (~pl.col("banded")).cast(pl.Int64)
        found.append(met.select("line", "rate", rank=order))
    return pl.concat(found) if found else pl.DataFrame(schema={"line": pl.UInt32, "rate": pl.Int64, "rank": pl.Int64})
