"""`notation` of a source or a column: how its numbers are written."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from trueup.config.values import Flag, Table, Text


class NotationConfig(Table):
    """How a feed writes its numbers; a number in another notation is refused.

    `decimal` is the decimal mark and `grouping` the mark between groups of three digits. A blank also means the no-break blanks,
    and an apostrophe also the typographic one. `negative` names the form of negative numbers that is permitted in addition to a
    leading minus. `currency` lists the signs and codes that may precede or follow a number. With `percent`, each number ends in a
    percent sign and is a number of hundredths.
    """

    decimal: Literal[".", ","] = "."
    """The decimal mark."""
    grouping: Literal["", ".", ",", " ", "'"] = ""
    """The mark between groups of three digits; a blank also means the no-break blanks."""
    negative: Literal["leading", "trailing", "parentheses"] = "leading"
    """The form of negative numbers that is permitted in addition to a leading minus."""
    currency: tuple[Text, ...] = Field(default=())
    """Signs and codes that may precede or follow a number."""
    percent: Flag = False
    """Whether each number ends in `%` and is a number of hundredths."""

    @model_validator(mode="after")
    def _check_marks(self) -> Self:
        if self.decimal == self.grouping:
            raise ValueError(f"`decimal` and `grouping` are both {self.decimal!r}")
        for text in self.currency:
            if not text.strip() or any(character in "0123456789+-.,()%" for character in text):
                raise ValueError(f"{text!r} is no sign or code of a currency")
        return self
