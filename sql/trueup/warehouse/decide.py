"""Record the decisions of a person on findings, cases and suspicious transactions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal as Number
from typing import Any

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.config.values import decimal_micros
from trueup.errors import TrueupError
from trueup.log.lake import Lake, Transaction
from trueup.reconcile.domain.decision_kinds import DECISIONS, RECORDED, DecisionKind
from trueup.warehouse import install_views
from trueup.warehouse.explain import money as money_text
from trueup.warehouse.explain import subject_id_of
from trueup.warehouse.query import Warehouse
from trueup.warehouse.statements import statement

_ID_DIGITS = 32
_QUERIES = (
    "queries/cases/subjects", "queries/cases/suspected_subjects", "queries/cases/subject_money",
    "queries/findings/findings_by_prefix", "queries/fraud/suspicions_by_prefix",
)  # fmt: skip
"""The queries that a decision runs within its transaction."""


@dataclass(frozen=True)
class Decision:
    """A decision of a person.

    `amount_micros` is the part of the money that it concerns; None means all. `until` ends a snooze, or the suppression of later
    findings of a dismissed pattern. `assignee` is the person who becomes responsible, `day` the day by which the case is due.
    """

    name: str
    note: str = ""
    decided_by: str = ""
    amount_micros: int | None = None
    until: datetime | None = None
    assignee: str = ""
    day: date | None = None
    action: str = ""
    """For a request, the action that a system downstream should take, such as `block`."""
    into: str = ""
    """For a merge, the case that takes the findings; for a split, the new case. Set by `trueup.investigation`."""


@dataclass(frozen=True)
class Recorded:
    """A decision as recorded: its subject's full id and type, and `decision`, which may be a proposal for a second person.

    `into` is the case that a merge gave the findings to, or that a split opened.
    """

    subject_id: str
    type: str
    decision: str
    into: str = ""


def decide(
    project: Project, id_prefix: str, decision: str, *, note: str = "", decided_by: str = "", clock: Clock = system_clock
) -> str:
    """Append a decision without further details on a finding, case or suspicious transaction, and return its full id.

    `id_prefix` is the id or a unique beginning of it. The finding may be resolved or retracted: the decision stays attached and
    counts again when the finding is raised again. Raises `TrueupError` for an unknown decision or id.
    """
    return record(project, [id_prefix], Decision(decision, note, decided_by), clock=clock)[0].subject_id


def record(project: Project, ids: Sequence[str], decision: Decision, *, clock: Clock = system_clock) -> list[Recorded]:
    """Append a decision on each subject in one commit, or on none of them.

    A single id may be shortened to a unique beginning; several are full ids. Raises `TrueupError` for an unknown decision or id.
    Raises it also for a decision that its subject does not allow. Examples are an amount above the money of the subject, a
    decision on a merged case, and a snooze of a finding.
    """
    check_decision(decision, clock())

    def write(transaction: Transaction, lake: Lake) -> list[Recorded]:
        warehouse = Warehouse(lake, None)
        subjects = _find_subjects(warehouse, ids)
        return append(transaction, warehouse, subjects, decision, clock())

    with Lake.open(project, clock=clock) as lake:
        prepare(lake)
        return lake.commit(lambda transaction: write(transaction, lake))


def prepare(lake: Lake) -> None:
    """Install the views that decisions read; before a transaction begins, because within it only the lake may be written."""
    install_views.set_variables(lake.connection, lake.project)
    for path in _QUERIES:
        install_views.create_views(lake.connection, statement(path).text)


def check_decision(decision: Decision, now: datetime) -> None:
    """Raise `TrueupError` for a decision that no subject allows."""
    kind = DECISIONS.get(decision.name)
    if kind is None or not kind.is_recorded:
        todo = (
            "write claimed: only a charge that corrects a finding makes it recovered"
            if kind
            else f"write one of {', '.join(RECORDED)}"
        )
        raise TrueupError(f"unknown decision {decision.name!r}", todo=todo)
    if kind.name == "dismissed" and not decision.note.strip():
        raise TrueupError("a dismissal needs its reason", todo="write it as the note (`--note`)")
    if kind.name == "requested" and not (decision.action.strip() and decision.note.strip()):
        raise TrueupError("a request needs an action and its reason", todo="write both, the reason as the note (`--note`)")
    if kind.name == "commented" and not decision.note.strip():
        raise TrueupError("a comment needs a text", todo="write it as the note (`--note`)")
    if kind.name == "write_off_proposed":
        raise TrueupError("a proposal is recorded by `written_off` itself", todo="write written_off")
    if kind.name in ("written_off", "assigned") and not (decision.decided_by or decision.assignee).strip():
        raise TrueupError(f"{kind.name} needs a name", todo="name the person")
    if kind.name == "snoozed" and decision.until is None:
        raise TrueupError("a snooze needs its end", todo="write a duration or a time (`--until`)")
    if kind.name == "due" and decision.day is None:
        raise TrueupError("a due date needs a day", todo="write a day such as 2024-03-31 (`--on`)")
    _check_extras(kind, decision, now)


def _check_extras(kind: DecisionKind, decision: Decision, now: datetime) -> None:
    """Raise `TrueupError` for a detail that the decision does not use."""
    if decision.until is not None:
        if kind.name not in ("snoozed", "dismissed"):
            raise TrueupError(f"{kind.name} has no end", todo="leave the duration out; snoozed and dismissed have one")
        if decision.until <= now:
            raise TrueupError(f"the end {decision.until.isoformat()} has passed", todo="give a later one")
    if decision.amount_micros is not None:
        if kind.account is None or kind.status == "open":
            raise TrueupError(f"{kind.name} moves no money", todo="leave the amount out")
        if decision.amount_micros <= 0:
            raise TrueupError("the amount must be greater than 0", todo="give the money it is about, without a sign")
    for text, owner in (
        (decision.assignee, "assigned"),
        (decision.day, "due"),
        (decision.action, "requested"),
        (decision.into, "merged or split"),
    ):
        if text and kind.name not in owner.split(" or "):
            raise TrueupError(f"only {owner} has {text!s}", todo="leave it out")


def _find_subjects(warehouse: Warehouse, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return each subject's id, type and merger; raise `TrueupError` for an id that the log does not have."""
    if not ids:
        raise TrueupError("no id is given", todo="take ids from `trueup cases` or `trueup findings`")
    asked = list(dict.fromkeys(text.strip().lower() for text in ids))
    if len(asked) == 1 and len(asked[0]) != _ID_DIGITS:
        asked = [subject_id_of(warehouse, asked[0])]
    invalid = next((text for text in asked if len(text) != _ID_DIGITS or not set(text) <= set("0123456789abcdef")), None)
    if invalid is not None:
        raise TrueupError(f"invalid id {invalid!r}", todo=f"several ids have {_ID_DIGITS} hex digits each")
    found = subjects_by_id(warehouse, asked)
    unknown = [text for text in asked if text not in found]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise TrueupError(f"there is no finding {unknown[0]}{more}", todo="take ids from `trueup cases` or `trueup findings`")
    return [found[text] for text in asked]


