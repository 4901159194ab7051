"""`[fraud]` and `[[fraud.rule]]`: settings of scoring, and rules that need no model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trueup.config.values import Duration, Flag, Pattern, Table, Text, Whole, Zone
from trueup.units import MICROS


class HotRule(Table):
    """`[[fraud.rule]]`: a rule that needs no model. It alerts; with `shadow = true` it only counts.

    `kind` is one of: `hot_list` (the peer or subscriber is one of `numbers`), `range` (the peer begins with one of `prefixes`),
    `velocity` (`feature` is above `above`), `overlap` (more simultaneous calls than `above`), `travel` (two cells of different
    `areas` within `within` of each other).
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    kind: Literal["hot_list", "range", "velocity", "overlap", "travel"]
    numbers: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    feature: str | None = None
    above: Whole = 0
    within: Duration = 0
    area: Pattern = r"^([^-]+)"
    shadow: Flag = False

    @model_validator(mode="after")
    def _check_required(self) -> Self:
        required = {"hot_list": "numbers", "range": "prefixes", "velocity": "feature", "travel": "within"}.get(self.kind)
        if required and not getattr(self, required):
            raise ValueError(f"a rule of kind {self.kind} needs `{required}`")
        return self


class FraudConfig(Table):
    """`[fraud]`: the roles of services, the daily budget of alerts, the folder of models, and rules in addition to them."""

    calls: tuple[str, ...] = ("voice", "roaming")
    received: tuple[str, ...] = ("incoming",)
    messages: tuple[str, ...] = ("sms",)
    volumes: tuple[str, ...] = ("data", "zero_rated", "iot")
    free_volumes: tuple[str, ...] = ("zero_rated",)
    roaming: tuple[str, ...] = ("roaming",)
    home_prefixes: tuple[str, ...] = ()
    premium_prefixes: tuple[str, ...] = ()
    imei: Annotated[str, Field(pattern=r"^\w+$")] = "imei"
    imsi: Annotated[str, Field(pattern=r"^\w+$")] = "imsi"
    timezone: Zone = "UTC"
    label_delay: Duration = 7 * 86_400 * MICROS
    alerts_per_day: Annotated[Whole, Field(ge=1)] = 100
    models: Text = "models"
    seed: Annotated[Whole, Field(ge=0, lt=2**31)] = 0
    trials: Annotated[Whole, Field(ge=1, le=200)] = 6
    rule: tuple[HotRule, ...] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [rule.name for rule in self.rule]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rules are named {name!r}")
        return self
