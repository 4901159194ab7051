"""Trace the arithmetic of the price of one record, line by line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import polars as pl

from trueup.rating.book import BY_START, Book
from trueup.rating.portability import with_rated_peers
from trueup.rating.rate import RatingResult
from trueup.rating.segments import SECOND
from trueup.units import MICROS

_DIMENSIONS = ("service", "plan", "direction", "zone", "trunk")
_SPOKEN = {"half_even": "half to even", "half_up": "half up", "up": "up", "down": "down"}
_DIGITS = 12
Row = dict[str, Any]


def steps(rated: RatingResult, call: int, book: Book) -> list[str]:
    """Return the steps by which a record is priced, one a line; the last line is the amount, or the reason for none."""
    record = rated.calls.row(by_predicate=pl.col("call") == call, named=True)
    answer = rated.amounts.row(by_predicate=pl.col("call") == call, named=True)
    parts = rated.parts.filter(pl.col("call") == call).sort("piece", "share").to_dicts()
    if not parts:
        return [f"no price: {answer['reason']}"]
    numbers = {part[n] for part in parts for n in ("rate", "base")}
    rates = {row["rate"]: row for row in book.rates.filter(pl.col("rate").is_in(numbers)).to_dicts()}
    rates |= {
        row["rate"]: _merge_slot_terms(row, rates[row["base"]])
        for row in book.slots.filter(pl.col("rate").is_in(numbers)).to_dicts()
    }
    lines, net = _describe_ported_number(rated.calls.filter(pl.col("call") == call), book), Fraction(0)
    for i, part in enumerate(parts):
        base = rates[part["base"]]
        if i == 0 or part["base"] != parts[i - 1]["base"]:
            lines.append(_describe_tariff(base))
        value = _price_share(part, rates[part["rate"]], base)
        lines.append(_describe_share(part, rates[part["rate"]], base, record, value))
        net += value
    paid = any(part["charged_micros"] > part["free_micros"] for part in parts)
    more, net = _trace_from_net(rates[parts[0]["base"]], net, paid=paid)
    lines += more
    exchanged, net = _trace_exchange(rates[parts[0]["base"]], record, net, book)
    lines += exchanged
    if answer["amount_micros"] is None:
        return [*lines, f"no price: {answer['reason']}"]
    if net.denominator != 1:
        lines.append(f"to the millionth, {_describe_rounding(rates[parts[0]['base']])}")
    return [*lines, f"= {_format_money(Fraction(answer['amount_micros']))} {answer['currency']}"]


def _describe_ported_number(record: pl.DataFrame, book: Book) -> list[str]:
    """Return the line that explains under which number a call to a ported number is rated."""
    peer, rated_as = record["peer"][0], with_rated_peers(record, book)["peer"][0]
    return [] if peer == rated_as else [f"number {peer} is ported: rated as {rated_as}"]


def _describe_tariff(rate: Row) -> str:
    """Return the version and dimensions of a rate."""
    since = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=rate["from_us"])).isoformat().replace("+00:00", "Z")
    dimensions = [f"{n} {rate[n]}" for n in _DIMENSIONS if rate[n] is not None]
    dimensions += [f"prefix {rate['destination']}" if rate["destination"] else "any destination"]
    dimensions += [f"origin {rate['origin']}"] if rate["origin"] else []
    dimensions += [f"band {rate['band']}"] if rate["band"] else []
    dimensions += ["priced at the start"] if rate["priced_at"] == BY_START else []
    return f"tariff {rate['tariff_code'] or 'without a code'} as of {since}: {', '.join(dimensions)}"


def _describe_share(part: Row, priced: Row, base: Row, record: Row, value: Fraction) -> str:
    """Return the line of one share: its start, the part covered by an allowance, and its price."""
    unit = base["unit"] or "units"
    begins, charged = part["from_micros"], part["charged_micros"]
    where = f"at {_format_number(begins)} {unit}"
    if base["unit"] == SECOND:
        start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=record["start_us"] + begins)
        where = f"from {start.time().isoformat()}Z"
    if part["increment_micros"] is None and part["allowance"] is None and part["free_micros"]:
        return f"{where}: {_format_number(charged)} {unit}, {_describe_free_start(base, record)}"
    of = priced if "slot_from_micros" in priced else base
    first, following = of["first_increment_micros"], of["next_increment_micros"]
    stepped = (
        ""
        if first is None and following is None
        else f" in increments of {_format_step(first or following)}/{_format_step(following)}"
    )
    free = f", {_format_number(part['free_micros'])} free by {part['allowance']}" if part["free_micros"] else ""
    beyond = f" (beyond {_format_number(priced['tier_from_micros'])} {unit} of the period)" if priced["tier_from_micros"] else ""
    if "slot_from_micros" in priced:
        beyond = f" (from {_format_number(priced['slot_from_micros'])} {unit} of the record on)"
    paid = _format_number(charged - part["free_micros"])
    price = f"{_format_money(Fraction(priced['price_micros']))} per {priced['price_per']} {unit}{beyond}"
    each = f", each increment rounded {_describe_rounding(base)} to {base['decimals']} decimals" if _is_by_increment(base) else ""
    return f"{where}: {_format_number(charged)} {unit}{stepped}{free}; {paid} × {price}{each} = {_format_money(value)}"


def _merge_slot_terms(slot: Row, base: Row) -> Row:
    """Return the terms of a slot: the terms of its rate, with the slot's price and increment."""
    own = {name: slot[name] for name in ("rate", "price_micros", "price_per", "slot_from_micros")}
    return base | own | {"first_increment_micros": None, "next_increment_micros": slot["step_micros"]}


