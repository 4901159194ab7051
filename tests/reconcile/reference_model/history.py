"""The story of a log: every change of a finding, the sums after each position, the place of each record, the settled pairs.

Carried along are only the content that counts of each record, the settled pairs and how far the sources are complete; the rest
is what `meaning` makes of them at each position.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from reference_model.bookings import Name, Place, local_day, match, places_of, rate_all, units_of
from reference_model.log import Held, Known, Log, Rid, Supersede, Tariff, admit

from trueup.reconcile.domain.policies import Policy

Sums = dict[tuple[str, date | None, str], tuple[int, ...]]
"""By (service, day, currency): expected, billed, impact, tolerated, pending, unrated records."""


@dataclass
class ReferenceRun:
    changes: list[dict[str, Any]] = field(default_factory=list)
    sums: list[Sums] = field(default_factory=list)  # after position 1, 2, …
    places: list[dict[Rid, Place]] = field(default_factory=list)
    settled: list[dict[Name, Name]] = field(default_factory=list)
    standing: list[dict[tuple[object, ...], Place]] = field(default_factory=list)
    held: dict[Rid, Held] = field(default_factory=dict)


def run_reference(log: Log, first_policy: Policy) -> ReferenceRun:
    """The whole story of a log; `first_policy` is in force until another is declared."""
    story, known, settled = ReferenceRun(), Known(first_policy), dict[Name, Name]()
    before: list[Place] = []
    for position, commit in enumerate(log, start=1):
        known.policy = next((i for i in commit if isinstance(i, Policy)), known.policy)
        known.forget(commit)
        ids_before = {rid: one.record.event_id for rid, one in story.held.items()}
        seen_before = {rid: len(one.contents) for rid, one in story.held.items()}
        new = admit(story.held, commit, position, known)
        raised = known.learn(commit)
        for one in story.held.values():
            one.shut = one.shut or known.passed(one.record.charge, one.record.time_us, 0, 0)
            if one.due_us is None and one.record.time_us is None and one.record.source in raised:
                one.due_us = raised[one.record.source] - 1
        sessions, bills = (units_of(story.held, side, known) for side in (False, True))
        rate_all(sessions, known)
        booked = places_of(sessions, bills, match(sessions, bills, settled), settled, known)
        declared = next(
            (
                n
                for n, kind in (("policy_change", Policy | Supersede), ("tariff_change", Tariff))
                if any(isinstance(i, kind) for i in commit)
            ),
            None,
        )
        story.changes += changes(position, before, booked, new, declared, story.held, ids_before)
        for rid, one in story.held.items():
            if len(one.contents) > max(seen_before.get(rid, 1), 1):
                story.changes.append(conflict(position, one, seen_before.get(rid, 1) == 1, known))
        story.sums.append(added_up(booked))
        story.places.append({rid: p for p in booked if p.part == "main" for rid in (*p.usage, *p.charges)})
        story.standing.append(standing(booked))
        story.settled.append(dict(settled))
        whole = [p for p in booked if p.part == "main"]
        assert sum(len(p.usage) + len(p.charges) for p in whole) == len(story.places[-1]) == len(story.held)
        before = booked
    return story


def standing(places: list[Place]) -> dict[tuple[object, ...], Place]:
    return {(p.kind, p.subject): p for p in places if p.kind not in ("pending", "tolerated")}


def changes(
    position: int,
    before: list[Place],
    now: list[Place],
    new: dict[Rid, Held],
    declared: str | None,
    held: dict[Rid, Held],
    ids_before: dict[Rid, bytes],
) -> list[dict[str, Any]]:
    """What the findings of two positions differ by, and why."""
    was, stands, told = standing(before), standing(now), []
    for fid in {**was, **stands}:
        old, new_one = was.get(fid), stands.get(fid)
        if old and new_one and old.content == new_one.content:
            continue
        near = {r for p in (old, new_one) if p for r in (*p.usage, *p.charges)}
        subjects = {p.subject for p in (*before, *now) if near & {*p.usage, *p.charges}}
        near |= {r for p in (*before, *now) if p.subject in subjects for r in (*p.usage, *p.charges)}
        # Amounts that are judged together are near each other.
        for some in (before, now):
            own = {r for p in (old, new_one) if p for r in (*p.usage, *p.charges)}
            pools = {p.pool for p in some if p.pool and own & {*p.usage, *p.charges}}
            near |= {r for p in some if p.pool in pools for r in (*p.usage, *p.charges)}
        arrived = near & new.keys()
        decided = any(p.kind != "pending" and near & {*p.usage, *p.charges} for p in before)
        if not arrived:
            cause = declared or ("late_usage" if decided and repriced(shown_of(old, new_one), before, now) else "frontier")
        elif any(new[r].beyond for r in arrived):
            cause = "beyond_horizon"
        elif decided or any(new[r].late for r in arrived):
            cause = "late_charge" if any(r[0] for r in arrived) else "late_usage"
        else:
            cause = "arrival"
        shown = new_one or old
        assert shown
        gone = "resolved" if cause == "late_charge" else "retracted"
        ids = {rid: one.record.event_id for rid, one in held.items()} if new_one else ids_before
        told.append(
            told_of(position, "raised" if not old else "revised" if new_one else gone, cause, shown, [ids[r] for r in shown.usage],
                    [ids[r] for r in shown.charges], [], whole_money(shown.subject, now))
        )  # fmt: skip
    return told


def shown_of(old: Place | None, new: Place | None) -> tuple[Rid, ...]:
    return tuple(r for p in (old, new) if p for r in (*p.usage, *p.charges))


def repriced(rids: tuple[Rid, ...], before: list[Place], now: list[Place]) -> bool:
    """Whether the usage of a place that holds one of the records is the same as before and costs something else."""

    def cost(places: list[Place], subject: tuple[object, ...]) -> tuple[tuple[Rid, ...], int]:
        mine = [p for p in places if p.subject == subject]
        return tuple(sorted({r for p in mine for r in p.usage})), sum(p.expected for p in mine)

    subjects = {p.subject for p in (*before, *now) if {*rids} & {*p.usage, *p.charges}}
    told = [(cost(before, s), cost(now, s)) for s in subjects]
    return any(was[0] == is_now[0] and was[0] and was[1] != is_now[1] for was, is_now in told)


def conflict(position: int, one: Held, first: bool, known: Known) -> dict[str, Any]:
    r, ids = one.record, [one.record.event_id]
    shown = Place(
        "conflicting_charge" if r.charge else "conflicting_usage", ("record", r.rid), r.service or "", local_day(r.time_us, known.policy),
        one.currency, 0, 0, (), (), 0, (r.subscriber, r.peer, r.node, r.time_us),
    )  # fmt: skip
    mine = ([], ids) if r.charge else (ids, [])
    return told_of(position, "raised" if first else "revised", "conflict", shown, *mine, sorted(one.contents))


Money = tuple[int | None, int | None, int | None]


def whole_money(subject: tuple[object, ...], now: list[Place]) -> Money:
    """Expected, billed and tolerated money of all parts of a booking; None where it does not exist any more."""
    parts = [p for p in now if p.subject == subject]
    if not parts:
        return None, None, None
    tolerated = sum(p.expected - p.billed for p in parts if p.kind == "tolerated")
    return sum(p.expected for p in parts), sum(p.billed for p in parts), tolerated


def told_of(
    position: int, action: str, cause: str, p: Place, usage: list[bytes], charges: list[bytes], contents: list[bytes],
    whole: Money = (None, None, None),
) -> dict[str, Any]:  # fmt: skip
    subscriber, peer, node, started_us = p.shown
    return {
        "finding": (p.kind, p.subject), "position": position, "action": action, "cause": cause, "kind": p.kind, "service": p.service,
        "subscriber": subscriber, "peer": peer, "node": node, "day": p.day, "started_us": started_us, "expected_micros": p.expected,
        "billed_micros": p.billed, "currency": p.currency, "usage_event_ids": tuple(sorted(usage)),
        "charge_event_ids": tuple(sorted(charges)), "content_event_ids": tuple(contents),
        **dict(zip(("whole_expected_micros", "whole_billed_micros", "whole_tolerated_micros"), whole, strict=True)),
    }  # fmt: skip


def added_up(places: list[Place]) -> Sums:
    cells: dict[tuple[str, date | None, str], Counter[str]] = {}
    for p in places:
        row = cells.setdefault((p.service, p.day, p.currency), Counter())
        row.update(expected=p.expected, billed=p.billed, unrated=p.unrated)
        row[p.kind if p.kind in ("pending", "tolerated") else "impact"] += p.expected - p.billed
    rows = {
        cell: tuple(row[n] for n in ("expected", "billed", "impact", "tolerated", "pending", "unrated"))
        for cell, row in cells.items()
    }
    return {cell: row for cell, row in rows.items() if any(row)}
