"""Explain a finding: its records on both sides, its arithmetic, and its history; or one event of the log."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from trueup.errors import TrueupError
from trueup.events.streams import INVOICE, MOVEMENTS, STATES
from trueup.reconcile.domain.kinds import ITEM_REASONS, KINDS
from trueup.warehouse.query import Warehouse

if TYPE_CHECKING:
    from trueup.reconcile.reprice import PriceTrace

_ID_DIGITS = 32
_MAX_TRACED_RECORDS = 1_000
"""A session of more records than this is explained by its sums, without the steps of its price."""


@dataclass(frozen=True)
class FindingExplanation:
    """A finding with the meaning of its kind, the next step, its members, arithmetic, changes and decisions.

    Where a tariff book prices the finding, `steps` are the rating steps of the usage and of the charged quantity, by title.
    `sentence` names the error that explains the billed amount.
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
class EventExplanation:
    """A record of the log, its findings and, for usage, its fraud cases; a quarantined record or a state has none."""

    event: dict[str, Any]
    findings: list[dict[str, Any]]
    fraud_cases: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class FraudExplanation:
    """A fraud case, and its suspicious transactions with their reasons, the most probable first."""

    case: dict[str, Any]
    transactions: list[dict[str, Any]]


Explanation = FindingExplanation | EventExplanation | FraudExplanation


def explain(warehouse: Warehouse, id_prefix: str) -> Explanation:
    """Explain the finding, event or fraud case with this id, or unique beginning of it; raise `TrueupError` without one."""
    prefix = _normalise_prefix(id_prefix)
    finding_ids = _find_matching_findings(warehouse, prefix)
    if finding_ids:
        return _explain_finding(warehouse, _require_only_match(finding_ids, id_prefix, "finding"))
    events = warehouse.rows("queries/records/events_by_prefix", _build_id_range(prefix))
    if not events:
        return _explain_fraud(warehouse, prefix, id_prefix)
    event_id = _require_only_match([row["event_id"] for row in events], id_prefix, "event")
    return _explain_event(warehouse, event_id, str(events[0]["stream"]))


def _explain_fraud(warehouse: Warehouse, prefix: str, id_prefix: str) -> FraudExplanation:
    """Explain the fraud case whose id begins with these digits; raise `TrueupError` where there is none."""
    cases = warehouse.rows("queries/fraud_cases/cases_by_prefix", {"prefix": prefix})
    if not cases:
        raise TrueupError(f"there is no finding, event or fraud case {id_prefix}", todo="take an id from `trueup findings`")
    case_id = _require_only_match([row["case_id"] for row in cases], id_prefix, "fraud case")
    members = {"case_id": case_id, "most": _MAX_TRACED_RECORDS}
    return FraudExplanation(cases[0], warehouse.rows("queries/cases/largest_transactions", members))


def event_ids_of(warehouse: Warehouse, id_prefix: str) -> list[str]:
    """Return the event with this id, or all records of the finding with this id; raise `TrueupError` where there is neither."""
    result = explain(warehouse, id_prefix)
    if isinstance(result, EventExplanation):
        return [result.event["event_id"]]
    return [m["event_id"] for m in (result.members if isinstance(result, FindingExplanation) else result.transactions)]


def finding_id_of(warehouse: Warehouse, id_prefix: str) -> str:
    """Return the full id of the finding with this id or unique beginning of an id; raise `TrueupError` where there is none."""
    finding_ids = _find_matching_findings(warehouse, _normalise_prefix(id_prefix))
    if not finding_ids:
        raise TrueupError(f"there is no finding {id_prefix}", todo="take an id from `trueup findings`")
    return _require_only_match(finding_ids, id_prefix, "finding")


def subject_id_of(warehouse: Warehouse, id_prefix: str) -> str:
    """Return the full id of a finding, fraud case or suspicious transaction; raise `TrueupError` where there is none."""
    prefix = _normalise_prefix(id_prefix)
    matches = _find_matching_findings(warehouse, prefix)
    if not matches:
        matches = [row["id"] for row in warehouse.rows("queries/fraud/suspicions_by_prefix", {"prefix": prefix})]
    if not matches:
        raise TrueupError(f"there is no finding {id_prefix}", todo="take an id from `trueup findings`, or from the view `cases`")
    return _require_only_match(matches, id_prefix, "finding or case")


def _find_matching_findings(warehouse: Warehouse, prefix: str) -> list[str]:
    return [row["finding_id"] for row in warehouse.rows("queries/findings/findings_by_prefix", {"prefix": prefix})]


