"""Charts as SVG, drawn without a browser or a network: the same rows always give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import altair as alt
import vl_convert

from trueup.printable import visible

Row = Mapping[str, Any]
LEAKAGE, OVERCHARGE, BILLED, EXPECTED, OTHER = "#D55E00", "#0072B2", "#009E73", "#56B4E9", "#8C8C8C"
_SERIES = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#B8A400"]
"""Colours that colour-blind people distinguish (Okabe and Ito)."""


def leakage_svg(rows: Sequence[Row], currency: str) -> str:
    """Draw leakage (up) and overcharge (down) by day and kind; rows have `day`, `kind`, `leakage` and `overcharge`."""
    values = [
        {"day": row["day"].isoformat(), "kind": _format_words(row["kind"]), "money": float(row["leakage"] - row["overcharge"])}
        for row in rows
        if row["day"] is not None and row["leakage"] != row["overcharge"]
    ]
    kinds = sorted({str(value["kind"]) for value in values})
    chart = (
        alt.Chart(_wrap_rows(values), width=640, height=280, title="Leakage (up) and overcharge (down) by day")
        .mark_bar()
        .encode(
            x=alt.X("day:O", title=None, axis=alt.Axis(labelAngle=-40)),
            y=alt.Y("money:Q", title=visible(currency)),
            color=alt.Color("kind:N", title=None, scale=alt.Scale(domain=kinds, range=_SERIES)),
        )
    )
    return _render_svg(chart)


def waterfall_svg(expected: Decimal, billed: Decimal, impact: Decimal, currency: str) -> str:
    """Draw the steps from expected to billed money: leakage, overcharge, and tolerated differences."""
    others = expected - billed - impact
    steps = [
        ("expected", expected, EXPECTED),
        ("leakage" if impact >= 0 else "overcharge", -impact, LEAKAGE if impact >= 0 else OVERCHARGE),
    ]
    steps += [("tolerated, other findings", -others, OTHER)] if others else []
    values, level = list[dict[str, Any]](), Decimal(0)
    for order, (name, change, colour) in enumerate(steps):
        values.append(_describe_bar(order, name, (level, level + change), change, colour))
        level += change
    values.append(_describe_bar(len(steps), "billed", (Decimal(0), billed), billed, BILLED))
    base = alt.Chart(_wrap_rows(values), width=460, height=240, title=f"From expected to billed, {visible(currency)}").encode(
        x=alt.X("name:N", sort=alt.SortField("order"), title=None, axis=alt.Axis(labelAngle=0))
    )
    bars = base.mark_bar(size=56).encode(
        y=alt.Y("low:Q", title=visible(currency)), y2="high:Q", color=alt.Color("colour:N", scale=None, legend=None)
    )
    return _render_svg(bars + base.mark_text(dy=-8).encode(y="high:Q", text="text:N"))


def calibration_svg(bins: Sequence[Row], title: str) -> str:
    """Draw the calibration of a model: for each predicted probability `said`, the observed share of fraud `was`."""
    values = [{"said": each["said"], "was": each["was"], "transactions": each["transactions"]} for each in bins]
    share = alt.Scale(domain=[0, 1])
    points = (
        alt.Chart(_wrap_rows(values), width=320, height=320, title=visible(title))
        .mark_circle(color=OVERCHARGE, opacity=0.8)
        .encode(
            x=alt.X("said:Q", title="the model said", scale=share, axis=alt.Axis(format="%")),
            y=alt.Y("was:Q", title="it was fraud", scale=share, axis=alt.Axis(format="%")),
            size=alt.Size("transactions:Q", title="transactions"),
        )
    )
    ideal = alt.Chart(_wrap_rows([{"at": 0}, {"at": 1}])).mark_line(strokeDash=[4, 4], color=OTHER).encode(x="at:Q", y="at:Q")
    return _render_svg(ideal + points)


def as_png(svg: str, scale: float = 2.0) -> bytes:
    """Return a picture as PNG, for formats that cannot hold SVG; equal pictures give equal bytes."""
    return vl_convert.svg_to_png(svg, scale=scale)


def _wrap_rows(values: Sequence[Row]) -> alt.Data:
    return alt.Data(values=list(values))  # type: ignore[no-untyped-call]


def _describe_bar(order: int, name: str, ends: tuple[Decimal, Decimal], amount: Decimal, colour: str) -> dict[str, Any]:
    low, high = sorted(ends)
    return {"order": order, "name": name, "low": float(low), "high": float(high), "text": f"{amount:,.2f}", "colour": colour}


def _format_words(name: object) -> str:
    return visible(str(name)).replace("_", " ")


def _render_svg(chart: alt.Chart | alt.LayerChart) -> str:
    styled = chart.configure(font="DejaVu Sans").configure_view(stroke=None).configure_axis(grid=True, gridColor="#E3E8ED")
    return vl_convert.vegalite_to_svg(styled.to_json(), vl_version=_VEGA_LITE)


_VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
"""The version of Vega-Lite that the installed Altair writes."""
