"""Today: leakage by day and cause, the flow of money, missing records of feeds, and recent changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from nicegui import ui
from starlette.requests import Request

from trueup.units import MICROS
from trueup.workbench.parts import charts
from trueup.workbench.parts.money import count_text, money_text, share_text, words
from trueup.workbench.parts.palette import BAD, BILLED, GOOD, LEAKAGE, OVERCHARGE, PENDING, TOLERATED, WATCH
from trueup.workbench.parts.shell import empty, fact, section, shell
from trueup.workbench.parts.text import pattern_text, text
from trueup.workbench.parts.url_state import UrlState
from trueup.workbench.workbench import Workbench

Row = dict[str, Any]
PERIODS = {"7": "7 days", "14": "14 days", "31": "31 days", "92": "3 months", "366": "a year"}


@dataclass(frozen=True)
class Period:
    """The days and the currency that the page shows."""

    currency: str
    from_day: date
    to_day: date

    def values(self) -> dict[str, object]:
        """Return the parameters of its queries."""
        return {"currency": self.currency, "from_day": self.from_day, "to_day": self.to_day}


def register(workbench: Workbench) -> None:
    """Add the page."""

    @ui.page("/", title="Today · trueup", response_timeout=60)
    async def today(request: Request) -> None:
        state = UrlState(request, {"days": "14", "currency": "", "to": ""})
        currencies = await workbench.questions.rows("today/period")
        with shell(workbench, request, "Today"):
            if not currencies:
                empty("No money is reconciled yet: ingest records, run `trueup reconcile`, and look again.")
                return
            period = _read_period(state, currencies)
            _show_choices(state, period, [str(row["currency"]) for row in currencies if row["weight"]])
            await _show_today(workbench, period)


def _read_period(state: UrlState, currencies: Sequence[Row]) -> Period:
    by_code = {str(row["currency"]): row for row in currencies}
    currency = state.one_of("currency", list(by_code))
    newest = by_code[currency]["newest_day"] or date(1970, 1, 1)
    try:
        last = date.fromisoformat(state["to"])
    except ValueError:
        last = newest
    return Period(currency, last - timedelta(days=state.number("days", 1, 3_660) - 1), last)


def _show_choices(state: UrlState, period: Period, currencies: list[str]) -> None:
    def choose(**values: object) -> None:
        state.set(**values)
        ui.navigate.to(state.address())

    with ui.element("div").classes("tu-bar"):
        text("div", f"{period.from_day:%-d %b} – {period.to_day:%-d %b %Y}").classes("tu-title")
        days = state["days"]
        ui.select(
            PERIODS if days in PERIODS else {**PERIODS, days: f"{days} days"},
            value=days,
            label="Period",
            on_change=lambda e: choose(days=e.value),
        ).props("outlined dense").classes("tu-push")
        ui.input("Up to", value=period.to_day.isoformat(), on_change=lambda e: choose(to=e.value) if e.value else None).props(
            'outlined dense type="date" stack-label'
        )
        if len(currencies) > 1:
            ui.select(currencies, value=period.currency, label="Currency", on_change=lambda e: choose(currency=e.value)).props(
                "outlined dense"
            )


async def _show_today(workbench: Workbench, period: Period) -> None:
    ask, values = workbench.questions.rows, period.values()
    zone = workbench.project.config.project.timezone
    leakage, sums, services, standing, counts, feeds, changes, cases = await asyncio.gather(
        ask("today/leakage", **values),
        ask("today/sums", **values),
        ask("today/services", **values),
        ask("today/standing", **values),
        ask("today/counts", **values),
        ask("today/feeds", zone=zone, **values),
        ask("today/changes", **values),
        ask("today/top_cases", **values),
    )
    _show_facts(period, leakage, sums[0], counts[0])
    with ui.element("div").classes("tu-columns"):
        with section(
            "Leakage and overcharge by day", "Above the line: earned and not billed. Below: billed and not earned.", width="tu-two"
        ):
            _draw_by_day(period, leakage)
        with section("Cases to decide first", "By undecided money × confidence.", width="tu-third"):
            _show_cases(cases)
        with section("Where the money went", _write_sentence(period, sums[0], standing), width="tu-span"):
            _draw_flows(period, sums[0], services, standing)
        with section(
            "Completeness of feeds", "Records of each day against a busy day of the feed; ! marks an open finding.", width="tu-two"
        ):
            _show_feeds(period, feeds)
        with section("What changed in the last day of commits", "Findings, by what happened to them.", width="tu-third"):
            _show_changes(period, changes)


def _show_facts(period: Period, leakage: Sequence[Row], sums: Row, counts: Row) -> None:
    lost = sum((row["leakage"] or Decimal(0) for row in leakage), Decimal(0))
    over = sum((row["overcharge"] or Decimal(0) for row in leakage), Decimal(0))
    expected, currency = Decimal(sums["expected_micros"]) / MICROS, period.currency
    pending = Decimal(sums["pending_usage_micros"]) / MICROS
    at_stake = "none" if not counts["exposure_high"] else f"≤ {money_text(counts['exposure_high'], currency)}"
    with ui.element("div").classes("tu-facts"):
        findings = sum(row["findings"] for row in leakage)
        rate = share_text(lost / expected) if expected else "–"
        fact("Leakage", money_text(lost, currency), f"{rate} of expected", "leak")
        fact("Overcharge", money_text(over, currency), f"{count_text(findings, 'finding')} in all", "over")
        fact(
            "Billed",
            money_text(Decimal(sums["billed_micros"]) / MICROS, currency),
            f"expected {money_text(expected, currency)}",
            "good",
        )
        fact("Pending", money_text(pending, currency), "charges may still come", "watch")
        fact("In missing records", at_stake, "money bounded by the feed", "watch")
        fact("Fraud cases", count_text(counts["fraud_cases"]), "open in these days", "leak")


def _draw_by_day(period: Period, leakage: Sequence[Row]) -> None:
    if not leakage:
        empty("Nothing leaks in these days.")
        return
    days = [period.from_day + timedelta(days=n) for n in range((period.to_day - period.from_day).days + 1)]
    by_kind: dict[str, dict[date, float]] = {}
    for row in leakage:
        amounts = by_kind.setdefault(words(row["kind"]), {})
        # Most kinds are on one side; if a kind has both, the bar shows the difference.
        amounts[row["day"]] = float((row["leakage"] or 0) - (row["overcharge"] or 0))
    order = sorted(by_kind, key=lambda kind: -sum(abs(amount) for amount in by_kind[kind].values()))
    series = {kind: [round(by_kind[kind].get(day, 0.0), 6) for day in days] for kind in order}
    charts.chart(
        charts.stacked_days([f"{day:%-d %b}" for day in days], series, period.currency),
        height=320,
        label="Leakage and overcharge by day and kind of finding",
    )


def _show_cases(cases: Sequence[Row]) -> None:
    if not cases:
        empty("No case waits for a decision.")
        return
    with ui.element("div").classes("tu-list"):
        for row in cases:
            with ui.element("div"):
                with ui.element("div").classes("tu-line"):
                    target = f"/case/{row['case_id']}" if row["case_id"] else f"/cases?type=finding&kind={row['kind']}"
                    ui.link(words(row["kind"]), target).classes("tu-strong")
                    tone = "tu-leak" if row["open_impact"] > 0 else "tu-over"
                    text("span", money_text(row["open_impact"], row["currency"])).classes(f"tu-amount {tone}")
                text("div", f"{pattern_text(row['pattern'])} · {count_text(row['open_findings'], 'finding')}").classes("tu-quiet")
    ui.link("All cases", "/cases").classes("tu-quiet")


def _write_sentence(period: Period, sums: Row, standing: Sequence[Row]) -> str:
    """Return the conservation of the period as a sentence, computed from its parts and not from their difference.

    The sentence includes findings of every status, also provisional ones, so its leakage may exceed the leakage views.
    """
    lost, over = (sum(row[f"{side}_micros"] for row in standing) for side in ("leakage", "overcharge"))
    tolerated = sums["tolerated_under_micros"] - sums["tolerated_over_micros"]
    pending = sums["pending_usage_micros"] - sums["pending_charge_micros"]
    left = sums["expected_micros"] - sums["billed_micros"] - (lost - over) - tolerated - pending

    def money(micros: int) -> str:
        return money_text(Decimal(micros) / MICROS, period.currency)

    verdict = "it adds up, to the millionth" if left == 0 else f"{money(left)} does not add up: run `trueup status --check`"
    return (
        f"expected {money(sums['expected_micros'])} − billed {money(sums['billed_micros'])} = leakage {money(lost)} − overcharge "
        f"{money(over)} of all findings, provisional ones too, + tolerated {money(tolerated)} + pending {money(pending)}; {verdict}"
    )


def _draw_flows(period: Period, sums: Row, services: Sequence[Row], standing: Sequence[Row]) -> None:
    flows = flows_of(sums, services, standing)
    if not flows:
        empty("No money was expected in these days.")
        return
    colours = {"Expected": "#56B4E9", "Billed": BILLED, "Tolerated": TOLERATED, "Pending": PENDING}
    names = list(dict.fromkeys(name for flow in flows for name in flow[:2]))
    leaking = {name for source, name, _ in flows if source == "Expected"} - set(colours)
    over = {name for name, target, _ in flows if target == "Billed"} - set(colours)
    nodes = [
        {
            "name": name,
            "itemStyle": {
                "color": colours.get(name) or (LEAKAGE if name in leaking else OVERCHARGE if name in over else "#8C8C8C")
            },
        }
        for name in names
    ]
    shown = [{"source": source, "target": target, "value": float(Decimal(micros) / MICROS)} for source, target, micros in flows]
    charts.chart(
        charts.sankey(nodes, shown, period.currency), height=420, label="Flows of money: from usage to billed, leakage and pending"
    )


def flows_of(sums: Row, services: Sequence[Row], standing: Sequence[Row]) -> list[tuple[str, str, int]]:
    """Return the flows (source, target, millionths) that lead from expected money to billed money, all positive.

    The flows into `Expected` add up to the expected money, those into `Billed` to the billed money.
    """
    flows = [(str(row["service"]), "Expected", int(row["expected_micros"])) for row in services]
    losses = [("Expected", f"Leak: {words(row['kind'])}", int(row["leakage_micros"])) for row in standing]
    losses += [
        ("Expected", "Tolerated", int(sums["tolerated_under_micros"])),
        ("Expected", "Pending", int(sums["pending_usage_micros"])),
    ]
    additions = [(f"Over: {words(row['kind'])}", "Billed", int(row["overcharge_micros"])) for row in standing]
    additions += [
        ("Tolerated, too much", "Billed", int(sums["tolerated_over_micros"])),
        ("Charges that wait", "Billed", int(sums["pending_charge_micros"])),
    ]
    rightly = int(sums["expected_micros"]) - sum(micros for *_, micros in losses)
    return [flow for flow in [*flows, ("Expected", "Billed", rightly), *losses, *additions] if flow[2] > 0]


def _show_feeds(period: Period, feeds: Sequence[Row]) -> None:
    if not feeds:
        empty("No feed has records in these days.")
        return
    days = [period.from_day + timedelta(days=n) for n in range((period.to_day - period.from_day).days + 1)]
    sources = sorted({row["source"] for row in feeds})
    cells = [feed_cell(days, sources, row) for row in feeds]
    charts.chart(
        charts.heat_map([f"{day:%-d %b}" for day in days], sources, cells),
        height=70 + 42 * len(sources),
        label="Completeness of each feed by day; ! marks a day with an open finding",
    )
    ui.link("Details of each feed", "/quality").classes("tu-quiet")


def feed_cell(days: Sequence[date], sources: Sequence[str], row: Row) -> Row:
    """Return a cell of the heat map: its colour, its mark and its text."""
    share = row["records"] / row["usual"] if row["usual"] else 1.0
    colour = BAD if row["findings"] else WATCH if share < 0.5 else GOOD
    lines = [f"{row['source']}, {row['day']:%-d %b %Y}", f"{count_text(row['records'], 'record')}, {share:.0%} of a usual day"]
    if row["findings"]:
        lines.append(f"{words(row['kind'])}: {row['reason'] or ''}")
    return {
        "value": [days.index(row["day"]), sources.index(row["source"]), share],
        "itemStyle": {"color": _mix_tint(colour, 0.5 if row["findings"] else 0.12 + 0.3 * min(share, 1.0))},
        "mark": f"! {share:.0%}" if row["findings"] else f"{share:.0%}",
        "text": "\n".join(lines),
    }


def _show_changes(period: Period, changes: Sequence[Row]) -> None:
    if not changes:
        empty("No finding changed.")
        return
    with ui.element("div").classes("tu-list"):
        for row in changes[:9]:
            with ui.element("div"):
                with ui.element("div").classes("tu-line"):
                    text("span", f"{row['action']}: {count_text(row['findings'])} {words(row['kind'])}")
                    amount = row["impact"]
                    text("span", money_text(amount, period.currency) if amount else "").classes("tu-amount")
                text("div", f"because of {words(row['cause'])}").classes("tu-quiet")


def _mix_tint(colour: str, strength: float) -> str:
    """Return a colour that lets the text of either theme show through."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {strength:.2f})"
