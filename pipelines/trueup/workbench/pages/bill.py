"""Bill: the lines of one subscriber's bill, with the usage and the errors of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from nicegui import events, ui
from starlette.requests import Request

from trueup.errors import TrueupError
from trueup.investigation.bill import Bill, explain_bill
from trueup.workbench.access.sessions import Session
from trueup.workbench.parts import charts
from trueup.workbench.parts.money import count_text, money_text
from trueup.workbench.parts.palette import OVERCHARGE
from trueup.workbench.parts.shell import empty, fact, guarded, primary_button, section, shell
from trueup.workbench.parts.table import Column, csv_text, grid
from trueup.workbench.parts.text import text
from trueup.workbench.parts.url_state import UrlState
from trueup.workbench.workbench import Workbench

Row = dict[str, Any]
COLUMNS = (
    Column("at", "When", "time", 145),
    Column("service", "Service", width=100),
    Column("peer", "Peer", width=150),
    Column("used", "Used", "number", 95),
    Column("charged_quantity", "Charged for", "number", 108),
    Column("amount", "Amount", "money", 100),
    Column("sentence", "What it is, and what is wrong with it", grow=4),
    Column("impact", "Impact", "money", 95),
    Column("tariff_code", "Tariff", width=115, hidden=True),
    Column("invoice_id", "Invoice", width=130, hidden=True),
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
            _show_form(state)
            if state["subscriber"]:
                await _show_bill(workbench, session, state)
            else:
                await _show_examples(workbench)


def _show_form(state: UrlState) -> None:
    def look() -> None:
        state.set(subscriber=str(number.value or "").strip(), **{"from": first.value or "", "to": last.value or ""})
        ui.navigate.to(state.address())

    with ui.element("form").classes("tu-bar").props('onsubmit="return false"').on("submit", look):
        number = ui.input("Subscriber", value=state["subscriber"]).props('outlined dense data-filter="1"').classes("tu-grow")
        first = ui.input("From", value=state["from"]).props('outlined dense type="date" stack-label')
        last = ui.input("To", value=state["to"]).props('outlined dense type="date" stack-label')
        primary_button("Show bill", look).props('type="submit"')


async def _show_examples(workbench: Workbench) -> None:
    rows = await workbench.questions.rows("bill/examples")
    with section("Subscribers with most money in findings"):
        for row in rows:
            with ui.element("div").classes("tu-line"):
                ui.link(str(row["subscriber"]), f"/bill?subscriber={_quote(row['subscriber'])}")
                text("span", money_text(row["money"], row["currency"])).classes("tu-amount")
        if not rows:
            empty("No finding has money. Enter the number of a subscriber.")


async def _show_bill(workbench: Workbench, session: Session, state: UrlState) -> None:
    subscriber, period = state["subscriber"], f"{state['from']}..{state['to']}"
    workbench.actions.append(session.user, "bill", subscriber, days=period)
    try:
        bill = await workbench.questions.of_lake(lambda warehouse: explain_bill(warehouse, subscriber, period))
    except TrueupError as error:
        empty(str(error))
        return
    states = await workbench.questions.rows("bill/subscriber", subscriber=subscriber)
    lines = [_build_row(number, line) for number, line in enumerate(bill.lines)]
    _show_facts(bill, lines)
    with ui.element("div").classes("tu-columns"):
        with section(
            "Lines",
            "Charges with their usage, and usage that was not billed; open a line for its finding or record.",
            width="tu-span",
        ):
            _show_lines(workbench, session, subscriber, lines)
        with section("Charged by service"):
            _draw_by_service(lines)
        with section("Subscription", "As network and billing know it."):
            grid(_STATES, states, label="States of the subscription")


def _build_row(number: int, line: Row) -> Row:
    impact = sum((finding["impact"] for finding in line["findings"]), Decimal(0)) if line["findings"] else None
    target = line["findings"][0]["finding_id"] if line["findings"] else line["event_id"]
    return {**line, "impact": impact, "key": f"{number}:{target}"}


def _show_facts(bill: Bill, lines: Sequence[Row]) -> None:
    with ui.element("div").classes("tu-facts"):
        for total in bill.totals:
            currency = total["currency"]
            fact("Billed", money_text(total["billed"], currency), f"in {count_text(len(lines), 'line')}", "good")
            change = total["findings"]
            title, tone = ("Too little", "leak") if change >= 0 else ("Too much", "over")
            fact(title, money_text(abs(change), currency), "what findings would change", tone)
            fact("Right", money_text(total["right"], currency), "billed and changed", "good")
        wrong = [line for line in lines if line["impact"] is not None]
        fact("With a finding", count_text(len(wrong), "line"), f"of {count_text(len(lines))}", "watch")


def _show_lines(workbench: Workbench, session: Session, subscriber: str, lines: Sequence[Row]) -> None:
    def export() -> None:
        workbench.actions.append(session.user, "export", subscriber, rows=len(lines))
        ui.download.content(csv_text(COLUMNS, lines), "bill.csv", "text/csv")

    def open_row(event: events.GenericEventArguments) -> None:
        ui.navigate.to(f"/finding/{event.args['data']['key'].partition(':')[2]}")

    drawn = grid(COLUMNS, lines, label="Lines of the bill", height="460px")
    drawn.on("rowDoubleClicked", open_row, ["data"])
    ui.button("CSV", icon="download", on_click=guarded(workbench, session, "reader", export)).props("flat dense no-caps")


def _draw_by_service(lines: Sequence[Row]) -> None:
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


def _quote(value: object) -> str:
    return quote(str(value or ""), safe="")
