"""`[reconcile.NAME]`: matching and prices of one service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trueup.config.values import Duration, Micros, QuantityTolerance, SumPeriod, Table, Text, Tolerance, Whole
from trueup.units import MICROS

DEFAULT = "default"
"""The table whose rules apply to services without a table of their own."""
Match = Literal["session_key", "nearest", "aggregate"]
Parts = Literal["sum", "last", "max"]
PeriodZone = Literal["project", "subscriber"]


class ServiceConfig(Table):
    """`[reconcile.NAME]`: how the usage and charges of one service are matched and priced."""

    match: tuple[Match, ...] = ("session_key",)
    """Ways to match, in the order of their use: by key, by nearest start time, or by sums."""
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
    """How the quantities of a session's usage records combine: their `sum`, or for running counters the `last` or `max`."""
    period: SumPeriod = 86_400 * MICROS
    """The period of sums, with `aggregate`: `day`, `week` (from Monday), `month`, billing `cycle`, or a duration (from 1970)."""
    period_zone: PeriodZone = "project"
    """With `aggregate`: whose midnight begins a period, that of the `project` or that of the `subscriber`'s `timezone`."""
    covers: tuple[Text, ...] = ()
    """With `aggregate`: further services whose usage the charges of this one bill too, as one line for several services."""

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
        if self.covers and self.match != ("aggregate",):
            raise ValueError('`covers` needs match = ["aggregate"]: only sums of several services can be compared with one line')
        if self.period_zone != "project" and self.match != ("aggregate",):
            raise ValueError('`period_zone` needs match = ["aggregate"]: without sums there is no period')
        if len(set(self.covers)) < len(self.covers):
            raise ValueError("`covers` names one service twice")
        return self


def check_covers(tables: Mapping[str, ServiceConfig], currency: str) -> None:
    """Raise `ValueError` where a covered service is covered twice, has another match, or has another currency than its line.

    `tables` are all `[reconcile.NAME]`; `currency` is that of the project.
    """
    line_of: dict[str, str] = {}
    for line, rules in tables.items():
        if rules.covers and line == DEFAULT:
            raise ValueError(f"[reconcile.{DEFAULT}] cannot cover other services; `covers` belongs to the service of the line")
        for service in rules.covers:
            if service in (line, DEFAULT):
                what = "itself, whose usage is in its sums anyway" if service == line else "all services without a table"
                raise ValueError(f"[reconcile.{line}] covers {what}; name other services")
            if service in line_of:
                raise ValueError(
                    f"[reconcile.{line_of[service]}] and [reconcile.{line}] both cover {service!r}; its usage would count twice"
                )
            line_of[service] = line
    for service, line in line_of.items():
        own = tables.get(service, tables.get(DEFAULT, ServiceConfig()))
        if own.covers:
            raise ValueError(f"[reconcile.{line}] covers {service!r}, which covers other services itself; name those in one line")
        if "match" in own.model_fields_set and service in tables and own.match != ("aggregate",):
            raise ValueError(
                f"[reconcile.{service}] matches by {', '.join(own.match)}, but [reconcile.{line}] covers it; remove one of the two"
            )
        money, of_line = own.currency or currency, tables[line].currency or currency
        if money != of_line:
            raise ValueError(
                f"[reconcile.{line}] is in {of_line}, but covers {service!r}, which is priced in {money}; a line has one currency"
            )
