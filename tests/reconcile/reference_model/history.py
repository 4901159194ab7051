"""The last third of the reference model: all finding changes of a log, its sums, bookings and settled pairs after each position.

The run carries from position to position only the counted content of each record, the settled pairs, and the frontiers. `bookings`
computes everything else afresh at each position.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from reference_model.bookings import (
    Booking,
    Corrections,
    Name,
    bookings_of,
    corrected_records,
    groups_of,
    local_day,
    match,
    price_by_book,
)
from reference_model.log import AdmittedRecord, KnownAtPosition, Log, RecordId, State, Supersede, Tariff, admit

from trueup.policies.policy import Policy

Sums = dict[tuple[str, date | None, str], tuple[int, ...]]
"""By (service, day, currency): expected, billed, impact, tolerated, pending, unrated records."""


@dataclass
class ReferenceRun:
    """All finding changes, and the state after each position; `records` is the state after the last."""

    changes: list[dict[str, Any]] = field(default_factory=list)
    sums: list[Sums] = field(default_factory=list)  # after position 1, 2, …
    bookings: list[dict[RecordId, Booking]] = field(default_factory=list)
    settled: list[dict[Name, Name]] = field(default_factory=list)
    open_findings: list[dict[tuple[object, ...], Booking]] = field(default_factory=list)
    records: dict[RecordId, AdmittedRecord] = field(default_factory=dict)
    in_conflict: set[RecordId] = field(default_factory=set)  # whose conflict was raised


def run_reference(log: Log, first_policy: Policy) -> ReferenceRun:
    """Run the reference model over a log; `first_policy` is in force until another is declared."""
    run, known, settled = ReferenceRun(), KnownAtPosition(first_policy, bill_lines=lines_of(first_policy)), dict[Name, Name]()
    before: list[Booking] = []
    for position, commit in enumerate(log, start=1):
        known.policy = next((i for i in commit if isinstance(i, Policy)), known.policy)
        known.matched_nearest |= any("nearest" in s.match for s in (*known.policy.services.values(), known.policy.default))
        known.bill_lines |= lines_of(known.policy)
        known.void_ticks(commit)
        ids_before = {record_id: one.record.event_id for record_id, one in run.records.items()}
        seen_before = {record_id: len(one.contents) for record_id, one in run.records.items()}
        new = admit(run.records, commit, position, known)
        advanced = known.add(commit)
        for one in run.records.values():
            one.frozen = one.frozen or known.passed(one.record.charge, one.record.time_us, 0, 0)
            if one.assigned_time_us is None and one.record.time_us is None and one.record.source in advanced:
                one.assigned_time_us = advanced[one.record.source] - 1
        corrections = Corrections(run.records, corrected_records(run.records))
        uncorrecting = {r: one for r, one in run.records.items() if r not in corrections.named}
        sessions, charge_groups = (groups_of(uncorrecting, side, known) for side in (False, True))
        price_by_book(sessions, known)
        bookings = bookings_of(sessions, charge_groups, match(sessions, charge_groups, settled), settled, known, corrections)
        declared = next(
            (
                n
                for n, kind in (("policy_change", Policy | Supersede), ("tariff_change", Tariff), ("subscriber_change", State))
                if any(isinstance(i, kind) for i in commit)
            ),
            None,
        )
        run.changes += finding_changes(position, before, bookings, new, declared, run.records, ids_before)
        for record_id, one in run.records.items():
            if one.in_conflict and len(one.contents) > seen_before.get(record_id, 0):
                run.changes.append(conflict_change(position, one, record_id not in run.in_conflict, known))
                run.in_conflict.add(record_id)
        run.sums.append(sums_by_cell(bookings))
        run.bookings.append({record_id: p for p in bookings if p.part == "main" for record_id in (*p.usage, *p.charges)})
        run.open_findings.append(findings_of(bookings))
        run.settled.append(dict(settled))
        main_parts = [p for p in bookings if p.part == "main"]
        assert sum(len(p.usage) + len(p.charges) for p in main_parts) == len(run.bookings[-1]) == len(run.records)
        before = bookings
    return run


def lines_of(policy: Policy) -> dict[str, bool]:
    return {name: source.bill_lines for name, source in policy.sources.items()}


def findings_of(bookings: list[Booking]) -> dict[tuple[object, ...], Booking]:
    return {(p.kind, p.owner): p for p in bookings if p.kind not in ("pending", "tolerated")}


def finding_changes(
    position: int,
    before: list[Booking],
    now: list[Booking],
    new: dict[RecordId, AdmittedRecord],
    declared: str | None,
    records: dict[RecordId, AdmittedRecord],
    ids_before: dict[RecordId, bytes],
) -> list[dict[str, Any]]:
    """Return the changes of findings between two positions, with their causes."""
    findings_before, findings_now, rows = findings_of(before), findings_of(now), []
    for finding in {**findings_before, **findings_now}:
        old, current = findings_before.get(finding), findings_now.get(finding)
        if old and current and old.content == current.content:
            continue
        related = {r for p in (old, current) if p for r in (*p.usage, *p.charges)}
        owners = {p.owner for p in (*before, *now) if related & {*p.usage, *p.charges}}
        related |= {r for p in (*before, *now) if p.owner in owners for r in (*p.usage, *p.charges)}
        # Amounts of one pool are judged together, so they are related.
        for bookings in (before, now):
            own = {r for p in (old, current) if p for r in (*p.usage, *p.charges)}
            pools = {p.pool for p in bookings if p.pool and own & {*p.usage, *p.charges}}
            related |= {r for p in bookings if p.pool in pools for r in (*p.usage, *p.charges)}
        arrived = related & new.keys()
        decided = any(p.kind != "pending" and related & {*p.usage, *p.charges} for p in before)
        if not arrived:
            cause = declared or ("late_usage" if decided and repriced(records_of(old, current), before, now) else "frontier")
        elif any(new[r].record.corrects is not None for r in arrived):
            cause = "recovery"
        elif any(new[r].beyond_horizon for r in arrived):
            cause = "beyond_horizon"
        elif any(new[r].corrected for r in arrived):
            cause = "correction"
        elif decided or any(new[r].late for r in arrived):
            cause = "late_charge" if any(r[0] for r in arrived) else "late_usage"
        else:
            cause = "arrival"
        shown = current or old
        assert shown
        ended = "resolved" if cause in ("late_charge", "recovery") else "retracted"
        ids = {record_id: one.record.event_id for record_id, one in records.items()} if current else ids_before
        rows.append(
            change_row(position, "raised" if not old else "revised" if current else ended, cause, shown, [ids[r] for r in shown.usage],
                    [ids[r] for r in shown.charges], [], whole_money(shown.owner, now))
        )  # fmt: skip
    return rows


def records_of(old: Booking | None, new: Booking | None) -> tuple[RecordId, ...]:
    return tuple(r for p in (old, new) if p for r in (*p.usage, *p.charges))


def repriced(record_ids: tuple[RecordId, ...], before: list[Booking], now: list[Booking]) -> bool:
    """Return whether the bookings of one of the records have the same usage as before at another price."""

    def cost(bookings: list[Booking], owner: tuple[object, ...]) -> tuple[tuple[RecordId, ...], int]:
        own = [p for p in bookings if p.owner == owner]
        return tuple(sorted({r for p in own for r in p.usage})), sum(p.expected for p in own)

    owners = {p.owner for p in (*before, *now) if {*record_ids} & {*p.usage, *p.charges}}
    costs = [(cost(before, o), cost(now, o)) for o in owners]
    return any(usage == old_usage and usage and price != old_price for (old_usage, old_price), (usage, price) in costs)


def conflict_change(position: int, one: AdmittedRecord, first: bool, known: KnownAtPosition) -> dict[str, Any]:
    r, ids = one.record, [one.record.event_id]
    shown = Booking(
        "conflicting_charge" if r.charge else "conflicting_usage", ("record", r.record_id), r.service or "", local_day(r.time_us, known.policy),
        one.currency, 0, 0, (), (), 0, (r.subscriber, r.peer, r.node, r.time_us),
    )  # fmt: skip
    event_ids = ([], ids) if r.charge else (ids, [])
    return change_row(position, "raised" if first else "revised", "conflict", shown, *event_ids, sorted(one.contents))


Money = tuple[int | None, int | None, int | None]


def whole_money(owner: tuple[object, ...], now: list[Booking]) -> Money:
    """Return the expected, billed and tolerated money of all parts of a booking; None if it no longer exists."""
    parts = [p for p in now if p.owner == owner]
    if not parts:
        return None, None, None
    tolerated = sum(p.expected - p.billed for p in parts if p.kind == "tolerated")
    return sum(p.expected for p in parts), sum(p.billed for p in parts), tolerated


def change_row(
    position: int, action: str, cause: str, p: Booking, usage: list[bytes], charges: list[bytes], contents: list[bytes],
    whole: Money = (None, None, None),
) -> dict[str, Any]:  # fmt: skip
    subscriber, peer, node, started_us = p.display
    return {
        "finding": (p.kind, p.owner), "position": position, "action": action, "cause": cause, "kind": p.kind, "service": p.service,
        "subscriber": subscriber, "peer": peer, "node": node, "day": p.day, "started_us": started_us, "expected_micros": p.expected,
        "billed_micros": p.billed, "currency": p.currency, "usage_event_ids": tuple(sorted(usage)),
        "charge_event_ids": tuple(sorted(charges)), "content_event_ids": tuple(contents),
        # Findings about usage are about no item.
        "item": None, "period_from": None, "period_to": None,
        **dict(zip(("whole_expected_micros", "whole_billed_micros", "whole_tolerated_micros"), whole, strict=True)),
    }  # fmt: skip


def sums_by_cell(bookings: list[Booking]) -> Sums:
    cells: dict[tuple[str, date | None, str], Counter[str]] = {}
    for p in bookings:
        row = cells.setdefault((p.service, p.day, p.currency), Counter())
        row.update(expected=p.expected, billed=p.billed, unrated=p.unrated)
        row[p.kind if p.kind in ("pending", "tolerated") else "impact"] += p.expected - p.billed
    rows = {
        cell: tuple(row[n] for n in ("expected", "billed", "impact", "tolerated", "pending", "unrated"))
        for cell, row in cells.items()
    }
    return {cell: row for cell, row in rows.items() if any(row)}
