"""Fraud: suspected parties, the greatest expected loss first, with reasons, links and time line of the selected party."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from nicegui import events, ui
from starlette.requests import Request

from trueup.workbench.access.sessions import Session
from trueup.workbench.parts import charts
from trueup.workbench.parts.decision_form import decision_buttons
from trueup.workbench.parts.evidence import evidence_button
from trueup.workbench.parts.money import count_text, share_text, words
from trueup.workbench.parts.palette import BILLED, LEAKAGE, OVERCHARGE
from trueup.workbench.parts.queue import EVERY, MOST_SHOWN, Queue
from trueup.workbench.parts.shell import empty, section, shell
from trueup.workbench.parts.table import Column, grid
from trueup.workbench.parts.text import sentences_of, text
from trueup.workbench.parts.url_state import UrlState
from trueup.workbench.workbench import Workbench

Row = dict[str, Any]
MOST_REASONS = 10
COLUMNS = (
    Column("probability", "Probability", "share", 118),
    Column("party", "Party", width=165),
    Column("day", "Day", "day", 112),
    Column("transactions", "Transactions", "number", 125),
    Column("exposure", "Money at risk", "money", 130),
    Column("typology", "Kind", "words", 130),
    Column("why", "Most telling reason", grow=3),
    Column("rules", "Rules", width=120),
    Column("status", "Status", "words", 110),
    Column("budget", "Budget", "words", 100),
    Column("case_id", "Case", "id", 125, hidden=True),
)
_STATUSES = ("open", "confirmed", "dismissed", "claimed", "prevented", "written_off", EVERY)
_DEFAULTS = {"status": "open", "search": "", "case": ""}


def register(workbench: Workbench) -> None:
    """Add the page."""

    @ui.page("/fraud", title="Fraud · trueup", response_timeout=60)
    async def fraud(request: Request) -> None:
        state = UrlState(request, _DEFAULTS)
        with shell(workbench, request, "Fraud") as session:
            await _Parties(workbench, session, state).draw()


class _Parties(Queue):
    """The queue of suspected parties, and the selected party."""

    name, label, columns, subject = "fraud", "Suspected parties", COLUMNS, "fraud"

    async def draw(self) -> None:
        with ui.element("div").classes("tu-bar"):
            ui.select(
                {name: words(name) for name in _STATUSES},
                value=self.state.one_of("status", list(_STATUSES)),
                label="Status",
                on_change=self.filter("status"),
            ).props("outlined dense")
            ui.input("Filter by party, reason or rule", value=self.state["search"], on_change=self.filter("search")).props(
                'outlined dense clearable debounce=300 data-filter="1"'
            ).classes("tu-grow")
            self.draw_actions()
        self.draw_count()
        await self.draw_rows("340px")
        self.grid.on("cellClicked", self._show_row, ["data"])
        self.detail = ui.element("div").style("margin-top: 14px")
        await self._show(self.state["case"] or (self.rows[0]["case_id"] if self.rows else ""))

    async def ask(self, most: int) -> list[Row]:
        values = {name: self.value_of(name) for name in ("status", "search")}
        rows = await self.workbench.questions.rows("fraud/queue", most=most, **values)
        for row in rows:
            row["budget"] = "over" if row["over_budget"] else "within"
            row["why"] = next(iter(sentences_of(row["sentences"])), row["rules"] or "")
        return rows

    def counted(self) -> str:
        more = f"; the first {MOST_SHOWN:,} are shown" if len(self.rows) == MOST_SHOWN else ""
        over = sum(row["over_budget"] for row in self.rows)
        behind = f", then {count_text(over, 'case')} over the budget of their day" if over else ""
        return f"{count_text(len(self.rows), 'case')}, the greatest expected loss first{behind}{more}. Select one to see why."

    async def selected(self) -> list[str]:
        return await super().selected() or [case for case in [self.state["case"]] if case]

    async def after_decision(self) -> None:
        await self._show(self.state["case"])

    async def _show_row(self, event: events.GenericEventArguments) -> None:
        case_id = event.args["data"]["key"]
        self.state.set(case=case_id)
        await self._show(case_id)

    async def _show(self, case_id: str) -> None:
        rows = await self.workbench.questions.rows("case/case", id=case_id)
        self.detail.clear()
        with self.detail:
            if rows:
                await fraud_case(self.workbench, self.session, rows[0], with_actions=False)


async def fraud_case(workbench: Workbench, session: Session, row: Row, *, with_actions: bool = True) -> None:
    """Draw one fraud case: reasons, links, time line and transactions."""
    ask, case_id = workbench.questions.rows, row["case_id"]
    transactions, links, days, reasons = await asyncio.gather(
        ask("fraud/transactions", id=case_id, most=MOST_SHOWN),
        ask("fraud/links", party=row["party"]),
        ask("fraud/same_party", party=row["party"]),
        workbench.questions.lake_rows("fraud/reasons", id=case_id),
    )
    status = row["status"]
    with ui.element("div").classes("tu-head"):
        with ui.element("div"):
            text("div", f"{row['party']}, {row['day']:%-d %b %Y}").classes("tu-title")
            text(
                "div", f"{count_text(row['transactions'], 'suspicious transaction')}, probability {share_text(row['probability'])}"
            ).classes("tu-quiet")
            text("div", row["summary"]).mark("summary")
        with ui.element("div").classes("tu-actions"):
            text("span", words(status)).classes(f"tu-chip {status}").mark("status")
            if with_actions:
                _show_actions(workbench, session, case_id)
            ui.link("Bill of this number", f"/bill?subscriber={_quote(row['party'])}")
    with ui.element("div").classes("tu-columns"):
        with section("Why", _explain_reasons(reasons)):
            _draw_reasons(reasons)
        with section("Links", "Numbers in its suspicious transactions, and other suspected parties that share one."):
            _draw_graph(str(row["party"]), links)
        with section(
            "Time line", f"Suspicious transactions of the case, and {count_text(len(days), 'case')} of the party.", width="tu-span"
        ):
            _time_line(transactions)
        with section("Transactions", width="tu-span"):
            for each in transactions:
                each["why"] = next(iter(sentences_of(each["sentences"])), each["rules"] or "")
            grid(_TRANSACTIONS, transactions, label="Suspicious transactions")


_TRANSACTIONS = (
    Column("started_at", "Started", "time", 145),
    Column("service", "Service", width=100),
    Column("subscriber", "Subscriber", width=155),
    Column("peer", "Peer", width=155),
    Column("probability", "Probability", "share", 118),
    Column("why", "Most telling reason", grow=3),
    Column("rules", "Rules", width=110),
    Column("status", "Status", "words", 105),
)


def _show_actions(workbench: Workbench, session: Session, case_id: str) -> None:
    async def selected() -> list[str]:
        return [case_id]

    decision_buttons(workbench, session, selected, lambda _: ui.navigate.reload(), "fraud")
    evidence_button(workbench, session, case_id)


def _explain_reasons(reasons: Sequence[Row]) -> str:
    if not reasons:
        return ""
    by = f"model {reasons[0]['model_id'][:12]}" if reasons[0]["model_id"] else f"rule {reasons[0]['rules']}"
    return f"Of its most suspicious transaction, by {by}. Orange raises the probability, blue lowers it."


def _draw_reasons(reasons: Sequence[Row]) -> None:
    if not reasons:
        empty("Its reasons cannot be read.")
        return
    content = json.loads(reasons[0]["reasons"]) if isinstance(reasons[0]["reasons"], str) else reasons[0]["reasons"] or {}
    adds = {name: float(value) for name, value in (content.get("adds") or {}).items()}
    for sentence in sentences_of(content.get("sentences")):
        text("div", f"• {sentence}")
    largest = sorted(adds, key=lambda name: -abs(adds[name]))[:MOST_REASONS]
    if largest:
        colours = [LEAKAGE if adds[name] > 0 else OVERCHARGE for name in largest]
        charts.chart(
            charts.ranked_bars(
                [words(name) for name in largest],
                [round(adds[name], 3) for name in largest],
                colours,
                "v => (v > 0 ? '+' : '') + v",
            ),
            height=40 + 24 * len(largest),
            label="Contribution of each feature to the margin of the model",
        )


def _draw_graph(party: str, links: Sequence[Row]) -> None:
    if not links:
        empty("No other number is in its suspicious transactions.")
        return
    parties = {row["a"] for row in links}
    names = sorted(parties | {row["b"] for row in links})
    nodes = [
        {
            "name": name,
            "symbolSize": 34 if name == party else 20 if name in parties else 11,
            "symbol": "diamond" if name in parties else "circle",
            "itemStyle": {"color": LEAKAGE if name == party else "#E69F00" if name in parties else BILLED},
            "label": {"show": name in parties or len(names) < 16},
        }
        for name in names
    ]
    edges = [
        {
            "source": row["a"],
            "target": row["b"],
            "value": row["transactions"],
            "lineStyle": {"width": 1 + min(row["transactions"], 12) / 3},
        }
        for row in links
    ]
    options = {
        "tooltip": {
            ":formatter": "p => trueup.plain(p.dataType === 'edge' ? p.value + ' suspicious transactions' : p.name)",
            "confine": True,
        },
        "series": [
            {
                "type": "graph",
                "layout": "force",
                "data": nodes,
                "links": edges,
                "roam": False,
                "left": 40,
                "right": 90,
                "top": 20,
                "bottom": 20,
                "force": {"repulsion": 110, "gravity": 0.2, "edgeLength": [25, 85], "layoutAnimation": False},
                "labelLayout": {"hideOverlap": True},
                "label": {"position": "right", "fontSize": 11},
                "lineStyle": {"color": "#8C8C8C", "opacity": 0.7},
                "emphasis": {"focus": "adjacency"},
            }
        ],
    }
    charts.chart(options, height=330, label=f"Links of {len(names)} numbers; diamonds are suspected parties")


def _time_line(transactions: Sequence[Row]) -> None:
    services = sorted({row["service"] or "" for row in transactions})
    data = [
        {
            "value": [_to_milliseconds(row["started_at"]), services.index(row["service"] or "")],
            "text": f"{row['started_at']:%H:%M:%S} {row['service']} to {row['peer']}, {share_text(row['probability'])}",
            "symbolSize": 7 + 9 * float(row["probability"] or 0.5),
        }
        for row in transactions
    ]
    options = {
        "useUTC": True,
        "tooltip": {":formatter": "p => trueup.plain(p.data.text)", "confine": True},
        "grid": {"left": 8, "right": 20, "top": 10, "bottom": 6, "containLabel": True},
        "xAxis": {"type": "time", "splitNumber": 5, "axisLabel": {"hideOverlap": True}},
        "yAxis": {"type": "category", "data": services, "axisTick": {"show": False}},
        "series": [{"type": "scatter", "data": data, "itemStyle": {"color": LEAKAGE, "opacity": 0.65}}],
    }
    charts.chart(options, height=70 + 40 * len(services), label="Suspicious transactions by time and service")


def _to_milliseconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1000)


def _quote(value: object) -> str:
    return quote(str(value or ""), safe="")
