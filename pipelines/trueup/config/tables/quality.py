"""`[quality]`, `[quality.gate]` and `[[expectation]]`: checks of feeds, and what a failed check does."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from trueup.config.columns import Stream
from trueup.config.values import PositiveDuration, Share, Table, Text, Whole
from trueup.units import MICROS

GateSeverity = Literal["block", "mark", "note"]
Severity = Literal["quarantine", "block", "mark", "note"]


class ExpectationConfig(Table):
    """`[[expectation]]`: a further expectation of a stream, in the terms of Great Expectations."""

    name: Annotated[str, Field(min_length=1)]
    """The name of the expectation."""
    stream: Stream
    """The stream whose records are checked."""
    source: str | None = None
    """The source whose records are checked; by default all of the stream."""
    type: Annotated[str, Field(pattern=r"^expect_\w+$")]
    """The type in Great Expectations, such as `expect_column_values_to_be_between`."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """The arguments of the type."""
    severity: Severity = "mark"
    """What a failure does."""
    notes: Annotated[str, Field(min_length=1)]
    """Why records should meet it."""

    @model_validator(mode="after")
    def _check_severity(self) -> Self:
        if self.stream in ("stage", "invoice") and self.severity != "quarantine":
            raise ValueError(f'days of the stream {self.stream} are not validated; set severity = "quarantine"')
        return self


class GateConfig(Table):
    """`[quality.gate]`: what each kind of completeness finding does to its day."""

    missing_records: GateSeverity = "mark"
    """What a finding of missing sequence numbers does to its day."""
    stale_feed: GateSeverity = "block"
    """What a finding of a late delivery does to its day."""
    volume_drop: GateSeverity = "mark"
    """What a finding of a volume drop does to its day."""
    total_mismatch: GateSeverity = "mark"
    """What a finding of a wrong number of records does to its day: another number than the sender declared."""


class QualityConfig(Table):
    """`[quality]`: the file of further expectations, holidays, and how sensitive the completeness checks are.

    `false_alarms_per_year` is the number of volume and mix findings that a node and service may raise in a year without a fault.
    When late records arrive, only hours within `lookback` are evaluated again. Above `quarantine_share`, the share of a feed's day
    that is in quarantine without a readable key, the day's findings are provisional.
    """

    file: Text | None = None
    """A Python file of further expectations."""
    holidays: tuple[date, ...] = ()
    """Days on which less traffic is expected."""
    false_alarms_per_year: Annotated[Whole, Field(ge=1, le=365)] = 2
    """The number of volume and mix findings that a node and service may raise in a year without a fault."""
    lookback: PositiveDuration = 62 * 86_400 * MICROS
    """The age up to which hours are evaluated again when records arrive for them."""
    quarantine_share: Share = MICROS // 100
    """Share of a feed's day that may be in quarantine without a key before findings of the day are provisional."""
    gate: GateConfig = GateConfig()
    """What each kind of completeness finding does to its day."""
