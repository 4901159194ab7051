"""The policies in force along the log, as plain values and as a frame that the kernel joins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.config import Config, ServiceConfig
from trueup.config.tables.reconcile import DEFAULT
from trueup.events.schema import MOVEMENTS
from trueup.units import CALENDAR_PERIODS, CYCLE

KERNEL_VERSION = 2
DEFAULT_RULE = -1
NEVER_POSITION = 2**62
"""A position after every position of a log."""
UNKNOWN_TIME_US = 2**61
"""The time that stands for a missing time; no stream ever passes it, and waits can be added to it without overflow."""


NO_HORIZON_US = 365_250 * 86_400_000_000
"""A thousand years, the longest duration that a configuration accepts: no record is older than that."""


@dataclass(frozen=True)
class SourceRules:
    """How the frontier of one source advances; `lateness_us` is None where only closings move it.

    With `bill_lines`, charges of one session key without a part number are lines of one bill.
    """

    stream: str
    lateness_us: int | None = 0
    idle_after_us: int | None = None
    bill_lines: bool = False


@dataclass(frozen=True)
class Policy:
    """The rules in force from `position` on.

    `void_ticks` are the positions of the ticks that are superseded under this policy. Separate declarations supersede ticks, so
    void ticks are not part of `content`.
    """

    position: int = 0
    services: Mapping[str, ServiceConfig] = field(default_factory=dict)
    default: ServiceConfig = field(default_factory=ServiceConfig)
    sources: Mapping[str, SourceRules] = field(default_factory=dict)
    timezone: str = "UTC"
    currency: str = "EUR"
    horizon_us: int = NO_HORIZON_US
    provisioning_grace_us: int = 86_400_000_000
    void_ticks: frozenset[int] = frozenset()
    judges_lines: bool = True
    """Whether sums find excess lines and ignore lines of zero; policies that earlier versions declared lack this rule."""

    @classmethod
    def of(cls, config: Config) -> Policy:
        """Return the policy that a configuration describes."""
        services = dict(config.reconcile)
        default = services.pop(DEFAULT, ServiceConfig())
        # A source of states has no frontier, so it is not part of a policy.
        sources = {
            s.name: SourceRules(s.stream, s.lateness if s.frontier == "observed" else None, s.idle_after, s.bill_lines)
            for s in config.source
            if s.stream in MOVEMENTS
        }
        project = config.project
        grace = config.rating.provisioning_grace
        return cls(0, services, default, sources, project.timezone, project.currency, project.horizon, grace)

    def content(self) -> dict[str, Any]:
        """Return the policy as JSON values: the content of a `policy` declaration."""
        return {
            "kernel": KERNEL_VERSION,
            "services": {name: _list_service_settings(s) for name, s in sorted(self.services.items())},
            "default": _list_service_settings(self.default),
            "sources": {name: _list_source_settings(source) for name, source in sorted(self.sources.items())},
            "timezone": self.timezone,
            "currency": self.currency,
            "horizon_us": self.horizon_us,
            "provisioning_grace_us": self.provisioning_grace_us,
            **({"judges_lines": True} if self.judges_lines and self.has_sums else {}),
        }

    @property
    def has_sums(self) -> bool:
        """Whether some service is compared by sums."""
        return any("aggregate" in s.match for s in (*self.services.values(), self.default))

    @property
    def line_of(self) -> dict[str, str]:
        """The covering service of each covered one."""
        return {covered: line for line, s in self.services.items() for covered in s.covers}

    @classmethod
    def from_content(cls, position: int, content: Mapping[str, Any]) -> Policy:
        """Return the policy of a declaration at `position`."""
        return cls(
            position,
            {name: _find_service(s) for name, s in content["services"].items()},
            _find_service(content["default"]),
            {name: SourceRules(**source) for name, source in content["sources"].items()},
            content["timezone"],
            content["currency"],
            content["horizon_us"],
            content.get("provisioning_grace_us", cls.provisioning_grace_us),
            judges_lines=content.get("judges_lines", False),
        )


def _list_source_settings(source: SourceRules) -> dict[str, Any]:
    # Declarations of earlier versions lack this rule: without it the content stays the same.
    later = {"bill_lines": True} if source.bill_lines else {}
    return {"stream": source.stream, "lateness_us": source.lateness_us, "idle_after_us": source.idle_after_us, **later}


_WITHOUT_EFFECT: tuple[tuple[str, object], ...] = (("parts", "sum"), ("covers", []), ("period_zone", "project"))
"""Rules that earlier versions lack, with the values that change nothing."""


def _list_service_settings(service: ServiceConfig) -> dict[str, Any]:
    content = {**service.model_dump(mode="json"), "match": list(service.match)}
    # Declarations of earlier versions lack these rules: without them the content stays the same.
    return {name: value for name, value in content.items() if (name, value) not in _WITHOUT_EFFECT}


def _find_service(content: Mapping[str, Any]) -> ServiceConfig:
    return ServiceConfig.model_construct(**{**content, "match": tuple(content["match"])})


class Policies:
    """The policies along the log, numbered from 0; a position is under the last policy declared at or before it."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self.all = tuple(sorted(policies, key=lambda p: p.position))
        assert self.all, "a log is evaluated under at least one policy"
        self.starts: NDArray[np.int64] = np.array([p.position for p in self.all], dtype=np.int64)
        self.services = sorted({name for p in self.all for name in (*p.services, *p.line_of)})
        self.frame = self._build_frame()

    def number_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the policy in force at each position; before the first declaration it is the first."""
        return np.maximum(np.searchsorted(self.starts, positions, side="right") - 1, 0)

    def next_start(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the next position at which another policy comes into force; `NEVER_POSITION` where there is none."""
        padded = np.append(self.starts, NEVER_POSITION)
        following: NDArray[np.int64] = padded[np.searchsorted(self.starts[1:], positions, side="right") + 1]
        return following

    def rule_of(self, service: pl.Expr) -> pl.Expr:
        """Return the rule number of a service name: `DEFAULT_RULE` for one without a table of its own."""
        numbers = list(range(len(self.services)))
        return service.replace_strict(self.services, numbers, default=DEFAULT_RULE, return_dtype=pl.Int32).fill_null(DEFAULT_RULE)

    def rule_index(self, policy: NDArray[np.int64] | int, rule: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the row numbers in `frame` of pairs of policy and rule; indexing is quicker than joining."""
        return np.asarray(policy, dtype=np.int64) * (len(self.services) + 1) + (rule.astype(np.int64) - DEFAULT_RULE)

    def rules(self, policy: NDArray[np.int64] | int, rule: NDArray[np.int32]) -> pl.DataFrame:
        """Return one row of `frame` per requested pair of policy and rule, without the numbers and the time zone."""
        return self.frame.drop("policy", "rule", "timezone")[self.rule_index(policy, rule)]

    def in_bill_lines(self, policy: pl.Expr) -> pl.Expr:
        """Return whether rows (`source`, `partial_no`) are lines of a bill under the policy with this number.

        A source that is no longer in the policy keeps its last rule, so its earlier charges do not become duplicates.
        """
        of_policies, is_line = list[pl.Expr](), dict[str, bool]()
        for number, one in enumerate(self.all):
            is_line |= {name: source.bill_lines for name, source in one.sources.items()}
            names = [name for name, of_source in is_line.items() if of_source]
            if names:
                of_policies.append((policy == number) & pl.col("source").is_in(names))
        return pl.any_horizontal(pl.lit(False), *of_policies) & pl.col("partial_no").is_null()

    @cached_property
    def summed_as(self) -> pl.DataFrame:
        """The services whose sums contain the records of each `rule` under any policy (`sum_service`; NULL: its own service)."""
        return self.frame.filter("by_aggregate").select("rule", "sum_service").unique(maintain_order=True)

    @cached_property
    def has_own_calendars(self) -> bool:
        """Whether some policy compares sums of periods that depend on a subscription: of billing cycles, or of its time zone."""
        summed = self.frame.filter("by_aggregate")
        return CYCLE in summed["sum_period"] or bool(summed["in_own_zone"].any())

    def _build_frame(self) -> pl.DataFrame:
        rows = []
        for number, policy in enumerate(self.all):
            line_of = policy.line_of
            for rule, name in [(DEFAULT_RULE, DEFAULT), *enumerate(self.services)]:
                own = policy.services.get(name, policy.default) if rule != DEFAULT_RULE else policy.default
                line = line_of.get(name) if rule != DEFAULT_RULE else None
                # A covered service has prices of its own; every other setting comes from the covering service.
                s = own if line is None else policy.services[line]
                rows.append(
                    {
                        "policy": number, "rule": rule,
                        "by_key": "session_key" in s.match, "by_nearest": "nearest" in s.match,
                        "by_aggregate": "aggregate" in s.match,
                        "start_tolerance_us": s.start_tolerance, "quantity_tolerance_micros": s.quantity_tolerance,
                        "amount_tolerance_micros": s.amount_tolerance, "grace_us": s.grace,
                        "closed_wait_us": s.start_tolerance if "nearest" in s.match else 0,
                        "price_micros": own.price, "price_per": own.price_per,
                        "parts": own.parts, "sum_period": CALENDAR_PERIODS.get(str(s.period), s.period),
                        "in_own_zone": s.period_zone == "subscriber",
                        "price_currency": own.currency or policy.currency, "timezone": policy.timezone,
                        "sum_rule": rule if line is None else self.services.index(line), "sum_service": line,
                        "is_covering": bool(s.covers), "judges_lines": policy.judges_lines,
                    }
                )  # fmt: skip
        return pl.DataFrame(rows, schema=_RULE_SCHEMA)


_RULE_SCHEMA = {
    "policy": pl.Int64, "rule": pl.Int32, "by_key": pl.Boolean, "by_nearest": pl.Boolean, "by_aggregate": pl.Boolean,
    "start_tolerance_us": pl.Int64, "quantity_tolerance_micros": pl.Int64, "amount_tolerance_micros": pl.Int64,
    "grace_us": pl.Int64, "closed_wait_us": pl.Int64, "price_micros": pl.Int64, "price_per": pl.Int64, "parts": pl.String,
    "sum_period": pl.Int64, "in_own_zone": pl.Boolean, "price_currency": pl.String, "timezone": pl.String, "sum_rule": pl.Int32,
    "sum_service": pl.String, "is_covering": pl.Boolean, "judges_lines": pl.Boolean,
}  # fmt: skip
