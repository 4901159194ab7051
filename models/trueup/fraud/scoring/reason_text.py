"""Write a feature and its value as a sentence."""

from __future__ import annotations

_WHO = {
    "sub": "by this subscriber", "peer": "with this other party", "pair": "between these two", "range": "to this range of numbers",
}  # fmt: skip
_RINGING, _RINGING_RANGE = ("ringing", "rung", "short_rings"), "from this range of numbers"
_WINDOWS = {"1h": "in 1 hour", "4h": "in 4 hours", "24h": "in 24 hours", "7d": "in 7 days", "30d": "in 30 days"}
_WHAT = {
    "outgoing": "calls and messages", "seconds": "seconds of calls", "called": "different numbers called",
    "premium": "calls and messages to premium numbers", "abroad": "calls and messages abroad",
    "short": "calls of ten seconds or less",
    "received": "calls received", "ranges": "different ranges of numbers called", "cells": "different cells",
    "night": "calls and messages by night", "messages": "messages", "kilobytes": "kB of data", "free_kilobytes": "kB of free data",
    "roaming": "calls on visited networks", "handsets": "different handsets", "sims": "different SIMs", "open": "calls at once",
    "age": "since the first record", "from": "calls and messages", "callers": "different callers", "rung": "different numbers rung",
    "short_rings": "calls of ten seconds or less", "count": "records", "numbers": "different numbers called",
    "known_frauds": "frauds known", "ringing": "different numbers calling",
    "rung_ago": "since a call received",
}  # fmt: skip
_OWN = {
    "is_call": "it is a call", "is_message": "it is a message", "is_received": "it is a call received",
    "to_premium": "it goes to a premium number",
    "to_abroad": "it goes abroad", "from_abroad": "it comes from abroad",
    "is_short": "it lasts ten seconds or less", "is_free": "its class is free of charge",
    "is_roaming": "it is on a visited network",
}  # fmt: skip
_OWN_AMOUNTS = {"units": "units", "seconds": "seconds", "kilobytes": "kB", "hour": "o'clock"}
_ONE = {
    "outgoing": "call or message", "called": "number called", "premium": "call or message to a premium number",
    "abroad": "call or message abroad", "short": "call of ten seconds or less", "received": "call received",
    "ranges": "range of numbers called", "cells": "cell", "night": "call or message by night", "messages": "message",
    "roaming": "call on a visited network", "handsets": "handset", "sims": "SIM", "open": "other call at the same time",
    "from": "call or message", "callers": "caller", "rung": "number rung", "short_rings": "call of ten seconds or less",
    "count": "record", "numbers": "number called", "known_frauds": "fraud known", "ringing": "number calling",
}  # fmt: skip
_SHARES = {
    "sub_premium_share_24h": "of this subscriber's calls and messages in 24 hours go to premium numbers",
    "sub_abroad_share_7d": "of this subscriber's calls and messages in 7 days go abroad",
    "sub_called_share_24h": "different numbers for each call or message of this subscriber in 24 hours",
    "sub_in_out_7d": "calls received for each call or message of this subscriber in 7 days",
    "sub_today_share": "of this subscriber's calls and messages in 7 days are of the last 24 hours",
    "sub_mean_seconds_24h": "seconds for each call or message of this subscriber in 24 hours",
    "sub_cells_per_call_7d": "cells for each call or message of this subscriber in 7 days",
}  # fmt: skip
_DAY_US, _HOUR_US, _MINUTE_US = 86_400_000_000, 3_600_000_000, 60_000_000


def sentence(name: str, value: object, usual: float | None) -> str:
    """Return the sentence of a feature's value in one transaction; `usual` is the median of honest transactions.

    >>> sentence("sub_abroad_1h", 23, 0.0)
    '23 calls and messages abroad by this subscriber in 1 hour; usual: 0'
    >>> sentence("sub_handsets_7d", 1, 2.0)
    '1 handset by this subscriber in 7 days; usual: 2'
    >>> sentence("range_rung_24h", 140, 1.0)
    '140 different numbers rung from this range of numbers in 24 hours; usual: 1'
    >>> sentence("to_premium", value=False, usual=0.0)
    'not: it goes to a premium number'
    >>> sentence("sub_age_30d", 5_400_000_000, None)
    'first record by this subscriber 1.5 hours ago; usual: never'
    """
    if name in _OWN:
        return _OWN[name] if value else f"not: {_OWN[name]}"
    if name in _OWN_AMOUNTS:
        return f"{_number(value)} {_OWN_AMOUNTS[name]}; usual: {_number(usual)}"
    if name in _SHARES:
        return f"{_number(value)} {_SHARES[name]}; usual: {_number(usual)}"
    who, _, rest = name.partition("_")
    what, _, window = rest.rpartition("_")
    if who not in _WHO or window not in _WINDOWS or what not in _WHAT:
        return f"{name.replace('_', ' ')} is {_number(value)}; usual: {_number(usual)}"
    if what == "age":
        return f"first record {_WHO[who]} {_time(value)} ago; usual: {_time(usual)}"
    if what == "rung_ago":
        ago = "not rung by this other party" if value is None else f"rung by this other party {_time(value)} ago"
        return f"{ago}; usual: {_time(usual)}"
    counted = _ONE.get(what, _WHAT[what]) if value == 1 else _WHAT[what]
    where = _RINGING_RANGE if who == "range" and what in _RINGING else _WHO[who]
    return f"{_number(value)} {counted} {where} {_WINDOWS[window]}; usual: {_number(usual)}"


def _number(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    number = float(str(value))
    return f"{number:,.0f}" if number == int(number) else f"{number:,.2f}"


def _time(value: object) -> str:
    if value is None:
        return "never"
    us = float(str(value))
    if us < _HOUR_US:
        return f"{us / _MINUTE_US:.0f} minutes"
    return f"{us / _DAY_US:.1f} days" if us >= _DAY_US else f"{us / _HOUR_US:.1f} hours"
