"""Columns of the event streams, as Polars types: what collectors hand to the log and the log hands to the kernel."""

from __future__ import annotations

import polars as pl

UTC_TIME = pl.Datetime("us", "UTC")

_PROVENANCE: dict[str, pl.DataType] = {
    "source_id": pl.String(),
    "source_row": pl.Int64(),
    "source_offset": pl.Int64(),
    "source_length": pl.Int64(),
}
_SHARED: dict[str, pl.DataType] = {
    "record_key": pl.String(),
    "session_key": pl.String(),
    "account": pl.String(),
    "service": pl.String(),
    "subscriber": pl.String(),
    "peer": pl.String(),
    "direction": pl.String(),
    "node": pl.String(),
    "cell": pl.String(),
    "started_at": UTC_TIME,
    "quantity_micros": pl.Int64(),
    "partial_no": pl.Int64(),
}
_CHARGE_ONLY: dict[str, pl.DataType] = {
    "amount_micros": pl.Int64(),
    "currency": pl.String(),
    "tariff_code": pl.String(),
    "invoice_id": pl.String(),
    "billed_at": UTC_TIME,
}

CORE: dict[str, dict[str, pl.DataType]] = {"usage": _SHARED, "charge": {**_SHARED, **_CHARGE_ONLY}}
"""The core columns of each stream, in the fixed order of the canonical form."""

COLLECTED: dict[str, dict[str, pl.DataType]] = {
    stream: {**_PROVENANCE, "key_scope": pl.String(), **core, "attributes": pl.String()} for stream, core in CORE.items()
}
"""What a collector makes of a record, before identity is added."""

EVENT: dict[str, dict[str, pl.DataType]] = {
    stream: {
        "event_id": pl.Binary(),
        "canonical_version": pl.Int16(),
        **_PROVENANCE,
        "bucket": pl.Int16(),
        "day": pl.Date(),
        "key_scope": pl.String(),
        **core,
        "attributes": pl.String(),
    }
    for stream, core in CORE.items()
}
"""A stream's table in the log, column by column."""

QUARANTINE: dict[str, pl.DataType] = {
    "event_id": pl.Binary(),
    "source_id": pl.String(),
    "source": pl.String(),
    "stream": pl.String(),
    "source_row": pl.Int64(),
    "source_offset": pl.Int64(),
    "source_length": pl.Int64(),
    "raw": pl.Binary(),
    "reason": pl.String(),
    "rule": pl.String(),
}


def own_time(stream: str) -> pl.Expr:
    """The time a record is partitioned and ordered by: `started_at`, for a charge without one `billed_at`."""
    return pl.col("started_at") if stream == "usage" else pl.coalesce("started_at", "billed_at")
