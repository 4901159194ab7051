"""Rules about services: which have a table `[reconcile.SERVICE]`, a price, and records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

from trueup.config import ServiceConfig, SourceConfig
from trueup.project_checks.facts import Facts, possible_values
from trueup.project_checks.problem import Instance, Rule
from trueup.reconcile.domain.policies import DEFAULT


def rule_tables(facts: Facts) -> Mapping[str, ServiceConfig]:
    """The tables `[reconcile.NAME]`, with the rule of services without one where a source delivers such a service for certain."""
    tables = facts.config.reconcile
    if DEFAULT not in tables and fixed_services(facts) - tables.keys():
        return {**tables, DEFAULT: ServiceConfig()}
    return tables


def rules_of(facts: Facts, service: str) -> ServiceConfig:
    """The rules of a service: of its own table, else of `[reconcile.default]`, else those that hold without any."""
    tables = facts.config.reconcile
    return tables.get(service) or tables.get(DEFAULT) or ServiceConfig()


def table_of(facts: Facts, service: str) -> str:
    """The name of the table that rules a service, or that would."""
    tables = facts.config.reconcile
    return f"[reconcile.{service if service in tables or DEFAULT not in tables else DEFAULT}]"


def fixed_services(facts: Facts, stream: str | None = None) -> frozenset[str]:
    """The services that sources of usage and charges (or of one of them) deliver by their settings, whatever their data hold."""
    sources = facts.movements if stream is None else facts.sources_of(stream)
    return frozenset[str]().union(*(possible_values(source, "service") or () for source in sources))


def _sources_without_table(facts: Facts) -> Iterator[Instance]:
    for source, services in _unruled(facts):
        hint = _hint(services, facts.config.reconcile)
        yield {"where": f"[[source]] {source.name}", "source": source.name, "services": _listed(services), "hint": hint}


def _services_without_table(facts: Facts) -> Iterator[Instance]:
    tables = facts.config.reconcile
    if DEFAULT in tables or not facts.reconciles:
        return
    # Those the settings tell are reported by the rule that looks at the settings alone.
    unruled = facts.log.services - tables.keys() - frozenset[str]().union(*(services for _, services in _unruled(facts)))
    if unruled:
        yield {"where": "[reconcile]", "services": _listed(unruled), "hint": _hint(unruled, tables)}


def _unruled(facts: Facts) -> Iterator[tuple[SourceConfig, frozenset[str]]]:
    """The sources that deliver, by their settings, only services without a table, with those services."""
    tables = facts.config.reconcile
    if DEFAULT in tables or not facts.reconciles:
        return
    for source in facts.movements:
        services = possible_values(source, "service")
        if services and not services & tables.keys():
            yield source, services


def _unpriced(facts: Facts) -> Iterator[Instance]:
    if facts.sources_of("tariff") or not facts.reconciles:
        return
    services = {name for name in facts.config.reconcile if name != DEFAULT} | fixed_services(facts, "usage")
    yield from _without_price(facts, services)


def _unpriced_usage(facts: Facts) -> Iterator[Instance]:
    if not facts.reconciles or not facts.log.used:
        return
    unpriced = facts.log.used - facts.log.rated
    if not facts.sources_of("tariff"):
        # As above.
        unpriced -= facts.config.reconcile.keys() | fixed_services(facts, "usage")
    yield from _without_price(facts, unpriced)


def _without_price(facts: Facts, services: Iterable[str]) -> Iterator[Instance]:
    unpriced = [service for service in services if rules_of(facts, service).price is None]
    if unpriced:
        tables = ", ".join(dict.fromkeys(table_of(facts, service) for service in sorted(unpriced)))
        yield {"where": tables, "services": _listed(unpriced)}


def _unseen(facts: Facts) -> Iterator[Instance]:
    if not facts.log.unseen or not facts.log.services:
        return
    ruled_by_default = facts.log.services - facts.config.reconcile.keys()
    for service in facts.log.unseen:
        yield {
            "where": f"[reconcile.{service}]", "service": service, "hint": _hint([service], ruled_by_default, noun="service"),
        }  # fmt: skip


def _listed(services: Iterable[str]) -> str:
    return ", ".join(sorted(services))


def _hint(names: Iterable[str], known: Iterable[str], noun: str = "table") -> str:
    """A question about a name that differs from a known one in case or a letter or two; empty where there is none."""
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
        "add a table for it, or [reconcile.default]", _sources_without_table,
    ),
    Rule(
        "service-without-price", "warning",
        "usage of {services} has no price: neither its table sets `price`, nor does a source deliver a tariff book",
        'set `price`, or add a [[source]] with stream = "tariff"', _unpriced,
    ),
)  # fmt: skip
LOG_RULES = (
    Rule(
        "service-without-rule", "warning",
        "records of {services} came, which has no table [reconcile.SERVICE]{hint}: they are matched by session_key, "
        "without tolerance or grace",
        "add a table for each, or [reconcile.default]", _services_without_table,
    ),
    Rule(
        "service-without-price", "warning",
        "usage of {services} came and has no price: neither its table sets `price`, nor does the tariff book have a rate for it",
        "set `price`, or add a rate to the tariff book", _unpriced_usage,
    ),
    Rule(
        "service-without-records", "notice", "no record of service {service} ever came{hint}",
        "correct the name of the table, or remove it", _unseen,
    ),
)  # fmt: skip
