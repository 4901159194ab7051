"""The rules of rating as a slow program: one call at a time, one increment at a time, in fractions.

This program defines the price, and the rater must agree to the last millionth. The program examines one instant after another
instead of columns, and shares no code with the rater.
"""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

Row = Mapping[str, Any]
MINUTE = timedelta(minutes=1)
DIMENSIONS = ("plan", "trunk", "zone", "direction")
KEYS = {
    "rate": ("plan", "service", "direction", "zone", "trunk", "destination", "origin", "band", "tier_from_micros"),
    "band": ("band", "weekdays", "from_time", "to_time", "timezone", "calendar"),
    "holiday": ("calendar", "valid_from"),
    "allowance": ("plan", "name", "destination", "zone"),
    "exchange": ("currency", "to_currency"),
    "ported": ("destination",),
}


@dataclass
class Paid:
    """A part of a record under one rate and one length of increment (NULL: the exact quantity)."""

    rate: Row
    step: int | None
    charged: int
    shares: list[tuple[Row, int]] = field(default_factory=list)
    free: int = 0


def price(rows: Sequence[Row], calls: Sequence[Row]) -> dict[int, tuple[int | None, str | None]]:
    """Return for each call its amount in millionths, or the reason why it has none."""
    book = {item: _resolve_versions([r for r in rows if r["item"] == item], key) for item, key in KEYS.items()}
    pieces, answer = {}, {}
    calls = [_replace_ported_number(call, book["ported"]) for call in calls]
    for call in calls:
        cut = _cut_pieces(call, book)
        if isinstance(cut, str):
            answer[call["call"]] = (None, cut)
        else:
            pieces[call["call"]] = cut
    inorder = sorted((c for c in calls if c["call"] in pieces), key=lambda c: (c["start_us"], c["order"], c["call"]))
    _take_free_units(inorder, pieces, book)
    _divide_by_tiers(inorder, pieces, book)
    return answer | {call["call"]: _compute_amount(call, pieces[call["call"]], book) for call in inorder}


def _replace_ported_number(call: Row, ported: Sequence[Row]) -> Row:
    """Return a call; if the called number is ported at its beginning, replace it by the number whose price applies."""
    if call["start_us"] is None:
        return call
    moved = [p for p in ported if _number(p) == _number(call, "peer") and _is_in_force(p, _convert_to_instant(call["start_us"]))]
    return {**call, "peer": moved[0]["rated_as"]} if moved else call


