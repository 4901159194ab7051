"""Write a feature of a transaction as a sentence: its value, the party's own usual value, and the usual value of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_WHO = {
    "sub": "by this subscriber", "peer": "with this number", "pair": "between these two", "range": "to this range of numbers",
    "handset": "on this handset",
}  # fmt: skip
_FROM = {"range": "from this range of numbers", "peer": "from this number"}
_RINGING = ("ringing", "rung", "short_rings", "ringing_calls")
_WINDOWS = {"1h": "in 1 hour", "4h": "in 4 hours", "24h": "in 24 hours", "7d": "in 7 days", "30d": "in 30 days"}
_HOURS = {"1h": 1, "4h": 4, "24h": 24, "7d": 168, "30d": 720}
_WHAT = {
    "outgoing": "calls and messages", "called": "different numbers called",
    "premium": "calls and messages to premium numbers", "abroad": "calls and messages abroad",
    "short": "calls of ten seconds or less",
    "received": "calls received", "ranges": "different ranges of numbers called", "cells": "different cells",
    "night": "calls and messages by night", "off_hours": "calls and messages outside office hours", "messages": "messages",
    "roaming": "calls on visited networks", "handsets": "different handsets", "sims": "different SIMs",
    "open": "other calls at the same time", "from": "calls and messages", "callers": "different callers",
    "rung": "different subscribers rung", "short_rings": "rings of ten seconds or less", "ringing_calls": "calls",
    "count": "records", "numbers": "different numbers called", "known_frauds": "records known as fraud",
    "ringing": "different numbers calling", "users": "different subscribers",
}  # fmt: skip
_ONE = {
    "outgoing": "call or message", "called": "number called", "premium": "call or message to a premium number",
    "abroad": "call or message abroad", "short": "call of ten seconds or less", "received": "call received",
    "ranges": "range of numbers called", "cells": "cell", "night": "call or message by night",
    "off_hours": "call or message outside office hours", "messages": "message",
    "roaming": "call on a visited network", "handsets": "handset", "sims": "SIM", "open": "other call at the same time",
    "from": "call or message", "callers": "caller", "rung": "subscriber rung", "short_rings": "ring of ten seconds or less",
    "ringing_calls": "call", "count": "record", "numbers": "number called", "known_frauds": "record known as fraud",
    "ringing": "number calling", "users": "subscriber",
}  # fmt: skip
ADDITIVE = frozenset({
    "outgoing", "seconds", "premium", "abroad", "short", "received", "night", "off_hours", "messages", "kilobytes",
    "free_kilobytes", "roaming", "from", "short_rings", "ringing_calls",
})  # fmt: skip
"""Features that add up over time, so the days before today show the party's usual value of a day."""
_OWN = {
    "is_call": "it is a call", "is_message": "it is a message", "is_received": "it is a call received",
    "to_premium": "it goes to a premium number", "to_abroad": "it goes abroad", "from_abroad": "it comes from abroad",
    "is_short": "it lasts ten seconds or less", "is_free": "its class is free of charge",
    "is_roaming": "it is on a visited network",
}  # fmt: skip
OF_ONE_TRANSACTION = frozenset({*_OWN, "units", "seconds", "kilobytes", "hour", "pair_count_24h", "pair_count_30d"})
"""Features that describe a single transaction, and not the behaviour of its party."""
_SHARES = {
    "sub_premium_share_24h": "of this subscriber's calls and messages in 24 hours go to premium numbers",
    "sub_abroad_share_7d": "of this subscriber's calls and messages in 7 days go abroad",
    "sub_today_share": "of this subscriber's calls and messages in 7 days are of the last 24 hours",
    "sub_short_share_24h": "of this subscriber's calls in 24 hours last ten seconds or less",
    "sub_off_hours_share_24h": "of this subscriber's calls and messages in 24 hours are outside office hours",
    "sub_free_share_24h": "of this subscriber's data in 24 hours is free of charge",
    "peer_short_ring_share_24h": "of this number's calls in 24 hours last ten seconds or less",
    "peer_called_back_share_7d": "of the subscribers this number rang in 7 days called back",
    "range_short_ring_share_7d": "of the calls from this range of numbers in 7 days last ten seconds or less",
    "range_called_back_share_7d": "of the subscribers this range rang in 7 days called back",
}  # fmt: skip
_RATIOS = {
    "sub_called_share_24h": "different numbers for each call or message of this subscriber in 24 hours",
    "sub_in_out_7d": "calls received for each call or message of this subscriber in 7 days",
    "sub_cells_per_call_7d": "cells for each call or message of this subscriber in 7 days",
}  # fmt: skip
_LIMIT = {">": "above {}", ">=": "{} or more", "<": "below {}", "<=": "{} or less", "=": "{}"}
_MORNING, _NIGHT = 6, 22
_DAY_US, _HOUR_US, _MINUTE_US = 86_400_000_000, 3_600_000_000, 60_000_000

