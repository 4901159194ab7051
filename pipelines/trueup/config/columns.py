"""Columns of the event streams: the names that `[source.columns]` may map."""

from __future__ import annotations

from typing import Literal

Stream = Literal["usage", "charge", "stage", "invoice", "subscriber", "tariff"]

_MOVEMENT_COLUMNS = (
    "record_key", "session_key", "account", "service", "subscriber", "peer", "direction", "node", "cell",
    "started_at", "quantity", "partial_no",
)  # fmt: skip
USAGE_COLUMNS = (*_MOVEMENT_COLUMNS, "record_version")
_RATED_COLUMNS = (*_MOVEMENT_COLUMNS, "amount", "currency", "tariff_code", "invoice_id", "billed_at", "record_version")
CHARGE_COLUMNS = (*_RATED_COLUMNS, "item", "period_from", "period_to", "corrects")
STAGE_COLUMNS = (*_RATED_COLUMNS, "stage")
INVOICE_COLUMNS = (
    "record_key", "number", "account", "kind", "period_from", "period_to", "net", "tax", "total", "currency", "due_at",
    "billed_at", "refers_to", "replaces", "record_version",
)  # fmt: skip
SUBSCRIBER_COLUMNS = (
    "record_key", "system", "subscriber", "account", "imsi", "plan", "segment", "status", "valid_from", "valid_to",
    "timezone", "cycle_day",
)  # fmt: skip
TARIFF_COLUMNS = (
    "record_key", "item", "tariff_code", "plan", "service", "direction", "zone", "trunk", "destination", "band",
    "valid_from", "valid_to", "currency", "setup", "price", "price_per", "first_increment", "next_increment", "minimum",
    "tier_from", "rounding", "decimals", "rounding_stage", "tax", "tax_included", "unit", "weekdays", "from_time", "to_time",
    "timezone", "calendar", "name", "services", "shared", "period", "to_currency", "units", "origin",
    "maximum", "chargeable_from", "free_first", "priced_at", "rated_as",
    "due", "proration", "suspended", "event", "applies_to", "discount", "months", "slots",
)  # fmt: skip
STREAM_COLUMNS = {
    "usage": USAGE_COLUMNS, "charge": CHARGE_COLUMNS, "stage": STAGE_COLUMNS, "invoice": INVOICE_COLUMNS,
    "subscriber": SUBSCRIBER_COLUMNS, "tariff": TARIFF_COLUMNS,
}  # fmt: skip
"""The columns of each stream."""
DECIMAL_COLUMNS = frozenset({
    "quantity", "amount", "setup", "price", "first_increment", "next_increment", "minimum", "tier_from", "tax", "units",
    "maximum", "chargeable_from", "free_first", "discount", "net", "total",
})  # fmt: skip
"""Columns that hold decimals; the log stores them in millionths."""
TIME_COLUMNS = frozenset({"started_at", "billed_at", "valid_from", "valid_to", "period_from", "period_to", "due_at"})
FLAG_COLUMNS = frozenset({"tax_included"})
WHOLE_COLUMNS = frozenset({"partial_no", "record_version", "price_per", "decimals", "cycle_day", "months"})
"""Columns that hold whole numbers. Columns that are in none of these sets hold texts."""
