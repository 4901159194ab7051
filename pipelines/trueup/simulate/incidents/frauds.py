"""Simulate the frauds. Each script takes the scene and the variant, and returns the actors, their sessions and a note."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.simulate.incidents.scene import Route, Scene
from trueup.simulate.market.period import HOUR_US, SECOND_US
from trueup.simulate.traffic.load import BUSINESS, CONSUMER, IOT_DEVICE, WHOLESALE
from trueup.simulate.traffic.sessions import Ints

MINUTE_US = 60 * SECOND_US


@dataclass(frozen=True)
class Case:
    """The result of one script: the subscriptions that act, their sessions, and a note for the ledger."""

    actors: Ints
    sessions: pl.DataFrame
    note: str


Script = Callable[[Scene, bool], Case | None]


def irsf(scene: Scene, hard: bool) -> Case | None:
    """Simulate long overlapping calls by night to a few leased numbers; hard: few and short, by day, to many numbers."""
    actors = scene.actors((CONSUMER,), 1)
    if actors is None:
        return None
    rng, who, parts = scene.rng, int(actors[0]), []
    leased = scene.leased("premium", 40 if hard else 4)
    for day in scene.days(scene.start_day(4 if hard else 2), 4 if hard else 2):
        count = int(rng.integers(5, 11) if hard else rng.integers(35, 70))
        start = scene.spread(day, (9, 21) if hard else (0.5, 4.5), count)
        seconds = rng.integers(60, 400, count) if hard else rng.integers(300, 1_700, count)
        parts.append(scene.calls(who, start, seconds, rng.choice(leased, count)))
    return Case(actors, pl.concat(parts), f"{len(leased)} leased numbers abroad")


def wangiri(scene: Scene, hard: bool) -> Case | None:
    """Simulate single rings from abroad and the premium calls back; hard: few, over days, from several callers."""
    rng, parts = scene.rng, []
    victims = scene.bystanders(40 if hard else 150)
    if len(victims) < 10:
        return None
    callers = scene.leased("premium", 6 if hard else 1)
    first = scene.start_day(3 if hard else 1)
    days = scene.days(first, 3 if hard else 1)
    for number, day in enumerate(days):
        rung = victims[number :: len(days)]
        start = scene.spread(day, (10, 20) if hard else (18, 19.5), len(rung))
        start = rng.permutation(start)
        caller = rng.choice(callers, len(rung))
        answered = rng.random(len(rung)) < (0.4 if hard else 0.0)
        seconds = np.where(answered, rng.integers(1, 4, len(rung)), 0)
        parts.append(scene.rings(rung, start, seconds, caller))
        back = rng.random(len(rung)) < (0.3 if hard else 0.2)
        after = rng.integers(2 * MINUTE_US, 90 * MINUTE_US, int(back.sum()))
        parts.append(scene.calls(rung[back], start[back] + after, rng.integers(30, 600, int(back.sum())), caller[back]))
    return Case(np.array([], dtype=np.int64), pl.concat(parts), f"{len(victims)} numbers rung by {len(callers)}")


def sim_box(scene: Scene, hard: bool) -> Case | None:
    """Simulate foreign calls terminated by local SIMs; hard: more SIMs that move, rest, and receive calls."""
    actors = scene.actors((CONSUMER,), 6 if hard else 3, together=True)
    if actors is None:
        return None
    rng, parts = scene.rng, []
    for who in actors:
        regulars = scene.own_numbers(25)
        for day in scene.days(scene.start_day(3), 3):
            count = int(rng.integers(12, 22) if hard else rng.integers(60, 110))
            start = scene.one_by_one(day, (8, 21), count, 20)
            peers = rng.choice(regulars, count) if hard else scene.own_numbers(count)
            seconds = np.clip(120 * np.exp(0.8 * rng.standard_normal(count)), 10, 1_500).astype(np.int64)
            peers = np.where(peers == who, (peers + 1) % scene.world.people.customers, peers)
            parts.append(scene.calls(int(who), start, seconds, peers, Route(home_of=int(actors[0]), moving=hard)))
            if hard:
                rings = scene.spread(day, (9, 21), 4)
                parts.append(scene.rings(int(who), rings, rng.integers(20, 300, 4), scene.leased("mobile", 4, home=True)))
    return Case(actors, pl.concat(parts), f"{len(actors)} SIMs")


def pbx_hacking(scene: Scene, hard: bool) -> Case | None:
    """Simulate premium calls of a hacked exchange by night; hard: in office hours, short, to many numbers."""
    actors = scene.actors((BUSINESS,), 1)
    if actors is None:
        return None
    rng, who, parts = scene.rng, int(actors[0]), []
    leased = np.concatenate([scene.leased("premium", 15), scene.leased("shared_cost", 15 if hard else 3)])
    for day in scene.days(scene.start_day(3), 3 if hard else 2):
        count = int(rng.integers(10, 18) if hard else rng.integers(50, 90))
        start = scene.spread(day, (8.5, 17.5) if hard else (0.2, 5.5), count)
        seconds = rng.integers(40, 240, count) if hard else rng.integers(200, 1_700, count)
        parts.append(scene.calls(who, start, seconds, rng.choice(leased, count)))
    return Case(actors, pl.concat(parts), "one exchange")


def subscription_fraud(scene: Scene, hard: bool) -> Case | None:
    """Simulate heavy use of a new subscription from its first hour; hard: after days of normal use."""
    actors = scene.actors((CONSUMER,), 1)
    if actors is None:
        return None
    rng, who, parts = scene.rng, int(actors[0]), []
    first = scene.start_day(4 if hard else 3)
    joined = scene.period.day(first).start_us + 9 * HOUR_US
    scene.joins[who] = joined
    days = scene.days(first + 2, 2) if hard else scene.days(first, 2)
    targets = np.concatenate([scene.leased("mobile", 20), scene.leased("premium", 6)])
    for day in days or scene.days(first, 1):
        count = int(rng.integers(20, 35) if hard else rng.integers(35, 60))
        start = scene.one_by_one(day, (10, 21), count, 15)
        parts.append(scene.calls(who, start, rng.integers(120, 1_700, count), rng.choice(targets, count)))
        heavy = scene.spread(day, (10, 22), 8)
        parts.append(scene.volumes(who, heavy, rng.integers(600, 3_500, 8), rng.integers(200_000, 2_000_000, 8)))
    return Case(actors, pl.concat(parts), "no invoice is paid")


def sim_swap(scene: Scene, hard: bool) -> Case | None:
    """Simulate passcode calls to a new SIM, then premium calls and paid messages; the customer's own traffic stops."""
    actors = scene.actors((CONSUMER,), 1)
    if actors is None:
        return None
    rng, who = scene.rng, int(actors[0])
    begin = int(scene.spread(scene.start_day(1), (11, 15), 1)[0])
    device = scene.new_handset(who, same_sim=False)
    scene.swaps.append((who, device, begin))
    scene.silences[who] = (begin, begin + 8 * HOUR_US)
    at = begin + np.sort(rng.integers(10 * MINUTE_US, 7 * HOUR_US, 60))
    banks = scene.leased("fixed", 3, home=True)
    parts = [
        scene.rings(who, at[:5], rng.integers(15, 40, 5), rng.choice(banks, 5)).with_columns(device=pl.lit(device, pl.Int32)),
        scene.calls(who, at[5:30], rng.integers(200, 1_500, 25), rng.choice(scene.leased("premium", 5), 25), Route(device=device)),
        scene.texts(who, at[30:], rng.choice(scene.leased("shared_cost", 30, home=True), 30), device=device),
    ]
    return Case(actors, pl.concat(parts), "the number moved to another SIM")


