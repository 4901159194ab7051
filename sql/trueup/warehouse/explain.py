"""Why a finding says what it says: its records of both sides, the arithmetic between them, and how it came to be so."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from trueup.errors import TrueupError
from trueup.events.streams import STATES
from trueup.reconcile.domain.kinds import KINDS
from trueup.warehouse.query import Warehouse

if TYPE_CHECKING:
    from trueup.reconcile.reprice import PriceTrace

_ID_DIGITS = 32
_MOST_RETOLD = 1_000
"""A session of more records is told by its sums alone."""


@dataclass(frozen=True)
class FindingExplained:
    """A finding, what its kind means and what to do next, its members, its arithmetic, its changes and the decisions on it.

    Where a tariff book prices it, `steps` are the rater's for the usage and for the charged quantity, by a title, and `sentence`
    says what made the amount that was billed.
    """

    finding: dict[str, Any]
    meaning: str
    next_step: str
    members: list[dict[str, Any]]
    arithmetic: list[str]
    history: list[dict[str, Any]]
    decisions: list[dict[str, Any]] = field(default_factory=list)
    steps: dict[str, list[str]] = field(default_factory=dict)
    sentence: str | None = None


@dataclass(frozen=True)
class EventExplained:
    """A record of the log, and the findings it is in: none for one of quarantine, and for a state."""

    event: dict[str, Any]
    findings: list[dict[str, Any]]


def explain(warehouse: Warehouse, told: str) -> FindingExplained | EventExplained:
    """Explains the finding or event of an id, or of a beginning of one that no other has. Raises `TrueupError` otherwise."""
    prefix = _hex(told)
    found = _matching(warehouse, prefix)
    if found:
        return _finding(warehouse, _only(found, told, "finding"))
    events = warehouse.rows("queries/events_by_prefix", _bounds(prefix))
    if not events:
        raise TrueupError(f"there is no finding or event {told}", todo="take an id from `trueup findings`")
    event_id = _only([row["event_id"] for row in events], told, "event")
    return _event(warehouse, event_id, str(events[0]["stream"]))


def event_ids_of(warehouse: Warehouse, told: str) -> list[str]:
    """The event of an id, or all records of the finding of an id; raises `TrueupError` where there is neither."""
    result = explain(warehouse, told)
    return [result.event["event_id"]] if isinstance(result, EventExplained) else [m["event_id"] for m in result.members]


def finding_id_of(warehouse: Warehouse, told: str) -> str:
    """The full id of a finding told by its id or a unique beginning of it; raises `TrueupError` where there is no such one."""
    found = _matching(warehouse, _hex(told))
    if not found:
        raise TrueupError(f"there is no finding {told}", todo="take an id from `trueup findings`")
    return _only(found, told, "finding")


def subject_id_of(warehouse: Warehouse, told: str) -> str:
    """The full id of what can be decided on: a finding, a fraud case or a suspicious transaction. Raises `TrueupError`."""
    prefix = _hex(told)
    suspicions = (row["id"] for row in warehouse.rows("queries/suspicions_by_prefix", {"prefix": prefix}))
    found = _matching(warehouse, prefix) or list(suspicions)
    if not found:
        raise TrueupError(f"there is no finding {told}", todo="take an id from `trueup findings`, or from the view `cases`")
    return _only(found, told, "finding or case")


def _matching(warehouse: Warehouse, prefix: str) -> list[str]:
    return [row["finding_id"] for row in warehouse.rows("queries/findings_by_prefix", {"prefix": prefix})]


def _hex(told: str) -> str:
    text = told.strip().lower()
    if not re.fullmatch(rf"[0-9a-f]{{1,{_ID_DIGITS}}}", text):
        raise TrueupError(f"{told!r} is no id", todo=f"an id is {_ID_DIGITS} hex digits, or the first few of them")
    return text


def _bounds(prefix: str) -> dict[str, str]:
    return {"low": prefix.ljust(_ID_DIGITS, "0"), "high": prefix.ljust(_ID_DIGITS, "f")}


def _only(found: list[str], told: str, noun: str) -> str:
    if len(set(found)) > 1:
        raise TrueupError(f"{told} begins the id of more than one {noun}", todo="write more digits of it")
    return found[0]


def _finding(warehouse: Warehouse, finding_id: str) -> FindingExplained:
    value = {"finding_id": finding_id}
    finding = warehouse.rows("queries/finding", value)[0]
    members = warehouse.rows("queries/members", value)
    price = _price(warehouse, finding)
    told = None if price else _retold(warehouse, finding, members)
    return FindingExplained(
        finding=finding,
        meaning=KINDS[finding["kind"]].meaning,
        next_step=KINDS[finding["kind"]].next_step,
        members=members,
        arithmetic=arithmetic(finding, members, price),
        history=warehouse.rows("queries/history", value),
        decisions=warehouse.rows("queries/decisions", value),
        steps=told.steps if told else {},
        sentence=told.sentence if told else None,
    )


def _retold(warehouse: Warehouse, finding: dict[str, Any], members: list[dict[str, Any]]) -> PriceTrace | None:
    """What the rater says of a finding that is about usage, as of the position it last changed at."""
    usage = [bytes.fromhex(m["event_id"]) for m in members if m["stream"] == "usage"]
    if not usage or len(members) > _MOST_RETOLD or finding["kind"].startswith("conflicting_"):
        return None
    charges = [bytes.fromhex(m["event_id"]) for m in members if m["stream"] == "charge"]
    # What no longer stands is told as it last stood.
    gone = finding["status"] in ("resolved", "retracted")
    position = finding["changed_position"] - gone
    billed_micros = int(finding["part_billed"].scaleb(6)) if finding["kind"] == "misrated" else None
    from trueup.reconcile.reprice import trace_price  # The kernel: only where there is something to price.

    return trace_price(warehouse.lake, usage, charges, billed_micros, position=position)


def _event(warehouse: Warehouse, event_id: str, stream: str) -> EventExplained:
    value = {"event_id": event_id}
    if stream == "quarantine":
        return EventExplained(warehouse.rows("queries/quarantined", value)[0], [])
    if stream in STATES:
        return EventExplained(warehouse.rows(f"queries/{stream}", value)[0] | {"stream": stream}, [])
    return EventExplained(warehouse.rows("queries/event", value)[0], warehouse.rows("queries/findings_of_event", value))


def _price(warehouse: Warehouse, finding: dict[str, Any]) -> tuple[Decimal, int] | None:
    """The flat price in force when the finding last changed, and per how many units, as the policy then declared it."""
    rows = warehouse.rows("queries/policy_at", {"position": finding["changed_position"]})
    if not rows:
        return None
    policy = json.loads(rows[0]["content"])
    rules = policy["services"].get(finding["service"], policy["default"])
    if rules["price"] is None:
        return None
    return Decimal(rules["price"]).scaleb(-6), int(rules["price_per"])


def arithmetic(finding: dict[str, Any], members: list[dict[str, Any]], price: tuple[Decimal, int] | None) -> list[str]:
    """Expected, billed and impact of the members, one line each, exact, in the finding's currency.

    A finding without money of its own has one line that says so; one whose money is bounded has its range.
    """
    kind = KINDS[finding["kind"]]
    if kind.evidence == "none":
        return [f"{kind.name} has no money of its own: expected 0 - billed 0 = impact 0"]
    if kind.evidence == "bounded":
        return [_bounds_of(finding)]
    usage = [m for m in members if m["stream"] == "usage"]
    charges = [m for m in members if m["stream"] == "charge"]
    return [_expected(finding, usage, price), _billed(finding, charges), *_impact(finding)]


def _impact(finding: dict[str, Any]) -> list[str]:
    """The impact as expected less billed, or as the part of that difference which the finding claims."""
    difference, impact = finding["expected"] - finding["billed"], finding["impact"]
    subtraction = f"{plain(finding['expected'])} - {plain(finding['billed'])}"
    if impact == difference:
        return [f"impact   = {subtraction} = {money(impact, finding['currency'])}"]
    tolerated = finding.get("tolerated") or Decimal(0)
    others = difference - impact - tolerated
    rest = [f"other findings of the same booking claim {plain(others)}"] if others else []
    rest += [f"{plain(tolerated)} is within tolerance"] if tolerated else []
    return [
        f"difference = {subtraction} = {money(difference, finding['currency'])}",
        f"impact   = {money(impact, finding['currency'])}, the part that this finding claims; {' and '.join(rest)}",
    ]


def _bounds_of(finding: dict[str, Any]) -> str:
    records = f"between {finding['records_low']} and {finding['records_high']} records"
    if finding["records_high"] is None:
        records = "an unknown number of records"
    if finding["impact_high"] is None:
        return f"{records}; their money is unknown"
    currency = finding["currency"]
    return f"{records}, worth between {plain(finding['impact_low'])} and {money(finding['impact_high'], currency)}"


def _expected(finding: dict[str, Any], usage: list[dict[str, Any]], price: tuple[Decimal, int] | None) -> str:
    told = f"expected = {plain(finding['expected'])}"
    if not usage:
        return f"{told}: there is no usage to expect money for"
    quantity = sum((m["quantity"] for m in usage if m["quantity"] is not None), Decimal(0))
    carried = f"{len(usage)} usage record{'s' if len(usage) > 1 else ''} of {plain(quantity)} units in all"
    if price is None:
        return f"{told}: {carried}"
    rate, per = price
    exact = rate * quantity / per
    if abs(exact - finding["expected"]) >= Decimal("0.000001"):
        # A period is rated session by session, each rounded to a millionth, or the price was another when it was rated.
        return f"{told}: {carried}, rated at {plain(rate)} per {per}, each session by itself"
    return f"{told}: {carried} x {plain(rate)} per {per}"


def _billed(finding: dict[str, Any], charges: list[dict[str, Any]]) -> str:
    told = f"billed   = {plain(finding['billed'])}"
    if not charges:
        return f"{told}: there is no charge"
    if len(charges) == 1:
        return f"{told}: one charge"
    return (
        f"{told}: {' + '.join(plain(m['amount']) for m in charges[:8])}{' + …' if len(charges) > 8 else ''}, {len(charges)} charges"
    )


def money(amount: Decimal | None, currency: str | None) -> str:
    """An amount with its currency, where it has one."""
    return f"{plain(amount)} {currency or ''}".rstrip()


def plain(amount: Decimal | None) -> str:
    """A decimal without needless zeros: 12.500000 is 12.5."""
    if amount is None:
        return "unknown"
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