def _convert_to_instant(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def _resolve_versions(rows: Sequence[Row], key: tuple[str, ...]) -> list[dict[str, Any]]:
    """Resolve versions: a row known later replaces one of its key and beginning; a later beginning ends an open one."""

    def name(row: Row) -> tuple[Any, ...]:
        return tuple(
            (row.get(n) or 0) if n == "tier_from_micros" else _number(row, n) if n in ("destination", "origin") else row.get(n)
            for n in key
        )

    known: dict[Any, dict[str, Any]] = {}
    for row in rows:
        known[(name(row), row["valid_from"])] = dict(row)
    for row in known.values():
        later = [o["valid_from"] for o in known.values() if name(o) == name(row) and o["valid_from"] > row["valid_from"]]
        row["ends"] = min([*later, *([row["valid_to"]] if row.get("valid_to") else [])], default=None)
    return list(known.values())


def _number(row: Row, column: str = "destination") -> str:
    return (row.get(column) or "").removeprefix("+")


def _is_in_force(row: Row, moment: datetime) -> bool:
    return row["valid_from"] <= moment and (row["ends"] is None or moment < row["ends"])


def _is_active(name: str, moment: datetime, book: Mapping[str, Sequence[Row]]) -> bool:
    return any(_is_within_band(b, moment, book["holiday"]) for b in book["band"] if b["band"] == name and _is_in_force(b, moment))


def _is_within_band(band: Row, moment: datetime, holidays: Sequence[Row]) -> bool:
    """Return whether a wall-clock time is within the band."""
    wall = moment.astimezone(ZoneInfo(band.get("timezone") or "UTC"))
    now = f"{wall:%H:%M}"
    begins, ends = ((band.get(n) or "00:00").replace("24:", "00:") for n in ("from_time", "to_time"))
    day = wall.date()
    if begins < ends and not begins <= now < ends:
        return False
    if begins > ends:
        if ends <= now < begins:
            return False
        # After midnight the band of the day before still applies.
        day -= timedelta(days=1 if now < ends else 0)
    weekdays = (band.get("weekdays") or "1-7").split(",")
    usual = any(int(p.split("-")[0]) <= day.isoweekday() <= int(p.split("-")[-1]) for p in weekdays if p != "hol")
    off = any(h["valid_from"].date() == day and h.get("calendar") == band.get("calendar") for h in holidays)
    if "hol" in weekdays:
        return usual or off
    return usual and not (off and band.get("calendar"))


def _list_candidates(call: Row, book: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Return the rates that may price a call, the first choice first."""

    def may(rate: Row) -> bool:
        fits = all(rate.get(n) is None or rate[n] == call.get(n) for n in DIMENSIONS)
        return (
            rate["service"] == call["service"] and fits and not rate.get("tier_from_micros")
            and _number(call, "peer").startswith(_number(rate)) and _number(call, "own_number").startswith(_number(rate, "origin"))
        )  # fmt: skip

    def choice(rate: Row) -> tuple[Any, ...]:
        band, lengths = rate.get("band"), (-len(_number(rate)), -len(_number(rate, "origin")))
        return (*(rate.get(n) is None for n in DIMENSIONS), *lengths, band is None, band or "")

    return sorted((r for r in book["rate"] if may(r)), key=choice)


def _cut_pieces(call: Row, book: Mapping[str, Sequence[Row]]) -> list[Paid] | str:
    """Return the charged pieces, increment by increment; or the reason for no price."""
    if call["quantity_micros"] is None or call["start_us"] is None:
        return "no_quantity"
    may = _list_candidates(call, book)
    moment, made = _convert_to_instant(call["start_us"]), list[Paid]()
    at_start = _find_rate_in_force(may, moment, book)
    free = done = _count_free_quantity(call["quantity_micros"], at_start) if at_start else 0
    if at_start and free:
        made.append(Paid(at_start, None, free, free=free))
        moment += timedelta(microseconds=free if at_start.get("unit") == "s" else 0)
    while not made or done < call["quantity_micros"]:
        rate = at_start if at_start and at_start.get("priced_at") == "start" else _find_rate_in_force(may, moment, book)
        if rate is None:
            return _find_unpriced_reason(call, may, moment, book)
        rate, room = _find_slot(rate, done - free)
        first = rate.get("first_increment_micros") if done == free else None
        step = first or rate.get("next_increment_micros")
        left = max(call["quantity_micros"] - done, 0)
        timed = rate.get("unit") == "s"
        charged = min(left, room, step or (_measure_time_to_change(moment, may) if timed else left)) if left else 0
        charged = step if step and left else charged
        if made and done > free and made[-1].rate == rate and made[-1].step == step:
            made[-1].charged += charged
        else:
            made.append(Paid(rate, step, charged))
        done, moment = done + charged, moment + timedelta(microseconds=charged if timed else 0)
    return made


def _find_slot(rate: Row, done: int) -> tuple[Row, int]:
    """Return a rate with the price and increment of its slot after a quantity of the record, and the quantity left in that slot."""
    begun, until = rate, 2**63
    for part in filter(None, (rate.get("slots") or "").split(";")):
        begins, _, terms = part.partition(":")
        price, _, step = terms.partition("/")
        at, micros = Fraction(begins) * 1_000_000, Fraction(price) * 1_000_000
        if at <= done:
            following = int(Fraction(step) * 1_000_000) if step else None
            begun = {**rate, "price_micros": int(micros), "first_increment_micros": None, "next_increment_micros": following}
        else:
            until = min(until, int(at))
    return begun, until - done


def _find_rate_in_force(may: Sequence[Row], moment: datetime, book: Mapping[str, Sequence[Row]]) -> Row | None:
    """Return the first of some rates that holds at a moment."""
    return next(
        (r for r in may if _is_in_force(r, moment) and (r.get("band") is None or _is_active(r["band"], moment, book))), None
    )


def _count_free_quantity(quantity: int, terms: Row) -> int:
    """Return the free quantity at the beginning of a record: the whole quantity if the record is too short to be charged."""
    too_short = quantity < (terms.get("chargeable_from_micros") or 0)
    return quantity if too_short else min(quantity, terms.get("free_first_micros") or 0)


def _measure_time_to_change(moment: datetime, may: Sequence[Row]) -> int:
    """Microseconds to the next full minute or change of a rate."""
    edges = [moment.replace(second=0, microsecond=0) + MINUTE]
    edges += [e for r in may for e in (r["valid_from"], r["ends"]) if e is not None and e > moment]
    return (min(edges) - moment) // timedelta(microseconds=1)


def _find_unpriced_reason(call: Row, may: Sequence[Row], moment: datetime, book: Mapping[str, Sequence[Row]]) -> str:
    if may and all(r["valid_from"] > moment for r in may):
        return "before_any_tariff"
    planned = any(r.get("plan") and r["service"] == call["service"] for r in book["rate"])
    return "no_plan" if call.get("plan") is None and planned else "no_rate"


def _find_cycle_begin(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, monthrange(year, month)[1]))


def _find_period(row: Row, call: Row) -> tuple[int, date]:
    """Return the first day of the billing period of a call, and the cycle day by which it is counted, 0 without one."""
    cycle_day = (call.get("cycle_day") or 1) if row.get("period") == "cycle" else 0
    return cycle_day, _find_first_day(row, call, cycle_day)


def _find_first_day(row: Row, call: Row, cycle_day: int) -> date:
    day = _convert_to_instant(call["start_us"]).astimezone(ZoneInfo(row.get("timezone") or "UTC")).date()
    if row.get("period") == "day":
        return day
    if cycle_day:
        here = _find_cycle_begin(day.year, day.month, cycle_day)
        before = day.replace(day=1) - timedelta(days=1)
        return here if here <= day else _find_cycle_begin(before.year, before.month, cycle_day)
    return day - timedelta(days=day.weekday()) if row.get("period") == "week" else day.replace(day=1)


def _find_pool(row: Row, call: Row) -> tuple[Any, ...]:
    """Return the pool of a record: the owner to whose volume it adds, and the period."""
    shared = row.get("shared") == "account"
    who = call["account"] if shared else call["subscriber"]
    # A record of an unknown subscriber is a pool of its own.
    return (
        shared,
        who if who is not None else (call["call"],),
        call.get("plan"),
        row.get("period") or "month",
        _find_period(row, call),
    )


def _take_free_units(inorder: Sequence[Row], pieces: Mapping[int, list[Paid]], book: Mapping[str, Sequence[Row]]) -> None:
    for name in sorted({a["name"] for a in book["allowance"]}):
        used: dict[Any, int] = defaultdict(int)
        for call in inorder:
            allowance = next((a for a in _sort_by_plan(book["allowance"]) if a["name"] == name and _is_covering(a, call)), None)
            if allowance is None or call["account" if allowance.get("shared") == "account" else "subscriber"] is None:
                continue
            pool = _find_pool(allowance, call)
            for piece in pieces[call["call"]]:
                wanted = piece.charged - piece.free
                piece.free += min(wanted, max(allowance["units_micros"] - used[pool], 0))
                used[pool] += wanted


def _sort_by_plan(allowances: Sequence[Row]) -> list[Row]:
    """Sort allowances: an allowance of the plan comes before an allowance of any plan. The same holds for destination and zone."""
    return sorted(allowances, key=lambda a: [(a.get(n) is None, a.get(n) or "") for n in ("plan", "destination", "zone")])


def _is_covering(allowance: Row, call: Row) -> bool:
    return (
        _is_in_force(allowance, _convert_to_instant(call["start_us"]))
        and call["service"] in [s.strip() for s in allowance["services"].split(",")]
        and all(allowance.get(n) is None or allowance[n] == call.get(n) for n in ("plan", "zone"))
        and _number(call, "peer").startswith(_number(allowance))
    )


def _divide_by_tiers(inorder: Sequence[Row], pieces: Mapping[int, list[Paid]], book: Mapping[str, Sequence[Row]]) -> None:
    paid: dict[Any, int] = defaultdict(int)
    for call in inorder:
        for piece in pieces[call["call"]]:
            tiers = _list_tiers(piece.rate, _convert_to_instant(call["start_us"]), book["rate"])
            wanted = piece.charged - piece.free
            if len(tiers) == 1 or piece.rate.get("slots"):
                piece.shares = [(piece.rate, wanted)]
                continue
            pool = (*_find_pool(piece.rate, call), call["service"])
            low, high = paid[pool], paid[pool] + wanted
            paid[pool] = high
            for i, tier in enumerate(tiers):
                begins = tier.get("tier_from_micros") or 0
                ends = tiers[i + 1]["tier_from_micros"] if i + 1 < len(tiers) else high
                piece.shares.append((tier, max(min(high, ends) - max(low, begins), 0)))


def _list_tiers(rate: Row, moment: datetime, rates: Sequence[Row]) -> list[Row]:
    """Return the tiers of a rate in force when the record begins, the rate itself first."""

    def name(row: Row) -> list[Any]:
        return [_number(row, n) if n in ("destination", "origin") else row.get(n) for n in KEYS["rate"][:-1]]

    beyond = [r for r in rates if r.get("tier_from_micros") and name(r) == name(rate)]
    inforce = sorted((r for r in beyond if _is_in_force(r, moment)), key=lambda r: r["tier_from_micros"])
    return [rate, *inforce]


def _compute_amount(call: Row, pieces: Sequence[Paid], book: Mapping[str, Sequence[Row]]) -> tuple[int | None, str | None]:
    terms = pieces[0].rate
    net = sum((_price_share(p, tier, paid) for p in pieces for tier, paid in p.shares), Fraction(0))
    if any(paid for p in pieces for _, paid in p.shares):
        net += terms.get("setup_micros") or 0
        net = max(net, terms["minimum_micros"]) if terms.get("minimum_micros") is not None else net
    net = min(net, terms["maximum_micros"]) if terms.get("maximum_micros") is not None else net
    net = _round_at_stage("record", net, terms)
    if not terms.get("tax_included"):
        net *= 1 + Fraction(terms.get("tax_micros") or 0, 1_000_000)
    net = _round_at_stage("total", net, terms)
    if call.get("currency") not in (None, terms["currency"]):
        rate = next((e for e in book["exchange"] if _is_exchanging(e, terms["currency"], call)), None)
        if rate is None:
            return None, "no_exchange_rate"
        net *= Fraction(rate["price_micros"], (rate.get("price_per") or 1) * 1_000_000)
    return _round_number(net, terms.get("rounding")), None


def _is_exchanging(exchange: Row, currency: str, call: Row) -> bool:
    ours = (exchange["currency"], exchange["to_currency"]) == (currency, call["currency"])
    return ours and _is_in_force(exchange, _convert_to_instant(call["start_us"]))


def _price_share(piece: Paid, tier: Row, paid: int) -> Fraction:
    """Return the price of a share; where increments are rounded, the prices of each increment and of the remainder."""
    one = Fraction(tier.get("price_micros") or 0, (tier.get("price_per") or 1) * 1_000_000)
    if piece.rate.get("rounding_stage") != "increment" or piece.rate.get("decimals") is None:
        return one * paid
    return sum((_round_at_stage("increment", one * part, piece.rate) for part in _list_increments(paid, piece.step)), Fraction(0))


def _list_increments(paid: int, step: int | None) -> Iterator[int]:
    while paid > 0:
        yield min(paid, step or paid)
        paid -= step or paid


def _round_at_stage(stage: str, amount: Fraction, terms: Row) -> Fraction:
    if terms.get("decimals") is None or (terms.get("rounding_stage") or "total") != stage:
        return amount
    unit = 10 ** (6 - terms["decimals"])
    return Fraction(_round_number(amount / unit, terms.get("rounding")) * unit)


def _round_number(number: Fraction, how: str | None) -> int:
    """`up` rounds away from zero, and `half up` rounds a half away from zero. The default is half to even."""
    size, sign = abs(number), -1 if number < 0 else 1
    whole, rest = divmod(size, 1)
    half = Fraction(1, 2)
    up = {"up": rest > 0, "down": False, "half_up": rest >= half}.get(how or "", rest > half or (rest == half and whole % 2 == 1))
    return sign * (int(whole) + up)
