"""The form of a decision: what it is about, its fields, and the button that makes it an event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nicegui import ui

from trueup.workbench.access.sessions import Session
from trueup.workbench.decisions import CHOICES, FIRST, Choice, Field, Form, decide_all
from trueup.workbench.parts.money import count_text, words
from trueup.workbench.parts.shell import guarded, primary_button
from trueup.workbench.parts.text import text
from trueup.workbench.workbench import Workbench

Selected = Callable[[], Awaitable[Sequence[str]]]
Done = Callable[[Sequence[str], Choice], Awaitable[None] | None]
_LABELS: dict[Field, str] = {"note": "Note", "amount": "Amount, if not all", "day": "Day", "assignee": "Person"}


def decision_buttons(workbench: Workbench, session: Session, selected: Selected, done: Done, *, only_finding: bool = False) -> None:
    """Draw a button for each decision; a reader sees none. `done` is called with the subjects that were decided."""
    if not session.user.may("analyst"):
        return
    maker = _FormMaker(workbench, session, selected, done)
    choices = [choice for choice in CHOICES if not (only_finding and choice.only_cases)]
    for choice in choices[:FIRST]:
        if choice.key == "c":
            primary_button(choice.title, maker.opener(choice)).props(f"dense {_key(choice)}")
        else:
            ui.button(choice.title, on_click=maker.opener(choice)).props(f"no-caps dense outline {_key(choice)}")
    with ui.button("More", icon="expand_more").props('no-caps dense outline aria-label="More decisions"'), ui.menu():
        for choice in choices[FIRST:]:
            ui.menu_item(f"{choice.title} ({choice.key})", on_click=maker.opener(choice))
    # Menu items are not in the page until the menu opens: these carry their keys.
    with ui.element("div").classes("tu-hidden").props('aria-hidden="true"'):
        for choice in choices[FIRST:]:
            ui.element("span").props(f'{_key(choice)} aria-label="{choice.title}"').on("click", maker.opener(choice))


def _key(choice: Choice) -> str:
    return f'data-key="{choice.key}" title="{choice.title} ({choice.key})"'


class _FormMaker:
    """Opens the form of each decision for what is selected."""

    def __init__(self, workbench: Workbench, session: Session, selected: Selected, done: Done) -> None:
        self._workbench, self._session, self._selected, self._done = workbench, session, selected, done

    def opener(self, choice: Choice) -> Callable[..., Awaitable[None]]:
        async def open_form() -> None:
            subjects = list(await self._selected())
            if subjects:
                self._open(choice, subjects)
            else:
                ui.notify("Select rows first: space selects the row with the focus.", type="warning")

        return guarded(self._workbench, self._session, "analyst", open_form)

    def _open(self, choice: Choice, subjects: Sequence[str]) -> None:
        with ui.dialog(value=True) as dialog, ui.card():
            many = f": {count_text(len(subjects), 'row')}" if len(subjects) > 1 else ""
            text("h2", f"{choice.title}{many}").classes("tu-h2")
            inputs = {name: _input(name, required=name in choice.required) for name in choice.fields}

            async def submit() -> None:
                form = Form(choice, {name: str(each.value or "") for name, each in inputs.items()})
                recorded = await decide_all(self._workbench, self._session, subjects, form)
                dialog.close()
                second = "; a second person has to agree" if recorded[0].decision == "write_off_proposed" else ""
                ui.notify(
                    f"{words(recorded[0].decision)}: {count_text(len(recorded), 'decision')} in the log{second}", type="positive"
                )
                result = self._done(subjects, choice)
                if result is not None:
                    await result

            with ui.element("div").classes("tu-actions"):
                decide = guarded(self._workbench, self._session, "analyst", submit)
                primary_button(choice.title, decide).props('data-decide="1"')
                ui.button("Cancel", on_click=dialog.close).props("flat no-caps")


def _input(name: Field, *, required: bool) -> Any:
    label = _LABELS[name] + (" (needed)" if required else "")
    if name == "note":
        return ui.textarea(label).props("outlined rows=3").style("width: 100%")
    kind = 'type="date" stack-label' if name == "day" else ""
    return ui.input(label).props(f"outlined {kind}").style("width: 100%")
