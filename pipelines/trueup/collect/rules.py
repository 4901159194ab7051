"""Why a record is not taken in: the reason codes, and the rule that found it."""

from __future__ import annotations

from typing import Literal, get_args

Reason = Literal[
    "unparsable", "missing_required", "bad_time", "time_out_of_range", "value_out_of_range", "wrong_field_count", "bad_encoding"
]
REASONS: tuple[str, ...] = get_args(Reason)

REQUIRED: dict[str, tuple[str, ...]] = {
    "usage": ("record_key", "service", "started_at", "quantity"),
    "charge": ("record_key", "amount"),
}
"""Event columns without which a record of a stream means nothing."""
