"""Rules about services: whether each has a table `[reconcile.SERVICE]`, a price, and records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from trueup.config import ServiceConfig, SourceConfig
from trueup.config.tables.reconcile import DEFAULT
from trueup.project_checks.facts import Facts, possible_values
from trueup.project_checks.problem import Instance, Rule

_INTERIM = "Interim-Update"
"""The RADIUS packets whose octets count from the start of the session."""


def rule_tables(facts: Facts) -> Mapping[str, ServiceConfig]:
    """Return the tables `[reconcile.NAME]`, with the default rule where a source certainly delivers a service without one."""
    tables = facts.config.reconcile
    if DEFAULT not in tables and fixed_services(facts) - tables.keys():
        return {**tables, DEFAULT: ServiceConfig()}
    return tables


def rules_of(facts: Facts, service: str) -> ServiceConfig:
    """Return the rules of a service: from its own table, else from `[reconcile.default]`, else the built-in rules."""
    tables = facts.config.reconcile
    return tables.get(service) or tables.get(DEFAULT) or ServiceConfig()


def covered_services(facts: Facts) -> Mapping[str, str]:
    """Return the covering service of each covered one."""
    return {covered: line for line, rules in facts.config.reconcile.items() for covered in rules.covers}


def table_of(facts: Facts, service: str) -> str:
    """Return the name of the table that applies to a service, whether or not the table exists."""
    tables = facts.config.reconcile
    return f"[reconcile.{service if service in tables or DEFAULT not in tables else DEFAULT}]"


def fixed_services(facts: Facts, stream: str | None = None) -> frozenset[str]:
    """Return the services that the settings of sources (of one stream, or of usage and charges) determine."""
    sources = facts.movements if stream is None else facts.sources_of(stream)
    return frozenset[str]().union(*(possible_values(source, "service") or () for source in sources))


def _find_sources_without_table(facts: Facts) -> Iterator[Instance]:
    for source, services in _find_untabled(facts):
        hint = _suggest_name(services, facts.config.reconcile)
        yield {"where": f"[[source]] {source.name}", "source": source.name, "services": _join_sorted(services), "hint": hint}


def _find_services_without_table(facts: Facts) -> Iterator[Instance]:
    tables = facts.config.reconcile
    if DEFAULT in tables or not facts.reconciles:
        return
    # The rule over settings alone reports the services that the settings determine.
    untabled = facts.log.services - tables.keys() - covered_services(facts).keys()
    untabled -= frozenset[str]().union(*(services for _, services in _find_untabled(facts)))
    if untabled:
        yield {"where": "[reconcile]", "services": _join_sorted(untabled), "hint": _suggest_name(untabled, tables)}


def _find_untabled(facts: Facts) -> Iterator[tuple[SourceConfig, frozenset[str]]]:
    """Yield the sources whose settings yield only services without a table, with those services."""
    tables = facts.config.reconcile
    if DEFAULT in tables or not facts.reconciles:
        return
    for source in facts.movements:
        services = possible_values(source, "service")
        if services and not services & (tables.keys() | covered_services(facts).keys()):
            yield source, services


def _find_unpriced(facts: Facts) -> Iterator[Instance]:
    if facts.sources_of("tariff") or not facts.reconciles:
        return
    # The service of a bill line for several services (`covers`) mostly has no usage: usage names the covered services.
    services = {name for name, rules in facts.config.reconcile.items() if name != DEFAULT and not rules.covers}
    services |= fixed_services(facts, "usage") | covered_services(facts).keys()
    yield from _find_no_price(facts, services)


def _find_summed_counters(facts: Facts) -> Iterator[Instance]:
    for source in facts.sources_of("usage") if facts.reconciles else ():
        has_updates = source.format == "radius" and (source.where is None or _INTERIM in source.where)
        services = possible_values(source, "service") if has_updates else None
        summed = sorted(service for service in services or () if rules_of(facts, service).parts == "sum")
        if summed:
            yield {"where": table_of(facts, summed[0]), "source": source.name}


def _find_unpriced_usage(facts: Facts) -> Iterator[Instance]:
    if not facts.reconciles or not facts.log.used:
        return
    unpriced = facts.log.used - facts.log.rated
    if not facts.sources_of("tariff"):
        # As above, the rule over settings alone reports these services.
        unpriced -= facts.config.reconcile.keys() | fixed_services(facts, "usage")
    yield from _find_no_price(facts, unpriced)


def _find_no_price(facts: Facts, services: Iterable[str]) -> Iterator[Instance]:
    unpriced = [service for service in services if rules_of(facts, service).price is None]
    if unpriced:
        tables = ", ".join(dict.fromkeys(table_of(facts, service) for service in sorted(unpriced)))
        yield {"where": tables, "services": _join_sorted(unpriced)}


def _find_no_records(facts: Facts) -> Iterator[Instance]:
    if not facts.log.unseen or not facts.log.services:
        return
    ruled_by_default = facts.log.services - facts.config.reconcile.keys()
    for service in facts.log.unseen:
        yield {
            "where": f"[reconcile.{service}]", "service": service,
            "hint": _suggest_name([service], ruled_by_default, noun="service"),
        }  # fmt: skip


def _find_sums_of_other_zones(facts: Facts) -> Iterator[Instance]:
    zones, rules = facts.log.other_zones, facts.config.reconcile
    summed = [name for name, of in rules.items() if of.match == ("aggregate",) and of.period_zone == "project"]
    if zones is not None and summed:
        yield {
            "where": table_of(facts, summed[0]), "services": _join_sorted(summed), "subscriptions": zones.subscriptions,
            "example": zones.example, "zone": facts.config.project.timezone,
        }  # fmt: skip


def _join_sorted(services: Iterable[str]) -> str:
    return ", ".join(sorted(services))


def _suggest_name(names: Iterable[str], known: Iterable[str], noun: str = "table") -> str:
    """Return a question about a name that differs from a known name in case or a few letters; empty without such a name."""
    by_fold = {name.casefold(): name for name in known if name != DEFAULT}
    for name in sorted(names):
        close = get_close_matches(name.casefold(), list(by_fold), n=1, cutoff=0.75)
        if close:
            meant = by_fold[close[0]]
            return f" (is {name!r} the {noun} {meant!r}?)"
    return ""


SETTING_RULES = (
    Rule(
        "service-without-rule", "warning",
        "all records of source {source} are of {services}, which has no table [reconcile.SERVICE]{hint}: "
        "they are matched by session_key, without tolerance or grace",
        "add a table for it, or [reconcile.default]", _find_sources_without_table,
    ),
    Rule(
        "service-without-price", "warning",
        "usage of {services} has no price: neither its table sets `price`, nor does a source deliver a tariff book",
        'set `price`, or add a [[source]] with stream = "tariff"', _find_unpriced,
    ),
    Rule(
        "summed-counters", "warning",
        "source {source} has interim updates that count from the start of the session, but `parts` adds them up",
        'set parts = "max"', _find_summed_counters,
    ),
)  # fmt: skip
LOG_RULES = (
    Rule(
        "service-without-rule", "warning",
        "the log has records of {services}, which has no table [reconcile.SERVICE]{hint}: they are matched by session_key, "
        "without tolerance or grace",
        "add a table for each, or [reconcile.default]", _find_services_without_table,
    ),
    Rule(
        "service-without-price", "warning",
        "the log has usage of {services} without a price: neither its table sets `price`, nor does the tariff book rate it",
        "set `price`, or add a rate to the tariff book", _find_unpriced_usage,
    ),
    Rule(
        "service-without-records", "notice", "the log has no record of service {service}{hint}",
        "correct the name of the table, or remove it", _find_no_records,
    ),
    Rule(
        "sums-of-other-zones", "warning",
        "sums of {services} begin at midnight in {zone}, but subscriptions ({subscriptions}) have another time zone, such as "
        "{example}: records around midnight may be in another period than on the bill",
        'set period_zone = "subscriber" if each bill follows the zone of its subscription', _find_sums_of_other_zones,
    ),
)  # fmt: skip
