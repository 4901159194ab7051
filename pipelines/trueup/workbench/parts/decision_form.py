"""The form of a decision: what it is about, a note, and the button that makes it an event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from trueup.workbench.access.sessions import Session
from trueup.workbench.decisions import CHOICES, Choice, decide_all
from trueup.workbench.parts.money import count_text
from trueup.workbench.parts.shell import guarded
from trueup.workbench.parts.text import text
from trueup.workbench.workbench import Workbench

Selected = Callable[[], Awaitable[Sequence[str]]]
Done = Callable[[Sequence[str], Choice], Awaitable[None] | None]


def decision_buttons(workbench: Workbench, session: Session, selected: Selected, done: Done) -> None:
    """Draw a button for each decision; a reader sees none. `done` is called with the subjects that were decided."""
    if not session.user.may("analyst"):
        return
    for choice in CHOICES:
        ui.button(
            choice.title, on_click=guarded(workbench, session, "analyst", _opener(workbench, session, choice, selected, done))
        ).props(
            f'no-caps dense {"" if choice.key == "c" else "outline"} data-key="{choice.key}" title="{choice.title} ({choice.key})"'
        ).classes("tu-button")


def _opener(
    workbench: Workbench, session: Session, choice: Choice, selected: Selected, done: Done
) -> Callable[[], Awaitable[None]]:
    async def open_form() -> None:
        subjects = list(await selected())
        if not subjects:
            ui.notify("Select rows first: space selects the row with the focus.", type="warning")
            return
        with ui.dialog(value=True) as dialog, ui.card():
            text("h2", f"{choice.title}: {count_text(len(subjects), 'row')}" if len(subjects) > 1 else choice.title).classes(
                "tu-h2"
            )
            note = (
                ui.textarea("Reason" if choice.needs_note else "Note (optional)")
                .props("outlined autofocus rows=3")
                .style("width: 100%")
            )

            async def submit() -> None:
                count = await decide_all(workbench, session, subjects, choice, str(note.value or ""))
                dialog.close()
                ui.notify(f"{choice.decision}: {count_text(count, 'decision')} in the log", type="positive")
                result = done(subjects, choice)
                if result is not None:
                    await result

            with ui.element("div").classes("tu-actions"):
                ui.button(choice.title, on_click=guarded(workbench, session, "analyst", submit)).props("no-caps").mark("decide")
                ui.button("Cancel", on_click=dialog.close).props("flat no-caps")

    return open_form