def _normalise_prefix(id_prefix: str) -> str:
    text = id_prefix.strip().lower()
    if not re.fullmatch(rf"[0-9a-f]{{1,{_ID_DIGITS}}}", text):
        raise TrueupError(f"invalid id {id_prefix!r}", todo=f"an id is {_ID_DIGITS} hex digits, or the first few of them")
    return text


def _build_id_range(prefix: str) -> dict[str, str]:
    return {"low": prefix.ljust(_ID_DIGITS, "0"), "high": prefix.ljust(_ID_DIGITS, "f")}


def _require_only_match(ids: list[str], id_prefix: str, noun: str) -> str:
    if len(set(ids)) > 1:
        raise TrueupError(f"more than one {noun} has an id that begins with {id_prefix}", todo="write more digits of it")
    return ids[0]


def _explain_finding(warehouse: Warehouse, finding_id: str) -> FindingExplanation:
    value = {"finding_id": finding_id}
    finding = warehouse.rows("queries/findings/finding", value)[0]
    members = warehouse.rows("queries/findings/finding_members", value)
    rules = _read_rules(warehouse, finding)
    # Each usage record of a line for several services is rated by the price of its own service.
    is_flat = rules["price"] is not None and not rules.get("covers")
    price = (Decimal(rules["price"]).scaleb(-6), int(rules["price_per"])) if is_flat else None
    trace = None if price else _trace_price(warehouse, finding, members)
    return FindingExplanation(
        finding=finding,
        meaning=KINDS[finding["kind"]].meaning,
        next_step=KINDS[finding["kind"]].next_step,
        members=members,
        arithmetic=arithmetic(finding, members, price, parts=rules.get("parts", "sum")),
        history=warehouse.rows("queries/findings/finding_changes", value),
        decisions=warehouse.rows("queries/findings/finding_decisions", value),
        steps=trace.steps if trace else {},
        sentence=trace.sentence if trace else ITEM_REASONS.get(finding["reason"]),
    )


def _trace_price(warehouse: Warehouse, finding: dict[str, Any], members: list[dict[str, Any]]) -> PriceTrace | None:
    """Return the rating steps of a finding about usage, as of the position of its last change."""
    usage = [bytes.fromhex(m["event_id"]) for m in members if m["stream"] == "usage"]
    if not usage or len(members) > _MAX_TRACED_RECORDS or finding["kind"].startswith("conflicting_"):
        return None
    charges = [bytes.fromhex(m["event_id"]) for m in members if m["stream"] == "charge"]
    position = _find_explained_position(finding)
    billed_micros = int(finding["part_billed"].scaleb(6)) if finding["kind"] == "misrated" else None
    from trueup.reconcile.reprice import trace_price  # This imports the kernel, which most explanations do not need.

    return trace_price(warehouse.lake, usage, charges, billed_micros, position=position)


def _explain_event(warehouse: Warehouse, event_id: str, stream: str) -> EventExplanation:
    value = {"event_id": event_id}
    if stream == "quarantine":
        return EventExplanation(warehouse.rows("queries/records/quarantined_record", value)[0], [])
    if stream in (*STATES, INVOICE):
        return EventExplanation(warehouse.rows(f"queries/records/{stream}", value)[0] | {"stream": stream}, [])
    fraud_cases = warehouse.rows("queries/fraud_cases/cases_of_event", value) if stream == MOVEMENTS[0] else []
    event, findings = (warehouse.rows(path, value) for path in ("queries/records/event", "queries/findings/findings_of_event"))
    return EventExplanation(event[0], findings, fraud_cases)


def _find_explained_position(finding: dict[str, Any]) -> int:
    """Return the position as of which a finding is explained: a closed one as it was just before it was resolved or retracted."""
    is_closed = finding["status"] in ("resolved", "retracted")
    return int(finding["changed_position"]) - is_closed


def _read_rules(warehouse: Warehouse, finding: dict[str, Any]) -> dict[str, Any]:
    """Return the rules of the finding's service by which its money was computed; `price` is NULL where the tariff book prices."""
    rows = warehouse.rows("queries/findings/policy_at", {"position": _find_explained_position(finding)})
    if not rows:
        return {"price": None}
    policy = json.loads(rows[0]["content"])
    rules: dict[str, Any] = policy["services"].get(finding["service"], policy["default"])
    return rules


