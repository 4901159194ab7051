"""Define session frames: one row per simulated call, message or data session, before an element records it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.simulate.market.period import SECOND_US, Day
from trueup.simulate.market.services import DATA, IOT, SERVICES, ZERO_RATED, column

Ints = NDArray[np.int64]

NO_NUMBER = -1
OUTGOING, INCOMING_CALL, FORWARDED = range(3)
DIRECTIONS = ("out", "in", "forwarded")

SCHEMA: dict[str, pl.DataType] = {
    "service": pl.Int32(),
    "subscriber": pl.Int32(),
    "peer": pl.Int32(),  # a number of `Numbers`, `NO_NUMBER` for none
    "device": pl.Int32(),
    "node": pl.Int32(),
    "cell": pl.Int32(),  # `NO_NUMBER` where the element records no cell
    "direction": pl.Int32(),
    "start_us": pl.Int64(),  # true time
    "duration_s": pl.Int32(),
    "quantity": pl.Int64(),  # whole units of the service
    "incident": pl.Int32(),  # `NO_NUMBER`: ordinary traffic
}
MARGIN_US = 10 * SECOND_US
"""No session with a nearest match starts within this time of midnight, so look-alikes never span two simulated days."""


def session_frame(columns: Mapping[str, Any]) -> pl.DataFrame:
    """Return a session frame from arrays and scalars; missing columns get their default value."""
    count = next(len(c) for c in columns.values() if isinstance(c, np.ndarray))
    defaults = {"peer": NO_NUMBER, "cell": NO_NUMBER, "direction": OUTGOING, "duration_s": 0, "incident": NO_NUMBER}
    filled = {"device": columns["subscriber"]} | defaults | dict(columns)
    return pl.DataFrame({name: np.broadcast_to(filled[name], count) for name in SCHEMA}).cast(dict(SCHEMA))  # type: ignore[arg-type]


def empty() -> pl.DataFrame:
    """Return a session frame without rows."""
    return pl.DataFrame(schema=SCHEMA)


def numbers(frame: pl.DataFrame, name: str) -> Ints:
    """Return one column of a frame as 64-bit integers."""
    return frame[name].to_numpy().astype(np.int64)


def within_day(sessions: pl.DataFrame, day: Day) -> pl.DataFrame:
    """Move the starts of sessions away from midnight and from a repeated hour, and cut them to the time unit of their records."""
    second, after = day.repeated_us
    start = pl.col("start_us")
    shifted = pl.when((start >= second) & (start < after)).then(start + (after - second)).otherwise(start)
    clipped = shifted.clip(day.start_us + MARGIN_US, day.end_us - MARGIN_US - 1)
    in_ms = pl.col("service").is_in([DATA, ZERO_RATED])
    truncated = pl.when(in_ms).then(clipped // 1_000 * 1_000).otherwise(clipped // SECOND_US * SECOND_US)
    return sessions.with_columns(start_us=truncated)


def with_session_numbers(sessions: pl.DataFrame, first_id: int, keyed_draw: NDArray[np.float64]) -> pl.DataFrame:
    """Add `session` (numbers from `first_id`), `parts` (how many partial records), `keyed` and `billable`.

    `keyed_draw` holds a uniform number for each session; a session in parts always has a key.
    """
    service = numbers(sessions, "service")
    part_s = column("part_s")[service]
    duration = numbers(sessions, "duration_s")
    parts = np.where(part_s > 0, 1 + np.maximum(duration - 1, 0) // np.maximum(part_s, 1), 1)
    # No part may be empty, so a session has no more parts than units.
    parts = np.minimum(parts, np.maximum(numbers(sessions, "quantity"), 1))
    share = np.array([s.keyed_share for s in SERVICES])[service]
    billed = column("billed")[service].astype(bool)
    return sessions.with_columns(
        session=pl.Series(first_id + np.arange(len(sessions), dtype=np.int64)),
        parts=pl.Series(parts.astype(np.int32)),
        keyed=pl.Series((keyed_draw < share) | ((parts > 1) & (service != IOT))),
        billable=pl.Series(billed & (numbers(sessions, "quantity") > 0)),
    )
