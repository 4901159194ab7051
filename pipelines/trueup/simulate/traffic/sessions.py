"""Session frames: one row for each call, message or data session that happened, before anybody recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.simulate.market.period import SECOND_US, Day
from trueup.simulate.market.services import DATA, IOT, SERVICES, ZERO_RATED, column

Ints = NDArray[np.int64]

NOBODY = -1
OUTGOING, INCOMING_CALL, FORWARDED = range(3)
DIRECTIONS = ("out", "in", "forwarded")

SCHEMA: dict[str, pl.DataType] = {
    "service": pl.Int32(),
    "subscriber": pl.Int32(),
    "peer": pl.Int32(),  # a number of `Numbers`, NOBODY for none
    "device": pl.Int32(),
    "node": pl.Int32(),
    "cell": pl.Int32(),  # NOBODY where the element knows none
    "direction": pl.Int32(),
    "start_us": pl.Int64(),  # true time
    "duration_s": pl.Int32(),
    "quantity": pl.Int64(),  # whole units of the service
    "incident": pl.Int32(),  # NOBODY: ordinary traffic
}
MARGIN_US = 10 * SECOND_US
"""No session that is matched by time starts this close to midnight: look-alikes never lie across two days' work."""


def frame(columns: Mapping[str, Any]) -> pl.DataFrame:
    """A session frame from arrays and scalars; what is not given has its usual value."""
    count = next(len(c) for c in columns.values() if isinstance(c, np.ndarray))
    usual = {"peer": NOBODY, "cell": NOBODY, "direction": OUTGOING, "duration_s": 0, "incident": NOBODY}
    filled = {"device": columns["subscriber"]} | usual | dict(columns)
    return pl.DataFrame({name: np.broadcast_to(filled[name], count) for name in SCHEMA}).cast(dict(SCHEMA))  # type: ignore[arg-type]


def empty() -> pl.DataFrame:
    """A session frame without rows."""
    return pl.DataFrame(schema=SCHEMA)


def numbers(frame: pl.DataFrame, name: str) -> Ints:
    """One column of a frame as 64-bit integers."""
    return frame[name].to_numpy().astype(np.int64)


def within_day(sessions: pl.DataFrame, day: Day) -> pl.DataFrame:
    """The sessions with their starts kept off midnight, off a repeated hour, and on whole seconds where records are."""
    second, after = day.repeated_us
    start = pl.col("start_us")
    moved = pl.when((start >= second) & (start < after)).then(start + (after - second)).otherwise(start)
    kept = moved.clip(day.start_us + MARGIN_US, day.end_us - MARGIN_US - 1)
    in_ms = pl.col("service").is_in([DATA, ZERO_RATED])
    whole = pl.when(in_ms).then(kept // 1_000 * 1_000).otherwise(kept // SECOND_US * SECOND_US)
    return sessions.with_columns(start_us=whole)


def finished(sessions: pl.DataFrame, first_id: int, keyed_draw: NDArray[np.float64]) -> pl.DataFrame:
    """Adds `session` (ids from `first_id` on), `parts` (partial records it is cut into), `keyed` and `billable`.

    `keyed_draw` holds a uniform number for each session; a session in parts always has a key.
    """
    service = numbers(sessions, "service")
    part_s = column("part_s")[service]
    duration = numbers(sessions, "duration_s")
    parts = np.where(part_s > 0, 1 + np.maximum(duration - 1, 0) // np.maximum(part_s, 1), 1)
    # No part may be empty: a session of few units has no more parts than units.
    parts = np.minimum(parts, np.maximum(numbers(sessions, "quantity"), 1))
    share = np.array([s.keyed_share for s in SERVICES])[service]
    billed = column("billed")[service].astype(bool)
    return sessions.with_columns(
        session=pl.Series(first_id + np.arange(len(sessions), dtype=np.int64)),
        parts=pl.Series(parts.astype(np.int32)),
        keyed=pl.Series((keyed_draw < share) | ((parts > 1) & (service != IOT))),
        billable=pl.Series(billed & (numbers(sessions, "quantity") > 0)),
    )
