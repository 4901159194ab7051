"""`[reconcile.NAME]`: matching and prices of one service."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trueup.config.values import Duration, Micros, Period, QuantityTolerance, Table, Tolerance, Whole
from trueup.units import MICROS

DEFAULT = "default"
"""The table whose rules apply to services without a table of their own."""
Match = Literal["session_key", "nearest", "aggregate"]
Parts = Literal["sum", "last", "max"]


class ServiceConfig(Table):
    """`[reconcile.NAME]`: how the usage and charges of one service are matched and priced."""

    match: tuple[Match, ...] = ("session_key",)
    """Ways to match, in order: by key, by nearest start time, or by sums."""
    start_tolerance: Duration = 0
    """By how much the starts of usage and charge may differ."""
    quantity_tolerance: QuantityTolerance = 0
    """By how much quantities may differ, as a duration or a number."""
    amount_tolerance: Tolerance = 0
    """By how much amounts may differ."""
    grace: Duration = 0
    """How long a charge may lag its usage before the usage is unbilled."""
    price: Micros | None = None
    """The price of `price_per` units of quantity."""
    price_per: Annotated[Whole, Field(ge=1, lt=2**63)] = 1
    """The units of quantity that `price` is for."""
    currency: str | None = None
    """The currency of `price`; by default that of the project."""
    parts: Parts = "sum"
    """The quantity of a session with several usage records: their `sum`, or of counters so far the `last` or `max`."""
    period: Period = 86_400 * MICROS
    """The period whose sums are compared, with `aggregate`: `day`, `week` (from Monday), `month`, or a duration (from 1970)."""

    @model_validator(mode="after")
    def _check_match(self) -> Self:
        if not self.match:
            raise ValueError("`match` must name at least one way to match")
        if len(set(self.match)) < len(self.match):
            raise ValueError("`match` names one way to match twice")
        if "aggregate" in self.match and len(self.match) > 1:
            raise ValueError('"aggregate" cannot be combined with other ways in `match`')
        if self.grace < self.start_tolerance:
            raise ValueError("`grace` must be at least `start_tolerance`")
        return self
