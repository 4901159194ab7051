"""Cases: the queue of what to decide, ranked by undecided money and confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import events, ui
from starlette.requests import Request

from trueup.workbench.access.sessions import Session
from trueup.workbench.decisions import Choice
from trueup.workbench.parts.decision_form import decision_buttons
from trueup.workbench.parts.money import count_text, money_text, words
from trueup.workbench.parts.shell import fact, guarded, shell
from trueup.workbench.parts.table import Column, cells, csv_text, grid
from trueup.workbench.parts.text import pattern_text
from trueup.workbench.parts.url_state import UrlState
from trueup.workbench.workbench import Workbench

Row = dict[str, Any]
MOST_SHOWN, MOST_EXPORTED = 2_000, 100_000
COLUMNS = (
    Column("type", "Type", "words", 100),
    Column("kind", "What", "words", 175),
    Column("what", "Where", grow=3),
    Column("open_impact", "Undecided", "money", 112),
    Column("impact", "Money", "money", 112, hidden=True),
    Column("findings", "Findings", "number", 95),
    Column("confidence", "Confidence", "share", 105),
    Column("age_days", "Days", "number", 78),
    Column("due_on", "Due", "day", 116),
    Column("owner", "Owner", width=100),
    Column("status", "Status", "words", 105),
    Column("case_id", "Case", "id", 120, hidden=True),
)
_DEFAULTS = {"type": "", "status": "open", "kind": "", "owner": "", "currency": "", "search": ""}
_EVERY = "all"
_MONEY = (("leakage", "Leakage", "leak"), ("overcharge", "Overcharge", "over"), ("fraud", "Charged to fraud", "leak"))


def register(workbench: Workbench) -> None:
    """Add the page."""

    @ui.page("/cases", title="Cases · trueup", response_timeout=60)
    async def cases(request: Request) -> None:
        state = UrlState(request, _DEFAULTS)
        with shell(workbench, request, "Cases") as session:
            await _Queue(workbench, session, state).draw()


class _Queue:
    """The queue as one browser shows it."""

    def __init__(self, workbench: Workbench, session: Session, state: UrlState) -> None:
        self.workbench, self.session, self.state = workbench, session, state
        self.rows: list[Row] = []
        self.grid: ui.aggrid

    async def draw(self) -> None:
        totals = await self.workbench.questions.rows("cases/totals")
        self._facts(totals)
        with ui.element("div").classes("tu-bar"):
            self._filters(totals)
        with ui.element("div").classes("tu-bar"):
            self.shown = ui.label().classes("tu-quiet")
            with ui.element("div").classes("tu-actions tu-push"):
                decision_buttons(self.workbench, self.session, self._selected, self._decided)
                ui.button("Open", on_click=self._open_selected).props('outline dense no-caps data-key="Enter" title="Open (Enter)"')
                ui.button("CSV", icon="download", on_click=guarded(self.workbench, self.session, "reader", self._export)).props(
                    'flat dense no-caps title="Download as CSV"'
                )
        await self._load()
        self.grid = grid(COLUMNS, self.rows, label="Cases", select=True, height="calc(100vh - 320px)").style("min-height: 380px")
        self.grid.on("rowDoubleClicked", self._open_row, ["data"])

    def _facts(self, totals: Sequence[Row]) -> None:
        waiting = [row for row in totals if row["status"] == "open"]
        sums: dict[str, dict[str, Any]] = {}
        for row in waiting:
            amounts = sums.setdefault(row["currency"] or "", {"leakage": 0, "overcharge": 0, "fraud": 0})
            for name in amounts:
                amounts[name] += row[name]
        with ui.element("div").classes("tu-facts"):
            for kind, title in (("root_cause", "Root causes"), ("finding", "Findings in no case"), ("fraud", "Fraud cases")):
                fact(title, count_text(sum(row["cases"] for row in waiting if row["type"] == kind)), "open", "watch")
            for name, title, tone in _MONEY:
                held = {currency: amounts[name] for currency, amounts in sums.items() if amounts[name]}
                shown = max(held, key=lambda currency: held[currency], default="")
                more = f", and in {count_text(len(held) - 1, 'more currency', 'more currencies')}" if len(held) > 1 else ""
                which = "undecided" if name == "fraud" else "undecided, provisional too"
                fact(title, money_text(held.get(shown, 0), shown), f"{which}{more}", tone)

    def _filters(self, totals: Sequence[Row]) -> None:
        for name, title in (("type", "Type"), ("status", "Status"), ("kind", "Kind"), ("owner", "Owner"), ("currency", "Currency")):
            counts: dict[str, int] = {}
            for row in totals:
                if row[name]:
                    counts[row[name]] = counts.get(row[name], 0) + row["cases"]
            given = self.state[name]
            options = {_EVERY: "all"} | {
                value: f"{words(value)} ({counts.get(value, 0)})" for value in sorted({*counts, *filter(None, [given])} - {_EVERY})
            }
            ui.select(options, value=given or _EVERY, label=title, on_change=self._filter(name)).props(
                "outlined dense options-dense"
            )
        ui.input("Filter", value=self.state["search"], on_change=self._filter("search")).props(
            'outlined dense clearable debounce=300 data-filter="1"'
        ).classes("tu-grow")

    def _filter(self, name: str) -> Any:
        async def changed(event: events.ValueChangeEventArguments[Any]) -> None:
            self.state.set(**{name: event.value if event.value is not None else ""})
            await self._load()
            self.grid.options["rowData"] = _cells(self.rows)
            self.grid.update()

        return changed

    async def _load(self) -> None:
        self.rows = await self._ask(MOST_SHOWN)
        more = f"; the first {MOST_SHOWN:,} are shown, filter to see others" if len(self.rows) == MOST_SHOWN else ""
        self.shown.set_text(f"{count_text(len(self.rows), 'case')}{more}")

    async def _ask(self, most: int) -> list[Row]:
        values = {name: "" if self.state[name] == _EVERY else self.state[name] for name in _DEFAULTS}
        rows = await self.workbench.questions.rows("cases/queue", most=most, now=self.workbench.now(), **values)
        for row in rows:
            row["what"] = row["party"] if row["type"] == "fraud" else pattern_text(row["pattern"])
            row["status"] = self.workbench.copy.status_of(row["case_id"], row["status"])
            row["findings"] = row["transactions"] if row["type"] == "fraud" else row["findings"]
        # What was decided since the views were copied has left the queue.
        return [row for row in rows if values["status"] in ("", row["status"])]

    async def _selected(self) -> list[str]:
        return [row["key"] for row in await self.grid.get_selected_rows()]

    async def _decided(self, subjects: Sequence[str], choice: Choice) -> None:
        await self._load()
        self.grid.options["rowData"] = _cells(self.rows)
        self.grid.update()

    async def _open_selected(self) -> None:
        selected = await self.grid.get_selected_rows()
        if selected:
            _open(selected[0])

    def _open_row(self, event: events.GenericEventArguments) -> None:
        _open(event.args["data"])

    async def _export(self) -> None:
        rows = await self._ask(MOST_EXPORTED)
        self.workbench.actions.append(self.session.user, "export", "cases", rows=len(rows), address=self.state.address())
        ui.download.content(csv_text(COLUMNS, rows), "cases.csv", "text/csv")


def _open(row: Row) -> None:
    ui.navigate.to(f"/{'finding' if row['type'] == 'finding' else 'case'}/{row['key']}")


def _cells(rows: Sequence[Row]) -> list[Row]:
    return [cells(COLUMNS, row) for row in rows]
