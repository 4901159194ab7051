"""`[invoice]`: checks of invoices and credit notes, and the time at which an invoice counts as missing."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from trueup.config.values import CurrencyCode, Duration, Share, Table, Text, Tolerance, Whole, pattern_groups
from trueup.units import MICROS

_ONLY_IN_PYTHON = re.compile(r"\(\?(?:[=!>(]|<[=!]|P=)|\\[1-9Z]|[*+?}]\+")
"""Parts of a pattern that DuckDB, which runs the views, does not support: look-around, back references, possessive repetition."""


def _check_series(pattern: str) -> str:
    groups = pattern_groups(pattern)
    if not {"sequence"} <= groups <= {"sequence", "series"}:
        raise ValueError(f"{pattern!r} must have a group (?P<sequence>[0-9]+), may have a group (?P<series>...), and no other")
    found = _ONLY_IN_PYTHON.search(pattern)
    if found:
        raise ValueError(f"{pattern!r} has {found[0]!r}, which patterns of invoice numbers cannot use")
    return pattern


_SeriesPattern = Annotated[str, AfterValidator(_check_series)]


class InvoiceTaxConfig(Table):
    """`[[invoice.tax]]`: the tax on invoices of one currency from a day of issue on."""

    currency: CurrencyCode
    """The currency of the invoices."""
    valid_from: date
    """The first day on which the tax applies, in the project's time zone."""
    rate: Share
    """The fraction of the net amount: `"0.19"`."""
    rounding: Literal["half_up", "half_even", "up", "down"] = "half_up"
    """How the tax is rounded; `up` and `half_up` round away from zero."""
    decimals: Annotated[Whole, Field(ge=0, le=6)] = 2
    """The decimals to which it is rounded."""
    tolerance: Tolerance = 0
    """The difference that raises no finding, for billing that rounds the tax of each line."""


class InvoiceConfig(Table):
    """`[invoice]`: checks of invoices, when they are due, and the greatest error that a draft bill run may have."""

    grace: Duration = 10 * 86_400 * MICROS
    """The time after the end of a period by which its invoice must be issued."""
    period_to: Literal["excluded", "included"] = "excluded"
    """Whether the day of `period_to` belongs to the period."""
    lines: Literal["net", "total"] = "net"
    """The amount of an invoice that must be the sum of its charges."""
    series: tuple[_SeriesPattern, ...] = ()
    """Patterns of invoice numbers: the group `sequence` counts without gaps, separately for each value of a group `series`."""
    except_segments: tuple[Text, ...] = ()
    """Customer segments that receive no invoice, such as prepaid ones."""
    tax: tuple[InvoiceTaxConfig, ...] = ()
    """The tax on invoices, one table for each currency and first day."""
    threshold: Tolerance = 0
    """The wrong money of a currency above which `trueup bill-run check` fails."""

    @model_validator(mode="after")
    def _check_once(self) -> Self:
        for name, values in (("series", self.series), ("except_segments", self.except_segments)):
            if len(set(values)) < len(values):
                raise ValueError(f"`{name}` names one value twice")
        starts = [(tax.currency, tax.valid_from) for tax in self.tax]
        for currency, day in starts:
            if starts.count((currency, day)) > 1:
                raise ValueError(f"two taxes of {currency} hold from {day}")
        return self
