"""Bill: the lines of one subscriber's bill, what was used for each, and what is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from nicegui import events, ui
from starlette.requests import Request

from trueup.workbench.access.sessions import Session
from trueup.workbench.parts import charts
from trueup.workbench.parts.money import count_text, money_text, words
from trueup.workbench.parts.palette import OVERCHARGE
from trueup.workbench.parts.shell import empty, fact, guarded, primary_button, section, shell
from trueup.workbench.parts.table import Column, csv_text, grid
from trueup.workbench.parts.text import text
from trueup.workbench.parts.url_state import UrlState
from trueup.workbench.workbench import Workbench

Row = dict[str, Any]
MOST_LINES = 5_000
COLUMNS = (
    Column("started_at", "Started", "time", 145),
    Column("service", "Service", width=105),
    Column("peer", "Peer", width=155),
    Column("used", "Used", "number", 100),
    Column("charged", "Charged for", "number", 115),
    Column("amount", "Amount", "money", 110),
    Column("tariff_code", "Tariff", width=120),
    Column("invoice_id", "Invoice", width=130),
    Column("verdict", "Verdict"),
    Column("impact", "Impact", "money", 105),
)
_STATES = (
    Column("system", "System", width=110),
    Column("plan", "Plan", width=130),
    Column("segment", "Segment", width=130),
    Column("status", "Status", width=110),
    Column("account", "Account", width=150),
    Column("valid_from", "From", "time"),
    Column("valid_to", "To", "time"),
)


def register(workbench: Workbench) -> None:
    """Add the page."""

    @ui.page("/bill", title="Bill · trueup", response_timeout=60)
    async def bill(request: Request) -> None:
        newest = (await workbench.questions.rows("bill/newest"))[0]["day"] or workbench.now().date()
        state = UrlState(request, {"subscriber": "", "from": f"{newest - timedelta(days=30)}", "to": f"{newest}"})
        with shell(workbench, request, "Bill") as session:
            _form(state)
            if state["subscriber"]:
                await _content(workbench, session, state)
            else:
                await _examples(workbench)


def _form(state: UrlState) -> None:
    def look() -> None:
        state.set(subscriber=str(number.value or "").strip(), **{"from": first.value or "", "to": last.value or ""})
        ui.navigate.to(state.address())

    with ui.element("form").classes("tu-bar").props('onsubmit="return false"').on("submit", look):
        number = ui.input("Subscriber", value=state["subscriber"]).props('outlined dense data-filter="1"').classes("tu-grow")
        first = ui.input("From", value=state["from"]).props('outlined dense type="date" stack-label')
        last = ui.input("To", value=state["to"]).props('outlined dense type="date" stack-label')
        primary_button("Show bill", look).props('type="submit"')


async def _examples(workbench: Workbench) -> None:
    rows = await workbench.questions.rows("bill/examples")
    with section("Subscribers with most money in findings"):
        for row in rows:
            with ui.element("div").classes("tu-line"):
                ui.link(str(row["subscriber"]), f"/bill?subscriber={_quoted(row['subscriber'])}")
                text("span", money_text(row["money"], row["currency"])).classes("tu-amount")
        if not rows:
            empty("No finding has money. Enter the number of a subscriber.")


async def _content(workbench: Workbench, session: Session, state: UrlState) -> None:
    zone = ZoneInfo(workbench.project.config.project.timezone)
    values = {
        "subscriber": state["subscriber"],
        "from_time": _begin_of(state["from"], zone, 0),
        "to_time": _begin_of(state["to"], zone, 1),
    }
    lines, findings, states = await asyncio.gather(
        workbench.questions.lake_rows("bill/lines", most=MOST_LINES, **values),
        workbench.questions.rows("bill/findings", **values),
        workbench.questions.rows("bill/subscriber", **values),
    )
    workbench.actions.append(session.user, "bill", state["subscriber"], days=f"{state['from']} to {state['to']}")
    if not lines and not states:
        empty(f"{state['subscriber']} has neither usage nor charges nor a subscription in these days.")
        return
    judged = judged_lines(lines, findings)
    _facts(judged)
    with ui.element("div").classes("tu-columns"):
        with section(
            "Lines",
            "What shares a session key is one line; sums over a period and flat fees have no usage of their own.",
            width="tu-span",
        ):
            _lines(workbench, session, state["subscriber"], judged)
        with section("Charged by service"):
            _by_service(judged)
        with section("Subscription", "As network and billing know it."):
            grid(_STATES, states, label="States of the subscription")


def judged_lines(lines: Sequence[Row], findings: Sequence[Row]) -> list[Row]:
    """Return the lines with their findings: each names what is wrong with it, and the money of it."""
    by_event: dict[str, list[Row]] = {}
    for finding in findings:
        for event in {finding["usage_event_id"], finding["charge_event_id"]} - {None}:
            by_event.setdefault(event, []).append(finding)
    judged = []
    for number, line in enumerate(lines):
        own = {f["finding_id"]: f for event in (line["usage_event_id"], line["charge_event_id"]) for f in by_event.get(event, [])}
        usual = "agrees" if line["usage_records"] and line["charges"] else "not matched by key"
        verdict = "; ".join(words(finding["kind"]) for finding in own.values()) or usual
        impact = sum((finding["impact"] or Decimal(0) for finding in own.values()), Decimal(0)) if own else None
        first = next(iter(own), line["usage_event_id"] or line["charge_event_id"])
        currency = line["currency"] or next((finding["currency"] for finding in own.values()), None)
        judged.append(
            {**line, "currency": currency, "verdict": verdict, "impact": impact, "target": first, "key": f"{number}:{first}"}
        )
    return judged


def _facts(lines: Sequence[Row]) -> None:
    sums: dict[str, list[Decimal]] = {}
    for line in lines:
        if line["currency"]:
            amounts = sums.setdefault(line["currency"], [Decimal(0), Decimal(0)])
            amounts[0] += line["amount"] or 0
            amounts[1] += line["impact"] or 0
    with ui.element("div").classes("tu-facts"):
        for currency, (amount, _) in sorted(sums.items()):
            fact(
                "Charged",
                money_text(amount, currency),
                f"in {count_text(sum(line['charges'] for line in lines), 'charge')}",
                "good",
            )
        fact("Used", count_text(sum(line["usage_records"] for line in lines), "record"), "by the network", "good")
        wrong = [line for line in lines if line["impact"] is not None]
        fact("With a finding", count_text(len(wrong), "line"), "", "leak")
        default = next(iter(sums), "")
        impact = sum((line["impact"] for line in wrong), Decimal(0))
        fact(
            "Owed by the subscriber" if impact >= 0 else "Owed to the subscriber",
            money_text(abs(impact), default),
            "sum of the findings",
            "over",
        )


def _lines(workbench: Workbench, session: Session, subscriber: str, lines: Sequence[Row]) -> None:
    def export() -> None:
        workbench.actions.append(session.user, "export", subscriber, rows=len(lines))
        ui.download.content(csv_text(COLUMNS, lines), "bill.csv", "text/csv")

    def open_row(event: events.GenericEventArguments) -> None:
        ui.navigate.to(f"/finding/{event.args['data']['key'].partition(':')[2]}")

    drawn = grid(COLUMNS, lines, label="Lines of the bill", height="460px")
    drawn.on("rowDoubleClicked", open_row, ["data"])
    ui.button("CSV", icon="download", on_click=guarded(workbench, session, "reader", export)).props("flat dense no-caps")


def _by_service(lines: Sequence[Row]) -> None:
    amounts: dict[tuple[str, str], Decimal] = {}
    for line in lines:
        if line["amount"] is not None:
            key = (line["currency"] or "", line["service"] or "without service")
            amounts[key] = amounts.get(key, Decimal(0)) + line["amount"]
    if not amounts:
        empty("Nothing was charged.")
        return
    ordered = sorted(amounts, key=lambda key: -amounts[key])
    currency = ordered[0][0]
    charts.chart(
        charts.ranked_bars(
            [service for _, service in ordered],
            [float(amounts[key]) for key in ordered],
            [OVERCHARGE] * len(ordered),
            charts.money_js(currency),
        ),
        height=40 + 34 * len(ordered),
        label="Charged by service",
    )


def _begin_of(text_of_day: str, zone: ZoneInfo, later: int) -> datetime:
    try:
        day = date.fromisoformat(text_of_day) + timedelta(days=later)
    except (ValueError, OverflowError):
        day = date(1970, 1, 1) if not later else date(9998, 1, 1)
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _quoted(value: object) -> str:
    return quote(str(value or ""), safe="")