Usual = Sequence[float] | None
"""The median of honest transactions of the same kind, and the value that one in a hundred exceeds."""


def sentence(name: str, row: Mapping[str, object], usual: Usual = None) -> str | None:
    """Return the sentence about a feature of a transaction with features `row`; None where it would not help an analyst.

    >>> sentence("sub_abroad_1h", {"sub_abroad_1h": 23}, (0.0, 2.0))
    '23 calls and messages abroad by this subscriber in 1 hour; others: 0, one in 100 above 2'

    The days before today give the party's own usual value. Here it made 8 premium calls in 7 days, 2 of them today:

    >>> row = {"sub_premium_24h": 2, "sub_premium_7d": 8, "sub_age_30d": 30 * 86_400_000_000}
    >>> sentence("sub_premium_24h", row, (0.0, 1.0))
    '2 calls and messages to premium numbers by this subscriber in 24 hours; own usual: 1; others: 0, one in 100 above 1'
    >>> sentence("sub_seconds_1h", {"sub_seconds_1h": 17_796})
    '4.9 hours of calls by this subscriber in 1 hour, several at once'
    >>> sentence("pair_count_30d", {"pair_count_30d": 1}, (3.0, 20.0))
    'the first contact between these two in 30 days'
    """
    value = row.get(name)
    if name in _OWN:
        return _OWN[name] if value else None
    if name == "pair_rung_ago_24h":
        return None if value is None else f"the subscriber calls a number that rang {_time(value)} before"
    if value is None:
        return None
    if name in ("units", "seconds", "kilobytes", "hour"):
        return _own_amount(name, row, usual)
    if name in _SHARES:
        return f"{100 * _to_float(value):.0f} % {_SHARES[name]}{_describe_others(usual, percent=True)}"
    if name in _RATIOS:
        return f"{plain_number(value)} {_RATIOS[name]}{_describe_others(usual)}"
    if name == "sub_mean_seconds_24h":
        return f"{_format_duration(value)} per call on average by this subscriber in 24 hours{_describe_others(usual, 'seconds')}"
    return _describe_windowed(name, value, row, usual)


def sentence_with_limit(name: str, row: Mapping[str, object], sign: str, limit: float) -> str | None:
    """Return the sentence about a feature that a rule compares, with its limit; None where it would not help an analyst.

    >>> sentence_with_limit("sub_premium_1h", {"sub_premium_1h": 34}, ">=", 6)
    '34 calls and messages to premium numbers by this subscriber in 1 hour; limit: 6 or more'
    >>> sentence_with_limit("peer_short_ring_share_24h", {"peer_short_ring_share_24h": 1.0}, ">=", 0.8)
    "100 % of this number's calls in 24 hours last ten seconds or less; limit: 80 % or more"
    >>> sentence_with_limit("to_premium", {"to_premium": True}, "=", 1)
    'it goes to a premium number'
    """
    text = sentence(name, row)
    return text if text is None or name in _OWN else f"{text}; limit: {_LIMIT[sign].format(_limit(name, limit))}"


def _limit(name: str, limit: float) -> str:
    if name in _SHARES:
        return f"{100 * limit:.0f} %"
    if name == "pair_rung_ago_24h" or "_age_" in name:
        return _time(limit)
    if "kilobytes" in name:
        return _format_volume(limit)
    return _format_duration(limit) if "seconds" in name else plain_number(limit)


def _describe_windowed(name: str, value: object, row: Mapping[str, object], usual: Usual) -> str | None:
    who, _, rest = name.partition("_")
    what, _, window = rest.rpartition("_")
    if who not in _WHO or window not in _WINDOWS:
        return f"{name.replace('_', ' ')} is {plain_number(value)}{_describe_others(usual)}"
    if what == "age":
        return f"the first record {_WHO[who]} was {_time(value)} ago"
    if what == "count" and who == "pair":
        return (
            f"the first contact between these two {_WINDOWS[window]}"
            if value == 1
            else f"{plain_number(value)} records {_WHO[who]} {_WINDOWS[window]}"
        )
    compared = _own(who, what, window, row) + _describe_others(usual, what)
    where = _FROM.get(who, _WHO[who]) if what in _RINGING else "in this range of numbers" if what == "numbers" else _WHO[who]
    if what in ("seconds", "kilobytes", "free_kilobytes"):
        at_once = ", several at once" if what == "seconds" and who == "sub" and _to_float(value) > _HOURS[window] * 3_600 else ""
        return f"{_format_amount(what, value)} {where} {_WINDOWS[window]}{at_once}{compared}"
    if what == "open":
        return f"{plain_number(value)} {_ONE[what] if value == 1 else _WHAT[what]} {where}{compared}" if value else None
    if what not in _WHAT:
        return f"{name.replace('_', ' ')} is {plain_number(value)}{_describe_others(usual)}"
    return f"{plain_number(value)} {_ONE[what] if value == 1 else _WHAT[what]} {where} {_WINDOWS[window]}{compared}"


