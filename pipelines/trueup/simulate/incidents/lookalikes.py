"""Simulate ordinary customers who resemble fraudsters."""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.simulate.incidents.frauds import Case, Script
from trueup.simulate.incidents.scene import Route, Scene
from trueup.simulate.market.period import HOUR_US, SECOND_US
from trueup.simulate.traffic.load import BUSINESS, CONSUMER


def call_centre(scene: Scene, hard: bool) -> Case | None:
    """Simulate very many short calls to different numbers in office hours."""
    actors = scene.actors((BUSINESS,), 1)
    if actors is None:
        return None
    rng, who, parts = scene.rng, int(actors[0]), []
    for day in scene.days(0, 5):
        count = int(rng.integers(90, 150))
        start = scene.one_by_one(day, (8.5, 17.5), count, 12)
        seconds = np.where(rng.random(count) < 0.3, 0, rng.integers(15, 200, count))
        strangers = scene.world.graph.numbers.strangers(rng, count)
        peers = np.where(rng.random(count) < 0.5, scene.own_numbers(count), strangers)
        parts.append(scene.calls(who, start, seconds, np.where(peers == who, strangers, peers)))
    return Case(actors, pl.concat(parts), "an outgoing line")


def traveller(scene: Scene, hard: bool) -> Case | None:
    """Simulate some days abroad with many calls home."""
    actors = scene.actors((CONSUMER,), 1)
    if actors is None:
        return None
    rng, who, parts = scene.rng, int(actors[0]), []
    days = scene.days(scene.start_day(3), 3)
    scene.trips[who] = (days[0], days[-1])
    for day in days:
        count = int(rng.integers(8, 16))
        start, seconds = scene.one_by_one(day, (7, 22), count, 120), rng.integers(20, 900, count)
        parts.append(scene.calls(who, start, seconds, scene.world.graph.peers(rng, np.full(count, who)), Route(abroad=True)))
    return Case(actors, pl.concat(parts), "days abroad")


def event_day(scene: Scene, hard: bool) -> Case | None:
    """Simulate the votes of an audience to one number within an hour."""
    rng = scene.rng
    audience = scene.bystanders(90)
    if len(audience) < 10:
        return None
    votes = rng.integers(1, 4, len(audience))
    who = np.repeat(audience, votes)
    number = scene.leased("shared_cost", 1, home=True)
    turn = np.arange(len(who)) - np.repeat(np.cumsum(votes) - votes, votes)
    first = np.repeat(scene.spread(scene.start_day(1), (20, 21), len(audience)), votes)
    start = first + turn * 40 * SECOND_US
    return Case(np.array([], dtype=np.int64), scene.texts(who, start, np.full(len(who), number[0])), f"{len(audience)} voters")


def new_subscriber(scene: Scene, hard: bool) -> Case | None:
    """Simulate the first days of a new customer with heavy usage."""
    actors = scene.actors((CONSUMER,), 1)
    if actors is None:
        return None
    rng, who, parts = scene.rng, int(actors[0]), []
    first = scene.start_day(2)
    scene.joins[who] = scene.period.day(first).start_us + 9 * HOUR_US
    for day in scene.days(first, 2):
        count = int(rng.integers(14, 24))
        start, seconds = scene.one_by_one(day, (10, 21), count, 90), rng.integers(20, 600, count)
        parts.append(scene.calls(who, start, seconds, scene.world.graph.peers(rng, np.full(count, who))))
        data = scene.spread(day, (10, 22), 6)
        parts.append(scene.volumes(who, data, rng.integers(600, 3_500, 6), rng.integers(100_000, 900_000, 6)))
    return Case(actors, pl.concat(parts), "the first days of a contract")


LOOKALIKE_SCRIPTS: dict[str, Script] = {
    "call_centre": call_centre,
    "traveller": traveller,
    "event_day": event_day,
    "new_subscriber": new_subscriber,
}
