"""From clean charges to those billing delivers: each mechanism applied to the sessions it was drawn for."""

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
from trueup.simulate.traffic.sessions import NOBODY, Ints, numbers

PHANTOM_KEYS = 5 * 10**11
"""Added to a session number, this gives a key no session has."""
LATE_H = (36, 72)
"""Hours beyond lateness and grace at which late charges come: clear of the width of a billing file."""

Change = Callable[[np.random.Generator, pl.DataFrame], pl.DataFrame]


def leaking(rng: np.random.Generator, clean: pl.DataFrame) -> pl.DataFrame:
    """The charges after every mechanism but phantoms and re-sends; `clean` is a frame of `billing.CHARGE`."""
    touched = clean.filter(pl.col("leak").is_in([*NEVER_CHARGED, *_CHANGES]))
    if touched.is_empty():
        return clean
    left = clean.filter(~pl.col("leak").is_in([*NEVER_CHARGED, *_CHANGES]))
    changed = [change(rng, touched.filter(pl.col("leak") == code)) for code, change in _CHANGES.items()]
    return pl.concat([left, *changed])


def phantoms(
    rng: np.random.Generator, charges: pl.DataFrame, rate: float, first_id: int, bounds_us: tuple[int, int], people: Population
) -> pl.DataFrame:
    """Charges without usage, modelled on clean ones of the same day (`bounds_us`) but one to three hours off."""
    ordinary = (pl.col("leak") == 0) & (pl.col("incident") == NOBODY) & (pl.col("amount_micros") > 0)
    pool = charges.filter(ordinary & pl.col("partial_no").is_null())
    picked = (rng.random(len(pool)) < rate) & (people.segment[numbers(pool, "subscriber")] != PROBE)
    models = pool.filter(pl.Series(picked, dtype=pl.Boolean))
    shift = rng.integers(HOUR_US, 3 * HOUR_US, len(models)) * rng.choice(np.array([-1, 1]), len(models))
    start = models["started_at"].cast(pl.Int64).to_numpy()
    low, high = bounds_us
    shift = np.where((start + shift < low) | (start + shift >= high), -shift, shift)
    own = pl.Series(first_id + np.arange(len(models), dtype=np.int64))
    keys = pl.select(pl.when(models["session_key"].is_not_null()).then(own + PHANTOM_KEYS)).to_series()
    made = leak_mechanisms.phantom(models, pl.Series(shift, dtype=pl.Int64), keys)
    inside = pl.col("started_at").cast(pl.Int64).is_between(low, high - 1)
    return made.with_columns(
        session=own, leak=pl.lit(CODES["phantom_charge"], pl.Int32), hard=pl.col("session_key").is_null(),
        role=pl.lit(PHANTOM, pl.Int32),
    ).filter(inside)  # fmt: skip


def _price(name: str, table: Ints) -> pl.Expr:
    return pl.col("service").replace_strict(list(range(len(table))), [int(p) for p in table], return_dtype=pl.Int64).alias(name)


def _rescaled(low: int, high: int) -> Change:
    def change(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
        return leak_mechanisms.scaled(rows, pl.Series(rng.integers(low, high, len(rows)), dtype=pl.Int64))

    return change


def _other_version(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    price = pl.when("hard").then(_price("coming", COMING_MICROS)).otherwise(_price("former", FORMER_MICROS))
    return leak_mechanisms.repriced(rows, price, _price("per", PRICE_PER))


def _rounded(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    return leak_mechanisms.rounded_up(rows, CENT_MICROS)


def _in_minutes(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    return leak_mechanisms.in_increments(rows, MINUTE, _price("price", PRICE_MICROS), _price("per", PRICE_PER))


def _for_nothing(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    return leak_mechanisms.zeroed(rows)


def _foreign(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    relabelled = leak_mechanisms.relabelled(rows.filter("hard"), FOREIGN_CURRENCY)
    return pl.concat([leak_mechanisms.converted(rows.filter(~pl.col("hard")), EXCHANGE_MICROS), relabelled])


def _twice(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    after = pl.Series(rng.integers(HOUR_US // 4, 5 * HOUR_US, len(rows)), dtype=pl.Int64)
    return pl.concat([rows, leak_mechanisms.duplicated(rows, after).with_columns(role=pl.lit(EXTRA, pl.Int32))])


def _twice_and_back(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    second = _twice(rng, rows)
    after = pl.Series(rng.integers(6 * HOUR_US, 9 * HOUR_US, len(rows)), dtype=pl.Int64)
    return pl.concat([second, leak_mechanisms.reversed_(rows, after).with_columns(role=pl.lit(REVERSAL, pl.Int32))])


def _late(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    start = rows["started_at"].cast(pl.Int64).to_numpy()
    end = start + np.where(numbers(rows, "service") == IOT, 0, _length_us(rows))
    wait = BILLING_LATENESS_H + column("grace_h")[numbers(rows, "service")] + rng.integers(*LATE_H, len(rows))
    return leak_mechanisms.delayed(rows, pl.Series(end + wait * HOUR_US).cast(UTC))


def _length_us(rows: pl.DataFrame) -> Ints:
    """How long the session of a charge may have lasted at most: what was billed minus its start, less the lag it had."""
    lasted = (rows["billed_at"] - rows["started_at"]).dt.total_microseconds().to_numpy().astype(np.int64)
    return np.minimum(lasted, 12 * HOUR_US)


_CHANGES: dict[int, Change] = {
    CODES[name]: change
    for name, change in {
        "under_quantity": _rescaled(300, 851),
        "over_quantity": _rescaled(1_200, 2_501),
        "wrong_tariff_version": _other_version,
        "wrong_rounding": _rounded,
        "wrong_increment": _in_minutes,
        "zero_rated_by_mistake": _for_nothing,
        "currency_mistake": _foreign,
        "duplicate_charge": _twice,
        "reversed_duplicate": _twice_and_back,
        "late_charge": _late,
    }.items()
}
