"""Text of `explain`: a finding, an event or a fraud case, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trueup.cli.output import counted, moment

if TYPE_CHECKING:
    from trueup.warehouse.explain import EventExplanation, Explanation, FindingExplanation, FraudExplanation

_SHOWN_MEMBERS = 50
_SHORT_ID = 12
_PROVISIONAL = {
    "quarantined record": "the missing record may be one in quarantine",
    "quarantined share": "more than the permitted share of its day's records are in quarantine without a key",
    "quarantined pool usage": "usage in quarantine may draw on its allowance or count in its tier",
    "incomplete feed": "the feed of the missing record is incomplete on its day",
}
"""The sentence for each value of findings.provisional_reason."""
_FACTS = (
    "record_key",
    "session_key",
    "account",
    "service",
    "subscriber",
    "peer",
    "direction",
    "node",
    "cell",
    "partial_no",
    "record_version",
    "tariff_code",
    "invoice_id",
)
_OMITTED_STATE_COLUMNS = frozenset({
    "event_id", "stream", "record_key", "valid_from", "valid_to", "attributes", "key_scope", "snapshot_id", "source_id",
    "source_row", "source_offset", "source_length", "source", "path", "position", "taken_at",
})  # fmt: skip
"""Columns of a state that are shown on another line, or not at all."""


def explanation_lines(result: Explanation) -> Iterator[str]:
    """Yield the explanation of a finding, event or fraud case, line by line."""
    from trueup.warehouse.explain import FindingExplanation, FraudExplanation

    if isinstance(result, FraudExplanation):
        return _fraud_lines(result)
    return _finding_lines(result) if isinstance(result, FindingExplanation) else _event_lines(result)


def _fraud_lines(result: FraudExplanation) -> Iterator[str]:
    from trueup.warehouse.explain import money

    case = result.case
    yield f"fraud case {case['case_id']}: {case['status']}"
    yield case["summary"]
    yield ""
    yield counted(case["transactions"], "suspicious transaction")
    for row in result.transactions[:_SHOWN_MEMBERS]:
        probability = "" if row["probability"] is None else f", probability {row['probability']:.3f}"
        at_risk = "" if row["exposure"] is None else f", {money(row['exposure'], row['currency'])} at risk"
        ends = f"{row['service']} of {row['subscriber']} with {row['peer'] or 'no other party'}"
        yield f"  {ends} at {moment(row['started_at'])}{probability}{at_risk}"
        yield from (f"      {sentence}" for sentence in json.loads(row["sentences"] or "[]"))
    left = case["transactions"] - len(result.transactions[:_SHOWN_MEMBERS])
    if left:
        yield f"  … and {left} more, in suspicious_transactions"
    yield ""
    yield f"next: trueup decide {case['case_id'][:_SHORT_ID]} confirmed, or dismissed --note REASON"


def _finding_lines(result: FindingExplanation) -> Iterator[str]:
    from trueup.reconcile.domain.kinds import CAUSES
    from trueup.warehouse.explain import plain

    f = result.finding
    provisional = f", provisional: {_PROVISIONAL[f['provisional_reason']]}" if f["provisional"] else ""
    yield f"{f['kind']} {f['finding_id']}: {f['status']}{provisional}"
    yield result.meaning
    yield f"next: {result.next_step}"
    yield _describe_finding(f)
    yield ""
    for side in ("usage", "charge"):
        members = [m for m in result.members if m["stream"] == side]
        yield f"{counted(len(members), 'usage record' if side == 'usage' else 'charge')}"
        for member in members[:_SHOWN_MEMBERS]:
            yield f"  {_describe_record(member)}"
            yield f"      {_describe_origin(member)}"
        if len(members) > _SHOWN_MEMBERS:
            yield f"  … and {len(members) - _SHOWN_MEMBERS} more, in finding_records"
    yield ""
    yield from result.arithmetic
    for title, lines in result.steps.items():
        yield f"{title}:"
        yield from (f"  {line}" for line in lines)
    if f["reason"]:
        yield f"reason: {f['reason']}" + (f", {result.sentence}" if result.sentence else "")
    yield ""
    yield "history"
    for change in result.history:
        why = CAUSES[change["cause"]]
        yield (
            f"  position {change['position']} ({moment(change['committed_at'])}): {change['action']}, {change['cause']}"
            f" ({why}); expected {plain(change['expected'])}, billed {plain(change['billed'])}, impact {plain(change['impact'])}"
        )
    for decision in result.decisions:
        by = f" by {decision['decided_by']}" if decision["decided_by"] else ""
        note = f": {decision['note']}" if decision["note"] else ""
        yield f"  {moment(decision['decided_at'])}: {decision['decision']}{by}{note}"


def _describe_feed(finding: dict[str, Any]) -> str:
    """Return the finding of a feed with its bounds, in one sentence."""
    from trueup.warehouse.explain import money

    low, high = finding["records_low"], finding["records_high"]
    records = "" if low is None else f"; {low} records" if low == high else f"; {low} to {high} records"
    value = ""
    if finding["impact_high"] is not None:
        currency = finding["currency"]
        value = f", worth {money(finding['impact_low'], currency)} to {money(finding['impact_high'], currency)} (a 99 % interval)"
    until = f" until {moment(finding['ended_at'])}" if finding["ended_at"] else ""
    where = " ".join(name for name in (finding["source"], finding["node"], finding["service"]) if name)
    return f"{where} from {moment(finding['started_at'])}{until}: {finding['reason']}{records}{value}."


def _describe_finding(finding: dict[str, Any]) -> str:
    """Return service, subscriber, day and money of a finding, in one sentence."""
    from trueup.warehouse.explain import money

    if finding["control"] is not None:
        return _describe_feed(finding)
    impact, currency = finding["impact"], finding["currency"]
    who = f"subscriber {finding['subscriber']}" if finding["subscriber"] else "unknown subscriber"
    service = finding["service"] or "unknown service"
    when = f"{finding['day']}" if finding["day"] else "no date"
    outcome = {
        1: f"{money(impact, currency)} leaked",
        0: "no money is at stake",
        -1: f"{money(-impact, currency)} charged too much",
    }
    sign = (impact > 0) - (impact < 0)
    expected, billed = money(finding["expected"], currency), money(finding["billed"], currency)
    return f"{service}, {who}, {when}: expected {expected}, billed {billed}; {outcome[sign]}."


def _event_lines(result: EventExplanation) -> Iterator[str]:
    from trueup.warehouse.explain import money

    event = result.event
    if "reason" in event:
        yield f"quarantined {event['stream']} record {event['event_id']}: {event['reason']} ({event['rule']})"
        yield _describe_origin(event)
        yield f"its content: {event['record'] if event['record'] is not None else event['raw'].hex()}"
        return
    is_state = "valid_from" in event
    yield f"{event['stream']} {event['event_id']}"
    yield f"  {_describe_validity(event) if is_state else _describe_record(event)}"
    for name in (name for name in event if name not in _OMITTED_STATE_COLUMNS) if is_state else _FACTS:
        if event[name] is not None:
            yield f"  {name} = {event[name]}"
    if event["attributes"]:
        yield f"  attributes = {event['attributes']}"
    yield f"{_describe_origin(event)}, ingested at position {event['position']} ({moment(event['taken_at'])})"
    if is_state:
        return
    yield "" if result.findings or result.fraud_cases else "no finding refers to it"
    for case in result.fraud_cases:
        yield f"in fraud case {case['case_id']}: {case['status']}"
        yield f"  {case['summary']}"
    for finding in result.findings:
        impact = money(finding["impact"], finding["currency"])
        yield f"in {finding['kind']} {finding['finding_id']}: {finding['status']}, impact {impact}"


def _describe_record(record: dict[str, Any]) -> str:
    from trueup.warehouse.explain import money, plain

    time = record["started_at"] or record["billed_at"]
    quantity = "" if record["quantity"] is None else f", quantity {plain(record['quantity'])}"
    amount = "" if record["amount"] is None else f", amount {money(record['amount'], record['currency'])}"
    return f"{record['record_key'] or record['event_id']} at {moment(time)}{quantity}{amount}"


def _describe_validity(state: dict[str, Any]) -> str:
    until = "until further notice" if state["valid_to"] is None else f"until {moment(state['valid_to'])}"
    return f"{state['record_key']} valid from {moment(state['valid_from'])} {until}"


def _describe_origin(record: dict[str, Any]) -> str:
    provenance = record["path"] or record["source_id"]
    byte_range = (
        ""
        if record["source_length"] is None
        else f", bytes {record['source_offset']} to {record['source_offset'] + record['source_length']}"
    )
    row = "" if record["source_row"] is None else f", record {record['source_row']}"
    return f"from {provenance}{row}{byte_range} (event {record['event_id']})"