def inflated_sms(scene: Scene, hard: bool) -> Case | None:
    """Simulate passcode messages to consecutive numbers abroad."""
    actors = scene.actors((WHOLESALE, BUSINESS), 1)
    if actors is None:
        return None
    rng, who, parts = scene.rng, int(actors[0]), []
    for day in scene.days(scene.start_day(2), 2):
        row = scene.leased("mobile", int(rng.integers(120, 260)), consecutive=True)
        parts.append(scene.texts(who, scene.spread(day, (1, 5), len(row)), row))
    return Case(actors, pl.concat(parts), "consecutive numbers")


def call_forwarding(scene: Scene, hard: bool) -> Case | None:
    """Simulate incoming calls forwarded to premium numbers, several at a time."""
    actors = scene.actors((CONSUMER, BUSINESS), 1)
    if actors is None:
        return None
    rng, who = scene.rng, int(actors[0])
    day = scene.start_day(1)
    start = scene.spread(day, (19, 23), 45)
    seconds = rng.integers(200, 1_700, 45)
    callers = rng.choice(scene.leased("mobile", 12, home=True), 45)
    onward = scene.calls(who, start + 2 * SECOND_US, seconds, rng.choice(scene.leased("premium", 4), 45), Route(forwarded=True))
    return Case(actors, pl.concat([scene.rings(who, start, seconds, callers), onward]), "forwarded calls")