def subjects_by_id(warehouse: Warehouse, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the type of each of a list of full ids, with its merger; ids that the log does not have are missing."""
    found: dict[str, dict[str, Any]] = {}
    # All scores are read only for ids that are neither findings nor cases of root causes.
    for query in ("queries/cases/subjects", "queries/cases/suspected_subjects"):
        unknown = [text for text in ids if text not in found]
        if unknown:
            found |= {row["id"]: row for row in warehouse.rows(query, {"ids": unknown})}
    return found


def append(
    transaction: Transaction, warehouse: Warehouse, subjects: Sequence[dict[str, Any]], decision: Decision, now: datetime
) -> list[Recorded]:
    """Append a decision on subjects within a transaction, after the checks that need their state."""
    kind = DECISIONS[decision.name]
    for subject in subjects:
        _check_subject(subject, kind, decision)
    details: dict[str, object] = _build_details(decision)
    if decision.amount_micros is not None or kind.name == "written_off":
        if len(subjects) > 1:
            raise TrueupError("an amount or a write-off is about one subject", todo="decide on one at a time")
        decision, details = _with_money(warehouse, subjects[0], decision, details)
    ids = [subject["id"] for subject in subjects]
    values = {
        "ids": ids, "decision": decision.name, "note": decision.note, "decided_by": decision.decided_by, "decided_at": now,
        "details": json.dumps(details, sort_keys=True, separators=(",", ":")) if details else None,
    }  # fmt: skip
    transaction.connection.execute(statement("queries/findings/append_decision").text, values)
    return [Recorded(subject["id"], subject["type"], decision.name, decision.into) for subject in subjects]


def _check_subject(subject: dict[str, Any], kind: DecisionKind, decision: Decision) -> None:
    allowed = {"any": None, "case": ("root_cause", "fraud"), "root_cause": ("root_cause",)}[kind.subject]
    if allowed is not None and subject["type"] not in allowed:
        what = "case" if kind.subject == "case" else "case of a root cause"
        raise TrueupError(f"{kind.name} is about a {what}, and {subject['id']} is a {subject['type']}", todo="name a case")
    if kind.name == "dismissed" and decision.until is not None and subject["type"] != "root_cause":
        raise TrueupError("only a case of a root cause has later findings to suppress", todo="leave the duration out")
    if subject["merged_into"] is not None and kind.status != "open" and kind.name != "commented":
        raise TrueupError(
            f"the case {subject['id']} was merged into {subject['merged_into']}", todo="decide on that case, or reopen this one"
        )


def _build_details(decision: Decision) -> dict[str, object]:
    until = None if decision.until is None else decision.until.isoformat()
    values = {
        "until" if decision.name == "snoozed" else "suppress_until": until,
        "assignee": decision.assignee or None,
        "action": decision.action or None,
        "day": None if decision.day is None else decision.day.isoformat(),
        "into": decision.into or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _with_money(
    warehouse: Warehouse, subject: dict[str, Any], decision: Decision, details: dict[str, object]
) -> tuple[Decision, dict[str, object]]:
    """Add the amount to the details, and turn a large write-off into a proposal until a second person agrees."""
    (money,) = warehouse.rows("queries/cases/subject_money", {"subject": subject["id"]})
    left = int(money["micros"]) - int(money["taken_micros"])
    amount = left if decision.amount_micros is None else decision.amount_micros
    if amount > left or left == 0:
        shown = money_text(Number(left).scaleb(-6), money["currency"])
        raise TrueupError(f"the amount is above the money that is left of {subject['id']}: {shown}", todo="give less, or no amount")
    details = {**details, "amount_micros": str(amount), "whole": amount == left}
    threshold = warehouse.lake.project.config.cases.second_person_above
    # Earlier write-offs count, so that one person cannot give up a large amount in small parts.
    if decision.name != "written_off" or int(money["written_off_micros"]) + amount <= threshold:
        return decision, details
    if money["proposed_by"] is None or int(money["proposed_micros"]) != amount:
        return replace(decision, name="write_off_proposed"), details
    if money["proposed_by"].strip().casefold() == decision.decided_by.strip().casefold():
        raise TrueupError(
            f"{decision.decided_by} proposed this write-off, which a second person has to agree to",
            todo="ask another person to record it",
        )
    return decision, {**details, "proposed_by": money["proposed_by"]}


def amount_micros_of(text: str) -> int:
    """Return the millionths of an amount of money such as 12.50; raise `TrueupError` for other text."""
    try:
        return decimal_micros(text.strip())
    except ValueError:
        raise TrueupError(f"invalid amount {text!r}", todo="write a number with at most six decimals, such as 12.50") from None
