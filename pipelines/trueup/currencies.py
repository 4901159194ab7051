"""Currency codes: those of ISO 4217, in force or withdrawn, and those that a project adds."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from trueup.errors import ConfigError

NO_MONEY = frozenset({"XXX", "XTS"})
"""Codes of ISO 4217 for "no currency" and for tests: an amount in them is not money."""


@cache
def iso_codes() -> frozenset[str]:
    """Return the alphabetic codes of ISO 4217 as Unicode CLDR lists them, in force or withdrawn, without `NO_MONEY`.

    Records are years old when they are reconciled: an amount in kuna stays an amount after Croatia took the euro.
    """
    from babel.core import get_global

    return frozenset(get_global("all_currencies")) - NO_MONEY


def known_codes(further: Iterable[str] = ()) -> frozenset[str]:
    """Return the codes that an amount of a project may have; `further` are those of its `[project] further_currencies`."""
    return iso_codes().union(further)


def check_currency(code: str, further: Iterable[str], *, where: str) -> None:
    """Raise `ConfigError` for a typed code that is not a currency."""
    if code not in known_codes(further):
        raise ConfigError(f"{code!r} is not a currency of ISO 4217", where=where, todo=advice(code, known_codes(further)))


def advice(code: str, known: frozenset[str]) -> str:
    """Return the advice on a code that is not among the known ones."""
    usual = code.strip().upper()
    return f"{f'write {usual}' if usual in known else 'correct it'}, or list it in [project] further_currencies"
