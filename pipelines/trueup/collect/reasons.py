"""Why a record is not taken in: the reason codes, and the rule that found it."""

from __future__ import annotations

from typing import Literal, get_args

Reason = Literal[
    "unparsable", "missing_required", "bad_time", "time_out_of_range", "value_out_of_range", "wrong_field_count", "bad_encoding",
    "overlapping_validity", "gapped_validity", "repeated_key", "unknown_reference",
    "inconsistent", "unknown_currency", "over_limit",
]  # fmt: skip
REASONS: tuple[str, ...] = get_args(Reason)

REQUIRED: dict[str, tuple[str, ...]] = {
    "usage": ("record_key", "service", "started_at", "quantity"),
    "charge": ("record_key", "amount"),
    "subscriber": ("record_key", "system", "subscriber", "status", "valid_from"),
    "tariff": ("record_key", "item", "valid_from"),
}
"""Event columns without which a record of a stream means nothing; a record key may be made of content or position."""

VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "subscriber": {"system": ("network", "billing"), "status": ("active", "suspended", "ceased")},
    "tariff": {"item": ("rate", "band", "holiday", "allowance", "exchange")},
}
"""Texts that are one of a few, by stream and event column."""

CURRENCY_COLUMNS = ("currency", "to_currency")
"""Texts that are a currency: a code of ISO 4217, or one of `[project] further_currencies`."""