def _own_amount(name: str, row: Mapping[str, object], usual: Usual) -> str | None:
    value = row[name]
    if name == "hour":
        return f"it is at {plain_number(value)} o'clock" if _to_float(value) < _MORNING or _to_float(value) >= _NIGHT else None
    if not value or (name == "units" and not row.get("is_received")):
        return None
    if name == "kilobytes":
        return f"the session carries {_format_volume(value)}{_own_day(name, row)}{_describe_others(usual, name)}"
    own = "" if row.get("is_received") else _own_day("seconds", row)
    return f"the call lasts {_format_duration(value)}{own}{_describe_others(usual, 'seconds')}"


def _own_day(what: str, row: Mapping[str, object]) -> str:
    """Return the party's own usual value of a day, for a sentence about one transaction."""
    return _own("sub", what, "24h", row).replace("own usual:", "own usual of a day:")


def _own(who: str, what: str, window: str, row: Mapping[str, object]) -> str:
    """Return the party's usual value in a window of this length: its mean over up to six known days before today."""
    today, week = row.get(f"{who}_{what}_24h"), row.get(f"{who}_{what}_7d")
    if what not in ADDITIVE or today is None or week is None or window not in ("1h", "24h"):
        return ""
    age = row.get(f"{who}_age_30d")
    days = 6.0 if age is None else min(6.0, _to_float(age) / _DAY_US - 1)
    if days < 1:
        return "; own usual: none yet, it is new"
    before = max(0.0, _to_float(week) - _to_float(today)) / days * (_HOURS[window] / 24)
    has_unit = what in ("seconds", "kilobytes", "free_kilobytes")
    return f"; own usual: {_format_amount(what, before) if has_unit else _format_average(before)}"


def _format_average(count: float) -> str:
    """Return a mean count as text, rounded where a fraction would mean nothing to an analyst."""
    return "less than 1" if 0 < count < 1 else plain_number(count)


def _describe_others(usual: Usual, what: str = "", *, percent: bool = False) -> str:
    if not usual:
        return ""
    median, high = usual
    if percent:
        most = "one in 100 has 100 %" if high >= 1 else f"one in 100 above {100 * high:.0f} %"
        return f"; others: {100 * median:.0f} %, {most}"
    return f"; others: {_format_value(what, median)}, one in 100 above {_format_value(what, high)}"


def _format_value(what: str, value: float) -> str:
    if what == "seconds":
        return _format_duration(value)
    return _format_volume(value) if what in ("kilobytes", "free_kilobytes") else plain_number(value)


def _format_amount(what: str, value: object) -> str:
    if what == "seconds":
        return f"{_format_duration(value)} of calls"
    return f"{_format_volume(value)} of {'free ' if what == 'free_kilobytes' else ''}data"


def _to_float(value: object) -> float:
    return float(str(value))


def plain_number(value: object) -> str:
    """Return a number as text: whole, with one decimal from 1 on, else with two; truth values as yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    number = _to_float(value)
    return f"{number:,.0f}" if number == int(number) else f"{number:,.1f}" if number >= 1 else f"{number:,.2f}"


def _format_duration(seconds: object) -> str:
    number = _to_float(seconds)
    if number < 120:
        return f"{number:.0f} seconds"
    return f"{number / 60:.0f} minutes" if number < 7_200 else f"{number / 3_600:.1f} hours"


def _format_volume(kilobytes: object) -> str:
    number = _to_float(kilobytes)
    if number < 1_000:
        return f"{number:.0f} kB"
    return f"{number / 1_000:,.0f} MB" if number < 1_000_000 else f"{number / 1_000_000:,.1f} GB"


def _time(value: object) -> str:
    us = _to_float(value)
    if us < _HOUR_US:
        minutes = f"{us / _MINUTE_US:.0f}"
        return "1 minute" if minutes == "1" else f"{minutes} minutes"
    return f"{us / _DAY_US:.1f} days" if us >= _DAY_US else f"{us / _HOUR_US:.1f} hours"
