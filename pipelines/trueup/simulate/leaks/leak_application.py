"""Turn clean charges into the delivered ones: apply each leak to the sessions for which it was drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from trueup.simulate.catalogue import CODES
from trueup.simulate.files.billing import EXTRA, PHANTOM, REVERSAL, UTC
from trueup.simulate.leaks import leak_mechanisms
from trueup.simulate.leaks.leak_assignment import CENT_MICROS, COMING_MICROS, FORMER_MICROS, MINUTE, NEVER_CHARGED
from trueup.simulate.market.period import HOUR_US
from trueup.simulate.market.population import Population
from trueup.simulate.market.services import (
    BILLING_LATENESS_H,
    EXCHANGE_MICROS,
    FOREIGN_CURRENCY,
    IOT,
    PRICE_MICROS,
    PRICE_PER,
    column,
)
from trueup.simulate.traffic.load import PROBE
from trueup.simulate.traffic.sessions import NO_NUMBER, Ints, numbers

PHANTOM_KEYS = 5 * 10**11
"""Offset that turns a session number into an unused session key."""
LATE_H = (36, 72)
"""Hours after lateness and grace at which late charges arrive; longer than the time that one billing file covers."""

Change = Callable[[np.random.Generator, pl.DataFrame], pl.DataFrame]


def apply_leaks(rng: np.random.Generator, clean: pl.DataFrame) -> pl.DataFrame:
    """Apply every mechanism but phantoms and re-sends to the charges in `clean`, a frame of `billing.CHARGE`."""
    leaking = clean.filter(pl.col("leak").is_in([*NEVER_CHARGED, *_CHANGES]))
    if leaking.is_empty():
        return clean
    unchanged = clean.filter(~pl.col("leak").is_in([*NEVER_CHARGED, *_CHANGES]))
    changed = [change(rng, leaking.filter(pl.col("leak") == code)) for code, change in _CHANGES.items()]
    return pl.concat([unchanged, *changed])


def phantom_charges(
    rng: np.random.Generator, charges: pl.DataFrame, rate: float, first_id: int, bounds_us: tuple[int, int], people: Population
) -> pl.DataFrame:
    """Return charges without usage: copies of clean charges of the same day (`bounds_us`), one to three hours off."""
    ordinary = (pl.col("leak") == 0) & (pl.col("incident") == NO_NUMBER) & (pl.col("amount_micros") > 0)
    pool = charges.filter(ordinary & pl.col("partial_no").is_null())
    picked = (rng.random(len(pool)) < rate) & (people.segment[numbers(pool, "subscriber")] != PROBE)
    models = pool.filter(pl.Series(picked, dtype=pl.Boolean))
    shift = rng.integers(HOUR_US, 3 * HOUR_US, len(models)) * rng.choice(np.array([-1, 1]), len(models))
    start = models["started_at"].cast(pl.Int64).to_numpy()
    low, high = bounds_us
    shift = np.where((start + shift < low) | (start + shift >= high), -shift, shift)
    session_no = pl.Series(first_id + np.arange(len(models), dtype=np.int64))
    keys = pl.select(pl.when(models["session_key"].is_not_null()).then(session_no + PHANTOM_KEYS)).to_series()
    moved = leak_mechanisms.make_phantoms(models, pl.Series(shift, dtype=pl.Int64), keys)
    inside = pl.col("started_at").cast(pl.Int64).is_between(low, high - 1)
    return moved.with_columns(
        session=session_no, leak=pl.lit(CODES["phantom_charge"], pl.Int32), hard=pl.col("session_key").is_null(),
        role=pl.lit(PHANTOM, pl.Int32),
    ).filter(inside)  # fmt: skip


def _price(name: str, table: Ints) -> pl.Expr:
    return pl.col("service").replace_strict(list(range(len(table))), [int(p) for p in table], return_dtype=pl.Int64).alias(name)


def _scale_by(low: int, high: int) -> Change:
    def change(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
        return leak_mechanisms.scale_quantities(rows, pl.Series(rng.integers(low, high, len(rows)), dtype=pl.Int64))

    return change


def _reprice(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    price = pl.when("hard").then(_price("coming", COMING_MICROS)).otherwise(_price("former", FORMER_MICROS))
    return leak_mechanisms.reprice(rows, price, _price("per", PRICE_PER))


def _round_up(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    return leak_mechanisms.round_up_amounts(rows, CENT_MICROS)


def _bill_in_minutes(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    return leak_mechanisms.bill_in_increments(rows, MINUTE, _price("price", PRICE_MICROS), _price("per", PRICE_PER))


def _zero_rate(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    return leak_mechanisms.zero_amounts(rows)


def _mistake_currency(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    relabelled = leak_mechanisms.relabel_currency(rows.filter("hard"), FOREIGN_CURRENCY)
    return pl.concat([leak_mechanisms.convert_amounts(rows.filter(~pl.col("hard")), EXCHANGE_MICROS), relabelled])


def _duplicate(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    after = pl.Series(rng.integers(HOUR_US // 4, 5 * HOUR_US, len(rows)), dtype=pl.Int64)
    return pl.concat([rows, leak_mechanisms.duplicate_charges(rows, after).with_columns(role=pl.lit(EXTRA, pl.Int32))])


def _duplicate_and_reverse(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    second = _duplicate(rng, rows)
    after = pl.Series(rng.integers(6 * HOUR_US, 9 * HOUR_US, len(rows)), dtype=pl.Int64)
    return pl.concat([second, leak_mechanisms.reverse_charges(rows, after).with_columns(role=pl.lit(REVERSAL, pl.Int32))])


def _delay(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    start = rows["started_at"].cast(pl.Int64).to_numpy()
    end = start + np.where(numbers(rows, "service") == IOT, 0, _bound_duration_us(rows))
    wait = BILLING_LATENESS_H + column("grace_h")[numbers(rows, "service")] + rng.integers(*LATE_H, len(rows))
    return leak_mechanisms.delay_charges(rows, pl.Series(end + wait * HOUR_US).cast(UTC))


def _bound_duration_us(rows: pl.DataFrame) -> Ints:
    """Return the greatest possible duration of each charge's session: the time from start to billing, at most 12 hours."""
    lasted = (rows["billed_at"] - rows["started_at"]).dt.total_microseconds().to_numpy().astype(np.int64)
    return np.minimum(lasted, 12 * HOUR_US)


_CHANGES: dict[int, Change] = {
    CODES[name]: change
    for name, change in {
        "under_quantity": _scale_by(300, 851),
        "over_quantity": _scale_by(1_200, 2_501),
        "wrong_tariff_version": _reprice,
        "wrong_rounding": _round_up,
        "wrong_increment": _bill_in_minutes,
        "zero_rated_by_mistake": _zero_rate,
        "currency_mistake": _mistake_currency,
        "duplicate_charge": _duplicate,
        "reversed_duplicate": _duplicate_and_reverse,
        "late_charge": _delay,
    }.items()
}
