"""Roles: find the event column of each column of a sample, and the stream of the sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from trueup.config import TARIFF_COLUMNS, Stream
from trueup.onboarding.columns import Column
from trueup.onboarding.evidence import Fit
from trueup.onboarding.layouts.csv import DISPOSITIONS
from trueup.onboarding.names import name_score

_CLOCK_TEXT = r"^[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?$"
_CDR_CSV = {
    "account": "1", "subscriber": "2", "peer": "3", "started_at": "10", "ended_at": "12", "quantity": "14", "record_key": "17",
}  # fmt: skip
"""Numbers of the fields that cdr_csv of an Asterisk exchange writes, by event column."""
_DECIMALS = r"[.,][0-9]{2,}\D*$"


@dataclass(frozen=True)
class Roles:
    """The columns of a sample by event column; `named` holds those found by their names, the others are found by their values.

    `day` and `time_of_day` are two columns that together hold the start.
    """

    stream: Stream
    columns: dict[str, Column]
    named: set[str] = field(default_factory=set)
    day: tuple[Column, str] | None = None
    time_of_day: tuple[Column, str] | None = None

    @property
    def has_start(self) -> bool:
        """Whether each record has a time."""
        return "started_at" in self.columns or self.day is not None


def _is_time(column: Column) -> bool:
    return bool(column.times) and column.times[0][1].share >= 0.8


def _is_quantity(column: Column) -> bool:
    return column.is_number or bool(column.clocks and column.clocks[0][1].share >= 0.8)


def _is_party(column: Column) -> bool:
    return len(column.texts) > 0 and not _is_time(column)


def _is_whole(column: Column) -> bool:
    return len(column.texts) > 0 and bool(column.texts.str.contains(r"^[0-9]{1,9}$").all())


def _has_values(column: Column) -> bool:
    return len(column.texts) > 0


_ROLES: Mapping[str, Callable[[Column], bool]] = {
    "started_at": _is_time, "ended_at": _is_time, "billed_at": _is_time, "amount": lambda column: column.is_number,
    "quantity": _is_quantity, "partial_no": _is_whole, "currency": _has_values, "peer": _is_party, "subscriber": _is_party,
    "account": _has_values, "service": _has_values, "direction": _has_values, "node": _has_values, "cell": _has_values,
    "tariff_code": _has_values, "invoice_id": _has_values,
}  # fmt: skip
"""Event columns, each with the kind of values that a column of such a name must have. The order decides between equal scores."""


def roles_of(columns: Mapping[str, Column], *, has_names: bool) -> Roles:
    """Return the roles of a sample's columns."""
    if {"item", "valid_from"} <= set(columns) and len(set(columns) & set(TARIFF_COLUMNS)) * 2 > len(columns):
        return Roles("tariff", {name: column for name, column in columns.items() if name in TARIFF_COLUMNS}, set(columns))
    found = _assign_by_name(columns) if has_names else _assign_by_known_layout(columns)
    named = set(found)
    day, clock = _split_start(columns) if has_names else (None, None)
    if day is not None and clock is not None:
        found = {role: column for role, column in found.items() if role == "started_at" or column not in (day[0], clock[0])}
        found.pop("started_at", None)
    _assign_by_values(columns, found, has_start=day is not None, has_names=has_names)
    stream: Stream = "charge" if "amount" in found else "usage"
    # A day or a time of day alone identifies no record, even where it differs in all records of a sample.
    halves = [half[0].name for half in (day, clock) if day is not None and clock is not None and half is not None]
    whole = {name: column for name, column in columns.items() if name not in halves}
    key = found.get("record_key") or _record_key(whole, found, has_names=has_names)
    if key is not None:
        found["record_key"] = key
        named |= {"record_key"} if has_names and name_score(key.name, "record_key") else set()
    return Roles(stream, found, named, day, clock)


def _assign_by_name(columns: Mapping[str, Column]) -> dict[str, Column]:
    scores = sorted(
        ((name_score(name, role), role, name) for name in columns for role in _ROLES if name_score(name, role)),
        key=lambda entry: (-entry[0], list(_ROLES).index(entry[1]), list(columns).index(entry[2])),
    )
    found: dict[str, Column] = {}
    taken: set[str] = set()
    for _, role, name in scores:
        if role not in found and name not in taken and _ROLES[role](columns[name]):
            found[role] = columns[name]
            taken.add(name)
    return found


