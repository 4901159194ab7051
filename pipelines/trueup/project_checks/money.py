"""Rules about money: invalid currencies, implied currencies, and prices in other currencies than the charges."""

from __future__ import annotations

from collections.abc import Iterator

from trueup.config import SourceConfig
from trueup.currencies import advice, known_codes
from trueup.events.reasons import CURRENCY_COLUMNS
from trueup.project_checks.facts import Facts, is_mapped, possible_values
from trueup.project_checks.problem import Instance, Rule
from trueup.project_checks.services import rules_of, table_of


def _find_unknown_currencies(facts: Facts) -> Iterator[Instance]:
    known = known_codes(facts.config.project.further_currencies)
    for where, code in _currencies(facts):
        if code not in known:
            yield {"where": where, "code": repr(code), "advice": advice(code, known)}


def _currencies(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield every currency of the settings with its location."""
    yield "[project] currency", facts.config.project.currency
    for service, rules in facts.config.reconcile.items():
        if rules.currency is not None:
            yield f"[reconcile.{service}] currency", rules.currency
    for tax in facts.config.invoice.tax:
        yield "[[invoice.tax]]", tax.currency
    for source in facts.sources:
        for column in CURRENCY_COLUMNS:
            for code in sorted(possible_values(source, column) or ()):
                yield f"[[source]] {source.name}, {column}", code


def _find_implied_currency(facts: Facts) -> Iterator[Instance]:
    if "currency" in facts.config.project.model_fields_set:
        return
    sources = [source.name for source in facts.sources_of("charge") if not is_mapped(source, "currency")]
    if sources:
        yield {"where": "[project] currency", "sources": ", ".join(sources), "code": facts.config.project.currency}


def _find_charge_currency_differences(facts: Facts) -> Iterator[Instance]:
    for service in facts.config.reconcile:
        codes = _charge_currencies(facts, service)
        if codes and _price_currency_differs(facts, service, codes):
            yield _mismatch(facts, service, codes)


def _find_billed_currency_differences(facts: Facts) -> Iterator[Instance]:
    reported = {instance["service"] for instance in _find_charge_currency_differences(facts)}
    for service, codes in sorted(facts.log.billed.items()):
        if service in facts.log.used and service not in reported and _price_currency_differs(facts, service, codes):
            yield _mismatch(facts, service, codes)


def _price_currency_differs(facts: Facts, service: str, codes: frozenset[str]) -> bool:
    price_currency = _price_currency(facts, service)
    # Another rule reports a price in an unknown currency.
    return price_currency not in codes and price_currency in known_codes(facts.config.project.further_currencies)


def _mismatch(facts: Facts, service: str, codes: frozenset[str]) -> Instance:
    return {
        "where": table_of(facts, service), "service": service, "price_currency": _price_currency(facts, service),
        "codes": ", ".join(sorted(codes)),
    }  # fmt: skip


def _price_currency(facts: Facts, service: str) -> str:
    return rules_of(facts, service).currency or facts.config.project.currency


def _charge_currencies(facts: Facts, service: str) -> frozenset[str]:
    """Return the currencies that charges of a service can have according to the settings; empty where only the records decide."""
    codes, is_certain = frozenset[str](), False
    for source in facts.sources_of("charge"):
        services = possible_values(source, "service")
        if services and service not in services:
            continue
        possible = _codes_of(facts, source)
        if possible is None:
            return frozenset()
        codes, is_certain = codes | possible, is_certain or bool(services)
    return codes if is_certain else frozenset()


def _codes_of(facts: Facts, source: SourceConfig) -> frozenset[str] | None:
    codes = possible_values(source, "currency")
    if codes is None:
        return None
    # A charge without a currency has the project's currency.
    named = "currency" in source.constants
    return codes if named else codes | {facts.config.project.currency}


SETTING_RULES = (
    Rule(
        "unknown-currency", "error", "{code} is not a currency of ISO 4217", "{advice}",
        _find_unknown_currencies,
    ),
    Rule(
        "implied-currency", "notice", "charges of source {sources} count as {code}, because no setting names their currency",
        "set [project] currency, or map the column", _find_implied_currency, fails_check=False,
    ),
    Rule(
        "currency-mismatch", "warning",
        "service {service} is priced in {price_currency}, but all its charges are in {codes}: none can match",
        "set `currency` in its table, or correct that of the charges", _find_charge_currency_differences,
    ),
)  # fmt: skip
LOG_RULES = (
    Rule(
        "currency-mismatch", "warning",
        "service {service} is priced in {price_currency}, but all its charges in the log are in {codes}: none can match",
        "set `currency` in its table, or correct that of the charges", _find_billed_currency_differences,
    ),
)  # fmt: skip
