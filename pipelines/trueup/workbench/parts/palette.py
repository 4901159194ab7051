"""Colours that colour-blind people can distinguish (Okabe and Ito); a label or a sign always shows the same."""

from __future__ import annotations

LEAKAGE, OVERCHARGE, BILLED, PENDING, TOLERATED = "#D55E00", "#0072B2", "#009E73", "#E69F00", "#8C8C8C"
SERIES = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C", "#B8A400", "#7F5A83", "#5D7A3A")
GOOD, WATCH, BAD = "#0072B2", "#E69F00", "#D55E00"


def series_colours(names: list[str]) -> dict[str, str]:
    """Return a colour for each name; further names repeat the colours."""
    return {name: SERIES[index % len(SERIES)] for index, name in enumerate(names)}
