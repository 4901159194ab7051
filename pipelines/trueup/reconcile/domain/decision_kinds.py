"""The registry of decisions: the effect of each on the status and money of a finding or case, and on the fraud label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Account = Literal["detected", "confirmed", "claimed", "prevented", "written_off", "false_alarm"]


@dataclass(frozen=True)
class DecisionKind:
    """The meaning of one kind of decision.

    Parameters
    ----------
    name:
        The decision as events store it.
    meaning:
        One sentence: the person's judgement.
    status:
        The status that the decision gives its subject; None if it changes no status.
    account:
        The account of the money ledger to which it moves the money; None if it moves none.
    is_fraud:
        The fraud label that it gives a suspicious transaction; None if it gives none.
    subject:
        *any*: findings, cases and suspicious transactions; *case*: cases of root causes and fraud; *root_cause*: only the former.
    is_recorded:
        Whether the decision can still be recorded; older lakes contain decisions that cannot.
    """

    name: str
    meaning: str
    status: str | None = None
    account: Account | None = None
    is_fraud: bool | None = None
    subject: Literal["any", "case", "root_cause"] = "any"
    is_recorded: bool = True


_DECISIONS = (
    DecisionKind("confirmed", "The finding is right.", "confirmed", "confirmed", True),
    DecisionKind("dismissed", "The finding is a false alarm, for the reason given.", "dismissed", "false_alarm", False),
    DecisionKind("claimed", "A person says that the money was recovered.", "claimed", "claimed", True),
    DecisionKind("recovered", "The word of earlier versions for claimed.", "claimed", "claimed", True, is_recorded=False),
    DecisionKind("prevented", "The loss was stopped before the money was lost.", "prevented", "prevented", True),
    DecisionKind("write_off_proposed", "One person proposes to give the money up; a second person has to agree."),
    DecisionKind("written_off", "The money is given up.", "written_off", "written_off", True),
    DecisionKind("reopened", "All earlier decisions on the subject are withdrawn.", "open", "detected"),
    DecisionKind("snoozed", "The case is left out of the queue until a time.", subject="case"),
    DecisionKind("assigned", "A person is responsible for the case.", subject="case"),
    DecisionKind("due", "The case has to be decided by a day.", subject="case"),
    DecisionKind("requested", "A system downstream is asked for an action on the case, such as to block a number.", subject="case"),
    DecisionKind("commented", "A note, and nothing else."),
    DecisionKind("merged", "The case has the same cause as another, which takes its findings.", subject="root_cause"),
    DecisionKind("split", "Some findings of the case have another cause, and form a case of their own.", subject="root_cause"),
)
DECISIONS: dict[str, DecisionKind] = {kind.name: kind for kind in _DECISIONS}
"""All decisions by name, in the order in which documents list them."""

PROPOSAL = "write_off_proposed"
RECORDED = tuple(kind.name for kind in _DECISIONS if kind.is_recorded and kind.name != PROPOSAL)
"""The decisions that a person can give; a write-off above a limit is recorded as a proposal."""

STATUS_DECISIONS = tuple(kind.name for kind in _DECISIONS if kind.status is not None)
"""The decisions that change the status of their subject."""

FRAUD_LABELS = {kind.name: int(kind.is_fraud) for kind in _DECISIONS if kind.is_fraud is not None}
"""The label, 1 for fraud, that a decision gives a suspicious transaction."""

WITHDRAWING = tuple(kind.name for kind in _DECISIONS if kind.status == "open")
"""The decisions that withdraw all earlier decisions on their subject, and the labels of these."""

DECIDED_STATUSES = tuple(dict.fromkeys(kind.status for kind in _DECISIONS if kind.status is not None))
STATUSES = (*DECIDED_STATUSES, "recovered", "resolved", "retracted")
"""The statuses of findings: those that decisions give, and those of the kernel; only a correcting charge gives `recovered`."""

ACCOUNTS = ("assessed", "detected", "confirmed", "claimed", "recovered", "prevented", "written_off", "false_alarm")
"""The accounts of the money ledger; the first is the opposite of all others."""
