"""Model: training data, calibration, drift and blind spots of the model in force."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui
from starlette.requests import Request

from trueup.workbench.parts import charts
from trueup.workbench.parts.money import count_text, share_text, words
from trueup.workbench.parts.palette import LEAKAGE, OVERCHARGE
from trueup.workbench.parts.shell import empty, fact, section, shell
from trueup.workbench.parts.text import facts_table, text
from trueup.workbench.parts.url_state import UrlState
from trueup.workbench.workbench import Workbench

Row = dict[str, Any]
_MARGIN = "(margin)"
_BY_TYPE_NOTE = "Frauds of later days by type, and how many of their transactions raised an alert."
_CAUGHT_NOTE = (
    "Parties of simulated operators by kind and number, and how many of them had a case; innocent look-alikes are the last."
)


def register(workbench: Workbench) -> None:
    """Add the page."""

    @ui.page("/model", title="Model · trueup", response_timeout=60)
    async def model(request: Request) -> None:
        state = UrlState(request, {"model": ""})
        declared = await workbench.questions.lake_rows("model/champions")
        roles = {content["model_id"]: content["role"] for content in (json.loads(row["content"]) for row in declared)}
        with shell(workbench, request, "Model"):
            if not roles:
                empty("No model is in force: `trueup train` makes one, `trueup promote` declares it. Rules alert without one.")
                return
            champion = next((name for name, role in reversed(roles.items()) if role == "champion"), next(reversed(roles)))
            name = state["model"] if state["model"] in roles else champion
            _show_choice(state, roles, name)
            await _show_model(workbench, name, roles[name])


def _show_choice(state: UrlState, roles: Mapping[str, str], name: str) -> None:
    def choose(value: str) -> None:
        state.set(model=value)
        ui.navigate.to(state.address())

    with ui.element("div").classes("tu-bar"):
        text("div", f"Model {name[:12]}, {roles[name]}").classes("tu-title")
        if len(roles) > 1:
            options = {each: f"{each[:12]} ({role})" for each, role in roles.items()}
            ui.select(options, value=name, label="Model", on_change=lambda e: choose(e.value)).props("outlined dense").classes(
                "tu-push"
            )


async def _show_model(workbench: Workbench, name: str, role: str) -> None:
    ask = workbench.questions.rows
    daily, drift, card = await asyncio.gather(
        ask("model/daily", name=name), ask("model/drift", name=name), asyncio.to_thread(_read_card, workbench, name)
    )
    metrics = card.get("metrics", {})
    with ui.element("div").classes("tu-facts"):
        budget = card.get("alerts_per_day")
        others = "operators that it was not trained on" if "measured_on" in card else "later days than it was trained on"
        for measure, (title, note, written) in _MEASURES.items():
            if measure in metrics:
                shown = {"budget": budget if budget is not None else "the", "others": others}
                fact(title, written(metrics[measure]), note.format_map(shown), "good")
        fact(
            "Alerts",
            count_text(int(sum(row["suspicious"] for row in daily))),
            f"of {count_text(int(sum(row['transactions'] for row in daily)))} scored",
            "leak",
        )
        decided = [(row["confirmed"], row["dismissed"]) for row in daily]
        right, wrong = sum(c for c, _ in decided), sum(d for _, d in decided)
        fact(
            "Precision of decisions",
            share_text(right / (right + wrong)) if right + wrong else "–",
            f"{count_text(right + wrong)} decided",
            "watch",
        )
    with ui.element("div").classes("tu-columns"):
        with section(
            "Drift from training", "Population stability index by day: of the model's output, and of the features that drift most."
        ):
            _draw_drift(drift)
        with section(
            "Calibration",
            "Of transactions that the model called as likely as this, how many were fraud; on the dashed line all is well.",
        ):
            _draw_calibration(card)
        with section("Alerts by day", "Share of scored transactions that the model finds suspicious."):
            _draw_alerts(daily)
        with section("What it catches", _CAUGHT_NOTE if "cases_caught" in card else _BY_TYPE_NOTE):
            _draw_caught(card)
        with section("What it cannot see"):
            blind = card.get("blind_spots") or []
            for sentence in blind:
                text("div", f"• {sentence}")
            if not blind:
                empty("Its card names no blind spot.")
        with section("Card"):
            _show_facts(card, name, role)


def _read_card(workbench: Workbench, name: str) -> dict[str, Any]:
    """Return the card of a model; an empty one where its folder is not on this machine."""
    path = workbench.project.directory / "models" / name / "card.json"
    if not re.fullmatch(r"[\w-]{1,100}", name) or not path.is_file():
        return {}
    card = json.loads(path.read_text("utf-8"))
    return card if isinstance(card, dict) else {}


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


_MEASURES = {
    "precision_at_budget": ("Precision at budget", "first {budget} alerts of a day", share_text),
    "precision_within_the_budget": ("Precision within the budget", "{budget} cases a day, on {others}", share_text),
    "share_of_frauds_caught_within_the_budget": ("Frauds caught", "within the budget, on {others}", share_text),
    "value_detected_ratio": ("Money detected", "of all fraud, within the budget, on {others}", share_text),
    "average_precision": ("Average precision", "on {others}", _number),
    "auc": ("AUC", "0.5 is chance", _number),
}
"""Measures that a card may have, each with title, note and form; a measure that the card lacks is left out."""


def _draw_drift(drift: Sequence[Row]) -> None:
    if not drift:
        empty("No day has been compared with the training data.")
        return
    days = sorted({row["day"] for row in drift})
    features = sorted({row["feature"] for row in drift}, key=lambda feature: (feature != _MARGIN, feature))
    values: dict[str, list[float | None]] = {}
    for feature in features:
        by_day = {row["day"]: round(float(row["psi"]), 3) for row in drift if row["feature"] == feature}
        values["output of the model" if feature == _MARGIN else words(feature)] = [by_day.get(day) for day in days]
    bounds = [(0.1, "watch 0.1"), (0.25, "alarm 0.25")]
    charts.chart(charts.lines_over_days([f"{day:%-d %b}" for day in days], values, bounds), height=300, label="Drift by day")


def _draw_calibration(card: Mapping[str, Any]) -> None:
    bins: Sequence[Mapping[str, float]] = card.get("reliability") or []
    if not bins:
        starter = "It was calibrated on other operators: train a model on decisions of yours to see how well it fits here."
        empty(starter if "measured_on" in card else "Its card has no calibration.")
        return
    data = [
        {
            "value": [each["said"], each["was"]],
            "symbolSize": 8 + min(22.0, each["transactions"] ** 0.5),
            "text": f"said {each['said']:.0%}, was {each['was']:.0%}\n{each['transactions']:,} transactions",
        }
        for each in bins
    ]
    axis = {
        "type": "value",
        "min": 0,
        "max": 1,
        "nameLocation": "middle",
        "nameGap": 26,
        "axisLabel": {":formatter": "v => trueup.share(v)"},
    }
    diagonal = {
        "silent": True,
        "symbol": "none",
        "lineStyle": {"type": "dashed", "color": "#8a8a8a"},
        "data": [[{"coord": [0, 0]}, {"coord": [1, 1]}]],
    }
    options = {
        "tooltip": {":formatter": "p => trueup.plain(p.data.text)", "confine": True},
        "grid": {"left": 30, "right": 24, "top": 12, "bottom": 26, "containLabel": True},
        "xAxis": {**axis, "name": "the model said"},
        "yAxis": {**axis, "name": "it was fraud", "nameGap": 44},
        "series": [{"type": "scatter", "data": data, "itemStyle": {"color": OVERCHARGE, "opacity": 0.8}, "markLine": diagonal}],
    }
    charts.chart(options, height=300, label="Calibration: probability said against share of fraud")


def _draw_alerts(daily: Sequence[Row]) -> None:
    if not daily:
        empty("It has scored nothing yet.")
        return
    values: dict[str, list[float | None]] = {"share of alerts": [round(float(row["alert_rate"] or 0), 4) for row in daily]}
    charts.chart(
        charts.lines_over_days([f"{row['day']:%-d %b}" for row in daily], values, []), height=240, label="Share of alerts by day"
    )


def _draw_caught(card: Mapping[str, Any]) -> None:
    """Draw the share of each fraud type that is caught: of its transactions or, if the card counts cases, of its cases."""
    by_type, by_case = card.get("by_type") or [], card.get("cases_caught") or {}
    types = [(str(each["type"]), int(each["transactions"]), int(each["alerted"])) for each in by_type]
    types = types or [(name, int(each["cases"]), int(each["caught"])) for name, each in by_case.items()]
    if not types:
        empty("Its labels have no types.")
        return
    ordered = sorted(types, key=lambda each: (-each[2] / max(each[1], 1), each[0]))
    names = [f"{words(name)}, {count}" for name, count, _ in ordered]
    shares = [round(caught / max(count, 1), 3) for _, count, caught in ordered]
    charts.chart(
        charts.ranked_bars(names, shares, [LEAKAGE if share < 0.5 else OVERCHARGE for share in shares], "v => trueup.share(v)"),
        height=40 + (34 if len(names) < 10 else 20) * len(names),
        label="Share of each type of fraud that raised an alert",
    )


def _show_facts(card: Mapping[str, Any], name: str, role: str) -> None:
    if not card:
        empty("The folder of this model is not on this machine: its card cannot be shown.")
    parameters = ", ".join(f"{key} {value}" for key, value in (card.get("parameters") or {}).items())
    facts_table(
        [
            ("Model", name),
            ("Role", role),
            ("Trained on", f"{card.get('from', '')} to {card.get('to', '')}"),
            ("Transactions", count_text(card.get("transactions"))),
            ("Frauds", count_text(card.get("frauds"))),
            ("Labels", card.get("snapshot", "")),
            ("Features", count_text(len(card.get("features") or []))),
            ("Threshold", _number(card.get("threshold"))),
            ("Rounds", card.get("rounds", "")),
            ("Parameters", parameters),
            ("Feature hash", str(card.get("feature_hash", ""))[:16]),
        ]
    )
