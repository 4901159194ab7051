"""A day of one region: its sessions, the usage records and charges they leave, and what of it belongs to the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.simulate.catalogue import CODES
from trueup.simulate.files.billing import PHANTOM, clean_charges, device_charges
from trueup.simulate.files.elements import Stretch, Window, lost_windows, window_of
from trueup.simulate.leaks import leak_assignment
from trueup.simulate.leaks.ambiguity import undecidable
from trueup.simulate.leaks.leak_application import leaking, phantoms
from trueup.simulate.leaks.leak_assignment import LeakPlan
from trueup.simulate.market.period import Day
from trueup.simulate.traffic.iot import PlatformDay, device_traffic
from trueup.simulate.traffic.ordinary import World, ordinary_traffic
from trueup.simulate.traffic.probes import probe_reports, probe_traffic
from trueup.simulate.traffic.records import WHOLE, stamp_skew_us, usage_records
from trueup.simulate.traffic.sessions import MARGIN_US, NOBODY, Ints, finished, numbers, within_day

Chances = dict[str, np.random.Generator]

_IN_NO_SUM = (*leak_assignment.NEVER_CHARGED, CODES["late_charge"])
_FREE_CHARGES = (*leak_assignment.LOST, CODES["late_charge"], CODES["phantom_charge"])


@dataclass(frozen=True)
class DayWork:
    """What a day leaves.

    `records`: usage records (`records.usage_records` with `leak`, `noted`, `lost`); `charges`: frames of `billing.CHARGE` with
    `noted`; `stories`: the sessions of the ledger; `windows`: what got lost; `last_session`: the greatest number given.
    """

    records: pl.DataFrame
    charges: pl.DataFrame
    stories: pl.DataFrame
    windows: list[Window]
    last_session: int


def people_day(
    chances: Chances, world: World, plan: LeakPlan, incidents: pl.DataFrame, region: int, day: Day, *, main: bool,
    first_session: int, first_window: int,
) -> DayWork:  # fmt: skip
    """Calls, messages and data of a region on a local day; outside the main period only those of the test SIM."""
    people, profile = world.people, world.profile
    played = [probe_traffic(chances["probes"], world, region, day)]
    if main:
        begun = incidents.filter(pl.col("start_us").is_between(day.start_us, day.end_us - 1))
        mine = pl.Series(people.region[numbers(begun, "subscriber")] == region, dtype=pl.Boolean)
        played += [ordinary_traffic(chances["traffic"], world, region, day), begun.filter(mine)]
    sessions = within_day(pl.concat(played), day)
    sessions = finished(sessions, first_session, chances["sessions"].random(len(sessions)))
    records = usage_records(sessions, world.network)
    stretch = Stretch(day.start_us, day.end_us, profile.blocks)
    windows = lost_windows(chances["leaks"], world.network, region, stretch, profile, first_window) if main else []
    lost = window_of(records, windows)
    owner = numbers(records, "session") - first_session
    taken = np.full(len(sessions), NOBODY, dtype=np.int64)
    taken[owner[lost != NOBODY]] = lost[lost != NOBODY]
    arrived = np.zeros(len(sessions), dtype=np.bool_)
    arrived[owner[lost == NOBODY]] = True
    kinds = np.zeros(first_window + len(windows), dtype=np.int64)
    kinds[first_window:] = [CODES[w.kind] for w in windows]
    sessions = leak_assignment.assign(chances["leaks"], sessions, taken, arrived, kinds, people, world.graph.numbers, plan, profile)

    charges = leaking(chances["billing"], clean_charges(chances["billing"], sessions, people, profile))
    ghost_id = first_session + len(sessions)
    bounds = (day.start_us + MARGIN_US, day.end_us - MARGIN_US)
    ghosts = phantoms(chances["billing"], charges, profile.rates["phantom_charge"] * main, ghost_id, bounds, people)
    charges = pl.concat([charges, ghosts])

    doubtful = _doubtful(sessions, arrived, charges, world)
    noted = _noted(sessions, doubtful)
    records = records.with_columns(
        leak=pl.Series(numbers(sessions, "leak")[owner].astype(np.int32)),
        noted=pl.Series(noted[owner]),
        lost=pl.Series(lost != NOBODY),
    )
    stories = pl.concat([_stories(sessions.filter(pl.Series(noted)), doubtful, world), _ghost_stories(ghosts, doubtful)])
    return DayWork(records, _with_noted(charges, doubtful), stories, windows, ghost_id + 4 * len(charges))


def _doubtful(sessions: pl.DataFrame, arrived: NDArray[np.bool_], charges: pl.DataFrame, world: World) -> pl.Series:
    """The sessions matching by time may confuse with others."""
    times = pl.Series(numbers(sessions, "start_us") + stamp_skew_us(sessions, world.network))
    loose = ~pl.col("keyed") | ~pl.col("billable") | pl.col("leak").is_in(_IN_NO_SUM)
    usage = sessions.with_columns(time_us=times).filter(pl.Series(arrived)).filter(loose)
    alone = pl.col("session_key").is_null() | pl.col("leak").is_in(_FREE_CHARGES)
    bills = charges.filter(alone).with_columns(time_us=pl.col("started_at").cast(pl.Int64))
    return undecidable(usage, bills)


def _noted(sessions: pl.DataFrame, doubtful: pl.Series) -> NDArray[np.bool_]:
    story = (numbers(sessions, "leak") > 0) | (numbers(sessions, "incident") != NOBODY)
    noted: NDArray[np.bool_] = story | sessions["session"].is_in(doubtful.implode()).to_numpy()
    return noted


def _with_noted(charges: pl.DataFrame, doubtful: pl.Series) -> pl.DataFrame:
    story = (pl.col("leak") > 0) | (pl.col("incident") != NOBODY)
    return charges.with_columns(noted=story | pl.col("session").is_in(doubtful.implode()))


_STORY = ("session", "service", "subscriber", "leak", "hard", "incident", "window", "keyed", "parts", "node", "start_us")


def _stories(sessions: pl.DataFrame, doubtful: pl.Series, world: World) -> pl.DataFrame:
    facts = leak_assignment.facts_of(sessions, world.people, world.graph.numbers)
    return sessions.select(
        *_STORY,
        tariff=pl.Series(facts.tariff.astype(np.int32)),
        destination=pl.Series(facts.destination.astype(np.int32)),
        undecidable=pl.col("session").is_in(doubtful.implode()),
    )


def _ghost_stories(ghosts: pl.DataFrame, doubtful: pl.Series) -> pl.DataFrame:
    return ghosts.with_columns(
        window=pl.lit(NOBODY, pl.Int32), keyed=pl.col("session_key").is_not_null(), parts=pl.lit(1, pl.Int32),
        node=pl.lit(NOBODY, pl.Int32), start_us=pl.col("started_at").cast(pl.Int64),
    ).select(
        *_STORY, "tariff", destination=pl.lit(NOBODY, pl.Int32), undecidable=pl.col("session").is_in(doubtful.implode())
    )  # fmt: skip


def devices_day(chances: Chances, world: World, region: int, day: PlatformDay, *, main: bool, first_session: int) -> DayWork:
    """The devices' reports of a region on a UTC day, and one charge for each device."""
    people = world.people
    reports, idle = probe_reports(world, region, day), np.array([], dtype=np.int64)
    if main:
        ordinary, idle = device_traffic(chances["iot"], world, region, day)
        reports = pl.concat([ordinary, reports])
    who, inverse = np.unique(numbers(reports, "subscriber"), return_inverse=True)
    totals = pl.DataFrame(
        {
            "session": first_session + np.arange(len(who)),
            "subscriber": who.astype(np.int32),
            "quantity": np.bincount(inverse, weights=numbers(reports, "quantity")).astype(np.int64),
        }
    ).with_columns(incident=pl.lit(NOBODY, pl.Int32))
    totals = leak_assignment.assign_devices(chances["leaks"], totals, people, world.profile)
    charges = leaking(chances["billing"], device_charges(chances["billing"], totals, day.end_us, people))
    ghosts = _device_ghosts(chances, world, idle, day, first_session + len(who), main=main)
    leak = numbers(totals, "leak")[inverse]
    records = reports.with_columns(
        session=pl.Series(first_session + inverse), parts=pl.lit(1, pl.Int32), keyed=pl.lit(False), part=pl.lit(WHOLE, pl.Int32),
        stamp_us=pl.col("start_us") + pl.Series(stamp_skew_us(reports, world.network)), leak=pl.Series(leak.astype(np.int32)),
        noted=pl.Series(leak > 0), lost=pl.lit(False),
    )  # fmt: skip
    told = pl.concat([charges.filter(pl.col("leak") > 0), ghosts]).unique("session", maintain_order=True)
    silent = totals.filter(pl.col("leak").is_in(leak_assignment.NEVER_CHARGED))
    unpaid = device_charges(np.random.default_rng(0), silent, day.end_us, people)
    nobody = pl.Series([], dtype=pl.Int64)
    stories = _ghost_stories(pl.concat([told, unpaid]).sort("session"), nobody)
    both = _with_noted(pl.concat([charges, ghosts]), nobody)
    return DayWork(records, both, stories, [], first_session + len(who) + len(idle))


def _device_ghosts(chances: Chances, world: World, idle: Ints, day: PlatformDay, first_session: int, *, main: bool) -> pl.DataFrame:
    """Charges of idle devices for a day without any report."""
    rng = chances["billing"]
    picked = idle[rng.random(len(idle)) < world.profile.rates["phantom_charge"] * 20 * main]
    totals = pl.DataFrame(
        {
            "session": first_session + np.arange(len(picked)),
            "subscriber": picked.astype(np.int32),
            "quantity": rng.integers(20, 200, len(picked)),
        }
    ).with_columns(incident=pl.lit(NOBODY, pl.Int32), leak=pl.lit(CODES["phantom_charge"], pl.Int32), hard=pl.lit(False))
    return device_charges(rng, totals, day.end_us, world.people).with_columns(role=pl.lit(PHANTOM, pl.Int32))