def arithmetic(
    finding: dict[str, Any], members: list[dict[str, Any]], price: tuple[Decimal, int] | None, *, parts: str = "sum"
) -> list[str]:
    """Return the exact arithmetic of expected, billed and impact, one line each, in the finding's currency.

    `price` is a flat price and the units it is for; `parts` states which usage records of a session count. A finding without money
    gets one line that states it; a finding with bounded money gets its range.
    """
    kind = KINDS[finding["kind"]]
    if kind.evidence == "none":
        return [f"{kind.name} has no money of its own: expected 0 - billed 0 = impact 0"]
    if kind.evidence == "bounded":
        return [_describe_bounds(finding)]
    usage = [m for m in members if m["stream"] == "usage"]
    charges = [m for m in members if m["stream"] == "charge"]
    return [_describe_expected(finding, usage, price, parts), _describe_billed(finding, charges), *_describe_impact(finding)]


def _describe_impact(finding: dict[str, Any]) -> list[str]:
    """Return the impact as expected less billed, or as the part of that difference which the finding claims."""
    difference, impact = finding["expected"] - finding["billed"], finding["impact"]
    subtraction = f"{plain(finding['expected'])} - {plain(finding['billed'])}"
    if impact == difference:
        return [f"impact   = {subtraction} = {money(impact, finding['currency'])}"]
    tolerated = finding.get("tolerated") or Decimal(0)
    others = difference - impact - tolerated
    remainder = [f"other findings of the same booking claim {plain(others)}"] if others else []
    remainder += [f"{plain(tolerated)} is within tolerance"] if tolerated else []
    return [
        f"difference = {subtraction} = {money(difference, finding['currency'])}",
        f"impact   = {money(impact, finding['currency'])}, the part that this finding claims; {' and '.join(remainder)}",
    ]


def _describe_bounds(finding: dict[str, Any]) -> str:
    records = f"between {finding['records_low']} and {finding['records_high']} records"
    if finding["records_high"] is None:
        records = "an unknown number of records"
    if finding["impact_high"] is None:
        return f"{records}; their money is unknown"
    currency = finding["currency"]
    return f"{records}, worth between {plain(finding['impact_low'])} and {money(finding['impact_high'], currency)}"


def _describe_expected(finding: dict[str, Any], usage: list[dict[str, Any]], price: tuple[Decimal, int] | None, parts: str) -> str:
    total = f"expected = {plain(finding['expected'])}"
    if not usage:
        if finding["kind"] == "duplicate_charge" and finding["expected"]:
            return f"{total}: the price of what this charge and the others of the booking are for"
        of_item = finding["expected"] or finding["reason"] in ITEM_REASONS
        why = "what the tariff book and the states of the subscription give" if of_item else "without usage nothing is expected"
        return f"{total}: {why}"
    quantity = sum((m["quantity"] for m in usage if m["quantity"] is not None), Decimal(0))
    services = Counter(m.get("service") for m in usage)
    if len(services) > 1 and price is None:
        counts = ", ".join(f"{count} of {service}" for service, count in sorted(services.items()))
        return f"{total}: {len(usage)} usage records ({counts}), rated session by session at the price of each service"
    usage_text = f"{len(usage)} usage record{'s' if len(usage) > 1 else ''} of {plain(quantity)} units in all"
    if parts != "sum" and len(usage) > 1:
        counted = {"last": "last", "max": "greatest"}[parts]
        at = f", at {plain(price[0])} per {price[1]}" if price else ""
        return f"{total}: {len(usage)} usage records that count the units so far; the {counted} of each session counts{at}"
    if price is None:
        return f"{total}: {usage_text}"
    rate, per = price
    exact = rate * quantity / per
    if abs(exact - finding["expected"]) >= Decimal("0.000001"):
        # Sessions of a period are rated one by one, each rounded to a millionth, or the price has changed since the rating.
        return f"{total}: {usage_text}, rated at {plain(rate)} per {per}, session by session"
    return f"{total}: {usage_text} x {plain(rate)} per {per}"


def _describe_billed(finding: dict[str, Any], charges: list[dict[str, Any]]) -> str:
    total = f"billed   = {plain(finding['billed'])}"
    if not charges:
        return f"{total}: there is no charge"
    own = sum((charge["amount"] for charge in charges if charge["amount"] is not None), Decimal(0))
    if finding["kind"] == "duplicate_charge" and own != finding["billed"]:
        return f"{total}: of it {plain(own)} by the further charge{'s' if len(charges) > 1 else ''}"
    if len(charges) == 1:
        return f"{total}: one charge"
    amounts = " + ".join(plain(charge["amount"]) for charge in charges[:8]) + (" + …" if len(charges) > 8 else "")
    return f"{total}: {amounts}, {len(charges)} charges"


def money(amount: Decimal | None, currency: str | None) -> str:
    """Return an amount with its currency, where it has one."""
    return f"{plain(amount)} {currency or ''}".rstrip()


def plain(amount: Decimal | None) -> str:
    """Return a decimal without needless zeros: 12.500000 is 12.5."""
    if amount is None:
        return "unknown"
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
