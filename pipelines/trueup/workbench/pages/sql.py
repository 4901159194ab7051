"""SQL: one SELECT under the guard of `trueup sql`, with saved questions; and for an admin the log of actions."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.printable import visible
from trueup.secret import mask_data
from trueup.units import MICROS
from trueup.warehouse.query import run
from trueup.warehouse.text import as_text, for_spreadsheet, unique_names
from trueup.workbench.access.sessions import Session
from trueup.workbench.parts.money import count_text
from trueup.workbench.parts.shell import empty, guarded, primary_button, section, shell
from trueup.workbench.parts.table import Column, grid
from trueup.workbench.parts.text import text
from trueup.workbench.parts.url_state import UrlState
from trueup.workbench.reading.saved_questions import save_question, saved_questions
from trueup.workbench.workbench import Workbench

MOST_SHOWN, MOST_EXPORTED, MOST_QUERY = 1_000, 200_000, 20_000
LONGEST_US = 60 * MICROS
FIRST_QUERY = """SELECT kind, status, count(*) AS findings, sum(impact) AS impact, currency
FROM findings
GROUP BY ALL
ORDER BY findings DESC"""
_ACTIONS = (
    Column("sequence_no", "#", "number", 80),
    Column("at", "When", "time", 150),
    Column("user", "Who", width=130),
    Column("role", "Role", width=100),
    Column("action", "Action", width=150),
    Column("subject", "What", grow=2),
    Column("details", "Details", grow=2),
)


@dataclass(frozen=True)
class Answered:
    """The first rows of an answer; `plan` is the text of an EXPLAIN."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    has_more: bool
    plan: str = ""


def register(workbench: Workbench) -> None:
    """Add the page."""

    @ui.page("/sql", title="SQL · trueup", response_timeout=60)
    async def sql(request: Request) -> None:
        with shell(workbench, request, "SQL") as session:
            if request.query_params.get("view") == "actions":
                await _show_actions(workbench, session)
            elif session.user.may("analyst"):
                # A query may be longer than other state, so it is read from the address itself.
                given = request.query_params.get("query", "")[:MOST_QUERY]
                await _Editor(workbench, session, UrlState(request, {"query": ""}), given or FIRST_QUERY).draw()
            else:
                empty("Queries are for analysts: ask for the role analyst. The other pages show the same views.")


async def _show_actions(workbench: Workbench, session: Session) -> None:
    try:
        session.require("admin")
        entries = await asyncio.to_thread(workbench.actions.newest, 2_000)
    except TrueupError as error:
        empty(str(error))
        return
    with section("Log of actions", f"Newest first; the chain of hashes of {workbench.actions.path.name} holds.", width="tu-span"):
        grid(_ACTIONS, entries, label="Log of actions", height="calc(100vh - 190px)")


