"""`[quality]`, `[quality.gate]` and `[[expectation]]`: checks of feeds, and what a failed check does."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field

from trueup.config.columns import Stream
from trueup.config.values import PositiveDuration, Share, Table, Whole
from trueup.units import MICROS

GateSeverity = Literal["block", "mark", "note"]
Severity = Literal["quarantine", "block", "mark", "note"]


class ExpectationConfig(Table):
    """`[[expectation]]`: a further expectation of a stream, in the terms of Great Expectations."""

    name: Annotated[str, Field(min_length=1)]
    stream: Stream
    source: str | None = None
    type: Annotated[str, Field(pattern=r"^expect_\w+$")]
    arguments: dict[str, Any] = Field(default_factory=dict)
    severity: Severity = "mark"
    notes: Annotated[str, Field(min_length=1)]


class GateConfig(Table):
    """`[quality.gate]`: what each kind of completeness finding does to its day."""

    missing_records: GateSeverity = "mark"
    stale_feed: GateSeverity = "block"
    volume_drop: GateSeverity = "mark"
    total_mismatch: GateSeverity = "mark"


class QualityConfig(Table):
    """`[quality]`: the file of further expectations, holidays, and how sensitive the completeness checks are.

    `false_alarms_per_year` is how many findings of volume and mix a node and service may raise in a year without a fault.
    `lookback` is how far back hours are evaluated again when records arrive for them. `quarantine_share` is the share of a feed's
    day that may be in quarantine without a readable key before the day's findings are provisional.
    """

    file: str | None = None
    holidays: tuple[date, ...] = ()
    false_alarms_per_year: Annotated[Whole, Field(ge=1, le=365)] = 2
    lookback: PositiveDuration = 62 * 86_400 * MICROS
    quarantine_share: Share = MICROS // 100
    gate: GateConfig = GateConfig()
