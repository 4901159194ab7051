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
    """The name of the rule, unique in the project."""
    kind: Literal["hot_list", "range", "velocity", "overlap", "travel"]
    """What the rule looks for."""
    numbers: tuple[Text, ...] = ()
    """Numbers of a `hot_list`."""
    prefixes: tuple[Text, ...] = ()
    """Prefixes of a `range`."""
    feature: Text | None = None
    """The feature of a `velocity` rule."""
    above: Whole = 0
    """The value of the feature, or the simultaneous calls, above which the rule alerts."""
    within: Duration = 0
    """The time within which cells of two areas cannot both be reached, for `travel`."""
    area: Pattern = r"^([^-]+)"
    """A regular expression whose first group is the area of a cell."""
    shadow: Flag = False
    """Whether the rule only counts, without an alert."""

    @model_validator(mode="after")
    def _check_required(self) -> Self:
        required = {"hot_list": "numbers", "range": "prefixes", "velocity": "feature", "travel": "within"}.get(self.kind)
        if required and not getattr(self, required):
            raise ValueError(f"a rule of kind {self.kind} needs `{required}`")
        return self


class FraudConfig(Table):
    """`[fraud]`: the roles of services, the daily budget of alerts, the folder of models, and rules in addition to them."""

    calls: tuple[Text, ...] = ("voice", "roaming")
    """Services whose records are calls."""
    received: tuple[Text, ...] = ("incoming",)
    """Services whose records are received calls."""
    messages: tuple[Text, ...] = ("sms",)
    """Services whose records are messages."""
    volumes: tuple[Text, ...] = ("data", "zero_rated", "iot")
    """Services whose records are volumes of data."""
    free_volumes: tuple[Text, ...] = ("zero_rated",)
    """Services whose volumes are free."""
    roaming: tuple[Text, ...] = ("roaming",)
    """Services used abroad."""
    home_prefixes: tuple[Text, ...] = ()
    """Prefixes of domestic numbers, such as `+49`."""
    premium_prefixes: tuple[Text, ...] = ()
    """Prefixes of numbers that cost extra, in addition to those of numbering plans."""
    imei: Annotated[str, Field(pattern=r"^\w+$")] = "imei"
    """The attribute that holds the device."""
    imsi: Annotated[str, Field(pattern=r"^\w+$")] = "imsi"
    """The attribute that holds the SIM card."""
    timezone: Zone = "UTC"
    """The zone of days and hours in features."""
    label_delay: Duration = 7 * 86_400 * MICROS
    """The age at which a transaction without a decision counts as honest."""
    alerts_per_day: Annotated[Whole, Field(ge=1)] = 100
    """How many parties can be reviewed a day."""
    models: Text = "models"
    """The folder of models."""
    seed: Annotated[Whole, Field(ge=0, lt=2**31)] = 0
    """The seed of training."""
    trials: Annotated[Whole, Field(ge=1, le=200)] = 6
    """How many sets of parameters training tries."""
    rule: tuple[HotRule, ...] = ()
    """Rules that need no model."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [rule.name for rule in self.rule]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rules are named {name!r}")
        return self
