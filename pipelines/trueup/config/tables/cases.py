"""`[cases]`: settings of root causes, decisions on money and notifications."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trueup.config.values import Pattern, PositiveDuration, Share, Table, Text, Tolerance, Whole
from trueup.units import MICROS


class CasesConfig(Table):
    """`[cases]`: grouping of findings by root cause, and rules for decisions on their money."""

    materiality: Tolerance = 0
    """The money below which a group of findings does not become a case."""
    explained: Share = 990_000
    """The share of the money that patterns must explain; otherwise the remaining findings form a case without dimensions."""
    most_dimensions: Annotated[Whole, Field(ge=1, le=4)] = 3
    """How many dimensions the pattern of a case may have."""
    most_cases: Annotated[Whole, Field(ge=1, le=1000)] = 20
    """How many cases one search opens for one kind of finding and currency."""
    attributes: tuple[Text, ...] = ()
    """Attributes of records that are dimensions too, such as `trunk` or `apn`."""
    invoice_batch: Pattern = r"^(.+)[-/][^-/]*$"
    """A regular expression whose first group is the batch of an invoice id."""
    second_person_above: Tolerance = 1_000 * MICROS
    """The money of one finding or case above which a write-off needs a second person; earlier write-offs of it count."""
    due_within: PositiveDuration = 14 * 86_400 * MICROS
    """The time within which a new case is due."""
    owners: dict[Text, Text] = Field(default_factory=dict)
    """The person responsible for new cases, by kind of finding; `default` is for all other kinds."""