def _describe_free_start(base: Row, record: Row) -> str:
    """Return why the beginning of a record is free."""
    unit, least = base["unit"] or "units", base["chargeable_from_micros"]
    if least is not None and record["quantity_micros"] < least:
        return f"free: records of less than {_format_number(least)} {unit} are not charged"
    return f"the first {_format_number(base['free_first_micros'])} of each record, free"


def _format_step(micros: int | None) -> str:
    return "exact" if micros is None else _format_number(micros)


def _trace_from_net(terms: Row, net: Fraction, *, paid: bool) -> tuple[list[str], Fraction]:
    """Apply set-up fee, minimum, maximum, rounding and tax; return the lines and the amount after them."""
    lines = []
    if paid and terms["setup_micros"]:
        net += terms["setup_micros"]
        lines.append(f"+ set-up fee {_format_money(Fraction(terms['setup_micros']))} = {_format_money(net)}")
    if paid and terms["minimum_micros"] is not None and net < terms["minimum_micros"]:
        net = Fraction(terms["minimum_micros"])
        lines.append(f"raised to the minimum = {_format_money(net)}")
    if terms["maximum_micros"] is not None and net > terms["maximum_micros"]:
        net = Fraction(terms["maximum_micros"])
        lines.append(f"limited to the maximum = {_format_money(net)}")
    rounded, net = _trace_rounding("record", "before tax", terms, net)
    lines += rounded
    tax = Fraction(terms["tax_micros"] or 0, MICROS)
    if tax and not terms["tax_included"]:
        net *= 1 + tax
        lines.append(f"+ {_format_number(int(tax * 100 * MICROS))} % tax = {_format_money(net)}")
    elif tax:
        lines.append(f"{_format_number(int(tax * 100 * MICROS))} % tax is included")
    rounded, net = _trace_rounding("total", "at the end", terms, net)
    return lines + rounded, net


def _trace_rounding(stage: str, when: str, terms: Row, net: Fraction) -> tuple[list[str], Fraction]:
    if terms["decimals"] is None or (terms["rounding_stage"] or "total") != stage:
        return [], net
    net = rounded_to(net, terms["decimals"], terms["rounding"])
    return [f"rounded {when}, {_describe_rounding(terms)}, to {terms['decimals']} decimals = {_format_money(net)}"], net


def _trace_exchange(terms: Row, record: Row, net: Fraction, book: Book) -> tuple[list[str], Fraction]:
    currency = record["currency"]
    if currency is None or currency == terms["currency"]:
        return [], net
    within = pl.lit(record["start_us"]).is_between("from_us", "to_us", closed="left")
    found = book.exchange.filter(
        within & (pl.col("currency") == terms["currency"]) & (pl.col("to_currency") == currency)
    ).to_dicts()
    if not found:
        return [f"{terms['currency']} cannot be exchanged into {currency} then"], net
    price, per = found[0]["price_micros"], found[0]["price_per"]
    net *= Fraction(price, per * MICROS)
    return [f"× {_format_money(Fraction(price))} {currency} per {per} {terms['currency']} = {_format_money(net)}"], net


def _is_by_increment(terms: Row) -> bool:
    return terms["rounding_stage"] == "increment" and terms["decimals"] is not None


def _price_share(part: Row, priced: Row, base: Row) -> Fraction:
    one = Fraction(priced["price_micros"], priced["price_per"] * MICROS)
    paid = int(part["charged_micros"] - part["free_micros"])
    if not _is_by_increment(base) or not paid:
        return one * paid
    step = int(part["increment_micros"] or paid)
    whole, remainder = divmod(paid, step)
    return whole * rounded_to(one * step, base["decimals"], base["rounding"]) + rounded_to(
        one * remainder, base["decimals"], base["rounding"]
    )


def rounded_to(micros: Fraction, decimals: int, rounding: str | None) -> Fraction:
    """Round an amount in millionths to `decimals` of the currency unit; up and half up are away from zero."""
    unit = 10 ** (6 - decimals)
    whole, rest = divmod(abs(micros) / unit, 1)
    half = Fraction(1, 2)
    to_even = rest > half or (rest == half and whole % 2 == 1)
    up = {"up": rest > 0, "down": False, "half_up": rest >= half}.get(rounding or "", to_even)
    size = Fraction((int(whole) + up) * unit)
    return -size if micros < 0 else size


def _describe_rounding(terms: Row) -> str:
    return _SPOKEN[terms["rounding"] or "half_even"]


def _format_number(micros: int) -> str:
    return _format_money(Fraction(micros))


def _format_money(micros: Fraction) -> str:
    """Format millionths as a decimal, exact up to 12 decimal places; `…` marks further digits."""
    shown = abs(micros) / MICROS
    digits, rest = divmod(shown * 10**_DIGITS, 1)
    text = f"{int(digits) // 10**_DIGITS}.{int(digits) % 10**_DIGITS:0{_DIGITS}d}"
    text = f"{text}…" if rest else text.rstrip("0").rstrip(".")
    return f"-{text}" if micros < 0 else text
