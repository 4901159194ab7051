"""Simulate the ordinary traffic of one region on one day: calls, messages, data sessions, roaming calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.simulate.market.contact_graph import Graph
from trueup.simulate.market.network import Network
from trueup.simulate.market.period import SECOND_US, Day
from trueup.simulate.market.population import Population
from trueup.simulate.market.profile import Profile
from trueup.simulate.market.services import DATA, INCOMING, ROAMING, SMS, VOICE, ZERO_RATED
from trueup.simulate.traffic.load import day_factor, starts_us
from trueup.simulate.traffic.sessions import INCOMING_CALL, OUTGOING, session_frame

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LONGEST_CALL_S = 6 * 3_600
LONGEST_DATA_S = 12 * 3_600
MAX_KB = 50_000_000
_OFFSET_BITS = 37
"""Microseconds of a day of 25 hours fit 37 bits; a subscription number above them sorts by subscriber, then time."""


@dataclass(frozen=True)
class World:
    """The parts of the simulated operator that no day changes: profile, subscribers, network and contacts."""

    profile: Profile
    people: Population
    network: Network
    graph: Graph


def ordinary_traffic(rng: np.random.Generator, world: World, region: int, day: Day) -> pl.DataFrame:
    """Return the session frame of one region and day, by service, then subscriber and time."""
    members = world.people.of_region(region)
    return pl.concat(
        [
            _draw_calls(rng, world, members, day),
            _draw_messages(rng, world, members, day),
            _draw_incoming(rng, world, members, day),
            _draw_data(rng, world, region, members, day),
            _draw_roaming(rng, world, region, members, day),
        ]
    )


def _draw_session_starts(rng: np.random.Generator, world: World, members: Ints, day: Day, service: str) -> tuple[Ints, Ints]:
    """Return subscribers and starts (µs) of a service's sessions, ordered by both."""
    people, profile = world.people, world.profile
    per_day = np.array([*profile.activity_by_service[service], 0.0])
    segment = people.segment[members]
    factors = np.array([day_factor(s, day) for s in range(len(per_day))])
    abroad = (people.trip_from_day[members] <= day.index) & (day.index <= people.trip_to_day[members])
    can_use = abroad if service == "roaming" else ~abroad
    mean = per_day[segment] * factors[segment] * people.activity[members] * profile.activity * can_use
    who = np.repeat(members, rng.poisson(mean))
    start = np.empty(len(who), dtype=np.int64)
    for s in range(len(per_day)):
        of_segment = people.segment[who] == s
        start[of_segment] = starts_us(rng, s, day, int(of_segment.sum()))
    sort_key = np.sort((who << _OFFSET_BITS) | (start - day.start_us))
    who, start = sort_key >> _OFFSET_BITS, day.start_us + (sort_key & ((1 << _OFFSET_BITS) - 1))
    served = (start >= people.join_us[who]) & (start < people.leave_us[who])
    served &= (start < people.silent_from_us[who]) | (start >= people.silent_to_us[who])
    return who[served], start[served]


def _draw_serving_cells(rng: np.random.Generator, world: World, who: Ints) -> tuple[Ints, Ints]:
    """Return the switch and cell of each session: mostly the home switch and cell."""
    people, network = world.people, world.network
    first = network.elements(int(people.region[who[0]]), "msc")[0] if len(who) else 0
    away_from_home = rng.random(len(who)) < 0.07
    node = np.where(away_from_home, first + rng.integers(0, network.switches, len(who)), people.home_node[who])
    at_home = ~away_from_home & (rng.random(len(who)) < 0.6)
    return node, np.where(at_home, people.home_cell[who], network.cell_of(node, rng.integers(0, network.cells, len(who))))


def heavy_tailed(rng: np.random.Generator, count: int, body: tuple[float, float], tail: tuple[float, float, float]) -> Floats:
    """Draw lognormal values (median, sigma) with a Pareto tail (share, index, from)."""
    (median, sigma), (share, index, start) = body, tail
    draw: Floats = median * np.exp(sigma * rng.standard_normal(count))
    in_tail = rng.random(count) < share
    draw[in_tail] = start * (1 - rng.random(int(in_tail.sum()))) ** (-1 / index)
    return draw


def call_seconds(rng: np.random.Generator, profile: Profile, count: int) -> Ints:
    """Draw the duration of answered calls in whole seconds, at least 1."""
    tail = (profile.voice_tail_share, profile.voice_tail_index, float(profile.voice_tail_from_s))
    seconds = heavy_tailed(rng, count, (profile.voice_median_s, profile.voice_sigma), tail)
    return np.clip(seconds, 1, LONGEST_CALL_S).astype(np.int64)


