"""Text elements: show data as text in the tag that fits its meaning, never as HTML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from trueup.printable import visible
from trueup.secret import mask_data


def text(tag: str, content: object) -> TextElement:
    """Draw a text in an element; control characters of the data become escapes."""
    return TextElement(tag=tag, text=visible(str(mask_data("" if content is None else str(content)))))


def facts_table(rows: Iterable[tuple[str, object]]) -> None:
    """Draw a table of names and values."""
    with ui.element("table").classes("tu-table"), ui.element("tbody"):
        for name, value in rows:
            with ui.element("tr"):
                text("th", name).props('scope="row"')
                text("td", value)


NEVER_EQUAL = ("stream", "record key", "file", "bytes", "event", "billed at")
"""Facts that differ between any two records."""


def side_by_side(titles: Sequence[str], rows: Iterable[tuple[str, Sequence[object]]]) -> None:
    """Draw records as columns and their facts as rows; a row whose values differ is marked, in colour and by a sign."""
    with (
        ui.element("div").classes("tu-scroll").props('tabindex="0" role="region" aria-label="Records side by side"'),
        ui.element("table").classes("tu-table"),
    ):
        with ui.element("thead"), ui.element("tr"):
            text("th", "")
            for title in titles:
                text("th", title).props('scope="col"')
        with ui.element("tbody"):
            for name, values in rows:
                compared = {str(value) for value in values if value not in (None, "")}
                differs = len(compared) > 1 and name not in NEVER_EQUAL
                with ui.element("tr"):
                    text("th", f"≠ {name}" if differs else name).props('scope="row"')
                    for value in values:
                        text("td", value).classes("differs" if differs else "")


def chips(values: Iterable[str]) -> None:
    """Draw short facts in a row."""
    with ui.element("div").classes("tu-chips"):
        for value in values:
            text("span", value).classes("tu-chip")


def pattern_text(pattern: object) -> str:
    """Return the dimensions of a case as words: `service voice, node MSC0101`; the sign of its money gives the side."""
    shown = [f"{name.replace('_', ' ')} {value}" for name, value in pattern_of(pattern) if name != "side"]
    return ", ".join(shown) or "no dimension in common"


def pattern_of(pattern: object) -> list[tuple[str, str]]:
    """Return the dimensions of a case with their values."""
    loaded: Any = json.loads(pattern) if isinstance(pattern, str) else pattern
    return [(str(name), "none" if value in (None, "") else str(value)) for name, value in loaded or []]


def sentences_of(text_of_json: object) -> list[str]:
    """Return the reasons of a score as sentences."""
    loaded: Any = json.loads(text_of_json) if isinstance(text_of_json, str) else text_of_json
    return [str(sentence) for sentence in loaded or []]
