"""Columns of the event streams as Polars types: the interface between collectors, log and kernel."""

from __future__ import annotations

import polars as pl

from trueup.events.streams import DATED, INVOICE
from trueup.events.streams import MOVEMENTS as MOVEMENTS
from trueup.events.streams import STATES as STATES

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

_STAGE: dict[str, pl.DataType] = {**_SHARED, **_CHARGE_ONLY, "record_version": pl.Int64(), "stage": pl.String()}

_INVOICE: dict[str, pl.DataType] = {
    "record_key": pl.String(),
    "number": pl.String(),
    "account": pl.String(),
    "kind": pl.String(),
    "period_from": UTC_TIME,
    "period_to": UTC_TIME,
    "net_micros": pl.Int64(),
    "tax_micros": pl.Int64(),
    "total_micros": pl.Int64(),
    "currency": pl.String(),
    "due_at": UTC_TIME,
    "billed_at": UTC_TIME,
    "refers_to": pl.String(),
    "replaces": pl.String(),
    "record_version": pl.Int64(),
}

_SUBSCRIBER: dict[str, pl.DataType] = {
    "record_key": pl.String(),
    "system": pl.String(),
    "subscriber": pl.String(),
    "account": pl.String(),
    "imsi": pl.String(),
    "plan": pl.String(),
    "segment": pl.String(),
    "status": pl.String(),
    "valid_from": UTC_TIME,
    "valid_to": UTC_TIME,
}
_TARIFF: dict[str, pl.DataType] = {
    "record_key": pl.String(),
    "item": pl.String(),
    "tariff_code": pl.String(),
    "plan": pl.String(),
    "service": pl.String(),
    "direction": pl.String(),
    "zone": pl.String(),
    "trunk": pl.String(),
    "destination": pl.String(),
    "band": pl.String(),
    "valid_from": UTC_TIME,
    "valid_to": UTC_TIME,
    "currency": pl.String(),
    "setup_micros": pl.Int64(),
    "price_micros": pl.Int64(),
    "price_per": pl.Int64(),
    "first_increment_micros": pl.Int64(),
    "next_increment_micros": pl.Int64(),
    "minimum_micros": pl.Int64(),
    "tier_from_micros": pl.Int64(),
    "rounding": pl.String(),
    "decimals": pl.Int64(),
    "rounding_stage": pl.String(),
    "tax_micros": pl.Int64(),
    "tax_included": pl.Boolean(),
    "unit": pl.String(),
    "weekdays": pl.String(),
    "from_time": pl.String(),
    "to_time": pl.String(),
    "timezone": pl.String(),
    "calendar": pl.String(),
    "name": pl.String(),
    "services": pl.String(),
    "shared": pl.String(),
    "period": pl.String(),
    "to_currency": pl.String(),
    "units_micros": pl.Int64(),
}

LATER: dict[str, dict[str, pl.DataType]] = {
    "usage": {"record_version": pl.Int64()},
    "charge": {
        "record_version": pl.Int64(),
        "item": pl.String(),
        "period_from": UTC_TIME,
        "period_to": UTC_TIME,
        "corrects": pl.String(),
    },
    "subscriber": {"timezone": pl.String(), "cycle_day": pl.Int64()},
    "tariff": {
        "origin": pl.String(),
        "maximum_micros": pl.Int64(),
        "chargeable_from_micros": pl.Int64(),
        "free_first_micros": pl.Int64(),
        "priced_at": pl.String(),
        "rated_as": pl.String(),
        "due": pl.String(),
        "proration": pl.String(),
        "suspended": pl.String(),
        "event": pl.String(),
        "applies_to": pl.String(),
        "discount_micros": pl.Int64(),
        "months": pl.Int64(),
        "slots": pl.String(),
    },
}
"""Core columns that canonical form 1 lacks; only a row with a value in one of them has form 2 (see `identity`)."""

CORE: dict[str, dict[str, pl.DataType]] = {
    "usage": {**_SHARED, **LATER["usage"]},
    "charge": {**_SHARED, **_CHARGE_ONLY, **LATER["charge"]},
    "stage": _STAGE,
    "invoice": _INVOICE,
    "subscriber": {**_SUBSCRIBER, **LATER["subscriber"]},
    "tariff": {**_TARIFF, **LATER["tariff"]},
}
"""The core columns of each stream, in the fixed order of the canonical form."""

COLLECTED: dict[str, dict[str, pl.DataType]] = {
    stream: {**_PROVENANCE, "key_scope": pl.String(), **core, "attributes": pl.String()} for stream, core in CORE.items()
}
"""Columns of a collected record, before its identity is added."""

EVENT: dict[str, dict[str, pl.DataType]] = {
    stream: {
        "event_id": pl.Binary(),
        "canonical_version": pl.Int16(),
        **_PROVENANCE,
        "bucket": pl.Int16(),
        **({"day": pl.Date()} if stream in DATED else {}),
        "key_scope": pl.String(),
        **core,
        "attributes": pl.String(),
    }
    for stream, core in CORE.items()
}
"""Columns of a stream's table in the log."""

CORRECTED: dict[str, pl.DataType] = {"corrected_key": pl.String(), "corrected_charge": pl.Boolean()}
"""Columns of a charge that identify the record it corrects. The commit finds them in the log by `corrects`; no id contains them."""

_OF_CONTENT = (
    "source_id", "key_scope", "record_key", "session_key", "service", "subscriber", "started_at", "quantity_micros",
    "record_version",
)  # fmt: skip
_OF_CHARGE = ("amount_micros", "currency", "billed_at", "item", "period_from", "period_to", *CORRECTED)
MOVED_CONTENT: dict[str, tuple[str, ...]] = {"usage": _OF_CONTENT, "charge": (*_OF_CONTENT, *_OF_CHARGE)}
"""The columns of a content that rows of `events.moved` repeat, because they decide which content of a record counts."""

MOVED: dict[str, pl.DataType] = {
    "event_id": pl.Binary(),
    "stream": pl.String(),
    "bucket": pl.Int16(),
    "bucket_key": pl.String(),
    "delivered_key": pl.String(),
    "delivered_at": pl.Int64(),
    **{name: (EVENT["charge"] | CORRECTED)[name] for name in MOVED_CONTENT["charge"]},
}
"""Columns of `events.moved`: a content of a record, for another bucket key of that record."""

READABLE: dict[str, pl.DataType] = {
    "record_key": pl.String(),
    "session_key": pl.String(),
    "account": pl.String(),
    "service": pl.String(),
    "subscriber": pl.String(),
    "peer": pl.String(),
    "own_time": UTC_TIME,
    "quantity_micros": pl.Int64(),
    "amount_micros": pl.Int64(),
    "currency": pl.String(),
}
"""Columns of a rejected record that its mapping could still read; a value that was unreadable or too long is NULL."""

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
    **READABLE,
}


_CHARGE_TIME_SQL = "coalesce(e.started_at, e.billed_at)"
OWN_TIME_SQL = {"usage": "e.started_at", "charge": _CHARGE_TIME_SQL, "stage": _CHARGE_TIME_SQL, INVOICE: "e.billed_at"}
"""`own_time` of a row `e` of a dated stream, as a DuckDB expression."""


def own_time(stream: str) -> pl.Expr:
    """Return the time that orders a record: `started_at`, else `billed_at`; for invoices `billed_at`, for states `valid_from`."""
    if stream in STATES:
        return pl.col("valid_from")
    if stream == INVOICE:
        return pl.col("billed_at")
    return pl.col("started_at") if stream == "usage" else pl.coalesce("started_at", "billed_at")
