"""Reason codes of rejected records, and the rules by which records are rejected."""

from __future__ import annotations

from typing import Literal, get_args

Reason = Literal[
    "unparsable", "missing_required", "bad_time", "time_out_of_range", "value_out_of_range", "wrong_field_count", "bad_encoding",
    "overlapping_validity", "gapped_validity", "repeated_key", "unknown_reference",
    "inconsistent", "unknown_currency", "over_limit", "lost_digits", "ambiguous_time", "uncomputable",
]  # fmt: skip
REASONS: tuple[str, ...] = get_args(Reason)

REQUIRED: dict[str, tuple[str, ...]] = {
    "usage": ("record_key", "service", "started_at", "quantity"),
    "charge": ("record_key", "amount"),
    "stage": ("record_key", "stage"),
    "invoice": ("record_key", "number", "account", "kind", "net", "tax", "total", "billed_at"),
    "subscriber": ("record_key", "system", "subscriber", "status", "valid_from"),
    "tariff": ("record_key", "item", "valid_from"),
}
"""Event columns that a record of a stream must have. A record key may be derived from content or position."""

VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "invoice": {"kind": ("invoice", "credit_note")},
    "subscriber": {"system": ("network", "billing"), "status": ("active", "suspended", "ceased")},
    "tariff": {
        "item": ("rate", "band", "holiday", "allowance", "exchange", "ported", "recurring", "one_off", "discount"),
    },
}
"""Permitted values of enumerated text columns, by stream and event column."""

CURRENCY_COLUMNS = ("currency", "to_currency")
"""Text columns that hold a currency: an ISO 4217 code, or one of `[project] further_currencies`."""
