"""A queue of cases: rows filtered by the address, their table, decisions on the selected rows, and CSV of all rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

from nicegui import events, ui

from trueup.warehouse.decide import Recorded
from trueup.workbench.access.sessions import Session
from trueup.workbench.parts.decision_form import Subject, decision_buttons
from trueup.workbench.parts.shell import guarded
from trueup.workbench.parts.table import Column, cells, csv_text, grid
from trueup.workbench.parts.url_state import UrlState
from trueup.workbench.workbench import Workbench

Row = dict[str, Any]
MOST_SHOWN, MOST_EXPORTED = 2_000, 100_000
EVERY = "all"
"""The option of a filter that keeps every row."""


class Queue(ABC):
    """The queue of one page in one browser."""

    name: ClassVar[str]
    """The name of the queue in the log of actions, and of its CSV file."""
    label: ClassVar[str]
    columns: ClassVar[Sequence[Column]]
    subject: ClassVar[Subject]

    def __init__(self, workbench: Workbench, session: Session, state: UrlState) -> None:
        self.workbench, self.session, self.state = workbench, session, state
        self.rows: list[Row] = []
        self.shown: ui.label
        self.grid: ui.aggrid

    @abstractmethod
    async def ask(self, most: int) -> list[Row]:
        """Return the rows that pass the filters, up to a maximum, with `case_id`, `key` and `status`."""

    @abstractmethod
    def counted(self) -> str:
        """Return the sentence on the number of rows shown."""

    def open_row(self, row: Row) -> None:
        """Go to the page of a row."""
        ui.navigate.to(f"/case/{row['key']}")

    async def after_decision(self) -> None:
        """Draw the other parts of the page that a decision changes; a page with only the table has none."""
        return

    def value_of(self, name: str) -> str:
        """Return the value of a filter; empty where it keeps every row."""
        return "" if self.state[name] == EVERY else self.state[name]

    def draw_actions(self) -> None:
        """Draw the buttons that decide on selected rows, open one, and download all rows."""
        with ui.element("div").classes("tu-actions tu-push"):
            decision_buttons(self.workbench, self.session, self.selected, self._reload_decided, self.subject)
            ui.button("Open", on_click=self._open_selected).props('outline dense no-caps data-key="Enter" title="Open (Enter)"')
            ui.button("CSV", icon="download", on_click=guarded(self.workbench, self.session, "reader", self._export)).props(
                'flat dense no-caps title="Download as CSV"'
            )

    def draw_count(self) -> None:
        """Draw the sentence on the number of rows shown."""
        self.shown = ui.label().classes("tu-quiet")

    async def draw_rows(self, height: str) -> None:
        """Draw the table of the rows."""
        await self._load()
        self.grid = grid(self.columns, self.rows, label=self.label, select=True, height=height)
        self.grid.on("rowDoubleClicked", lambda event: self.open_row(event.args["data"]), ["data"])

    def filter(self, name: str) -> Callable[[events.ValueChangeEventArguments[Any]], Awaitable[None]]:
        """Return the handler for a change of a filter's value."""

        async def changed(event: events.ValueChangeEventArguments[Any]) -> None:
            self.state.set(**{name: event.value if event.value is not None else ""})
            await self._reload()

        return changed

    async def selected(self) -> list[str]:
        """Return the keys of the selected rows."""
        return [row["key"] for row in await self.grid.get_selected_rows()]

    async def _load(self) -> None:
        self.rows = await self.ask(MOST_SHOWN)
        self.shown.set_text(self.counted())

    async def _reload(self) -> None:
        await self._load()
        self.grid.options["rowData"] = [cells(self.columns, row) for row in self.rows]
        self.grid.update()

    async def _reload_decided(self, _: Sequence[Recorded]) -> None:
        await self._reload()
        await self.after_decision()

    async def _open_selected(self) -> None:
        chosen = await self.grid.get_selected_rows()
        if chosen:
            self.open_row(chosen[0])

    async def _export(self) -> None:
        rows = await self.ask(MOST_EXPORTED)
        self.workbench.actions.append(self.session.user, "export", self.name, rows=len(rows), address=self.state.address())
        ui.download.content(csv_text(self.columns, rows), f"{self.name}.csv", "text/csv")
