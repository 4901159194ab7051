"""Number portability: calls to a number that changed its network are rated as calls to another number."""

from __future__ import annotations

import polars as pl

from trueup.party_numbers import international_digits
from trueup.rating.book import Book


def with_rated_peers(calls: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Return calls (`peer`, `start_us`); replace a peer that is ported at the start by the number whose price applies.

    The order of the calls is kept.
    """
    if book.ported.is_empty():
        return calls
    dialled = calls.select("start_us", number=international_digits(pl.col("peer")).str.strip_prefix("+")).with_row_index("row")
    met = dialled.join(book.ported, left_on="number", right_on="destination")
    in_force = met.filter(pl.col("start_us").is_between("from_us", "to_us", closed="left")).select("row", "rated_as")
    rated_as = dialled.join(in_force, on="row", how="left", maintain_order="left")["rated_as"]
    return calls.with_columns(peer=pl.coalesce(rated_as, "peer"))
