"""`[project]`: settings of all sources."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trueup.config.values import CurrencyCode, Duration, PositiveDuration, Table, Zone
from trueup.units import MICROS


class ProjectConfig(Table):
    """`[project]`: settings of all sources. `further_currencies` are units of money that ISO 4217 does not have."""

    timezone: Zone = "UTC"
    currency: str = "EUR"
    further_currencies: tuple[CurrencyCode, ...] = ()
    horizon: PositiveDuration = 62 * 86_400 * MICROS
    max_age: PositiveDuration = 3_650 * 86_400 * MICROS
    max_clock_jump: Annotated[Duration, Field(ge=3_600 * MICROS)] = 86_400 * MICROS
