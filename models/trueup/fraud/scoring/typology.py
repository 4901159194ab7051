"""Name the kind of fraud that reasons point to, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trueup.fraud.scoring.accused import Side

_TWO_SIMS, _RUNG, _SHORT_RINGS = 2, 6, 0.8
_NEW_US = 7 * 86_400_000_000


@dataclass(frozen=True)
class Typology:
    """A kind of fraud, and the action that stops it."""

    name: str
    action: str


TYPOLOGIES: dict[str, Typology] = {
    t.name: t for t in (
        Typology("revenue_share", "Bar premium and international calls of this number, then call the customer."),
        Typology("revenue_share_range", "Bar calls to this number and its range, and look at who called it."),
        Typology("pbx_hacking", "Bar premium and international calls of this exchange, then call its owner."),
        Typology("wangiri", "Block calls from and to this number and its range; credit subscribers who called back."),
        Typology("sim_box", "Call the number from abroad to test it, then block its SIMs."),
        Typology("inflated_messages", "Block messages to this range, and ask the sender for proof of its customers."),
        Typology("account_takeover", "Stop payments and the SIM, and call the customer on another number."),
        Typology("subscription", "Limit the credit of this subscription until its identity is checked."),
        Typology("roaming", "Bar calls on visited networks, then call the customer."),
        Typology("tariff_abuse", "Charge or stop the free class for this subscriber, and check the rule that makes it free."),
        Typology("device_misuse", "Lock the SIM to its device, and ask the owner."),
        Typology("unknown", "Look at the records of this party, then call the customer."),
    )
}  # fmt: skip
"""All kinds of fraud by name."""


def typology_of(leading: Sequence[str], row: Mapping[str, object], side: Side) -> Typology:
    """Return the kind of fraud of one accused end, by its leading features (the greatest first) and the transaction's own facts."""
    return TYPOLOGIES[_name(leading, row, side)]


def _name(leading: Sequence[str], row: Mapping[str, object], side: Side) -> str:
    text = " ".join(leading)
    if side == "peer":
        if row.get("is_received") or "rung" in text or "ring" in text.replace("ringing_calls", "ring"):
            return "wangiri"
        return "inflated_messages" if row.get("is_message") else "revenue_share_range"
    if row.get("is_roaming") or "roaming" in text:
        return "roaming"
    if "free" in text:
        return "tariff_abuse"
    if row.get("kilobytes"):
        is_machine = row.get("sub_received_7d") == 0 and row.get("sub_cells_7d") in (0, 1)
        return "device_misuse" if is_machine or "handset" in text else "subscription" if "age" in text else "unknown"
    if "sims" in text or _number(row, "sub_sims_7d") >= _TWO_SIMS:
        return "account_takeover"
    if row.get("is_message"):
        return "inflated_messages"
    if row.get("to_abroad") and _is_rung_by_the_range(row):
        return "wangiri"
    if row.get("to_premium") or "premium" in text:
        return "revenue_share"
    if "age" in text or (row.get("to_abroad") and 0 <= _number(row, "sub_age_30d") < _NEW_US):
        return "subscription"
    if row.get("to_abroad") or "abroad" in text:
        return "revenue_share"
    return "sim_box" if any(part in text for part in ("called", "in_out", "cells", "outgoing", "handset")) else "unknown"


def _is_rung_by_the_range(row: Mapping[str, object]) -> bool:
    """Return whether the called range rings many for seconds: the subscriber is then one of those who call back."""
    return _number(row, "range_rung_7d") >= _RUNG and _number(row, "range_short_ring_share_7d") >= _SHORT_RINGS


def _number(row: Mapping[str, object], name: str) -> float:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else -1.0
