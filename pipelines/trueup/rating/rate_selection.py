"""Select the rates that may price a record: matching decks, destinations and origins, most specific first."""

from __future__ import annotations

import polars as pl

from trueup.party_numbers import international_digits
from trueup.rating.book import DECK, Book

CANDIDATE: dict[str, pl.DataType] = {"call": pl.Int64(), "rate": pl.Int64(), "rank": pl.Int64()}
"""A rate that may price a call; at each instant, the valid candidate with the least rank does."""
_LONGEST = 32


def candidates(calls: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Return the `CANDIDATE` rates of calls.

    Candidates rank by plan, trunk, zone and direction first, then by the longest destination, then by the longest origin. A rate
    with a time band ranks before a rate without.
    """
    kinds = calls.select(DECK).unique().with_row_index("kind")
    fitting = _find_fitting_decks(kinds, book)
    # Calls that agree in these columns have the same candidates.
    chosen_by = ["kind", "peer", *(["longest"] if book.origins.height else [])]
    calls = calls.select("call", *DECK, pl.col("peer").fill_null(""), longest=_find_longest_origin(book))
    placed = calls.join(kinds, on=DECK, nulls_equal=True).select("call", *chosen_by)
    lines = placed.select(chosen_by).unique().with_row_index("line")
    matches = _match_rates(lines.with_columns(_normalise_digits("peer").alias("peer")).join(fitting, on="kind"), book)
    named = placed.join(lines, on=chosen_by).select("call", "line")
    return named.join(matches, on="line").select(*CANDIDATE)


def _normalise_digits(number: str) -> pl.Expr:
    return international_digits(pl.col(number)).str.strip_prefix("+")


def _find_fitting_decks(kinds: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Return (`kind`, `deck`, `rank`) of the decks that fit a kind of call: every dimension that a deck gives equals the call's."""
    met = kinds.join(book.decks.rename({n: f"{n}_deck" for n in DECK if n != "service"}), on="service")
    fits = [(pl.col(f"{n}_deck").is_null() | (pl.col(f"{n}_deck") == pl.col(n))).fill_null(False) for n in DECK if n != "service"]
    return met.filter(pl.all_horizontal(fits)).select("kind", "deck", "rank")


def _find_longest_origin(book: Book) -> pl.Expr:
    """Return the longest origin of the book that is a prefix of the subscriber's own number; "" where none is."""
    longest, origins = pl.lit(""), book.origins["longest"].unique()
    for length in origins.str.len_chars().unique().sort().to_list():
        begins = _normalise_digits("own_number").str.head(length)
        of_length = origins.filter(origins.str.len_chars() == length)
        longest = pl.when(begins.is_in(of_length.implode())).then(begins).otherwise(longest)
    return longest


def _match_rates(lines: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Return (`line`, `rate`, `rank`) of every rate of a line's decks whose prefixes match the line's numbers."""
    priced = book.priced.select("rate", "deck", "prefix", "banded", pl.col("origin").fill_null(""))
    on = ["deck"]
    if book.origins.height:
        lines, on = lines.join(book.origins, on="longest"), ["deck", "origin"]
    lengths = priced.select(pl.col("prefix").str.len_chars().unique()).to_series().sort().to_list()
    found = []
    for length in lengths:
        of_length = priced.filter(pl.col("prefix").str.len_chars() == length)
        prefixed = lines if not length else lines.with_columns(prefix=pl.col("peer").str.head(length))
        met = prefixed.join(of_length.drop("prefix"), on=on) if not length else prefixed.join(of_length, on=[*on, "prefix"])
        prefixes = pl.col("rank") * _LONGEST + (_LONGEST - 1 - length)
        prefixes = prefixes * _LONGEST + (_LONGEST - 1 - pl.col("origin").str.len_chars().cast(pl.Int64))
        found.append(met.select("line", "rate", rank=prefixes * 2 + (~pl.col("banded")).cast(pl.Int64)))
    return pl.concat(found) if found else pl.DataFrame(schema={"line": pl.UInt32, "rate": pl.Int64, "rank": pl.Int64})
