"""Tables of rows: a grid that sorts, filters and selects by keyboard, shows data as text only, and exports CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from nicegui import ui

from trueup.printable import visible
from trueup.secret import mask_data
from trueup.warehouse.text import as_text, for_spreadsheet

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column: the key of its rows, its heading, and how its values are shown."""

    key: str
    title: str
    form: str = "text"
    """text, words (underscores become blanks), money, number, share, time, day or id."""
    width: int = 0
    """The width in pixels; 0 shares the remaining width."""
    hidden: bool = False
    grow: int = 1


_FORMATTERS = {
    "words": "trueup.words(params.value)",
    "money": "trueup.money(params.value, params.data && params.data.currency)",
    "number": "trueup.number(params.value)",
    "share": "trueup.share(params.value)",
    "time": "trueup.time(params.value)",
    "id": "trueup.id(params.value)",
}
_NUMERIC = ("money", "number", "share")


def grid(columns: Sequence[Column], rows: Sequence[Row], *, label: str, select: bool = False, height: str = "") -> ui.aggrid:
    """Draw a grid of rows; a row needs the key `key` where rows are selected. Cells always show data as text."""
    options: dict[str, Any] = {
        "columnDefs": [_define_column(column) for column in columns],
        "rowData": [cells(columns, row) for row in rows],
        "defaultColDef": {"sortable": True, "resizable": True, "filter": True, "minWidth": 70},
        "suppressFieldDotNotation": True,
        "enableCellTextSelection": True,
        "ensureDomOrder": True,
        "animateRows": False,
        "rowHeight": 36,
        "headerHeight": 38,
        "multiSortKey": "ctrl",
        "overlayNoRowsTemplate": "Nothing to show",
        "suppressColumnVirtualisation": len(columns) < 16,
    }
    if select:
        options |= {
            "rowSelection": {"mode": "multiRow", "selectAll": "filtered"},
            ":getRowId": "params => params.data.key",
        }
    drawn = ui.aggrid(options, theme="quartz", auto_size_columns=False).classes("tu-grid")
    drawn.props(f'role="region" aria-label="{label}" tabindex="-1"')
    drawn.style(f"height: {height or _find_height(len(rows))}")
    return drawn


def cells(columns: Sequence[Column], row: Row) -> Row:
    """Return a row as lossless JSON: decimals and times are text, control characters are escapes."""
    kept = {column.key for column in columns} | {"key", "currency"}
    return {key: _format_cell(value) for key, value in row.items() if key in kept}


def csv_text(columns: Sequence[Column], rows: Sequence[Row]) -> bytes:
    """Return rows as CSV for a spreadsheet: exact values, and an apostrophe before text that it would run as a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([column.key for column in columns])
    for row in rows:
        writer.writerow([_format_csv_cell(mask_data(row.get(column.key))) for column in columns])
    # The mark by which spreadsheets know that the text is UTF-8.
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "backslashreplace")


def _format_csv_cell(value: object) -> str:
    text = as_text(value)
    return text if isinstance(value, int | float | Decimal) else for_spreadsheet(text)


def _define_column(column: Column) -> Row:
    definition: Row = {"field": column.key, "headerName": column.title, "cellDataType": False}
    if column.width:
        # A narrow heading has no room for the button.
        definition |= {"width": column.width, "suppressHeaderFilterButton": column.width < 120}
    else:
        definition |= {"flex": column.grow, "minWidth": 130}
    if column.form in _FORMATTERS:
        definition[":valueFormatter"] = f"params => {_FORMATTERS[column.form]}"
    if column.form in _NUMERIC:
        definition |= {"type": "rightAligned", ":comparator": "trueup.compareNumbers", "filter": "agNumberColumnFilter"}
        definition |= {"suppressHeaderFilterButton": True}
        definition[":filterValueGetter"] = f"params => Number(params.data[{column.key!r}])"
    if column.form == "id":
        definition["cellClass"] = "tu-mono"
    if column.hidden:
        definition["hide"] = True
    definition["tooltipField"] = column.key
    return definition


def _format_cell(value: object) -> object:
    value = mask_data(value)
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, date):
        return value.isoformat()
    return visible(as_text(value))


def _find_height(rows: int) -> str:
    return f"{min(max(rows, 2), 14) * 36 + 44}px"
