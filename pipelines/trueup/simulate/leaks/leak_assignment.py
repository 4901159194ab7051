"""Assign leaks to sessions: at most one each, by the rates of the profile, and only where the data can prove them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.simulate.catalogue import CODES
from trueup.simulate.market.network import Network
from trueup.simulate.market.numbering import Numbers
from trueup.simulate.market.period import Period
from trueup.simulate.market.population import Population
from trueup.simulate.market.profile import DRAWN, Profile
from trueup.simulate.market.random_streams import Stage, stream
from trueup.simulate.market.services import (
    AMOUNT_TOLERANCE_MICROS,
    DATA,
    EXCHANGE_MICROS,
    FLEX,
    PAYG,
    PRICE_MICROS,
    ROAMING,
    VOICE,
    column,
    flat_price,
    half_even,
    tariff_of,
)
from trueup.simulate.traffic.load import PROBE
from trueup.simulate.traffic.ordinary import World
from trueup.simulate.traffic.sessions import NO_NUMBER, Ints, numbers
from trueup.units import MICROS

Bools = NDArray[np.bool_]

CENT_MICROS = 10_000
MINUTE = 60
HARD_SHARE = 0.3
FORMER_MICROS, COMING_MICROS = column("former_price_micros"), column("coming_price_micros")
UNBILLED = tuple(CODES[k] for k in ("unbilled_random", "unbilled_node", "unbilled_tariff", "unbilled_destination"))
GAPS = tuple(CODES[k] for k in ("ceased_subscriber", "suspended_subscriber", "unknown_subscriber"))
LOST = (CODES["lost_file"], CODES["lost_stretch"])
NEVER_CHARGED = (*UNBILLED, *GAPS)


@dataclass(frozen=True)
class LeakPlan:
    """The one switch, tariff and destination that fail in a simulation; the switch fails only for a time."""

    node: int
    node_from_us: int
    node_to_us: int
    tariff: int
    destination: int


def plan_leaks(network: Network, numbers_: Numbers, period: Period, seed: int) -> LeakPlan:
    """Draw the failures: a switch for half of the period, a voice tariff, one of the busier destinations."""
    rng = stream(seed, Stage.LEAK_PLAN)
    span = period.end_us - period.start_us
    begin = period.start_us + int(rng.random() * 0.5 * span)
    tariff = tariff_of(rng.choice(np.array([PAYG, FLEX]), 1), np.array([VOICE]))[0]
    weights = np.diff(np.concatenate([[0.0], numbers_.cumulative]))
    busiest = np.argsort(-weights, kind="stable")[1:4]
    return LeakPlan(int(rng.choice(network.elements(0, "msc"))), begin, begin + span // 2, int(tariff), int(rng.choice(busiest)))


@dataclass(frozen=True)
class Facts:
    """The facts that decide which leaks fit a session; each array has one entry per session."""

    service: Ints
    quantity: Ints
    expected: Ints
    keyed: Bools
    parts: Ints
    node: Ints
    tariff: Ints
    destination: Ints
    start_us: Ints


def facts_of(sessions: pl.DataFrame, people: Population, numbers_: Numbers) -> Facts:
    """Return the facts of a session frame."""
    service, who, peer = (numbers(sessions, c) for c in ("service", "subscriber", "peer"))
    quantity, start = numbers(sessions, "quantity"), numbers(sessions, "start_us")
    return Facts(
        service, quantity, flat_price(service, quantity), sessions["keyed"].to_numpy(), numbers(sessions, "parts"),
        numbers(sessions, "node"), tariff_of(people.billed_plan_at(who, start), service),
        np.where(peer == NO_NUMBER, -1, numbers_.destination[peer]), start,
    )  # fmt: skip


@dataclass(frozen=True)
class Losses:
    """The records that sessions lost before the files were written.

    `window` is the number of the lost window that took records of each session (`NO_NUMBER`: none). `arrived` is true for
    sessions with a record left. `window_kinds` holds the catalogue number of each window.
    """

    window: Ints
    arrived: Bools
    window_kinds: Ints


def assign(rng: np.random.Generator, sessions: pl.DataFrame, losses: Losses, world: World, plan: LeakPlan) -> pl.DataFrame:
    """Add `leak` (a catalogue number), `hard`, `window` and `expected` to numbered sessions.

    A session of a subscription that billing does not have keeps that leak while one of its records is left. Billing cannot
    charge such a session, so it is no longer `billable`.
    """
    people, profile, window = world.people, world.profile, losses.window
    facts = facts_of(sessions, people, world.graph.numbers)
    who = numbers(sessions, "subscriber")
    billable = sessions["billable"].to_numpy()
    gap = np.where((facts.start_us >= people.gap_us[who]) & np.isin(people.gap_code[who], GAPS), people.gap_code[who], 0)
    priced = PRICE_MICROS[facts.service] > 0
    leak = np.where(billable & priced, gap, 0)
    in_window = (window != NO_NUMBER) & ~(losses.arrived & (leak > 0))
    leak[in_window] = losses.window_kinds[window[in_window]]
    free = billable & priced & (leak == 0) & (gap == 0)
    free &= (numbers(sessions, "incident") == NO_NUMBER) & (people.segment[who] != PROBE)
    leak = _assign_conditioned(rng, leak, free, facts, plan, profile)
    leak, hard = _assign_drawn(rng, leak, free & (leak == 0), facts, profile)
    return sessions.with_columns(
        leak=pl.Series(leak.astype(np.int32)), hard=pl.Series(hard), window=pl.Series(window.astype(np.int32)),
        expected=pl.Series(facts.expected), billable=pl.Series(billable & (gap == 0)),
    )  # fmt: skip


def _assign_conditioned(rng: np.random.Generator, leak: Ints, free: Bools, facts: Facts, plan: LeakPlan, profile: Profile) -> Ints:
    at_node = (facts.node == plan.node) & (facts.start_us >= plan.node_from_us) & (facts.start_us < plan.node_to_us)
    cases = (
        ("unbilled_node", at_node),
        ("unbilled_tariff", facts.tariff == plan.tariff),
        ("unbilled_destination", facts.destination == plan.destination),
    )
    leak = leak.copy()
    for kind, fails in cases:
        candidates = np.flatnonzero(free & fails & (leak == 0))
        leak[candidates[rng.random(len(candidates)) < profile.rates[kind]]] = CODES[kind]
    return leak


def _assign_drawn(rng: np.random.Generator, leak: Ints, free: Bools, facts: Facts, profile: Profile) -> tuple[Ints, Bools]:
    edges = np.cumsum([profile.rates[kind] for kind in DRAWN])
    drawn = np.searchsorted(edges, rng.random(len(leak)), side="right")
    hard_draw = rng.random(len(leak)) < HARD_SHARE
    leak, hard = leak.copy(), np.zeros(len(leak), dtype=np.bool_)
    candidates = np.flatnonzero(free & (drawn < len(DRAWN)))
    drawn_facts = Facts(*(getattr(facts, f)[candidates] for f in Facts.__dataclass_fields__))
    kinds, wants_hard = drawn[candidates], hard_draw[candidates]
    for number, kind in enumerate(DRAWN):
        fits, is_hard = _mark_fitting(kind, drawn_facts, wants_hard)
        chosen = (kinds == number) & fits
        leak[candidates[chosen]] = CODES[kind]
        hard[candidates[chosen]] = is_hard[chosen]
    return leak, hard


def _mark_fitting(kind: str, f: Facts, wants_hard: Bools) -> tuple[Bools, Bools]:
    """Return which sessions the leak fits with money that reconciliation can see, and which of these are hard cases."""
    all_sessions, no_session = np.ones(len(f.service), dtype=np.bool_), np.zeros(len(f.service), dtype=np.bool_)
    measured = np.isin(f.service, (VOICE, DATA, ROAMING))
    timed = np.isin(f.service, (VOICE, ROAMING))
    if kind in ("under_quantity", "over_quantity"):
        return measured & (f.quantity >= 20), ~f.keyed
    if kind == "wrong_tariff_version":
        former, coming = (abs(flat_price(f.service, f.quantity, p) - f.expected) for p in (FORMER_MICROS, COMING_MICROS))
        return np.where(wants_hard, coming, former) > AMOUNT_TOLERANCE_MICROS, wants_hard
    by_minute = flat_price(f.service, -(-f.quantity // MINUTE) * MINUTE)
    if kind == "wrong_rounding":
        added = -f.expected % CENT_MICROS
        # Ten started minutes cost whole cents, so wrong rounding and a wrong increment would give the same amount.
        ambiguous = timed & (by_minute == f.expected + added)
        return (added > 0) & ~ambiguous, added <= AMOUNT_TOLERANCE_MICROS
    if kind == "wrong_increment":
        return timed & (by_minute - f.expected > AMOUNT_TOLERANCE_MICROS), no_session
    if kind == "zero_rated_by_mistake":
        return f.expected > AMOUNT_TOLERANCE_MICROS, no_session
    if kind == "currency_mistake":
        gain = half_even(f.expected * (EXCHANGE_MICROS - MICROS), np.full(len(f.expected), MICROS))
        return gain > 2 * AMOUNT_TOLERANCE_MICROS, wants_hard
    if kind == "duplicate_charge":
        return all_sessions, ~f.keyed
    if kind == "reversed_duplicate":
        return f.keyed, no_session
    if kind == "conflicting_usage":
        return measured & (f.parts == 1) & (f.quantity >= 10), no_session
    if kind == "conflicting_charge":
        return f.expected >= CENT_MICROS, no_session
    return all_sessions, no_session


def assign_devices(rng: np.random.Generator, totals: pl.DataFrame, people: Population, profile: Profile) -> pl.DataFrame:
    """Add `leak` and `hard` to device days (`subscriber`, `quantity`); fewer kinds of leak fit a daily sum than a session."""
    kinds = ("unbilled_random", "under_quantity", "over_quantity", "late_charge")
    edges = np.cumsum([profile.rates[kind] for kind in kinds])
    drawn = np.searchsorted(edges, rng.random(len(totals)), side="right")
    fits = (numbers(totals, "quantity") >= 20) & (people.segment[numbers(totals, "subscriber")] != PROBE)
    codes = np.array([*(CODES[kind] for kind in kinds), 0])
    leak = np.where(fits, codes[drawn], 0)
    return totals.with_columns(leak=pl.Series(leak.astype(np.int32)), hard=pl.lit(False))
