"""`[fraud]`, `[[fraud.rule]]` and `[[fraud.loss]]`: settings of scoring, rules that need no model, and the money of a fraud."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trueup.config.fraud_vocabulary import NUMBERS, TIMES
from trueup.config.values import CurrencyCode, Duration, Flag, Pattern, Table, Text, Tolerance, Whole, Zone, duration_us
from trueup.units import MICROS

_CONDITION = re.compile(r"\s*(\w+)\s*(>=|<=|>|<|=)\s*(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)?\s*")


@dataclass(frozen=True)
class Condition:
    """One condition of a rule of kind `all`: a number about the transaction, a sign, and a limit (times in microseconds)."""

    feature: str
    sign: str
    limit: float


def condition(text: str) -> Condition:
    """Return a condition such as `sub_premium_1h >= 10` or `sub_age_30d < 3d`; raise `ValueError` for anything else."""
    match = _CONDITION.fullmatch(text)
    if not match:
        raise ValueError(f"invalid condition {text!r}; write a number, a sign and a limit, such as 'sub_premium_1h >= 10'")
    feature, sign, limit, unit = match.groups()
    _check_feature(feature)
    if (unit is not None) != (feature in TIMES):
        needs = "a time; give its limit a unit, such as '2h'" if feature in TIMES else "no time; its limit has no unit"
        raise ValueError(f"{feature!r} is {needs}")
    return Condition(feature, sign, float(duration_us(limit + unit) if unit else Decimal(limit)))


def _check_feature(name: str) -> None:
    if name not in NUMBERS:
        from difflib import get_close_matches

        near = get_close_matches(name, NUMBERS, 3, 0.5)
        meant = f"; did you mean {' or '.join(near)}?" if near else "; docs/fraud.md lists the names"
        raise ValueError(f"there is no number {name!r} about a transaction{meant}")


_KINDS_WITH = {
    "numbers": ("hot_list",), "prefixes": ("range",), "feature": ("velocity",), "above": ("velocity", "overlap", "travel"),
    "within": ("travel",), "area": ("travel",), "when": ("all",), "party": ("velocity", "overlap", "travel", "all"),
}  # fmt: skip
"""The kinds of rule that have each setting. Settings that are not named here are those of every kind."""


class HotRule(Table):
    """`[[fraud.rule]]`: a rule that needs no model. It alerts; with `shadow = true` it only counts.

    `kind` is one of these, each with the condition on which it alerts:

    * `hot_list`: the peer or subscriber is one of `numbers`,
    * `range`: the peer begins with one of `prefixes`,
    * `velocity`: `feature` is above `above`,
    * `overlap`: more simultaneous calls than `above`,
    * `travel`: cells of more areas (see `area`) than `above`, within the time `within`,
    * `all`: every condition of `when` holds.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    """The name of the rule, unique in the project."""
    kind: Literal["hot_list", "range", "velocity", "overlap", "travel", "all"]
    """What the rule looks for."""
    numbers: tuple[Text, ...] = ()
    """Numbers of a `hot_list`."""
    prefixes: tuple[Text, ...] = ()
    """Prefixes of a `range`."""
    feature: Text | None = None
    """The feature of a `velocity` rule."""
    above: Whole = 0
    """The value of the feature, the simultaneous calls, or for `travel` the areas (at least 1), above which the rule alerts."""
    within: Duration = 0
    """The time within which cells of two areas cannot both be reached, for `travel`."""
    area: Pattern = r"^([^-]+)"
    """A regular expression whose first group is the area of a cell."""
    when: tuple[Text, ...] = ()
    """The conditions of a rule of kind `all`, such as `sub_premium_1h >= 10`."""
    party: Literal["subscriber", "peer"] | None = None
    """The party that a rule accuses; by default the one whose behaviour its feature or first condition describes."""
    action: Text | None = None
    """What to do about an alert; shown with its reasons."""
    shadow: Flag = False
    """Whether the rule only counts, without an alert."""

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        for name, kinds in _KINDS_WITH.items():
            if name in self.model_fields_set and self.kind not in kinds:
                raise ValueError(f"a rule of kind {self.kind} has no `{name}`; kinds that have it: {', '.join(kinds)}")
        return self

    @model_validator(mode="after")
    def _check_required(self) -> Self:
        required = {"hot_list": "numbers", "range": "prefixes", "velocity": "feature", "travel": "within", "all": "when"}.get(
            self.kind
        )
        if required and not getattr(self, required):
            raise ValueError(f"a rule of kind {self.kind} needs `{required}`")
        if self.kind == "travel" and not re.compile(self.area).groups:
            raise ValueError("`area` needs a group in brackets: the part of a cell's name that is its area")
        if self.feature is not None:
            _check_feature(self.feature)
        for text in self.when:
            condition(text)
        return self

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Return the conditions of `when`."""
        return tuple(condition(text) for text in self.when)


class FraudLoss(Table):
    """`[[fraud.loss]]`: the money that fraudulent use of a service costs."""

    service: Text
    """The service."""
    price: Tolerance
    """The loss for `price_per` units of quantity."""
    price_per: Annotated[Whole, Field(ge=1, lt=2**63)] = 1
    """The units of quantity that a price is for."""
    premium_price: Tolerance | None = None
    """The loss where the other number costs extra; by default `price`."""
    abroad_price: Tolerance | None = None
    """The loss where the other number is abroad and does not cost extra; by default `price`."""
    currency: CurrencyCode
    """The currency of the prices, the same for all services."""


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
    """Prefixes of domestic numbers, such as `+49`; `49` where sources write digits, with `e164`."""
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
    """How many cases analysts can review a day, those of rules and model together."""
    review_cost: Tolerance | None = None
    """The cost of reviewing a case, in the currency of `[[fraud.loss]]`; the threshold is set so that reviews save more."""
    models: Text = "models"
    """The folder of models."""
    seed: Annotated[Whole, Field(ge=0, lt=2**31)] = 0
    """The seed of training."""
    trials: Annotated[Whole, Field(ge=1, le=200)] = 6
    """How many sets of parameters training tries."""
    warm_start: Flag = False
    """Whether training adds trees to those of the starter model instead of beginning without trees."""
    own_model: Literal["off", "challenger", "champion"] = "off"
    """Whether scoring trains an own model once enough cases are confirmed, and whether it puts a better one in force."""
    own_model_after: Annotated[Whole, Field(ge=1)] = 30
    """How many confirmed cases a training needs; as many again on later days judge the model, or start another training."""
    detectors: Literal["off", "shadow", "alert"] = "off"
    """Whether trueup's own rules, at least one for each kind of fraud, are applied, and whether they alert."""
    rule: tuple[HotRule, ...] = ()
    """Rules that need no model."""
    loss: tuple[FraudLoss, ...] = ()
    """The money that fraudulent use of each service costs."""

    @model_validator(mode="after")
    def _check_losses(self) -> Self:
        services = [loss.service for loss in self.loss]
        if len(set(services)) < len(services):
            raise ValueError("two [[fraud.loss]] are of one service")
        if self.review_cost is not None and not self.loss:
            raise ValueError("`review_cost` needs [[fraud.loss]], the money that a review saves")
        if len({loss.currency for loss in self.loss}) > 1:
            raise ValueError("the [[fraud.loss]] have several currencies; convert their prices to one")
        return self

    @model_validator(mode="after")
    def _check_own_model(self) -> Self:
        if self.own_model == "off" and "own_model_after" in self.model_fields_set:
            raise ValueError('`own_model_after` has no effect without own_model = "challenger" or "champion"')
        return self

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [rule.name for rule in self.rule]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two rules are named {name!r}")
        return self