def _assign_by_known_layout(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Return the roles of call records as cdr_csv of an Asterisk exchange writes them, without column names."""
    disposition = columns.get("15")
    if not 16 <= len(columns) <= 18 or disposition is None or not set(disposition.texts.to_list()) <= DISPOSITIONS:
        return {}
    found = {role: columns[number] for role, number in _CDR_CSV.items() if number in columns}
    return {role: column for role, column in found.items() if _ROLES.get(role, _has_values)(column)}


def _split_start(columns: Mapping[str, Column]) -> tuple[tuple[Column, str] | None, tuple[Column, str] | None]:
    """Return the columns of day and time of day, each with its format, where the start is split into both."""
    days = [(name_score(name, "day"), column) for name, column in columns.items() if name_score(name, "day") >= 50]
    clocks = [
        (name_score(name, "time_of_day"), column) for name, column in columns.items() if name_score(name, "time_of_day") >= 50
    ]
    for _, day in sorted(days, key=lambda entry: -entry[0]):
        if not day.dates:
            continue
        for _, clock in sorted(clocks, key=lambda entry: -entry[0]):
            if clock is not day and len(clock.texts) and clock.texts.str.contains(_CLOCK_TEXT).mean() >= 0.9:  # type: ignore[operator]
                seconds = clock.texts.str.count_matches(":").max() == 2
                return (day, day.dates[0][0]), (clock, "%H:%M:%S" if seconds else "%H:%M")
    return None, None


def _assign_by_values(columns: Mapping[str, Column], found: dict[str, Column], *, has_start: bool, has_names: bool) -> None:
    """Find the start by its values; where columns have no names, also find parties, quantity and amount."""
    free = [column for column in columns.values() if column not in found.values() and len(column.texts)]
    if "started_at" not in found and not has_start:
        full = [column for column in free if column.times and column.times[0][1].share >= 0.9]
        full.sort(key=lambda column: column.times[0][0].startswith("epoch"))
        if full and not (has_names and ("amount" in found or full[0].times[0][0].startswith("epoch"))):
            found["started_at"] = full[0]
    if has_names or "quantity" in found:
        return
    free = [column for column in free if column not in found.values() and not _is_plain_time(column)]
    parties = [column for column in free if column.party.share >= 0.9 and column.texts.str.len_chars().median() >= 7]  # type: ignore[operator]
    found |= dict(zip(("subscriber", "peer"), parties[:2], strict=False))
    numbers = [column for column in free if column not in found.values() and _is_quantity(column)]
    money = [column for column in numbers if column.texts.str.contains(_DECIMALS).mean() >= 0.8]  # type: ignore[operator]
    if money:
        found["amount"] = money[-1]
    lengths = [column for column in numbers if column not in found.values() and not (column.is_unique and column.is_counter)]
    if lengths:
        found["quantity"] = next((column for column in lengths if column.clocks), lengths[-1])


def _is_plain_time(column: Column) -> bool:
    return bool(column.times) and not column.times[0][0].startswith("epoch") and column.times[0][1].share >= 0.9


def _record_key(columns: Mapping[str, Column], found: Mapping[str, Column], *, has_names: bool) -> Column | None:
    """Return the column whose values identify each record; prefer the column with the best name."""
    held = [
        column for role, column in found.items() if role in ("started_at", "ended_at", "amount", "quantity", "subscriber", "peer")
    ]
    free = [column for column in columns.values() if column not in held and column.is_unique]
    named = [column for column in free if name_score(column.name, "record_key")]
    if named:
        return max(named, key=lambda column: name_score(column.name, "record_key"))
    usable = [column for column in free if not _is_plain_time(column) and column not in found.values()]
    shared = [column for column in usable if name_score(column.name, "session_key")]
    return next(iter([*shared, *usable]), None)


def overlap(first: Column, second: Column) -> Fit:
    """Return the number of distinct values that two columns share, and the number in the column with fewer."""
    left, right = set(first.texts.to_list()), set(second.texts.to_list())
    return Fit(len(left & right), min(len(left), len(right)))
