"""`[source.record_type]`: which records of a file of several types belong to a source."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from trueup.config.values import Table, Text, Whole


class RecordTypeConfig(Table):
    """`[source.record_type]`: a source reads those lines whose type is one of `values`; the others are left out and counted.

    The type of a CSV line is its field number `field`. The type of a fixed-width line has `length` characters from `start` on.
    """

    values: Annotated[tuple[Text, ...], Field(min_length=1)]
    """The types of the records of this source."""
    field: Annotated[Whole, Field(ge=1, le=1_000)] | None = None
    """The number (from 1) of the CSV field that has the type."""
    start: Annotated[Whole, Field(ge=1, le=1 << 20)] | None = None
    """The position (from 1) at which the type of a fixed-width line begins."""
    length: Annotated[Whole, Field(ge=1, le=1_000)] | None = None
    """The length of the type of a fixed-width line."""

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if (self.start is None) != (self.length is None) or (self.field is None) == (self.start is None):
            raise ValueError("name either `field`, or `start` and `length`")
        return self
