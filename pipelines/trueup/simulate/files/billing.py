"""Simulate billing: make the charges of a correct billing system, with the time at which it delivers each."""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.simulate.market.period import HOUR_US, SECOND_US
from trueup.simulate.market.population import Population
from trueup.simulate.market.profile import Profile
from trueup.simulate.market.services import (
    BILLING_LATENESS_H,
    CURRENCY,
    DATA,
    IOT,
    ROAMING,
    SERVICES,
    VOICE,
    ZERO_RATED,
    column,
    flat_price,
    tariff_of,
)
from trueup.simulate.traffic.records import part_quantities, repeat_rows
from trueup.simulate.traffic.sessions import NO_NUMBER, Ints, numbers
from trueup.units import MICROS

MAIN, EXTRA, REVERSAL, PHANTOM = range(4)
"""The role of a charge for its session."""

UTC = pl.Datetime("us", "UTC")
CHARGE: dict[str, pl.DataType] = {
    "session": pl.Int64(),
    "leak": pl.Int32(),
    "hard": pl.Boolean(),
    "incident": pl.Int32(),
    "role": pl.Int32(),
    "session_key": pl.Int64(),
    "service": pl.Int32(),
    "subscriber": pl.Int32(),
    "peer": pl.Int32(),
    "started_at": UTC,
    "quantity_micros": pl.Int64(),
    "partial_no": pl.Int32(),
    "amount_micros": pl.Int64(),
    "currency": pl.String(),
    "tariff": pl.Int32(),
    "billed_at": UTC,
}
"""A charge in the columns of the event log. Subscribers and tariffs are numbers; `session` to `role` are internal."""

_SHORTEST_LAG_US = 10 * 60 * SECOND_US
_LONGEST_LAG_US = (BILLING_LATENESS_H - 1) * HOUR_US
DEVICE_LAG_US = (HOUR_US, 6 * HOUR_US)
DAY_STAMP_US = 60 * SECOND_US
"""Time from the stamp of a device's daily charge to the end of the day."""


def clean_charges(rng: np.random.Generator, sessions: pl.DataFrame, people: Population, profile: Profile) -> pl.DataFrame:
    """Return the charges of the billable sessions, before leaks are applied.

    `sessions` has the columns of `sessions.with_session_numbers`, `leak` and `hard`. Most sessions get one charge. Some split data
    sessions get one charge per part; these add up to the price of the session.
    """
    billed = sessions.filter("billable")
    count = len(billed)
    lag = charge_lag_us(rng, numbers(billed, "service"), profile)
    by_part, shorter, jitter = rng.random(count), rng.random(count), rng.integers(0, 2, count)
    parts, service = numbers(billed, "parts"), numbers(billed, "service")
    clean = numbers(billed, "leak") == 0
    split = clean & (parts > 1) & ((service == DATA) | (service == ZERO_RATED)) & (by_part < profile.per_part_share)
    quantity = numbers(billed, "quantity")
    timed = clean & (parts == 1) & ((service == VOICE) | (service == ROAMING)) & (quantity > 1)
    quantity = quantity - (timed & (shorter < profile.rounding_jitter_share))
    by_nearest = np.array([s.nearest for s in SERVICES])[service]
    billed = billed.with_columns(
        charged=pl.Series(quantity), lag_us=pl.Series(lag), split=pl.Series(split),
        start_us=pl.col("start_us") + pl.Series(np.where(by_nearest, jitter * SECOND_US, 0)),
    )  # fmt: skip
    return _make_charges(*repeat_rows(billed, np.where(split, parts, 1)), people)


def charge_lag_us(rng: np.random.Generator, service: Ints, profile: Profile) -> Ints:
    """Draw the time from each session's end to its charge, in microseconds: lognormal hours, some long but within grace."""
    count = len(service)
    usual = profile.lag_median_h * HOUR_US * np.exp(profile.lag_sigma * rng.standard_normal(count))
    lag = np.clip(usual, _SHORTEST_LAG_US, _LONGEST_LAG_US)
    slow = rng.random(count) < profile.slow_share
    room_h = column("grace_h")[service] - 8
    late = (BILLING_LATENESS_H + rng.random(count) * room_h) * HOUR_US
    return np.where(slow, late, lag).astype(np.int64)


def _make_charges(billed: pl.DataFrame, number: Ints, people: Population) -> pl.DataFrame:
    service, parts, split = numbers(billed, "service"), numbers(billed, "parts"), billed["split"].to_numpy()
    charged, part_us = numbers(billed, "charged"), column("part_s")[service] * SECOND_US
    quantity = np.where(split, part_quantities(service, charged, parts, number), charged)
    # A part's price is the increase of the running total, so the parts add up to the price of the session.
    before = np.where(split, charged * number // parts, 0)
    amount = flat_price(service, before + quantity) - flat_price(service, before)
    start, duration = numbers(billed, "start_us"), numbers(billed, "duration_s") * SECOND_US
    end = start + np.where(split, np.minimum((number + 1) * part_us, duration), duration)
    who = numbers(billed, "subscriber")
    return billed.select(
        "session", "leak", "hard", "incident",
        role=pl.lit(MAIN, pl.Int32),
        session_key=pl.when("keyed").then("session"),
        service="service", subscriber="subscriber", peer="peer",
        started_at=pl.Series(start + np.where(split, number * part_us, 0)).cast(UTC),
        quantity_micros=pl.Series(quantity * MICROS),
        partial_no=pl.when("split").then(pl.Series((number + 1).astype(np.int32))),
        amount_micros=pl.Series(amount),
        currency=pl.lit(CURRENCY),
        tariff=pl.Series(tariff_of(people.billed_plan_at(who, start), service).astype(np.int32)),
        billed_at=pl.Series(end + numbers(billed, "lag_us")).cast(UTC),
    )  # fmt: skip


def device_charges(rng: np.random.Generator, totals: pl.DataFrame, day_end_us: int, people: Population) -> pl.DataFrame:
    """Return one charge per device and UTC day from `totals` (session, leak, hard, incident, subscriber, quantity)."""
    quantity = numbers(totals, "quantity")
    service = np.full(len(totals), IOT)
    start = np.full(len(totals), day_end_us - DAY_STAMP_US)
    who = numbers(totals, "subscriber")
    return totals.select(
        "session", "leak", "hard", "incident",
        role=pl.lit(MAIN, pl.Int32),
        session_key=pl.lit(None, pl.Int64),
        service=pl.lit(IOT, pl.Int32), subscriber="subscriber", peer=pl.lit(NO_NUMBER, pl.Int32),
        started_at=pl.Series(start).cast(UTC),
        quantity_micros=pl.Series(quantity * MICROS),
        partial_no=pl.lit(None, pl.Int32),
        amount_micros=pl.Series(flat_price(service, quantity)),
        currency=pl.lit(CURRENCY),
        tariff=pl.Series(tariff_of(people.billed_plan_at(who, start), service).astype(np.int32)),
        billed_at=pl.Series(day_end_us + rng.integers(*DEVICE_LAG_US, len(totals))).cast(UTC),
    )  # fmt: skip
