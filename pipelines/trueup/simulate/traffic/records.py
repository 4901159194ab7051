"""Make the usage records of sessions: cut sessions into partial records, and stamp them by the clock of their element."""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.simulate.market.network import Network
from trueup.simulate.market.period import SECOND_US
from trueup.simulate.market.services import DATA, ZERO_RATED, column
from trueup.simulate.traffic.sessions import Ints, numbers

WHOLE = 0
"""The `part` of a record that covers its whole session."""


def repeat_rows(frame: pl.DataFrame, counts: Ints) -> tuple[pl.DataFrame, Ints]:
    """Return each row `counts` times, with the number of each copy from 0."""
    if len(counts) == 0 or int(counts.max()) == 1 == int(counts.min()):
        return frame, np.zeros(len(frame), dtype=np.int64)
    rows = np.repeat(np.arange(len(frame)), counts)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return frame[rows], np.arange(len(rows)) - first[rows]


def part_quantities(service: Ints, quantity: Ints, parts: Ints, number: Ints) -> Ints:
    """Return the quantity of part `number` (from 0) of a session: full parts of time, or equal shares of volume."""
    part_s = column("part_s")[service]
    by_time = np.minimum(part_s, quantity - number * part_s)
    by_volume = quantity * (number + 1) // parts - quantity * number // parts
    in_volume = (service == DATA) | (service == ZERO_RATED)
    return np.where(parts == 1, quantity, np.where(in_volume, by_volume, by_time))


def usage_records(sessions: pl.DataFrame, network: Network) -> pl.DataFrame:
    """Return one row per record: the session's columns, with `part` (from 1; 0: whole), its own `quantity` and `stamp_us`."""
    records, number = repeat_rows(sessions, numbers(sessions, "parts"))
    service, parts = numbers(records, "service"), numbers(records, "parts")
    quantity = part_quantities(service, numbers(records, "quantity"), parts, number)
    stamp = numbers(records, "start_us") + stamp_skew_us(records, network) + number * column("part_s")[service] * SECOND_US
    return records.with_columns(
        part=pl.Series(np.where(parts > 1, number + 1, WHOLE).astype(np.int32)),
        quantity=pl.Series(quantity),
        stamp_us=pl.Series(stamp),
    )


def stamp_skew_us(sessions: pl.DataFrame, network: Network) -> Ints:
    """Return how far the clock of each session's element is ahead, in microseconds."""
    return network.skew_s[numbers(sessions, "node")] * SECOND_US
