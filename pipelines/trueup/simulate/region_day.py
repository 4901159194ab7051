"""Simulate one region on one day: its sessions, usage records, charges, and sessions for the truth ledger."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.simulate.catalogue import CODES
from trueup.simulate.files.billing import PHANTOM, clean_charges, device_charges
from trueup.simulate.files.elements import FileDay, Window, draw_lost_windows, window_of
from trueup.simulate.leaks import leak_assignment
from trueup.simulate.leaks.ambiguity import undecidable_sessions
from trueup.simulate.leaks.leak_application import apply_leaks, phantom_charges
from trueup.simulate.leaks.leak_assignment import LeakPlan, Losses
from trueup.simulate.market.period import Day
from trueup.simulate.traffic.iot import PlatformDay, device_traffic
from trueup.simulate.traffic.ordinary import World, ordinary_traffic
from trueup.simulate.traffic.probes import probe_reports, probe_traffic
from trueup.simulate.traffic.records import WHOLE, stamp_skew_us, usage_records
from trueup.simulate.traffic.sessions import MARGIN_US, NO_NUMBER, Ints, numbers, with_session_numbers, within_day

RandomStreams = dict[str, np.random.Generator]

_UNMATCHED_LEAKS = (*leak_assignment.NEVER_CHARGED, CODES["late_charge"])
_FREE_CHARGES = (*leak_assignment.LOST, CODES["late_charge"], CODES["phantom_charge"])


@dataclass(frozen=True)
class RegionScope:
    """One region on one day: its random streams, the simulated operator, and the first free session number.

    `main` is true in the main period. After the main period only test traffic is simulated.
    """

    streams: RandomStreams
    world: World
    region: int
    main: bool
    first_session: int


@dataclass(frozen=True)
class DayWork:
    """The output of one region on one day.

    `records` are usage records (`records.usage_records` with `leak`, `in_ledger` and `lost`). `charges` are rows of
    `billing.CHARGE` with `in_ledger`. `ledger_sessions` are the sessions that the truth ledger records. `windows` are the lost
    windows of the usage files. `last_session` is the greatest session number in use.
    """

    records: pl.DataFrame
    charges: pl.DataFrame
    ledger_sessions: pl.DataFrame
    windows: list[Window]
    last_session: int


def people_day(scope: RegionScope, day: Day, plan: LeakPlan, incidents: pl.DataFrame, *, first_window: int) -> DayWork:
    """Simulate calls, messages and data sessions of a region on a local day; after the main period only test calls."""
    streams, world, first_session = scope.streams, scope.world, scope.first_session
    people, profile = world.people, world.profile
    parts = [probe_traffic(streams["probes"], world, scope.region, day)]
    if scope.main:
        begun = incidents.filter(pl.col("start_us").is_between(day.start_us, day.end_us - 1))
        in_region = pl.Series(people.region[numbers(begun, "subscriber")] == scope.region, dtype=pl.Boolean)
        parts += [ordinary_traffic(streams["traffic"], world, scope.region, day), begun.filter(in_region)]
    sessions = within_day(pl.concat(parts), day)
    sessions = with_session_numbers(sessions, first_session, streams["sessions"].random(len(sessions)))
    records = usage_records(sessions, world.network)
    file_day = FileDay(day.start_us, day.end_us, profile.blocks)
    windows = (
        draw_lost_windows(streams["leaks"], world.network, scope.region, file_day, profile, first_window) if scope.main else []
    )
    lost = window_of(records, windows)
    session_row = numbers(records, "session") - first_session
    losses = _find_losses(session_row, lost, len(sessions), first_window, windows)
    sessions = leak_assignment.assign(streams["leaks"], sessions, losses, world, plan)

    charges = apply_leaks(streams["billing"], clean_charges(streams["billing"], sessions, people, profile))
    first_phantom = first_session + len(sessions)
    bounds = (day.start_us + MARGIN_US, day.end_us - MARGIN_US)
    rate = profile.rates["phantom_charge"] * scope.main
    phantom_rows = phantom_charges(streams["billing"], charges, rate, first_phantom, bounds, people)
    charges = pl.concat([charges, phantom_rows])

    ambiguous = _find_ambiguous_sessions(sessions, losses.arrived, charges, world)
    in_ledger = _mark_ledger_sessions(sessions, ambiguous)
    records = records.with_columns(
        leak=pl.Series(numbers(sessions, "leak")[session_row].astype(np.int32)),
        in_ledger=pl.Series(in_ledger[session_row]),
        lost=pl.Series(lost != NO_NUMBER),
    )
    own_rows = _select_ledger_sessions(sessions.filter(pl.Series(in_ledger)), ambiguous, world)
    ledger_sessions = pl.concat([own_rows, _build_sessions_of_charges(phantom_rows, ambiguous)])
    return DayWork(records, _with_ledger_mask(charges, ambiguous), ledger_sessions, windows, first_phantom + 4 * len(charges))


def _find_losses(session_row: Ints, lost: Ints, count: int, first_window: int, windows: list[Window]) -> Losses:
    """Return the losses of `count` sessions, given the session row, the loss and the lost window of each record."""
    window = np.full(count, NO_NUMBER, dtype=np.int64)
    window[session_row[lost != NO_NUMBER]] = lost[lost != NO_NUMBER]
    arrived = np.zeros(count, dtype=np.bool_)
    arrived[session_row[lost == NO_NUMBER]] = True
    window_kinds = np.zeros(first_window + len(windows), dtype=np.int64)
    window_kinds[first_window:] = [CODES[w.kind] for w in windows]
    return Losses(window, arrived, window_kinds)


def _find_ambiguous_sessions(sessions: pl.DataFrame, arrived: NDArray[np.bool_], charges: pl.DataFrame, world: World) -> pl.Series:
    """Return the numbers of the sessions that a nearest match may exchange with others."""
    times = pl.Series(numbers(sessions, "start_us") + stamp_skew_us(sessions, world.network))
    loose = ~pl.col("keyed") | ~pl.col("billable") | pl.col("leak").is_in(_UNMATCHED_LEAKS)
    usage = sessions.with_columns(time_us=times).filter(pl.Series(arrived)).filter(loose)
    alone = pl.col("session_key").is_null() | pl.col("leak").is_in(_FREE_CHARGES)
    bills = charges.filter(alone).with_columns(time_us=pl.col("started_at").cast(pl.Int64))
    return undecidable_sessions(usage, bills)


def _mark_ledger_sessions(sessions: pl.DataFrame, ambiguous: pl.Series) -> NDArray[np.bool_]:
    in_story = (numbers(sessions, "leak") > 0) | (numbers(sessions, "incident") != NO_NUMBER)
    in_ledger: NDArray[np.bool_] = in_story | sessions["session"].is_in(ambiguous.implode()).to_numpy()
    return in_ledger


def _with_ledger_mask(charges: pl.DataFrame, ambiguous: pl.Series) -> pl.DataFrame:
    in_story = (pl.col("leak") > 0) | (pl.col("incident") != NO_NUMBER)
    return charges.with_columns(in_ledger=in_story | pl.col("session").is_in(ambiguous.implode()))


_LEDGER_COLUMNS = ("session", "service", "subscriber", "leak", "hard", "incident", "window", "keyed", "parts", "node", "start_us")


def _select_ledger_sessions(sessions: pl.DataFrame, ambiguous: pl.Series, world: World) -> pl.DataFrame:
    facts = leak_assignment.facts_of(sessions, world.people, world.graph.numbers)
    return sessions.select(
        *_LEDGER_COLUMNS,
        tariff=pl.Series(facts.tariff.astype(np.int32)),
        destination=pl.Series(facts.destination.astype(np.int32)),
        undecidable=pl.col("session").is_in(ambiguous.implode()),
    )


def _build_sessions_of_charges(charges: pl.DataFrame, ambiguous: pl.Series) -> pl.DataFrame:
    return charges.with_columns(
        window=pl.lit(NO_NUMBER, pl.Int32), keyed=pl.col("session_key").is_not_null(), parts=pl.lit(1, pl.Int32),
        node=pl.lit(NO_NUMBER, pl.Int32), start_us=pl.col("started_at").cast(pl.Int64),
    ).select(
        *_LEDGER_COLUMNS, "tariff", destination=pl.lit(NO_NUMBER, pl.Int32),
        undecidable=pl.col("session").is_in(ambiguous.implode()),
    )  # fmt: skip


def devices_day(scope: RegionScope, day: PlatformDay) -> DayWork:
    """Simulate the devices' reports of a region on a UTC day, with one charge for each device."""
    streams, world, first_session = scope.streams, scope.world, scope.first_session
    people = world.people
    reports, idle = probe_reports(world, scope.region, day), np.array([], dtype=np.int64)
    if scope.main:
        ordinary, idle = device_traffic(streams["iot"], world, scope.region, day)
        reports = pl.concat([ordinary, reports])
    who, inverse = np.unique(numbers(reports, "subscriber"), return_inverse=True)
    totals = pl.DataFrame(
        {
            "session": first_session + np.arange(len(who)),
            "subscriber": who.astype(np.int32),
            "quantity": np.bincount(inverse, weights=numbers(reports, "quantity")).astype(np.int64),
        }
    ).with_columns(incident=pl.lit(NO_NUMBER, pl.Int32))
    totals = leak_assignment.assign_devices(streams["leaks"], totals, people, world.profile)
    charges = apply_leaks(streams["billing"], device_charges(streams["billing"], totals, day.end_us, people))
    phantom_rows = _build_device_phantoms(replace(scope, first_session=first_session + len(who)), idle, day)
    leak = numbers(totals, "leak")[inverse]
    records = reports.with_columns(
        session=pl.Series(first_session + inverse), parts=pl.lit(1, pl.Int32), keyed=pl.lit(False), part=pl.lit(WHOLE, pl.Int32),
        stamp_us=pl.col("start_us") + pl.Series(stamp_skew_us(reports, world.network)), leak=pl.Series(leak.astype(np.int32)),
        in_ledger=pl.Series(leak > 0), lost=pl.lit(False),
    )  # fmt: skip
    charged_leaks = pl.concat([charges.filter(pl.col("leak") > 0), phantom_rows]).unique("session", maintain_order=True)
    unbilled = totals.filter(pl.col("leak").is_in(leak_assignment.NEVER_CHARGED))
    unbilled_charges = device_charges(np.random.default_rng(0), unbilled, day.end_us, people)
    none_ambiguous = pl.Series([], dtype=pl.Int64)
    ledger_sessions = _build_sessions_of_charges(pl.concat([charged_leaks, unbilled_charges]).sort("session"), none_ambiguous)
    all_charges = _with_ledger_mask(pl.concat([charges, phantom_rows]), none_ambiguous)
    return DayWork(records, all_charges, ledger_sessions, [], first_session + len(who) + len(idle))


def _build_device_phantoms(scope: RegionScope, idle: Ints, day: PlatformDay) -> pl.DataFrame:
    """Return charges of idle devices for a day without any report."""
    rng, profile = scope.streams["billing"], scope.world.profile
    picked = idle[rng.random(len(idle)) < profile.rates["phantom_charge"] * 20 * scope.main]
    totals = pl.DataFrame(
        {
            "session": scope.first_session + np.arange(len(picked)),
            "subscriber": picked.astype(np.int32),
            "quantity": rng.integers(20, 200, len(picked)),
        }
    ).with_columns(incident=pl.lit(NO_NUMBER, pl.Int32), leak=pl.lit(CODES["phantom_charge"], pl.Int32), hard=pl.lit(False))
    return device_charges(rng, totals, day.end_us, scope.world.people).with_columns(role=pl.lit(PHANTOM, pl.Int32))
