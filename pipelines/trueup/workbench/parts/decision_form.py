"""The form of a decision: its subject, its fields, and the button that records it as an event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from nicegui import ui

from trueup.errors import TrueupError
from trueup.investigation.reshape import parts_of
from trueup.printable import visible
from trueup.units import MICROS
from trueup.warehouse.decide import Recorded
from trueup.workbench.access.sessions import Session
from trueup.workbench.decisions import CHOICES, FIRST, Choice, Field, Form, decide_all
from trueup.workbench.parts.money import count_text, money_text, words
from trueup.workbench.parts.shell import guarded, primary_button
from trueup.workbench.parts.text import pattern_text, text
from trueup.workbench.workbench import Workbench

Selected = Callable[[], Awaitable[Sequence[str]]]
Done = Callable[[Sequence[Recorded]], Awaitable[None] | None]
Subject = Literal["finding", "fraud", "root_cause"]
_LABELS: dict[Field, str] = {
    "note": "Note",
    "amount": "Amount, if not all",
    "day": "Day",
    "assignee": "Person",
    "into": "Case that takes the findings",
    "where": "Findings of the new case",
}
_OFFERED: dict[Subject, tuple[str, ...]] = {
    "finding": ("any",),
    "fraud": ("any", "case"),
    "root_cause": ("any", "case", "root_cause"),
}
"""The decisions offered, by type of subject."""


def decision_buttons(workbench: Workbench, session: Session, selected: Selected, done: Done, subject: Subject) -> None:
    """Draw a button for each decision on a subject; a reader sees none. `done` is called with the recorded decisions."""
    if not session.user.may("analyst"):
        return
    maker = _FormMaker(workbench, session, selected, done)
    choices = [choice for choice in CHOICES if choice.subject in _OFFERED[subject]]
    for choice in choices[:FIRST]:
        if choice.key == "c":
            primary_button(choice.title, maker.opener(choice)).props(f"dense {_write_key(choice)}")
        else:
            ui.button(choice.title, on_click=maker.opener(choice)).props(f"no-caps dense outline {_write_key(choice)}")
    with ui.button("More", icon="expand_more").props('no-caps dense outline aria-label="More decisions"'), ui.menu():
        for choice in choices[FIRST:]:
            ui.menu_item(f"{choice.title} ({choice.key})", on_click=maker.opener(choice))
    # Menu items are not in the page until the menu opens: these carry their keys.
    with ui.element("div").classes("tu-hidden").props('aria-hidden="true"'):
        for choice in choices[FIRST:]:
            ui.element("span").props(f'{_write_key(choice)} aria-label="{choice.title}"').on("click", maker.opener(choice))


def _write_key(choice: Choice) -> str:
    return f'data-key="{choice.key}" title="{choice.title} ({choice.key})"'


class _FormMaker:
    """Opens the form of each decision for the selected subjects."""

    def __init__(self, workbench: Workbench, session: Session, selected: Selected, done: Done) -> None:
        self._workbench, self._session, self._selected, self._done = workbench, session, selected, done

    def opener(self, choice: Choice) -> Callable[..., Awaitable[None]]:
        async def open_form() -> None:
            subjects = list(await self._selected())
            if subjects:
                self._open(choice, subjects, await _list_options(self._workbench, choice, subjects))
            else:
                ui.notify("Select rows first: space selects the row with the focus.", type="warning")

        return guarded(self._workbench, self._session, "analyst", open_form)

    def _open(self, choice: Choice, subjects: Sequence[str], options: Mapping[str, str]) -> None:
        with ui.dialog(value=True) as dialog, ui.card():
            many = f": {count_text(len(subjects), 'row')}" if len(subjects) > 1 else ""
            text("h2", f"{choice.title}{many}").classes("tu-h2")
            inputs = {name: _show_input(name, options, required=name in choice.required) for name in choice.fields}

            async def submit() -> None:
                form = Form(choice, {name: str(each.value or "") for name, each in inputs.items()})
                recorded = await decide_all(self._workbench, self._session, subjects, form)
                dialog.close()
                second = "; a second person has to agree" if recorded[0].decision == "write_off_proposed" else ""
                ui.notify(
                    f"{words(recorded[0].decision)}: {count_text(len(recorded), 'decision')} in the log{second}", type="positive"
                )
                result = self._done(recorded)
                if result is not None:
                    await result

            with ui.element("div").classes("tu-actions"):
                decide = guarded(self._workbench, self._session, "analyst", submit)
                primary_button(choice.title, decide).props('data-decide="1"')
                ui.button("Cancel", on_click=dialog.close).props("flat no-caps")


async def _list_options(workbench: Workbench, choice: Choice, subjects: Sequence[str]) -> dict[str, str]:
    """Return the choices for a merge or a split, by value; raise `TrueupError` for several subjects or without choices."""
    if choice.subject != "root_cause":
        return {}
    if len(subjects) > 1:
        raise TrueupError(f"{len(subjects):,} rows are selected, and a case is merged or split alone", todo="select one")
    (case_id,) = subjects
    found = await workbench.questions.rows("case/case", id=case_id)
    if not found or found[0]["type"] != "root_cause":
        raise TrueupError("only a case of a root cause is merged or split", todo="select such a case")
    currency = found[0]["currency"]
    if choice.decision == "merged":
        others = await workbench.questions.rows("case/merge_targets", id=case_id)
        options = {
            each["case_id"]: f"{pattern_text(each['pattern'])}: {_size(each['findings'], each['impact'], currency)}"
            for each in others
        }
    else:
        parts = await workbench.questions.of_lake(lambda warehouse: parts_of(warehouse, case_id))
        options = {
            part.condition: f"{_format_part(part.condition)}: {_size(part.findings, Decimal(part.money_micros) / MICROS, currency)}"
            for part in parts
        }
    if not options:
        missing = (
            "no other case of this kind and currency" if choice.decision == "merged" else "nothing that distinguishes findings"
        )
        raise TrueupError(f"there is {missing}", todo="leave the case as it is")
    return options


def _size(findings: int, money: Decimal, currency: str | None) -> str:
    return f"{count_text(findings, 'finding')}, {money_text(money, currency)}"


def _format_part(condition: str) -> str:
    name, _, value = condition.partition("=")
    return f"{words(name.removeprefix('attribute:'))} {value}"


def _show_input(name: Field, options: Mapping[str, str], *, required: bool) -> Any:
    label = _LABELS[name] + (" (needed)" if required else "")
    if name in ("into", "where"):
        shown = {value: visible(title) for value, title in options.items()}
        return ui.select(shown, label=label, with_input=True).props("outlined options-dense").style("width: 100%")
    if name == "note":
        return ui.textarea(label).props("outlined rows=3").style("width: 100%")
    kind = 'type="date" stack-label' if name == "day" else ""
    return ui.input(label).props(f"outlined {kind}").style("width: 100%")