def roaming_fraud(scene: Scene, hard: bool) -> Case | None:
    """Simulate heavy calls on a visited network before its records reach the home operator."""
    actors = scene.actors((CONSUMER,), 1)
    if actors is None:
        return None
    rng, who, parts = scene.rng, int(actors[0]), []
    days = scene.days(scene.start_day(2), 2)
    scene.trips[who] = (days[0], days[-1])
    for day in days:
        count = int(rng.integers(35, 60))
        start, seconds = scene.spread(day, (2, 22), count), rng.integers(200, 1_700, count)
        parts.append(scene.calls(who, start, seconds, rng.choice(scene.leased("premium", 8), count), Route(abroad=True)))
    return Case(actors, pl.concat(parts), "a visited network")


def iot_sim_misuse(scene: Scene, hard: bool) -> Case | None:
    """Simulate a meter's SIM in a router: bulk data, and calls."""
    actors = scene.actors((IOT_DEVICE,), 1)
    if actors is None:
        return None
    rng, who, parts = scene.rng, int(actors[0]), []
    device = scene.new_handset(who, same_sim=True)
    for day in scene.days(scene.start_day(3), 3):
        start = scene.spread(day, (0, 23), 24)
        parts.append(scene.volumes(who, start, rng.integers(300, 3_500, 24), rng.integers(50_000, 900_000, 24), device=device))
        calls = scene.one_by_one(day, (9, 20), 4, 900)
        parts.append(scene.calls(who, calls, rng.integers(60, 800, 4), scene.leased("mobile", 4), Route(device=device)))
    return Case(actors, pl.concat(parts), "the SIM in another device")


def zero_rated_tunnel(scene: Scene, hard: bool) -> Case | None:
    """Simulate bulk traffic in the zero-rated class."""
    actors = scene.actors((CONSUMER,), 2)
    if actors is None:
        return None
    rng, parts = scene.rng, []
    for who in actors:
        for day in scene.days(scene.start_day(3), 3):
            start = scene.spread(day, (7, 23), 20)
            kilobytes = rng.integers(100_000, 1_200_000, 20)
            parts.append(scene.volumes(int(who), start, rng.integers(600, 3_500, 20), kilobytes, zero_rated=True))
    return Case(actors, pl.concat(parts), "traffic in the zero-rated class")


FRAUD_SCRIPTS: dict[str, Script] = {
    "irsf": irsf,
    "wangiri": wangiri,
    "sim_box": sim_box,
    "pbx_hacking": pbx_hacking,
    "subscription_fraud": subscription_fraud,
    "sim_swap": sim_swap,
    "inflated_sms": inflated_sms,
    "call_forwarding": call_forwarding,
    "roaming_fraud": roaming_fraud,
    "iot_sim_misuse": iot_sim_misuse,
    "zero_rated_tunnel": zero_rated_tunnel,
}
