"""`[reconcile.NAME]`: matching and prices of one service."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trueup.config.values import Duration, Micros, PositiveDuration, QuantityTolerance, Table, Tolerance, Whole
from trueup.units import MICROS

DEFAULT = "default"
"""The table whose rules apply to services without a table of their own."""
Match = Literal["session_key", "nearest", "aggregate"]


class ServiceConfig(Table):
    """`[reconcile.NAME]`: how the usage and charges of one service are matched and priced."""

    match: tuple[Match, ...] = ("session_key",)
    start_tolerance: Duration = 0
    quantity_tolerance: QuantityTolerance = 0
    amount_tolerance: Tolerance = 0
    grace: Duration = 0
    price: Micros | None = None
    price_per: Annotated[Whole, Field(ge=1, lt=2**63)] = 1
    currency: str | None = None
    period: PositiveDuration = 86_400 * MICROS

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