def _draw_calls(rng: np.random.Generator, world: World, members: Ints, day: Day) -> pl.DataFrame:
    who, start = _draw_session_starts(rng, world, members, day, "voice")
    seconds = call_seconds(rng, world.profile, len(who))
    seconds[rng.random(len(who)) < world.profile.unanswered_share] = 0
    start = _queue_calls(who, start, seconds)
    starts_today = start < day.end_us
    who, start, seconds = who[starts_today], start[starts_today], seconds[starts_today]
    node, cell = _draw_serving_cells(rng, world, who)
    calls = session_frame(
        {
            "service": VOICE, "subscriber": who, "peer": world.graph.peers(rng, who), "node": node, "cell": cell,
            "start_us": start, "duration_s": seconds, "quantity": seconds,
        }
    )  # fmt: skip
    return _with_redials(rng, world.profile, calls)


def _queue_calls(who: Ints, start: Ints, seconds: Ints) -> Ints:
    """Return the starts; a call that would overlap the subscriber's previous one starts after it."""
    ends = start + (seconds + 8) * SECOND_US
    same = np.concatenate([[False], who[1:] == who[:-1]])
    before = np.concatenate([[0], ends[:-1]])
    return np.where(same, np.maximum(start, before), start)


def _draw_messages(rng: np.random.Generator, world: World, members: Ints, day: Day) -> pl.DataFrame:
    who, start = _draw_session_starts(rng, world, members, day, "sms")
    node, cell = _draw_serving_cells(rng, world, who)
    count = 1 + (rng.random(len(who)) < 0.08) + (rng.random(len(who)) < 0.02)
    texts = session_frame(
        {
            "service": SMS, "subscriber": who, "peer": world.graph.peers(rng, who), "node": node, "cell": cell,
            "start_us": start, "quantity": count,
        }
    )  # fmt: skip
    return _with_redials(rng, world.profile, texts)


def _with_redials(rng: np.random.Generator, profile: Profile, sessions: pl.DataFrame) -> pl.DataFrame:
    """Repeat some sessions to the same peer within seconds, too close for a nearest match to distinguish them."""
    again = sessions.filter(pl.Series(rng.random(len(sessions)) < profile.redial_share, dtype=pl.Boolean))
    gap_us = pl.Series(rng.integers(1, 4, len(again)) * SECOND_US, dtype=pl.Int64)
    return pl.concat([sessions, again.with_columns(start_us=pl.col("start_us") + gap_us)])


def _draw_incoming(rng: np.random.Generator, world: World, members: Ints, day: Day) -> pl.DataFrame:
    """Return calls from other networks; calls between own subscribers are in the callers' records."""
    who, start = _draw_session_starts(rng, world, members, day, "incoming")
    seconds = call_seconds(rng, world.profile, len(who))
    seconds[rng.random(len(who)) < 2 * world.profile.unanswered_share] = 0
    node, cell = _draw_serving_cells(rng, world, who)
    return session_frame(
        {
            "service": INCOMING, "subscriber": who, "peer": world.graph.numbers.strangers(rng, len(who)), "node": node,
            "cell": cell, "direction": INCOMING_CALL, "start_us": start, "duration_s": seconds, "quantity": seconds,
        }
    )  # fmt: skip


def _draw_data(rng: np.random.Generator, world: World, region: int, members: Ints, day: Day) -> pl.DataFrame:
    profile = world.profile
    who, start = _draw_session_starts(rng, world, members, day, "data")
    seconds = np.clip(profile.data_median_s * np.exp(profile.data_sigma * rng.standard_normal(len(who))), 1, LONGEST_DATA_S)
    tail = (profile.volume_tail_share, profile.volume_tail_index, float(profile.volume_tail_from_kb))
    volume = heavy_tailed(rng, len(who), (profile.volume_median_kb, profile.volume_sigma), tail)
    zero_rated = rng.random(len(who)) < profile.zero_rated_share
    volume = np.where(zero_rated, volume / 20, volume)
    gateways = world.network.elements(region, "pgw")
    return session_frame(
        {
            "service": np.where(zero_rated, ZERO_RATED, DATA), "subscriber": who, "node": gateways[who % len(gateways)],
            "cell": world.people.home_cell[who], "direction": OUTGOING, "start_us": start,
            "duration_s": seconds.astype(np.int64), "quantity": np.clip(volume, 1, MAX_KB).astype(np.int64),
        }
    )  # fmt: skip


def _draw_roaming(rng: np.random.Generator, world: World, region: int, members: Ints, day: Day) -> pl.DataFrame:
    who, start = _draw_session_starts(rng, world, members, day, "roaming")
    seconds = call_seconds(rng, world.profile, len(who))
    start = _queue_calls(who, start, seconds)
    starts_today = start < day.end_us
    who, start, seconds = who[starts_today], start[starts_today], seconds[starts_today]
    partners = world.network.elements(region, "tap")
    return session_frame(
        {
            "service": ROAMING, "subscriber": who, "peer": world.graph.peers(rng, who), "node": partners[who % len(partners)],
            "start_us": start, "duration_s": seconds, "quantity": seconds,
        }
    )  # fmt: skip
