"""`[project]`: settings of all sources."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trueup.config.values import CurrencyCode, Duration, PositiveDuration, Table, Zone
from trueup.units import MICROS


class ProjectConfig(Table):
    """`[project]`: settings of all sources."""

    timezone: Zone = "UTC"
    """The zone of days in commands and results, and of times without an offset."""
    currency: str = "EUR"
    """The currency of prices, and of charges without one."""
    further_currencies: tuple[CurrencyCode, ...] = ()
    """Units of money that ISO 4217 does not have."""
    horizon: PositiveDuration = 62 * 86_400 * MICROS
    """The age beyond which a late record is not matched."""
    max_age: PositiveDuration = 3_650 * 86_400 * MICROS
    """The age beyond which a record is refused."""
    max_clock_jump: Annotated[Duration, Field(ge=3_600 * MICROS)] = 86_400 * MICROS
    """How far the clock may be ahead of the newest commit."""
