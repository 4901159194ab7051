"""Simulate devices: many small records on the platform's UTC clock, with one charge per subscription and UTC day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from trueup.simulate.market.period import DAY_US, SECOND_US, Period, utc_us
from trueup.simulate.market.services import IOT
from trueup.simulate.traffic.load import IOT_DEVICE
from trueup.simulate.traffic.ordinary import World
from trueup.simulate.traffic.sessions import Ints, session_frame

IDLE_SHARE = 0.03
MISSED_SHARE = 0.05
UPDATE_SHARE = 0.002
UPDATE_KB = 400


@dataclass(frozen=True)
class PlatformDay:
    """One UTC day of the platform, [start_us, end_us)."""

    index: int
    start_us: int

    @property
    def end_us(self) -> int:
        """Return when the day ends, in UTC microseconds."""
        return self.start_us + DAY_US

    @classmethod
    def of(cls, period: Period, index: int) -> PlatformDay:
        """Return the UTC day with the date of the local day `index`."""
        date = period.first_day + timedelta(days=index)
        return cls(index, utc_us(datetime(date.year, date.month, date.day, tzinfo=UTC)))


def device_traffic(rng: np.random.Generator, world: World, region: int, day: PlatformDay) -> tuple[pl.DataFrame, Ints]:
    """Return the session frame of the region's devices, ordered by device, and the idle devices."""
    people = world.people
    members = people.of_region(region)
    devices = members[people.segment[members] == IOT_DEVICE]
    idle = rng.random(len(devices)) < IDLE_SHARE
    busy = devices[~idle]
    slots = max(1, round(world.profile.activity_by_service["iot"][IOT_DEVICE] * world.profile.activity))
    who = np.repeat(busy, slots)
    every_us = DAY_US // slots
    # A device reports at a fixed minute of each slot, with some seconds of radio delay.
    phase = np.repeat((busy * 7_919) % every_us, slots) + np.tile(np.arange(slots), len(busy)) * every_us
    start = day.start_us + phase + rng.integers(0, 20 * SECOND_US, len(who))
    volume = 1 + rng.poisson(3, len(who)) + UPDATE_KB * (rng.random(len(who)) < UPDATE_SHARE)
    reported = rng.random(len(who)) >= MISSED_SHARE
    start = np.minimum(start, day.end_us - SECOND_US) // SECOND_US * SECOND_US
    platform = world.network.elements(region, "iot")[0]
    reports = session_frame(
        {
            "service": IOT, "subscriber": who[reported], "node": platform, "cell": people.home_cell[who[reported]],
            "start_us": start[reported], "quantity": volume[reported],
        }
    )  # fmt: skip
    return reports, devices[idle]
