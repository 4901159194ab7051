"""Simulate the operator's test SIMs: one per region, active on every feed all day, so that every feed's frontier advances."""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.simulate.market.period import HOUR_US, SECOND_US, Day
from trueup.simulate.market.services import DATA, IOT, ROAMING, SMS, VOICE
from trueup.simulate.traffic.iot import PlatformDay
from trueup.simulate.traffic.load import PROBE
from trueup.simulate.traffic.ordinary import World
from trueup.simulate.traffic.sessions import Ints, session_frame

EVERY_US = 2 * HOUR_US
_MINUTE_US = 60 * SECOND_US


def probe_of(world: World, region: int) -> int:
    """Return the test SIM of a region."""
    members = world.people.of_region(region)
    return int(members[world.people.segment[members] == PROBE][0])


def probe_traffic(rng: np.random.Generator, world: World, region: int, day: Day) -> pl.DataFrame:
    """Return a call, a message, a data session and a roaming call every two hours, at each element in turn."""
    who = probe_of(world, region)
    at = np.arange(day.start_us + 5 * _MINUTE_US, day.end_us - 10 * _MINUTE_US, EVERY_US, dtype=np.int64)
    parts = []
    for turn, (service, feed) in enumerate(((VOICE, "msc"), (SMS, "msc"), (DATA, "pgw"), (ROAMING, "tap"))):
        seconds = np.zeros(len(at), dtype=np.int64) if service == SMS else rng.integers(30, 90, len(at))
        quantity: Ints = {SMS: np.ones_like(seconds), DATA: 200 * seconds}.get(service, seconds)
        elements = world.network.elements(region, feed)
        columns = {
            "service": service, "subscriber": np.full(len(at), who), "node": elements[np.arange(len(at)) % len(elements)],
            "start_us": at + turn * _MINUTE_US, "duration_s": seconds, "quantity": quantity,
        }  # fmt: skip
        if service != ROAMING:
            columns["cell"] = world.people.home_cell[who]
        if service != DATA:
            columns["peer"] = int(world.graph.numbers.first[1])
        parts.append(session_frame(columns))
    return pl.concat(parts)


def probe_reports(world: World, region: int, day: PlatformDay) -> pl.DataFrame:
    """Return one report of the test SIM to the IoT platform every two hours."""
    who = probe_of(world, region)
    at = np.arange(day.start_us + 9 * _MINUTE_US, day.end_us, EVERY_US, dtype=np.int64)
    return session_frame(
        {
            "service": IOT, "subscriber": np.full(len(at), who), "node": world.network.elements(region, "iot")[0],
            "cell": world.people.home_cell[who], "start_us": at, "quantity": 2,
        }
    )  # fmt: skip
