"""Decisions made on the page, by the same function as `trueup decide`: one commit for all selected cases or findings, or none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Literal
from zoneinfo import ZoneInfo

from trueup.clock import Clock
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.investigation.reshape import merge, split
from trueup.warehouse.decide import Decision, Recorded, amount_micros_of, record
from trueup.workbench.access.sessions import Session
from trueup.workbench.workbench import Workbench

MOST_AT_ONCE = 10_000
"""Maximum number of subjects of one decision."""
MOST_NOTE_CHARACTERS = 2_000

Field = Literal["note", "amount", "day", "assignee", "into", "where"]


@dataclass(frozen=True)
class Choice:
    """A decision that the page offers: its name in the log, its button, its key, and the fields of its form."""

    decision: str
    title: str
    key: str
    fields: tuple[Field, ...] = ("note",)
    required: tuple[Field, ...] = ()
    subject: Literal["any", "case", "root_cause"] = "any"
    """The possible subjects, as in the registry of decisions."""


CHOICES = (
    Choice("confirmed", "Confirm", "c", ("amount", "note")),
    Choice("dismissed", "Dismiss", "d", ("note",), ("note",)),
    Choice("claimed", "Claim recovery", "v", ("amount", "note")),
    Choice("prevented", "Prevented", "p", ("amount", "note")),
    Choice("written_off", "Write off", "w", ("amount", "note")),
    Choice("assigned", "Assign", "a", ("assignee", "note"), ("assignee",), subject="case"),
    Choice("due", "Due", "u", ("day", "note"), ("day",), subject="case"),
    Choice("snoozed", "Snooze", "z", ("day", "note"), ("day",), subject="case"),
    Choice("merged", "Merge", "m", ("into", "note"), ("into",), subject="root_cause"),
    Choice("split", "Split", "x", ("where", "note"), ("where",), subject="root_cause"),
    Choice("commented", "Comment", "n", ("note",), ("note",)),
    Choice("reopened", "Reopen", "o"),
)
FIRST = 2
"""The choices that have a button of their own; the others are in a menu."""


@dataclass(frozen=True)
class Form:
    """The input of a person, as text."""

    choice: Choice
    values: dict[Field, str] = field(default_factory=dict)


async def decide_all(workbench: Workbench, session: Session, subjects: Sequence[str], form: Form) -> list[Recorded]:
    """Append a decision on each subject in one commit, and return what was recorded; raise `TrueupError` for a refusal.

    The commit is completed even if the page closes in the meantime.
    """
    user = session.require("analyst")
    if not subjects:
        raise TrueupError("nothing is selected", todo="select rows first")
    if len(subjects) > MOST_AT_ONCE:
        raise TrueupError(
            f"{len(subjects):,} rows are selected, and at most {MOST_AT_ONCE:,} are decided at once", todo="select fewer"
        )
    decision = _build_decision(form, user.name, ZoneInfo(workbench.project.config.project.timezone))
    recorded = await asyncio.to_thread(_record, workbench.project, list(subjects), decision, form, workbench.clock)
    if await asyncio.to_thread(workbench.copy.show_decisions):
        # The decision has moved findings to another case, or changed which findings are provisional.
        await workbench.wait_for_newer_copy()
    shown = ", ".join(each.subject_id for each in recorded[:20])
    workbench.actions.append(user, recorded[0].decision, shown, subjects=len(recorded), note=decision.note)
    return recorded


def _record(project: Project, subjects: Sequence[str], decision: Decision, form: Form, clock: Clock) -> list[Recorded]:
    if form.choice.subject != "root_cause":
        return record(project, subjects, decision, clock=clock)
    if len(subjects) > 1:
        raise TrueupError(f"a case is {decision.name} alone, and {len(subjects):,} rows are selected", todo="select one")
    (case_id,), values = subjects, form.values
    if decision.name == "merged":
        done = merge(project, case_id, values["into"], decision, clock=clock)
    else:
        done = split(project, case_id, [values["where"]], decision, clock=clock)
    return [done]


_NEEDED: dict[Field, str] = {
    "note": "a text: others will read it",
    "day": "a day",
    "assignee": "a name",
    "amount": "an amount",
    "into": "the case that takes the findings",
    "where": "what the findings of the new case have in common",
}


def _build_decision(form: Form, decided_by: str, zone: ZoneInfo) -> Decision:
    """Return the decision that a form describes; raise `TrueupError` for a missing or unreadable field."""
    values: dict[Field, str] = {name: text.strip() for name, text in form.values.items() if name in form.choice.fields}
    missing = next((name for name in form.choice.required if not values.get(name)), None)
    if missing is not None:
        what = _NEEDED[missing]
        raise TrueupError(f"{form.choice.title.lower()} needs {what}", todo="fill the field in")
    if len(values.get("note", "")) > MOST_NOTE_CHARACTERS:
        raise TrueupError(f"the note is longer than {MOST_NOTE_CHARACTERS:,} characters", todo="write less")
    day = _parse_day(values["day"]) if values.get("day") else None
    snoozed = form.choice.decision == "snoozed"
    return Decision(
        form.choice.decision,
        values.get("note", ""),
        decided_by,
        amount_micros_of(values["amount"]) if values.get("amount") else None,
        datetime.combine(day, time(), zone).astimezone(UTC) if day and snoozed else None,
        values.get("assignee", ""),
        None if snoozed else day,
    )


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise TrueupError(f"{text!r} is not a day", todo="write it like 2024-03-31") from None
