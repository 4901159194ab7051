"""Name the kind of fraud that reasons point to, and the recommended action.

The kinds are tried in a fixed order, and the first that fits is named. Kinds of the line come first: a visited network, a stolen
number, a hacked exchange. There, the same premium calls need another action than kinds of the destination name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trueup.fraud.scoring.accused import Side

_TWO_SIMS, _RUNG, _SHORT_RINGS = 2, 6, 0.8
_NEW_US = 7 * 86_400_000_000
_BURST, _BURST_SHARE = 8, 0.5
_OFFICE_CALLS, _OFFICE_TO_OTHER = 5, 3
_BY_DESTINATION = frozenset({"revenue_share", "pbx_hacking", "subscription"})
"""Kinds whose rules look only at destinations, so facts about the line may name the case better."""


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
    """Return the kind of fraud of one accused end, by its leading features (the greatest first) and facts of the transaction."""
    return TYPOLOGIES[_name(leading, row, side)]


def typology_of_rule(named: str, row: Mapping[str, object], side: Side) -> Typology:
    """Return the kind of fraud of a rule's match: the kind that the rule names, or a fitting kind that is earlier in the order."""
    if side == "peer" or named not in _BY_DESTINATION:
        return TYPOLOGIES[named]
    of_line = _classify_line(row)
    # The limits of the rule itself are no evidence of a hacked exchange.
    return TYPOLOGIES[of_line or ("revenue_share" if named == "pbx_hacking" else named)]


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
    if "sims" in text:
        return "account_takeover"
    return _classify_line(row) or _classify_call(text, row)


def _classify_line(row: Mapping[str, object]) -> str | None:
    """Return the kind shown by facts about the line, regardless of its destinations; None if they show none.

    A roaming line is barred at the visited network, a stolen number at its SIM, and a victim of rings is not a fraudster. Among
    other lines, a business line that calls by night is a hacked exchange. Its owner must secure it, because the fraudster would
    only replace a barred range by another.
    """
    if row.get("is_roaming"):
        return "roaming"
    if _number(row, "sub_sims_7d") >= _TWO_SIMS:
        return "account_takeover"
    if row.get("is_message"):
        return None
    if row.get("to_abroad") and _is_rung_by_the_range(row):
        return "wangiri"
    return "pbx_hacking" if is_pbx_hacking(row) else None


def _classify_call(text: str, row: Mapping[str, object]) -> str:
    if row.get("is_message"):
        return "inflated_messages"
    if row.get("to_premium") or "premium" in text:
        return "revenue_share"
    if "age" in text or (row.get("to_abroad") and 0 <= _number(row, "sub_age_30d") < _NEW_US):
        return "subscription"
    if row.get("to_abroad") or "abroad" in text:
        return "revenue_share"
    return "sim_box" if any(part in text for part in ("called", "in_out", "cells", "outgoing", "handset")) else "unknown"


def is_pbx_hacking(row: Mapping[str, object]) -> bool:
    """Return whether a transaction belongs to a burst of premium or foreign calls outside office hours, from an office line.

    An office line makes at most a quarter of its domestic, non-premium calls of 7 days outside office hours.

    >>> night = {"to_premium": True, "sub_off_hours_24h": 20, "sub_outgoing_24h": 22, "sub_premium_7d": 20, "sub_abroad_7d": 0}
    >>> is_pbx_hacking(night | {"sub_off_hours_7d": 22, "sub_outgoing_7d": 42})
    True
    >>> is_pbx_hacking(night | {"sub_off_hours_7d": 32, "sub_outgoing_7d": 42})
    False
    """
    if not (row.get("to_premium") or row.get("to_abroad")):
        return False
    off_hours, outgoing = _number(row, "sub_off_hours_24h"), _number(row, "sub_outgoing_24h")
    if off_hours < _BURST or off_hours < _BURST_SHARE * outgoing:
        return False
    office = _number(row, "sub_outgoing_7d") - _number(row, "sub_off_hours_7d")
    costly = max(_number(row, "sub_premium_7d"), _number(row, "sub_abroad_7d"))
    other = max(0.0, _number(row, "sub_off_hours_7d") - costly)
    return office >= _OFFICE_CALLS and office >= _OFFICE_TO_OTHER * other


def _is_rung_by_the_range(row: Mapping[str, object]) -> bool:
    """Return whether the called range rings many subscribers for seconds; the subscriber then is a victim who calls back."""
    return _number(row, "range_rung_7d") >= _RUNG and _number(row, "range_short_ring_share_7d") >= _SHORT_RINGS


def _number(row: Mapping[str, object], name: str) -> float:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else -1.0