class _Editor:
    """The editor and its answer."""

    def __init__(self, workbench: Workbench, session: Session, state: UrlState, query: str) -> None:
        self.workbench, self.session, self.state, self.query = workbench, session, state, query
        self.editor: ui.codemirror
        self.answer: ui.element
        self.names: ui.select

    async def draw(self) -> None:
        with ui.element("div").classes("tu-columns"):
            with section(
                "Question", "One SELECT or EXPLAIN over the views and lake.events; nothing can be written.", width="tu-span"
            ):
                self.editor = (
                    ui.codemirror(self.query, language="SQL", line_wrapping=True).style("height: 210px").classes("tu-editor")
                )
                with ui.element("div").classes("tu-bar").style("margin: 10px 0 0"):
                    primary_button("Run", self._guard_handler(self._run), "play_arrow").props('data-key="x" title="Run (x)"')
                    ui.button("CSV", icon="download", on_click=self._guard_handler(self._export)).props("flat no-caps")
                    names = sorted(saved_questions(self.workbench.project))
                    self.names = (
                        ui.select(names, label="Saved questions", on_change=self._guard_handler(self._choose))
                        .props("outlined dense")
                        .classes("tu-grow")
                    )
                    ui.button("Save as …", on_click=self._guard_handler(self._ask_name)).props("flat no-caps")
            with section("Answer", width="tu-span"):
                self.answer = ui.element("div")
                with self.answer:
                    empty("Run the question to see its answer.")
        ui.run_javascript("trueup.label('.cm-content', 'SQL')")
        if self.query != FIRST_QUERY:
            await self._guard_handler(self._run)()

    def _guard_handler(self, handler: Any) -> Any:
        return guarded(self.workbench, self.session, "analyst", handler)

    async def _choose(self, *_: object) -> None:
        chosen = saved_questions(self.workbench.project).get(str(self.names.value))
        if chosen is not None:
            self.editor.set_value(chosen)
            await self._run()

    async def _run(self, *_: object) -> None:
        query = self.editor.value[:MOST_QUERY]
        ui.navigate.history.replace(f"/sql?query={_quote_query(query)}")
        self.answer.clear()
        with self.answer:
            ui.spinner().props('aria-label="The query runs"')
        began = time.perf_counter()
        try:
            answered = await asyncio.to_thread(ask, self.workbench.project, query, MOST_SHOWN)
        except TrueupError as error:
            self.workbench.actions.append(self.session.user, "query refused", query, error=str(error))
            self._show_error(error)
            return
        self.workbench.actions.append(self.session.user, "query", query, rows=len(answered.rows))
        self._show(answered, time.perf_counter() - began)

    def _show_error(self, error: TrueupError) -> None:
        self.answer.clear()
        with self.answer:
            text("p", str(error)).classes("tu-bad").props('role="alert"').mark("error")

    def _show(self, answered: Answered, seconds: float) -> None:
        self.answer.clear()
        with self.answer:
            if answered.plan:
                text("pre", answered.plan).classes("tu-pre")
                return
            more = f", the first {MOST_SHOWN:,} are shown" if answered.has_more else ""
            text("div", f"{count_text(len(answered.rows), 'row')}{more}, {seconds:.2f} s").classes("tu-quiet tu-note").mark("rows")
            columns, rows = _build_grid(answered)
            grid(columns, rows, label="Answer", height=f"{min(max(len(rows), 2), 16) * 36 + 44}px")

    async def _export(self, *_: object) -> None:
        query = self.editor.value[:MOST_QUERY]
        answered = await asyncio.to_thread(ask, self.workbench.project, query, MOST_EXPORTED)
        self.workbench.actions.append(self.session.user, "export", query, rows=len(answered.rows))
        if answered.has_more:
            ui.notify(f"The file has the first {MOST_EXPORTED:,} rows; `trueup sql --format csv` writes all.", type="warning")
        ui.download.content(_write_csv(answered), "answer.csv", "text/csv")

    def _ask_name(self, *_: object) -> None:
        with ui.dialog(value=True) as dialog, ui.card():
            text("h2", "Save the question").classes("tu-h2")
            name = ui.input("Name").props("outlined autofocus").style("width: 100%")

            def save() -> None:
                path = save_question(self.workbench.project, str(name.value or ""), self.editor.value)
                self.workbench.actions.append(self.session.user, "save question", path.stem)
                dialog.close()
                self.names.set_options(sorted(saved_questions(self.workbench.project)))
                ui.notify(f"saved as {path.name}", type="positive")

            with ui.element("div").classes("tu-actions"):
                primary_button("Save", self._guard_handler(save))
                ui.button("Cancel", on_click=dialog.close).props("flat no-caps")


def ask(project: Project, query: str, most: int) -> Answered:
    """Return the first rows of a user's query, run as `trueup sql` runs it; raise `QueryError` for a refused one.

    All rows are in memory at once, and must fit into the limit of one query.
    """
    bounds = project.config.sql.model_copy(update={"timeout": min(project.config.sql.timeout, LONGEST_US)})
    with run(project, query, bounds=bounds) as answer:
        if answer.plan:
            return Answered(list(answer.columns), [], False, "\n".join(str(row[1]) for row in answer.rows()))
        return Answered(list(answer.columns), *answer.first_rows(most))


def _build_grid(answered: Answered) -> tuple[list[Column], list[dict[str, Any]]]:
    """Return the columns and rows of a grid; its keys are numbers, because names of columns are data."""
    columns = []
    for index, name in enumerate(unique_names(answered.columns)):
        values = [row[index] for row in answered.rows if row[index] is not None]
        numeric = bool(values) and all(isinstance(value, _NUMBERS) and not isinstance(value, bool) for value in values)
        columns.append(Column(f"c{index}", visible(name), "number" if numeric else "text"))
    return columns, [{f"c{index}": value for index, value in enumerate(row)} for row in answered.rows]


def _write_csv(answered: Answered) -> bytes:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow([for_spreadsheet(name) for name in answered.columns])
    for row in answered.rows:
        cells = [(value, as_text(mask_data(value))) for value in row]
        writer.writerow([cell if isinstance(value, _NUMBERS) else for_spreadsheet(cell) for value, cell in cells])
    return b"\xef\xbb\xbf" + written.getvalue().encode("utf-8", "backslashreplace")


def _quote_query(query: str) -> str:
    return quote(query, safe="")


_NUMBERS = (int, float, Decimal)
