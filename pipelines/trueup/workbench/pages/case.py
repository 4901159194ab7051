"""Case: one case with its dimensions, money, findings and history, decided in place; and one finding with its evidence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from nicegui import events, ui
from starlette.requests import Request

from trueup.errors import TrueupError
from trueup.units import MICROS
from trueup.warehouse.decide import Recorded
from trueup.warehouse.explain import FindingExplanation, FraudExplanation, explain
from trueup.workbench.access.sessions import Session
from trueup.workbench.pages.fraud import fraud_case
from trueup.workbench.parts import charts
from trueup.workbench.parts.decision_form import Subject, decision_buttons
from trueup.workbench.parts.evidence import evidence_button
from trueup.workbench.parts.money import age_text, count_text, money_text, share_text, words
from trueup.workbench.parts.palette import BILLED, LEAKAGE, OVERCHARGE, TOLERATED
from trueup.workbench.parts.shell import empty, guarded, section, shell
from trueup.workbench.parts.table import Column, csv_text, grid
from trueup.workbench.parts.text import chips, facts_table, pattern_of, side_by_side, text
from trueup.workbench.workbench import Workbench

Row = dict[str, Any]
MOST_SHOWN, MOST_EXPORTED, MOST_BESIDE = 1_000, 100_000, 8
COLUMNS = (
    Column("started_at", "Started", "time", 145),
    Column("kind", "What", "words", 165),
    Column("service", "Service", width=95),
    Column("subscriber", "Subscriber", width=150),
    Column("peer", "Peer", width=150),
    Column("node", "Node", width=105),
    Column("expected", "Expected", "money", 115),
    Column("billed", "Billed", "money", 115),
    Column("impact", "Impact", "money", 115),
    Column("status", "Status", "words", 105),
    Column("reason", "Reason", "words"),
    Column("finding_id", "Finding", "id", 125),
)
_FACTS = (
    "stream",
    "record_key",
    "session_key",
    "account",
    "service",
    "subscriber",
    "peer",
    "direction",
    "node",
    "cell",
    "started_at",
    "quantity",
    "amount",
    "currency",
    "tariff_code",
    "invoice_id",
    "billed_at",
    "partial_no",
    "record_version",
)


def register(workbench: Workbench) -> None:
    """Add the pages of a case and of a finding."""

    @ui.page("/case/{case_id}", title="Case · trueup", response_timeout=60)
    async def case(request: Request, case_id: str) -> None:
        with shell(workbench, request, "Case") as session:
            rows = await workbench.questions.rows("case/case", id=case_id)
            if not rows and await asyncio.to_thread(workbench.copy.follow) == "more":
                # The case may have been opened a moment ago.
                await workbench.wait_for_newer_copy()
                rows = await workbench.questions.rows("case/case", id=case_id)
            if not rows:
                empty(
                    f"There is no case {case_id[:40]} in the copy of the views. One that is new appears when the copy is renewed."
                )
            elif rows[0]["type"] == "fraud":
                await fraud_case(workbench, session, rows[0])
            else:
                await _show_root_cause(workbench, session, rows[0])

    @ui.page("/finding/{finding_id}", title="Finding · trueup", response_timeout=60)
    async def finding(request: Request, finding_id: str) -> None:
        with shell(workbench, request, "Case") as session:
            try:
                explained = await workbench.questions.of_lake(lambda warehouse: explain(warehouse, finding_id))
            except TrueupError as error:
                empty(str(error))
                return
            if isinstance(explained, FindingExplanation):
                _show_finding(workbench, session, explained)
            elif isinstance(explained, FraudExplanation):
                ui.navigate.to(f"/case/{explained.case['case_id']}")
            else:
                _show_event(explained.event, explained.findings)


async def _show_root_cause(workbench: Workbench, session: Session, row: Row) -> None:
    ask, case_id = workbench.questions.rows, row["case_id"]
    members, sums, days, history, accounts = await asyncio.gather(
        ask("case/members", id=case_id, most=MOST_SHOWN),
        ask("case/sums", id=case_id),
        ask("case/days", id=case_id),
        workbench.questions.lake_rows("case/history", id=case_id),
        ask("case/accounts", id=case_id),
    )
    currency, total = row["currency"] or "", sums[0]
    kinds = {each["kind"]: each for each in await ask("case/kinds")}
    with ui.element("div").classes("tu-head"):
        with ui.element("div"):
            text("div", f"{words(row['kind'])}: {money_text(row['impact'], currency)}").classes("tu-title")
            text("div", kinds.get(row["kind"], {}).get("meaning", "")).classes("tu-quiet")
            if row["merged_into"]:
                with ui.element("div"):
                    text("span", "It was merged into ")
                    ui.link("the case that took its findings", f"/case/{row['merged_into']}")
        with ui.element("div").classes("tu-actions"):
            _show_actions(workbench, session, case_id, row["status"], "root_cause")
    with ui.element("div").classes("tu-columns"):
        with section("What its findings have in common", width="tu-third"):
            chips(f"{name.replace('_', ' ')}: {value}" for name, value in pattern_of(row["pattern"]))
            facts_table(
                [
                    ("Findings", f"{count_text(total['findings'])}, of {count_text(total['subscribers'], 'subscriber')}"),
                    ("Undecided", money_text(row["open_impact"], currency)),
                    ("Confidence", share_text(row["confidence"])),
                    ("Provisional", count_text(total["provisional"], "finding")),
                    ("Age", count_text(row["age_days"], "day")),
                    ("Owner", row["owner"] or "no person yet"),
                    ("Due", row["due_on"] or "no day set"),
                    *((f"In account {words(a['account'])}", money_text(a["balance"], a["currency"])) for a in accounts),
                    ("Next", kinds.get(row["kind"], {}).get("next_step", "")),
                ]
            )
        with section("From expected to billed", "The money of its findings.", width="tu-third"):
            _draw_waterfall(total["expected"], total["billed"], total["impact"], currency)
        with section("Money by day", width="tu-third"):
            if days:
                amounts = {words(row["kind"]): [float(day["impact"]) for day in days]}
                charts.chart(
                    charts.stacked_days([f"{day['day']:%-d %b}" for day in days], amounts, currency),
                    height=240,
                    label="Money by day",
                )
            else:
                empty("Its money has no day.")
        with section("Findings", "Largest first; open one for its records, arithmetic and history.", width="tu-span"):
            _show_members(workbench, session, row, members)
        with section("History", width="tu-span"):
            _draw_timeline([(h["at"], h["event"], h["by"], h["note"] or detail_text(h["details"])) for h in history], workbench)


def _show_actions(workbench: Workbench, session: Session, subject_id: str, status: str, subject: Subject) -> None:
    text("span", words(status)).classes(f"tu-chip {status}").mark("status")

    async def selected() -> list[str]:
        return [subject_id]

    def decided(recorded: Sequence[Recorded]) -> None:
        if recorded[0].into:
            ui.navigate.to(f"/case/{recorded[0].into}")
        else:
            ui.navigate.reload()

    decision_buttons(workbench, session, selected, decided, subject)
    evidence_button(workbench, session, subject_id)


def _show_members(workbench: Workbench, session: Session, row: Row, members: Sequence[Row]) -> None:
    async def export() -> None:
        rows = await workbench.questions.rows("case/members", id=row["case_id"], most=MOST_EXPORTED)
        workbench.actions.append(session.user, "export", row["case_id"], rows=len(rows))
        ui.download.content(csv_text(COLUMNS, rows), f"case-{row['case_id'][:12]}.csv", "text/csv")

    async def selected() -> list[str]:
        return [each["key"] for each in await drawn.get_selected_rows()]

    async def open_selected() -> None:
        chosen = await selected()
        if chosen:
            ui.navigate.to(f"/finding/{chosen[0]}")

    def open_row(event: events.GenericEventArguments) -> None:
        ui.navigate.to(f"/finding/{event.args['data']['key']}")

    with ui.element("div").classes("tu-bar"):
        if len(members) == MOST_SHOWN:
            text("span", f"The largest {MOST_SHOWN:,} are shown; CSV has them all.").classes("tu-quiet")
        with ui.element("div").classes("tu-actions tu-push"):
            ui.button("Open finding", on_click=open_selected).props('outline dense no-caps data-key="Enter"')
            ui.button("CSV", icon="download", on_click=guarded(workbench, session, "reader", export)).props("flat dense no-caps")
    drawn = grid(COLUMNS, members, label="Findings of the case", select=True)
    drawn.on("rowDoubleClicked", open_row, ["data"])


def _draw_waterfall(expected: Any, billed: Any, impact: Any, currency: str) -> None:
    others = expected - billed - impact
    steps = [
        ("expected", float(expected), "#56B4E9"),
        ("overcharge" if impact < 0 else "leakage", float(-impact), OVERCHARGE if impact < 0 else LEAKAGE),
    ]
    steps += [("tolerated, other findings", float(-others), TOLERATED)] if others else []
    steps.append(("billed", float(billed), BILLED))
    charts.chart(charts.waterfall(steps, currency), height=240, label="Waterfall from expected to billed money")


def _show_finding(workbench: Workbench, session: Session, explained: FindingExplanation) -> None:
    finding = explained.finding
    currency = finding["currency"] or ""
    with ui.element("div").classes("tu-head"):
        with ui.element("div"):
            text("div", f"{words(finding['kind'])}: {money_text(finding['impact'], currency)}").classes("tu-title")
            text("div", explained.meaning).classes("tu-quiet")
        with ui.element("div").classes("tu-actions"):
            _show_actions(workbench, session, finding["finding_id"], finding["status"], "finding")
    with ui.element("div").classes("tu-columns"):
        with section("Facts", width="tu-third"):
            provisional = f"yes: {finding['provisional_reason']}" if finding["provisional"] else "no"
            facts_table(
                [
                    ("Service", finding["service"]),
                    ("Subscriber", finding["subscriber"]),
                    ("Peer", finding["peer"]),
                    ("Node", finding["node"]),
                    ("Day", finding["day"]),
                    ("Reason", words(finding["reason"]) or "unknown"),
                    ("Because of", words(finding["cause"])),
                    ("Provisional", provisional),
                    ("Next", explained.next_step),
                    ("Finding", finding["finding_id"]),
                ]
            )
        with section("From expected to billed", width="tu-third"):
            _draw_waterfall(finding["expected"], finding["billed"], finding["impact"], currency)
        with section("Arithmetic", width="tu-third"):
            for line in [*explained.arithmetic, *([explained.sentence] if explained.sentence else [])]:
                text("p", line).classes("tu-pre")
            for title, lines in explained.steps.items():
                text("div", title).classes("tu-strong")
                for line in lines:
                    text("p", line).classes("tu-pre")
        with section("Records side by side", "≠ marks what differs between them.", width="tu-span"):
            _show_records(explained.members)
        with section("History", width="tu-span"):
            changes = [
                (
                    h["committed_at"],
                    f"{h['action']}, {money_text(h['impact'], h['currency'])}",
                    f"position {h['position']}",
                    f"because of {words(h['cause'])}",
                )
                for h in explained.history
            ]
            _draw_timeline(
                [*changes, *((d["decided_at"], d["decision"], d["decided_by"], d["note"]) for d in explained.decisions)], workbench
            )


def _show_records(members: Sequence[Row]) -> None:
    if not members:
        empty("It has no records of its own: it is about a feed or a subscription.")
        return
    shown = members[:MOST_BESIDE]
    rows = [(name.replace("_", " "), [member.get(name) for member in shown]) for name in _FACTS]
    rows += [
        ("file", [member["path"] for member in shown]),
        (
            "bytes",
            [
                f"{m['source_offset']} to {m['source_offset'] + m['source_length']}" if m["source_offset"] is not None else ""
                for m in shown
            ],
        ),
        ("event", [member["event_id"] for member in shown]),
    ]
    side_by_side(
        [f"{member['stream']} {number}" for number, member in enumerate(shown, start=1)],
        [row for row in rows if any(v not in (None, "") for v in row[1])],
    )
    if len(members) > MOST_BESIDE:
        text("div", f"and {count_text(len(members) - MOST_BESIDE, 'more record')}; `trueup explain` lists them").classes("tu-quiet")


def _draw_timeline(entries: Sequence[tuple[Any, str, str | None, str | None]], workbench: Workbench) -> None:
    if not entries:
        empty("No person has decided yet.")
        return
    with ui.element("div").classes("tu-timeline"):
        for at, what, who, note in sorted(entries, key=lambda entry: entry[0]):
            with ui.element("div"):
                text(
                    "div",
                    f"{words(what)}{f', by {who}' if who and not who.startswith('position') else f' at {who}' if who else ''}",
                ).classes("tu-strong")
                text("div", f"{at:%-d %b %Y %H:%M} UTC, {age_text(at, workbench.now())}").classes("tu-quiet")
                if note:
                    text("div", note)


def detail_text(details: object) -> str:
    """Return the details of an event of a case in words, with millionths as money, or as per cent for a share."""
    loaded = json.loads(details) if isinstance(details, str) else details
    return ", ".join(_describe_detail(str(name), value) for name, value in loaded.items()) if isinstance(loaded, dict) else ""


def _describe_detail(name: str, value: object) -> str:
    if name.endswith("_micros"):
        return f"{words(name.removesuffix('_micros'))} {money_text(Decimal(str(value)) / MICROS, '')}"
    if name.endswith("_millionths"):
        return f"{words(name.removesuffix('_millionths'))} {share_text(Decimal(str(value)) / MICROS)}"
    return f"{words(name)} {value}"


def _show_event(event: Row, findings: Sequence[Row]) -> None:
    text("div", f"{event['stream']} record").classes("tu-title")
    with section("Record", width="tu-span"):
        facts_table([(name.replace("_", " "), value) for name, value in event.items() if value not in (None, "")])
    with section("Findings", width="tu-span"):
        for each in findings:
            ui.link(
                f"{words(each['kind'])}: {money_text(each.get('impact'), each.get('currency'))}", f"/finding/{each['finding_id']}"
            )
        if not findings:
            empty("It belongs to no finding.")
