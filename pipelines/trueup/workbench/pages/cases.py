"""Cases: the queue of cases to decide, ranked by undecided money and confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui
from starlette.requests import Request

from trueup.workbench.parts.money import count_text, money_text, words
from trueup.workbench.parts.queue import EVERY, MOST_SHOWN, Queue
from trueup.workbench.parts.shell import fact, shell
from trueup.workbench.parts.table import Column
from trueup.workbench.parts.text import pattern_text
from trueup.workbench.parts.url_state import UrlState
from trueup.workbench.workbench import Workbench

Row = dict[str, Any]
COLUMNS = (
    Column("type", "Type", "words", 98),
    Column("kind", "What", "words", 162),
    Column("what", "Where", grow=3),
    Column("open_impact", "Undecided", "money", 112),
    Column("impact", "Money", "money", 112, hidden=True),
    Column("findings", "Findings", "number", 90),
    Column("confidence", "Confidence", "share", 102),
    Column("age_days", "Days", "number", 70),
    Column("due_on", "Due", "day", 104),
    Column("owner", "Owner", width=90),
    Column("status", "Status", "words", 92),
    Column("case_id", "Case", "id", 120, hidden=True),
)
_DEFAULTS = {"type": "", "status": "open", "kind": "", "owner": "", "currency": "", "search": ""}
_MONEY = (("leakage", "Leakage", "leak"), ("overcharge", "Overcharge", "over"), ("fraud", "Charged to fraud", "leak"))


def register(workbench: Workbench) -> None:
    """Add the page."""

    @ui.page("/cases", title="Cases · trueup", response_timeout=60)
    async def cases(request: Request) -> None:
        state = UrlState(request, _DEFAULTS)
        with shell(workbench, request, "Cases") as session:
            await _Cases(workbench, session, state).draw()


class _Cases(Queue):
    """The queue of all cases, and of findings that are in none."""

    name, label, columns, subject = "cases", "Cases", COLUMNS, "root_cause"

    async def draw(self) -> None:
        totals = await self.workbench.questions.rows("cases/totals")
        self._show_facts(totals)
        with ui.element("div").classes("tu-bar"):
            self._show_filters(totals)
        with ui.element("div").classes("tu-bar"):
            self.draw_count()
            self.draw_actions()
        await self.draw_rows("calc(100vh - 320px)")
        self.grid.style("min-height: 380px")

    async def ask(self, most: int) -> list[Row]:
        values = {name: self.value_of(name) for name in _DEFAULTS}
        rows = await self.workbench.questions.rows("cases/queue", most=most, now=self.workbench.now(), **values)
        for row in rows:
            row["what"] = row["party"] if row["type"] == "fraud" else pattern_text(row["pattern"])
            row["findings"] = row["transactions"] if row["type"] == "fraud" else row["findings"]
        return rows

    def counted(self) -> str:
        more = f"; the first {MOST_SHOWN:,} are shown, filter to see others" if len(self.rows) == MOST_SHOWN else ""
        return f"{count_text(len(self.rows), 'case')}{more}"

    def open_row(self, row: Row) -> None:
        ui.navigate.to(f"/{'finding' if row['type'] == 'finding' else 'case'}/{row['key']}")

    def _show_facts(self, totals: Sequence[Row]) -> None:
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

    def _show_filters(self, totals: Sequence[Row]) -> None:
        for name, title in (("type", "Type"), ("status", "Status"), ("kind", "Kind"), ("owner", "Owner"), ("currency", "Currency")):
            counts: dict[str, int] = {}
            for row in totals:
                if row[name]:
                    counts[row[name]] = counts.get(row[name], 0) + row["cases"]
            given = self.state[name]
            options = {EVERY: "all"} | {
                value: f"{words(value)} ({counts.get(value, 0)})" for value in sorted({*counts, *filter(None, [given])} - {EVERY})
            }
            ui.select(options, value=given or EVERY, label=title, on_change=self.filter(name)).props("outlined dense options-dense")
        ui.input("Filter", value=self.state["search"], on_change=self.filter("search")).props(
            'outlined dense clearable debounce=300 data-filter="1"'
        ).classes("tu-grow")
