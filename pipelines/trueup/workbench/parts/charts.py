"""Charts: options of ECharts with colours that colour-blind people distinguish, drawn as SVG that follows the theme."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from trueup.workbench.parts.palette import series_colours

Options = dict[str, Any]
_FONT = 'system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
"""The font of the page by name, because ECharts measures text on a canvas, which does not inherit fonts."""
_GRID = {"left": 8, "right": 16, "top": 40, "bottom": 8, "containLabel": True}


def chart(options: Options, *, label: str, height: int = 300) -> ui.echart:
    """Draw a chart; `label` describes it in words."""
    base: Options = {"animation": False, "textStyle": {"fontFamily": _FONT}, "aria": {"enabled": True, "description": label}}
    drawn = ui.echart({**base, **options}, renderer="svg").classes("tu-chart").style(f"height: {height}px")
    return drawn.props(f'role="img" aria-label="{_attribute(label)}"')


def stacked_days(days: Sequence[str], amounts: dict[str, list[float]], currency: str) -> Options:
    """Return bars by day: leakage above the line, overcharge below, one colour and legend entry for each name."""
    colours = series_colours(list(amounts))
    return {
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}, ":valueFormatter": money_js(currency), "confine": True},
        "legend": {"type": "scroll", "top": 0, "left": 0},
        "grid": _GRID,
        "xAxis": {"type": "category", "data": list(days), "axisLabel": {"hideOverlap": True}},
        "yAxis": {"type": "value", "axisLabel": {":formatter": money_js(currency)}, "splitNumber": 4},
        "series": [
            {
                "name": name,
                "type": "bar",
                "stack": "money",
                "data": values,
                "barMaxWidth": 42,
                "itemStyle": {"color": colours[name]},
                "emphasis": {"focus": "series"},
            }
            for name, values in amounts.items()
        ],
    }


def ranked_bars(names: Sequence[str], amounts: Sequence[float], colours: Sequence[str], formatter: str) -> Options:
    """Return horizontal bars, the first one on top, each with its value next to it."""
    data = [{"value": amount, "itemStyle": {"color": colour}} for amount, colour in zip(amounts, colours, strict=True)]
    return {
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}, ":valueFormatter": formatter, "confine": True},
        "grid": {"left": 8, "right": 70, "top": 4, "bottom": 4, "containLabel": True},
        "xAxis": {"type": "value", "axisLabel": {"show": False}, "splitLine": {"show": False}},
        "yAxis": {
            "type": "category",
            "inverse": True,
            "data": list(names),
            "axisTick": {"show": False},
            "axisLine": {"show": False},
            "axisLabel": {"width": 210, "overflow": "truncate"},
        },
        "series": [
            {
                "type": "bar",
                "data": data,
                "barMaxWidth": 20,
                "label": {"show": True, "position": "right", ":formatter": f"p => ({formatter})(p.value)"},
            }
        ],
    }


def sankey(nodes: Sequence[Options], links: Sequence[Options], currency: str) -> Options:
    """Return flows of money between nodes; on a telephone with smaller labels and more room for them."""
    narrow = {"right": "44%", "nodeGap": 17, "label": {"fontSize": 10, "width": 128}}
    return {
        "media": [{"query": {"maxWidth": 560}, "option": {"series": [narrow]}}],
        "tooltip": {"trigger": "item", ":valueFormatter": money_js(currency), "confine": True},
        "series": [
            {
                "type": "sankey",
                "data": list(nodes),
                "links": list(links),
                "nodeAlign": "justify",
                "left": 4,
                "right": "24%",
                "top": 8,
                "bottom": 14,
                "nodeGap": 21,
                "nodeWidth": 14,
                "draggable": False,
                "layoutIterations": 64,
                "lineStyle": {"color": "gradient", "opacity": 0.35, "curveness": 0.5},
                "emphasis": {"focus": "adjacency"},
                "label": {
                    "overflow": "truncate",
                    "width": 230,
                    ":formatter": f"p => p.name + '  ' + ({money_js(currency)})(p.value)",
                },
            }
        ],
    }


def heat_map(columns: Sequence[str], lines: Sequence[str], cells: Sequence[Options]) -> Options:
    """Return a table of coloured cells; each cell has `value` ([column, line, amount]), a colour and a text."""
    return {
        "tooltip": {"trigger": "item", ":formatter": "p => trueup.plain(p.data.text)", "confine": True},
        "grid": {"left": 8, "right": 8, "top": 8, "bottom": 4, "containLabel": True},
        "xAxis": {"type": "category", "data": list(columns), "splitArea": {"show": False}, "axisLabel": {"hideOverlap": True}},
        "yAxis": {"type": "category", "data": list(lines), "inverse": True, "axisLabel": {"width": 110, "overflow": "truncate"}},
        "series": [
            {
                "type": "heatmap",
                "data": list(cells),
                "itemStyle": {"borderWidth": 2, "borderColor": "transparent", "borderRadius": 4},
                "label": {"show": True, ":formatter": "p => p.data.mark", "fontSize": 11, "fontWeight": 600},
                "labelLayout": {"hideOverlap": True},
            }
        ],
        "visualMap": {"show": False, "min": 0, "max": 1, "inRange": {"color": ["#888", "#888"]}},
    }


def waterfall(steps: Sequence[tuple[str, float, str]], currency: str) -> Options:
    """Return a waterfall: each step has a title, a change (the first and last are totals) and a colour."""
    hidden, shown, level = [], [], 0.0
    for index, (_, amount, colour) in enumerate(steps):
        is_total = index in (0, len(steps) - 1)
        start = 0.0 if is_total else level
        end = amount if is_total else level + amount
        hidden.append(min(start, end) if min(start, end) >= 0 else 0)
        shown.append({"value": abs(end - start), "itemStyle": {"color": colour}, "amount": amount})
        level = end
    return {
        "tooltip": {"show": False},
        "grid": {"left": 8, "right": 16, "top": 24, "bottom": 4, "containLabel": True},
        "xAxis": {
            "type": "category",
            "data": [title for title, _, _ in steps],
            "axisLabel": {"interval": 0, "width": 96, "overflow": "break"},
        },
        "yAxis": {"type": "value", "axisLabel": {":formatter": money_js(currency)}, "splitNumber": 3},
        "series": [
            {"type": "bar", "stack": "w", "data": hidden, "itemStyle": {"color": "transparent"}, "silent": True},
            {
                "type": "bar",
                "stack": "w",
                "data": shown,
                "barMaxWidth": 64,
                "label": {"show": True, "position": "top", ":formatter": f"p => ({money_js(currency)})(p.data.amount)"},
            },
        ],
    }


def lines_over_days(days: Sequence[str], values: dict[str, list[float | None]], bounds: Sequence[tuple[float, str]]) -> Options:
    """Return lines by day with labelled bounds, then on a logarithmic axis; each line has a symbol of its own."""
    colours, symbols = series_colours(list(values)), ("circle", "rect", "triangle", "diamond", "pin", "arrow")
    marks = [{"yAxis": at, "label": {"formatter": text, "position": "insideEndTop"}} for at, text in bounds]
    series: list[Options] = [
        {
            "name": name,
            "type": "line",
            "data": line,
            "symbol": symbols[index % len(symbols)],
            "symbolSize": 8,
            "itemStyle": {"color": colours[name]},
            "lineStyle": {"width": 2},
        }
        for index, (name, line) in enumerate(values.items())
    ]
    if series and marks:
        series[0]["markLine"] = {
            "silent": True,
            "symbol": "none",
            "data": marks,
            "lineStyle": {"type": "dashed", "color": "#8a8a8a"},
        }
    return {
        "tooltip": {"trigger": "axis", "confine": True},
        "legend": {"type": "scroll", "top": 0, "left": 0},
        "grid": _GRID,
        "xAxis": {"type": "category", "data": list(days), "axisLabel": {"hideOverlap": True}},
        "yAxis": {"type": "log", "min": 0.01} if bounds else {"type": "value", "splitNumber": 4, "min": 0},
        "series": series,
    }


def money_js(currency: str) -> str:
    """Return the JavaScript function that writes an amount of this currency."""
    code = "".join(c for c in currency if c.isalnum())
    return f"v => trueup.money(v, '{code}')"


def _attribute(text: str) -> str:
    return "".join(c for c in text if c not in "\"'<>=`")
