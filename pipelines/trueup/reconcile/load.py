"""From the log to the kernel: frontiers and records, as of a position."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from trueup.events.identity import bucket_key
from trueup.events.schema import own_time
from trueup.log.lake import Lake
from trueup.reconcile.frontier import Frontier, Marks
from trueup.reconcile.policy import policies_of
from trueup.reconcile.records import EVENTS

_SHARED = (
    "event_id", "source_id", "bucket", "key_scope", "record_key", "session_key", "account", "service", "subscriber", "peer",
    "node", "started_at", "quantity_micros", "partial_no",
)  # fmt: skip
COLUMNS = {"usage": _SHARED, "charge": (*_SHARED, "amount_micros", "currency", "billed_at")}
"""What the kernel reads of each stream."""


def frontier_of(lake: Lake, upto: int) -> Frontier:
    """How far each source was complete at every position up to `upto`: from control rows and declarations alone."""
    control = lake.read("control", columns=["source", "last_started_at"], upto=upto)
    declared = lake.read("declaration", columns=["kind", "source", "through"], upto=upto)
    observed = control.select("position", "source", value=pl.col("last_started_at").cast(pl.Int64))
    timed = declared.select("position", "kind", "source", value=pl.col("through").cast(pl.Int64))
    ticks = Marks.of(timed.filter(pl.col("kind") == "tick").select("position", "value"))
    return Frontier(policies_of(lake, upto), _marks(observed), _marks(timed.filter(pl.col("kind") == "close")), ticks)


def _marks(rows: pl.DataFrame) -> dict[str, Marks]:
    return {str(name): Marks.of(group.select("position", "value")) for (name,), group in rows.group_by("source")}


def as_events(frames: dict[str, pl.DataFrame], lake: Lake) -> pl.DataFrame:
    """Rows of `events.usage` and `events.charge` (with `position`) as rows of `EVENTS`."""
    return pl.concat(_as_events(lake, frames))


def _as_events(lake: Lake, frames: dict[str, pl.DataFrame]) -> Iterable[pl.DataFrame]:
    for stream, frame in frames.items():
        amount = pl.lit(0, pl.Int64) if stream == "usage" else pl.col("amount_micros")
        currency = pl.lit(None, pl.String) if stream == "usage" else pl.col("currency")
        sources = frame["source_id"].unique().to_list()
        yield frame.with_columns(
            charge=pl.lit(stream == "charge"),
            source=pl.col("source_id").replace_strict(sources, [s.rpartition("@")[0] for s in sources], return_dtype=pl.String),
            scope=bucket_key(lake.project.config.lake.bucket_by),
            time_us=own_time(stream).cast(pl.Int64),
            started=pl.col("started_at").is_not_null(),
            amount_micros=amount,
            currency=currency,
        ).select(pl.col(n).cast(t) for n, t in EVENTS.items())
