"""`[source.fixed]`: the fields of a fixed-width text file."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trueup.config.values import Flag, Table, Text, Whole

_LONGEST = 1 << 20


class FixedField(Table):
    """A field of `[source.fixed]`. Without `start` it begins where the field before it ends."""

    name: Text
    """The name by which `[source.columns]` refers to the field."""
    length: Annotated[Whole, Field(ge=1, le=_LONGEST)]
    """Its length, in characters or bytes."""
    start: Annotated[Whole, Field(ge=1, le=_LONGEST)] | None = None
    """Its first position, counted from 1; by default where the field before it ends."""


class FixedConfig(Table):
    """`[source.fixed]`: where the fields of each line of a fixed-width file lie.

    Positions count characters, or bytes of the declared `encoding`. Fields may leave gaps and overlap. A line has `length`, which
    by default is where the last field ends; a shorter or longer line goes to quarantine.
    """

    fields: Annotated[tuple[FixedField, ...], Field(min_length=1)]
    """The fields in order."""
    count: Literal["characters", "bytes"] = "characters"
    """Whether positions and lengths count characters or bytes."""
    length: Annotated[Whole, Field(ge=1, le=_LONGEST)] | None = None
    """The length of a line, where lines continue after the last field."""
    stripped: Flag = False
    """Whether lines may lack blanks at their end, because some transfers strip them."""

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        names = [field.name for field in self.fields]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"`fields` names {name!r} twice")
        ends = [start + length for start, length in self.spans.values()]
        if max(ends) > _LONGEST:
            raise ValueError(f"the fields end at {max(ends)}, beyond {_LONGEST}")
        if self.length is not None and self.length < max(ends):
            raise ValueError(f"`length` is {self.length}, but a field ends at {max(ends)}")
        return self

    @property
    def spans(self) -> dict[str, tuple[int, int]]:
        """Offset and length of each field by name; the first offset is 0."""
        spans, at = {}, 0
        for field in self.fields:
            at = at if field.start is None else field.start - 1
            spans[field.name] = (at, field.length)
            at += field.length
        return spans

    @property
    def line_length(self) -> int:
        """Length of a line."""
        return max(start + length for start, length in self.spans.values()) if self.length is None else self.length
