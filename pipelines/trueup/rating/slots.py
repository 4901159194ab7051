"""Slots: prices and increments that begin within a record, such as a dearer first minute.

`60: 0.05/1; 300: 0.02/60` is 0.05 from 60 units on, in increments of 1, and 0.02 from 300 units on, in increments of 60. Prices are
for the `price_per` of their rate. An increment has the price of the slot in which it begins.
"""

from __future__ import annotations

import re
from decimal import Decimal

import polars as pl

from trueup.units import MICROS

_SLOT = re.compile(r"\s*([0-9]+(?:\.[0-9]{1,6})?)\s*:\s*(-?[0-9]+(?:\.[0-9]{1,6})?)\s*(?:/\s*([0-9]+(?:\.[0-9]{1,6})?))?\s*")
_MOST = 2**61
SLOT: dict[str, pl.DataType] = {
    "rate": pl.Int64(),  # a number that no rate of the book has
    "base": pl.Int64(),  # the rate whose other terms apply to the slot
    "slot_from_micros": pl.Int64(),  # the quantity of a record from which the slot's price applies
    "price_micros": pl.Int64(),
    "price_per": pl.Int64(),
    "step_micros": pl.Int64(),  # NULL: the exact quantity
}
"""A slot of a rate."""


def slots_in(text: str) -> list[tuple[int, int, int | None]]:
    """Return begin, price and increment of each slot in millionths; raise `ValueError` for a text that does not list slots.

    >>> slots_in("60: 0.05/1; 300: 0.02")
    [(60000000, 50000, 1000000), (300000000, 20000, None)]
    """
    found: list[tuple[int, int, int | None]] = []
    for part in text.split(";"):
        slot = _SLOT.fullmatch(part)
        if slot is None:
            raise ValueError(f"invalid slot: {part!r}; write FROM: PRICE/INCREMENT")
        begins, price, step = (None if group is None else int(Decimal(group) * MICROS) for group in slot.groups())
        if begins is None or price is None or step == 0 or begins <= (found[-1][0] if found else 0):
            raise ValueError(f"the slot {part!r} does not begin after the one before, or has no increment")
        if max(begins, abs(price), step or 0) > _MOST:
            raise ValueError(f"the slot {part!r} is too large")
        found.append((begins, price, step))
    return found


def slots_of(rates: pl.DataFrame) -> pl.DataFrame:
    """Return the `SLOT`s of rates (`rate`, `price_per`, `slots`)."""
    if rates["slots"].null_count() == rates.height:
        return pl.DataFrame(schema=SLOT)
    given = rates.drop_nulls("slots").select("rate", "price_per", "slots").iter_rows()
    rows = [(base, begins, price, per, step) for base, per, text in given for begins, price, step in slots_in(text)]
    first = int(rates["rate"].max() or 0) + 1  # type: ignore[arg-type]
    numbered = [(first + number, *row) for number, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=SLOT, orient="row")


def with_slots(held: pl.DataFrame, slots: pl.DataFrame) -> pl.DataFrame:
    """Return calls with the terms of the slot in which `done` lies, and with `slot_room`, the quantity left in that slot."""
    begun = held.select("call", "done", base="rate").join(slots, on="base")
    begins = pl.col("slot_from_micros")
    later = begun.filter(begins > pl.col("done")).group_by("call").agg(until=begins.min())
    now = begun.filter(begins <= pl.col("done")).sort(begins).unique("call", keep="last")
    found = held.join(now.select("call", "step_micros", slot="rate"), on="call", how="left").join(later, on="call", how="left")
    in_slot = pl.col("slot").is_not_null()
    return found.with_columns(
        pl.coalesce("slot", "rate").alias("rate"),
        pl.when(in_slot).then("step_micros").otherwise("next_increment_micros").alias("next_increment_micros"),
        pl.when(in_slot).then(None).otherwise("first_increment_micros").alias("first_increment_micros"),
        slot_room=pl.col("until") - pl.col("done"),
    ).drop("slot", "step_micros", "until")


def with_bases(pieces: pl.DataFrame, slots: pl.DataFrame) -> pl.DataFrame:
    """Add `base` to pieces: the rate whose terms a piece has, which is the rate of its slot or the piece's own rate."""
    if slots.is_empty():
        return pieces.with_columns(base="rate")
    return pieces.with_columns(base=pl.col("rate").replace(slots["rate"], slots["base"]))
