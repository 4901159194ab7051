"""Format amounts, counts and times for people."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from babel.core import UnknownLocaleError
from babel.numbers import format_currency, format_decimal, get_currency_name

_LOCALE = "en"


def money_text(amount: Decimal | int | None, currency: str | None) -> str:
    """Return an amount with its currency: two decimals, four where it is less than one unit; `unknown` where it is missing."""
    if amount is None:
        return "unknown"
    value = Decimal(amount)
    small = value != 0 and abs(value) < 1
    digits = "0.00##" if small else "#,##0.00"
    code = currency or ""
    if not _is_currency(code):
        return f"{format_decimal(value, format=digits, locale=_LOCALE)} {code}".rstrip()
    text: str = format_currency(value, code, format=f"¤{digits}", locale=_LOCALE, currency_digits=False)
    return text


def short_money(amount: Decimal | int | None, currency: str | None) -> str:
    """Return an amount for a chart's label: thousands and millions as K and M."""
    if amount is None:
        return "unknown"
    value = Decimal(amount)
    for size, letter in ((Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 4, "K")):
        if abs(value) >= size:
            unit = size if letter != "K" else Decimal(1000)
            return f"{money_text(round(value / unit, 1), currency)}{letter}"
    return money_text(value, currency)


def count_text(count: int | None, noun: str = "", plural: str | None = None) -> str:
    """Return a count with separators and its noun: `1 finding`, `2,000 findings`."""
    if count is None:
        return "unknown"
    word = noun if count == 1 else (plural or f"{noun}s")
    return f"{count:,} {word}" if noun else f"{count:,}"


def share_text(share: float | Decimal | None) -> str:
    """Return a share between 0 and 1 in per cent."""
    if share is None:
        return "–"
    per_cent = float(share) * 100
    return f"{per_cent:.2f} %" if 0 < abs(per_cent) < 10 else f"{per_cent:.0f} %"


def age_text(moment: datetime, now: datetime) -> str:
    """Return how long ago a moment was, in its largest unit."""
    seconds = max(0, int((now.astimezone(UTC) - moment.astimezone(UTC)).total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{count_text(seconds // size, unit)} ago"
    return "just now"


def words(name: str | None) -> str:
    """Return the name of a kind, cause or status as words: `charge without usage`."""
    return (name or "").replace("_", " ")


def _is_currency(code: str) -> bool:
    try:
        return len(code) == 3 and code.isalpha() and get_currency_name(code, locale=_LOCALE) != code
    except (UnknownLocaleError, LookupError):
        return False
