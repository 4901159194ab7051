"""Quality: the deliveries of feeds, missing records, and records in quarantine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from nicegui import events, ui
from starlette.requests import Request

from trueup.workbench.access.sessions import Session
from trueup.workbench.pages.today import feed_cell
from trueup.workbench.parts import charts
from trueup.workbench.parts.money import count_text, money_text, share_text
from trueup.workbench.parts.shell import empty, fact, guarded, section, shell
from trueup.workbench.parts.table import Column, csv_text, grid
from trueup.workbench.parts.url_state import UrlState
from trueup.workbench.workbench import Workbench

Row = dict[str, Any]
MOST_SHOWN = 2_000
_EVERY = "all feeds"
_FEEDS = (
    Column("source", "Feed", width=150),
    Column("stream", "Stream", width=105),
    Column("units", "Files", "number", 90),
    Column("records", "Records", "number", 110),
    Column("accepted", "Accepted", "number", 110),
    Column("duplicate", "Duplicates", "number", 110),
    Column("quarantined", "Quarantined", "number", 120),
    Column("quarantined_share", "Share", "share", 90),
    Column("last_time", "Newest record", "time"),
    Column("taken_at", "Newest file", "time"),
)
_FINDINGS = (
    Column("kind", "What", "words", 165),
    Column("source", "Feed", width=95),
    Column("node", "Node", width=105),
    Column("day", "Day", "day", 110),
    Column("reason", "Observation", grow=3),
    Column("records_high", "Records, at most", "number", 140),
    Column("impact_low", "Money, from", "money", 115),
    Column("impact_high", "to", "money", 110),
    Column("status", "Status", "words", 95),
)
_QUARANTINE = (
    Column("source", "Feed", width=110),
    Column("reason", "Reason", "words", 170),
    Column("rule", "Rule", width=220),
    Column("records", "Records", "number", 100),
    Column("last_at", "Last", "time", 145),
    Column("example", "Example", grow=3),
)
_PROVISIONING = (
    Column("kind", "What", "words", 165),
    Column("subscriber", "Subscriber", width=160),
    Column("reason", "Plans"),
    Column("started_at", "Since", "time", 145),
    Column("days", "Days", "number", 90),
    Column("findings", "Findings", "number", 100),
    Column("at_stake", "At stake", "money", 110),
    Column("status", "Status", "words", 95),
)


def register(workbench: Workbench) -> None:
    """Add the page."""

    @ui.page("/quality", title="Quality · trueup", response_timeout=60)
    async def quality(request: Request) -> None:
        state = UrlState(request, {"source": ""})
        with shell(workbench, request, "Quality") as session:
            await _show_quality(workbench, session, state)


async def _show_quality(workbench: Workbench, session: Session, state: UrlState) -> None:
    ask, source = workbench.questions.rows, state["source"]
    zone = workbench.project.config.project.timezone
    feeds, findings, nodes, provisioning, quarantine = await asyncio.gather(
        ask("quality/feeds"),
        ask("quality/findings", source=source, most=MOST_SHOWN),
        ask("quality/nodes", zone=zone, source=source),
        ask("quality/provisioning"),
        workbench.questions.lake_rows("quality/quarantine"),
    )
    _show_facts(feeds, findings, quarantine)
    with ui.element("div").classes("tu-bar"):
        names = [_EVERY, *sorted({row["source"] for row in feeds})]
        ui.select(
            names, value=source if source in names else _EVERY, label="Feed", on_change=lambda e: _choose(state, e.value)
        ).props("outlined dense")
    with ui.element("div").classes("tu-columns"):
        with section("Records by node and day", "Against a busy day of the node; ! marks an open finding.", width="tu-span"):
            _draw_heat(nodes)
        with section(
            "Findings about feeds", "Bounds of the money in what is missing; none is counted as leakage.", width="tu-span"
        ):
            _show_table(workbench, session, "feed-findings", _FINDINGS, findings, "finding")
        with section("Feeds", width="tu-span"):
            _show_table(workbench, session, "feeds", _FEEDS, feeds, "")
        with section("Quarantine", "Records that wait, by the rule that rejected them.", width="tu-span"):
            _show_table(workbench, session, "quarantine", _QUARANTINE, quarantine, "")
        with section("Network and billing differ", "Subscriptions that one system has and the other has not.", width="tu-span"):
            _show_table(workbench, session, "provisioning", _PROVISIONING, provisioning, "finding")


def _choose(state: UrlState, value: str) -> None:
    state.set(source="" if value == _EVERY else value)
    ui.navigate.to(state.address())


def _show_facts(feeds: Sequence[Row], findings: Sequence[Row], quarantine: Sequence[Row]) -> None:
    records, rejected = (sum(row[name] for row in feeds) for name in ("records", "quarantined"))
    exposed: dict[str, Any] = {}
    for row in findings:
        if row["impact_high"] is not None and row["currency"]:
            exposed[row["currency"]] = exposed.get(row["currency"], 0) + row["impact_high"]
    with ui.element("div").classes("tu-facts"):
        fact("Records", count_text(records), f"of {count_text(len(feeds), 'feed')}", "good")
        fact(
            "Waiting in quarantine",
            count_text(sum(row["records"] for row in quarantine)),
            f"{count_text(rejected)} were rejected",
            "watch",
        )
        fact("Rejected", share_text(rejected / records if records else None), "of all records", "watch")
        fact("Open findings", count_text(len(findings)), "about feeds", "leak")
        for currency, amount in sorted(exposed.items()):
            fact("At stake", f"≤ {money_text(amount, currency)}", "in what is missing", "leak")


def _draw_heat(nodes: Sequence[Row]) -> None:
    if not nodes:
        empty("No feed has delivered records.")
        return
    first, last = min(row["day"] for row in nodes), max(row["day"] for row in nodes)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    sources = sorted({row["source"] for row in nodes})
    cells = [feed_cell(days, sources, row) for row in nodes]
    charts.chart(
        charts.heat_map([f"{day:%-d %b}" for day in days], sources, cells),
        height=60 + 34 * len(sources),
        label="Records by node and day",
    )


def _show_table(
    workbench: Workbench, session: Session, name: str, columns: Sequence[Column], rows: Sequence[Row], target: str
) -> None:
    if not rows:
        empty("Nothing to show.")
        return

    def export() -> None:
        workbench.actions.append(session.user, "export", name, rows=len(rows))
        ui.download.content(csv_text(columns, rows), f"{name}.csv", "text/csv")

    def open_row(event: events.GenericEventArguments) -> None:
        ui.navigate.to(f"/{target}/{event.args['data']['key']}")

    drawn = grid(columns, rows, label=name.replace("-", " "))
    if target:
        drawn.on("rowDoubleClicked", open_row, ["data"])
    ui.button("CSV", icon="download", on_click=guarded(workbench, session, "reader", export)).props("flat dense no-caps")
