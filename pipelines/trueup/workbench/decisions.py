"""Decisions made on the page: the same function as `trueup decide`, once for each subject, each an event of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from trueup.errors import TrueupError
from trueup.warehouse.decide import Decision, decide
from trueup.workbench.access.sessions import Session
from trueup.workbench.workbench import Workbench

MOST_AT_ONCE = 200
"""Subjects that one click decides on: each is a commit, and the writers of the lake wait for each."""
MOST_NOTE_CHARACTERS = 2_000


@dataclass(frozen=True)
class Choice:
    """A decision that the page offers: its name in the log, its button, its key, and whether it needs a reason."""

    decision: str
    title: str
    key: str
    needs_note: bool = False


_CHOICES = (
    Choice("confirmed", "Confirm", "c"),
    Choice("dismissed", "Dismiss", "d", needs_note=True),
    Choice("recovered", "Recovered", "v"),
    Choice("reopened", "Reopen", "o"),
)
CHOICES = tuple(choice for choice in _CHOICES if choice.decision in get_args(Decision))


async def decide_all(workbench: Workbench, session: Session, subjects: Sequence[str], choice: Choice, note: str) -> int:
    """Append a decision on each subject and return their number; raise `TrueupError` for a refusal, with what was done before it.

    The page may close in the meantime: what is committed stays, and the rest is not begun.
    """
    user = session.require("analyst")
    if not subjects:
        raise TrueupError("nothing is selected", todo="select rows first")
    if len(subjects) > MOST_AT_ONCE:
        raise TrueupError(
            f"{len(subjects):,} rows are selected, and at most {MOST_AT_ONCE} are decided at once",
            todo="decide the case that holds them, or select fewer",
        )
    if choice.needs_note and not note.strip():
        raise TrueupError(f"{choice.title.lower()} needs a reason", todo="write why: others will read it")
    if len(note) > MOST_NOTE_CHARACTERS:
        raise TrueupError(f"the note is longer than {MOST_NOTE_CHARACTERS:,} characters", todo="write less")
    for done, subject in enumerate(subjects):
        try:
            await asyncio.to_thread(
                decide, workbench.project, subject, choice.decision, note=note.strip(), decided_by=user.name, clock=workbench.clock
            )
        except TrueupError as error:
            if done:
                raise TrueupError(f"{done} of {len(subjects)} decisions are made; then: {error}") from None
            raise
        workbench.actions.append(user, choice.decision, subject, note=note.strip())
        workbench.copy.note_decision(subject, choice.decision)
    return len(subjects)
