"""Explore: linked charts over findings or suspicious transactions, each of which filters the others, over millions of rows."""

from __future__ import annotations

import json
from typing import Any

from nicegui import ui
from starlette.requests import Request

from trueup.workbench.parts.palette import LEAKAGE, OVERCHARGE
from trueup.workbench.parts.shell import section, shell
from trueup.workbench.parts.text import text
from trueup.workbench.parts.url_state import UrlState
from trueup.workbench.workbench import Workbench

Spec = dict[str, Any]
TABLES = {"findings": "Findings", "suspicious_transactions": "Suspicious transactions"}
MEASURES = {"count": "Number", "money": "Money"}
_DIMENSIONS = {
    "findings": (("kind", "Kind"), ("service", "Service"), ("node", "Node"), ("reason", "Reason"), ("status", "Status")),
    "suspicious_transactions": (("service", "Service"), ("reason", "Model or rule"), ("status", "Status")),
}
_LISTED = {
    "findings": ["day", "kind", "service", "node", "subscriber", "peer", "impact", "currency", "reason", "status", "finding_id"],
    "suspicious_transactions": ["day", "service", "subscriber", "peer", "impact", "reason", "status", "finding_id"],
}


def register(workbench: Workbench) -> None:
    """Add the page."""

    @ui.page("/explore", title="Explore · trueup", response_timeout=60)
    async def explore(request: Request) -> None:
        state = UrlState(request, {"table": "findings", "measure": "count"})
        table, measure = state.one_of("table", list(TABLES)), state.one_of("measure", list(MEASURES))

        def choose(**values: object) -> None:
            state.set(**values)
            ui.navigate.to(state.address())

        ui.add_head_html('<link rel="stylesheet" href="/modules/mosaic.css">')
        with shell(workbench, request, "Explore"):
            with ui.element("div").classes("tu-bar"):
                ui.select(TABLES, value=table, label="Rows", on_change=lambda e: choose(table=e.value)).props("outlined dense")
                if table == "findings":
                    ui.select(MEASURES, value=measure, label="Bars show", on_change=lambda e: choose(measure=e.value)).props(
                        "outlined dense"
                    )
                text("div", "Drag over days, hours or amounts, and click bars: every other chart and the list follow.").classes(
                    "tu-quiet"
                )
                link = ui.link("Same rows in SQL", "/sql").classes("tu-push")
            with section(TABLES[table], width="tu-span"):
                box = (
                    ui.element("div")
                    .classes("tu-explore")
                    .style("min-height: 620px")
                    .props(f'role="region" tabindex="0" aria-label="{TABLES[table]}"')
                )
            ui.run_javascript(_start(box.html_id, link.html_id, table, spec_of(table, measure)))


def _start(box: str, link: str, table: str, spec: Spec) -> str:
    """Return the script that draws the charts once the page is loaded; it contains only text of this module."""
    return (
        "import('/static/explore.js').then(({mount}) => { const wait = () => { "
        f"const box = document.getElementById({json.dumps(box)}), link = document.getElementById({json.dumps(link)}); "
        "if (!box) return setTimeout(wait, 50); "
        f"mount(box, {json.dumps(spec)}, predicate => {{ if (!link) return; "
        f"const where = predicate.replaceAll('\"finding_id\"', {json.dumps(_ID_COLUMN[table])}); "
        f"const text = 'SELECT * FROM {table}' + (where ? ' WHERE ' + where : '') + ' LIMIT 1000'; "
        "link.href = '/sql?query=' + encodeURIComponent(text); }); }; wait(); });"
    )


_ID_COLUMN = {"findings": "finding_id", "suspicious_transactions": "event_id"}


def spec_of(table: str, measure: str) -> Spec:
    """Return the specification of the linked charts, as Mosaic reads it."""
    amount: Spec = {"sum": "impact"} if measure == "money" and table == "findings" else {"count": ""}
    title = "money" if "sum" in amount else "rows"
    bars = [_plot_bars(table, column, name, amount) for column, name in _DIMENSIONS[table]]
    tables: list[Spec] = [
        {"input": "table", "from": table, "filterBy": "$chosen", "columns": _LISTED[table], "height": 300, "maxWidth": 1_400}
    ]
    histogram = _plot_histogram(table, "impact", "Impact" if table == "findings" else "Probability", {"count": ""}, OVERCHARGE)
    return {
        # A bar lights up by the selection of its own chart alone; all selections together filter the other charts.
        "params": {
            **{f"picked_{column}": {"select": "single"} for column, _ in _DIMENSIONS[table]},
            "chosen": {"select": "crossfilter", "include": [f"$picked_{column}" for column, _ in _DIMENSIONS[table]]},
        },
        "vconcat": [
            {
                "hconcat": [
                    _plot_days(table, amount, title),
                    _plot_histogram(table, "hour", "Hour of day, UTC", amount, LEAKAGE),
                    histogram,
                ]
            },
            {"hconcat": bars},
            *tables,
        ],
    }


def _plot_days(table: str, amount: Spec, title: str) -> Spec:
    return {
        "plot": [
            {
                "mark": "rectY",
                "data": {"from": table, "filterBy": "$chosen"},
                "x": {"bin": "day", "interval": "day"},
                "y": amount,
                "fill": LEAKAGE,
                "inset": 0.5,
            },
            {"select": "intervalX", "as": "$chosen"},
        ],
        "xDomain": "Fixed",
        "xLabel": None,
        "yLabel": f"{title} by day",
        "width": 440,
        "height": 200,
        "marginLeft": 60,
    }


def _plot_histogram(table: str, column: str, title: str, amount: Spec, colour: str) -> Spec:
    return {
        "plot": [
            {
                "mark": "rectY",
                "data": {"from": table, "filterBy": "$chosen"},
                "x": {"bin": column, "steps": 24},
                "y": amount,
                "fill": colour,
                "inset": 0.5,
            },
            {"select": "intervalX", "as": "$chosen"},
        ],
        "xDomain": "Fixed",
        "xLabel": title,
        "yLabel": None,
        "width": 330,
        "height": 200,
        "marginLeft": 50,
    }


def _plot_bars(table: str, column: str, title: str, amount: Spec) -> Spec:
    return {
        "plot": [
            {
                "mark": "barX",
                "data": {"from": table, "filterBy": "$chosen"},
                "x": amount,
                "y": column,
                "fill": OVERCHARGE,
                "sort": {"y": "-x", "limit": 10},
            },
            {"select": "toggleY", "as": f"$picked_{column}"},
            {"select": "highlight", "by": f"$picked_{column}"},
        ],
        "yDomain": "Fixed",
        "yLabel": title,
        "xLabel": None,
        "width": 375,
        "height": 210,
        "marginLeft": 140,
    }
