"""Plan the incidents of a simulation and the changes they make to the population."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from trueup.simulate.catalogue import HARD_FRAUDS
from trueup.simulate.incidents.frauds import FRAUD_SCRIPTS, Case, Script
from trueup.simulate.incidents.lookalikes import LOOKALIKE_SCRIPTS
from trueup.simulate.incidents.scene import Scene
from trueup.simulate.market.numbering import imei_texts, imsi_texts
from trueup.simulate.market.period import Period
from trueup.simulate.market.population import Population
from trueup.simulate.market.random_streams import Stage, stream
from trueup.simulate.traffic.ordinary import World
from trueup.simulate.traffic.sessions import empty

_SUBSCRIBERS_PER_RATE = 25_000


@dataclass(frozen=True)
class Incidents:
    """All incidents of a simulation.

    `frame`: incident, kind, variant, subscriber (text, NULL where there are several or none), subscribers, note.
    `sessions`: their session frame. `swaps`: subscriber, device, from_us. `imsi`, `imei`: per device. `skipped`: kinds for
    which the population is too small.
    """

    frame: pl.DataFrame
    sessions: pl.DataFrame
    swaps: pl.DataFrame
    imsi: pl.Series
    imei: pl.Series
    skipped: tuple[str, ...]


def plan_incidents(world: World, period: Period, seed: int) -> tuple[Incidents, Population]:
    """Run every script, some in the hard variant, and return the incidents and the changed population."""
    scene = Scene(stream(seed, Stage.INCIDENTS), world, period)
    times = max(1, round(world.people.customers / _SUBSCRIBERS_PER_RATE * world.profile.incidents_per_25k))
    cast: list[tuple[str, bool, Script]] = []
    for name, script in (*FRAUD_SCRIPTS.items(), *LOOKALIKE_SCRIPTS.items()):
        cast += [(name, hard, script) for hard in ((False, True) if name in HARD_FRAUDS else (False,))] * times
    played: list[tuple[str, bool, Case]] = []
    skipped: list[str] = []
    for name, hard, script in cast:
        case = script(scene, hard)
        if case is None:
            skipped.append(name)
        else:
            played.append((name, hard, case))
    return _collect_incidents(played, scene, tuple(dict.fromkeys(skipped)), period), _change_population(world.people, scene)


def _collect_incidents(played: list[tuple[str, bool, Case]], scene: Scene, skipped: tuple[str, ...], period: Period) -> Incidents:
    rows, sessions = [], [empty()]
    texts = scene.world.graph.numbers.text
    inside = pl.col("start_us").is_between(period.start_us, period.end_us - 1)
    # A subscriber who joins in a later script has no traffic in an earlier one before that.
    joins = pl.DataFrame(list(scene.joins.items()), schema={"subscriber": pl.Int32, "joined_us": pl.Int64}, orient="row")
    has_joined = pl.col("joined_us").is_null() | (pl.col("start_us") >= pl.col("joined_us"))
    for number, (kind, hard, case) in enumerate(played):
        single = texts[int(case.actors[0])] if len(case.actors) == 1 else None
        rows.append((number, kind, "hard" if hard else "plain", single, [texts[int(a)] for a in case.actors], case.note))
        in_period = case.sessions.filter(inside).join(joins, on="subscriber", how="left", maintain_order="left").filter(has_joined)
        sessions.append(in_period.drop("joined_us").with_columns(incident=pl.lit(number, pl.Int32)))
    schema: dict[str, pl.DataType] = {
        "incident": pl.Int32(), "kind": pl.String(), "variant": pl.String(), "subscriber": pl.String(),
        "subscribers": pl.List(pl.String()), "note": pl.String(),
    }  # fmt: skip
    swaps = pl.DataFrame(scene.swaps, schema={"subscriber": pl.Int32, "device": pl.Int32, "from_us": pl.Int64}, orient="row")
    devices = len(scene.world.people) + len(scene.handsets)
    sim = np.arange(devices)
    for device, other in scene.handsets:
        sim[device] = other
    imsi = imsi_texts(devices).gather(pl.Series(sim.astype(np.uint32)))
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return Incidents(frame, pl.concat(sessions), swaps, imsi, imei_texts(devices), skipped)


def _change_population(people: Population, scene: Scene) -> Population:
    join, silent_from, silent_to = people.join_us.copy(), people.silent_from_us.copy(), people.silent_to_us.copy()
    trip_from, trip_to = people.trip_from_day.copy(), people.trip_to_day.copy()
    for who, moment in scene.joins.items():
        join[who] = moment
    for who, (first, last) in scene.trips.items():
        trip_from[who], trip_to[who] = first, last
    for who, (begin, end) in scene.silences.items():
        silent_from[who], silent_to[who] = begin, end
    return replace(
        people, join_us=join, trip_from_day=trip_from, trip_to_day=trip_to, silent_from_us=silent_from, silent_to_us=silent_to
    )
