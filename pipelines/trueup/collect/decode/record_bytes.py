"""Read the bytes of one record of a unit, up to the length limit."""

from __future__ import annotations

from dataclasses import replace

from trueup.collect.decode.text.lines import Bounds, Lines, one_line
from trueup.collect.discover.units import Unit


def bounds_of(unit: Unit) -> Bounds:
    """Return the bounds of a record of a unit."""
    return Bounds(unit.limits.record_bytes, unit.limits.kept_bytes)


def record_at(unit: Unit, row: int, offset: int, length: int) -> Lines:
    """Return the bytes of one record of a unit; a record that is too long yields as many bytes as the log holds of it."""
    held = length if length <= unit.limits.record_bytes else min(length, unit.limits.kept_bytes)
    return replace(one_line(unit.bytes_at(offset, held), offset=offset, row=row), unread_bytes=length - held)
