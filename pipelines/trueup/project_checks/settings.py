"""Rules about waiting times, the time zone, and the form of numbers."""

from __future__ import annotations

from collections.abc import Iterator

from trueup.project_checks.facts import Facts
from trueup.project_checks.problem import Instance, Rule
from trueup.units import MICROS

_DAY_US = 86_400 * MICROS
_LONGEST_US = {"week": 7 * _DAY_US, "month": 31 * _DAY_US, "cycle": 31 * _DAY_US}


def _find_implied_zone(facts: Facts) -> Iterator[Instance]:
    if facts.sources and "timezone" not in facts.config.project.model_fields_set:
        yield {"where": "[project] timezone"}


def _find_long_grace(facts: Facts) -> Iterator[Instance]:
    for service, rules in facts.config.reconcile.items():
        if rules.grace > facts.config.project.horizon:
            yield {"where": f"[reconcile.{service}] grace", "service": service}


def _sum_beyond_horizon(facts: Facts) -> Iterator[Instance]:
    for service, rules in facts.config.reconcile.items():
        if "aggregate" not in rules.match or rules.grace > facts.config.project.horizon:
            continue
        length_us = rules.period if isinstance(rules.period, int) else _LONGEST_US[rules.period]
        if length_us + rules.grace > facts.config.project.horizon:
            yield {"where": f"[reconcile.{service}] period", "service": service}


def _find_long_lateness(facts: Facts) -> Iterator[Instance]:
    for source in facts.movements:
        if source.frontier == "observed" and source.lateness > facts.config.project.horizon:
            yield {"where": f"[[source]] {source.name}, lateness", "source": source.name}


def _find_idle_between_deliveries(facts: Facts) -> Iterator[Instance]:
    for source in facts.movements:
        if source.idle_after is not None and source.feed.every is not None and source.idle_after < source.feed.every:
            yield {"where": f"[[source]] {source.name}, idle_after", "source": source.name}


def _find_numbers_without_country(facts: Facts) -> Iterator[Instance]:
    home = facts.config.fraud.home_prefixes
    if "fraud" not in facts.config.model_fields_set or (home and not any(prefix.startswith("+") for prefix in home)):
        return
    for source in facts.sources_of("usage"):
        peer = source.columns.get("peer")
        if peer is not None and peer.e164 is not None:
            yield {"where": "[fraud] home_prefixes", "source": source.name, "digits": f'["{peer.e164}"]'}
            return


SETTING_RULES = (
    Rule(
        "implied-timezone", "notice", "no time zone is set, so days are in UTC", "set [project] timezone", _find_implied_zone,
        fails_check=False,
    ),
    Rule(
        "grace-beyond-horizon", "warning",
        "grace of {service} exceeds the horizon within which usage and charge are matched",
        "raise [project] horizon, or lower `grace`", _find_long_grace,
    ),
    Rule(
        "sum-beyond-horizon", "warning",
        "a period of {service} and its grace exceed the horizon within which its usage and charges are compared",
        "raise [project] horizon, or shorten `period` or `grace`", _sum_beyond_horizon,
    ),
    Rule(
        "lateness-beyond-horizon", "warning",
        "lateness of source {source} exceeds the horizon within which records are matched",
        "raise [project] horizon, or lower `lateness`", _find_long_lateness,
    ),
    Rule(
        "idle-between-deliveries", "warning",
        "source {source} counts as idle (idle_after) before its next delivery is due (every of [source.feed])",
        "raise `idle_after` above `every`", _find_idle_between_deliveries,
    ),
    Rule(
        "numbers-without-country", "warning",
        "source {source} writes the digits of peers without + (`e164`): fraud features take all of them for domestic numbers",
        "set home_prefixes = {digits}, and train models again", _find_numbers_without_country,
    ),
)  # fmt: skip
