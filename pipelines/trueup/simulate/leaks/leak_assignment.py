"""Who leaks: one leak at most for each session, by the rates of the profile and by what the data can decide."""

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
    MICROS,
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
from trueup.simulate.traffic.sessions import NOBODY, Ints, numbers

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
    """The one switch (for a while), tariff and destination that fail in this world."""

    node: int
    node_from_us: int
    node_to_us: int
    tariff: int
    destination: int


def plan_leaks(network: Network, numbers_: Numbers, period: Period, seed: int) -> LeakPlan:
    """Draws what fails: a switch for half of the period, a voice tariff, one of the busier destinations."""
    rng = stream(seed, Stage.LEAK_PLAN)
    span = period.end_us - period.start_us
    begin = period.start_us + int(rng.random() * 0.5 * span)
    tariff = tariff_of(rng.choice(np.array([PAYG, FLEX]), 1), np.array([VOICE]))[0]
    weights = np.diff(np.concatenate([[0.0], numbers_.cumulative]))
    busiest = np.argsort(-weights, kind="stable")[1:4]
    return LeakPlan(int(rng.choice(network.elements(0, "msc"))), begin, begin + span // 2, int(tariff), int(rng.choice(busiest)))


@dataclass(frozen=True)
class Facts:
    """What the choice of a leak looks at, one entry per session."""

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
    """The facts of a session frame."""
    service, who, peer = (numbers(sessions, c) for c in ("service", "subscriber", "peer"))
    quantity, start = numbers(sessions, "quantity"), numbers(sessions, "start_us")
    return Facts(
        service, quantity, flat_price(service, quantity), sessions["keyed"].to_numpy(), numbers(sessions, "parts"),
        numbers(sessions, "node"), tariff_of(people.billed_plan_at(who, start), service),
        np.where(peer == NOBODY, -1, numbers_.destination[peer]), start,
    )  # fmt: skip


def assign(
    rng: np.random.Generator, sessions: pl.DataFrame, window: Ints, arrived: Bools, windows_kind: Ints, people: Population,
    numbers_: Numbers, plan: LeakPlan, profile: Profile,
) -> pl.DataFrame:  # fmt: skip
    """Adds `leak` (a catalogue number), `hard`, `window` and `expected` to finished sessions.

    `window` says which lost stretch took records of a session (NOBODY: none), `windows_kind` the catalogue number of each.
    `arrived` says which sessions have a record left: one of a subscription billing does not have then still leaks as that.
    Sessions billing cannot charge (it does not have the subscription) are no longer `billable`.
    """
    facts = facts_of(sessions, people, numbers_)
    who = numbers(sessions, "subscriber")
    billable = sessions["billable"].to_numpy()
    gap = np.where((facts.start_us >= people.gap_us[who]) & np.isin(people.gap_code[who], GAPS), people.gap_code[who], 0)
    priced = PRICE_MICROS[facts.service] > 0
    leak = np.where(billable & priced, gap, 0)
    taken = (window != NOBODY) & ~(arrived & (leak > 0))
    leak[taken] = windows_kind[window[taken]]
    free = billable & priced & (leak == 0) & (gap == 0)
    free &= (numbers(sessions, "incident") == NOBODY) & (people.segment[who] != PROBE)
    leak = _conditioned(rng, leak, free, facts, plan, profile)
    leak, hard = _drawn(rng, leak, free & (leak == 0), facts, profile)
    return sessions.with_columns(
        leak=pl.Series(leak.astype(np.int32)), hard=pl.Series(hard), window=pl.Series(window.astype(np.int32)),
        expected=pl.Series(facts.expected), billable=pl.Series(billable & (gap == 0)),
    )  # fmt: skip


def _conditioned(rng: np.random.Generator, leak: Ints, free: Bools, facts: Facts, plan: LeakPlan, profile: Profile) -> Ints:
    at_node = (facts.node == plan.node) & (facts.start_us >= plan.node_from_us) & (facts.start_us < plan.node_to_us)
    cases = (
        ("unbilled_node", at_node),
        ("unbilled_tariff", facts.tariff == plan.tariff),
        ("unbilled_destination", facts.destination == plan.destination),
    )
    leak = leak.copy()
    for kind, meant in cases:
        candidates = np.flatnonzero(free & meant & (leak == 0))
        leak[candidates[rng.random(len(candidates)) < profile.rates[kind]]] = CODES[kind]
    return leak


def _drawn(rng: np.random.Generator, leak: Ints, free: Bools, facts: Facts, profile: Profile) -> tuple[Ints, Bools]:
    edges = np.cumsum([profile.rates[kind] for kind in DRAWN])
    drawn = np.searchsorted(edges, rng.random(len(leak)), side="right")
    hard_draw = rng.random(len(leak)) < HARD_SHARE
    leak, hard = leak.copy(), np.zeros(len(leak), dtype=np.bool_)
    candidates = np.flatnonzero(free & (drawn < len(DRAWN)))
    some = Facts(*(getattr(facts, f)[candidates] for f in Facts.__dataclass_fields__))
    kinds, wants_hard = drawn[candidates], hard_draw[candidates]
    for number, kind in enumerate(DRAWN):
        fits, is_hard = _fits(kind, some, wants_hard)
        chosen = (kinds == number) & fits
        leak[candidates[chosen]] = CODES[kind]
        hard[candidates[chosen]] = is_hard[chosen]
    return leak, hard


def _fits(kind: str, f: Facts, wants_hard: Bools) -> tuple[Bools, Bools]:
    """Which sessions can leak that way with money the reconciliation sees, and which of them in the hard variant."""
    everywhere, nowhere = np.ones(len(f.service), dtype=np.bool_), np.zeros(len(f.service), dtype=np.bool_)
    measured = np.isin(f.service, (VOICE, DATA, ROAMING))
    timed = np.isin(f.service, (VOICE, ROAMING))
    if kind in ("under_quantity", "over_quantity"):
        return measured & (f.quantity >= 20), ~f.keyed
    if kind == "wrong_tariff_version":
        former, coming = (abs(flat_price(f.service, f.quantity, p) - f.expected) for p in (FORMER_MICROS, COMING_MICROS))
        return np.where(wants_hard, coming, former) > AMOUNT_TOLERANCE_MICROS, wants_hard
    begun = flat_price(f.service, -(-f.quantity // MINUTE) * MINUTE)
    if kind == "wrong_rounding":
        added = -f.expected % CENT_MICROS
        # Ten begun minutes are a whole number of cents: which of the two mistakes it was, nobody could tell.
        other = timed & (begun == f.expected + added)
        return (added > 0) & ~other, added <= AMOUNT_TOLERANCE_MICROS
    if kind == "wrong_increment":
        return timed & (begun - f.expected > AMOUNT_TOLERANCE_MICROS), nowhere
    if kind == "zero_rated_by_mistake":
        return f.expected > AMOUNT_TOLERANCE_MICROS, nowhere
    if kind == "currency_mistake":
        gain = half_even(f.expected * (EXCHANGE_MICROS - MICROS), np.full(len(f.expected), MICROS))
        return gain > 2 * AMOUNT_TOLERANCE_MICROS, wants_hard
    if kind == "duplicate_charge":
        return everywhere, ~f.keyed
    if kind == "reversed_duplicate":
        return f.keyed, nowhere
    if kind == "conflicting_usage":
        return measured & (f.parts == 1) & (f.quantity >= 10), nowhere
    if kind == "conflicting_charge":
        return f.expected >= CENT_MICROS, nowhere
    return everywhere, nowhere


def assign_devices(rng: np.random.Generator, totals: pl.DataFrame, people: Population, profile: Profile) -> pl.DataFrame:
    """Adds `leak` and `hard` to device days (`subscriber`, `quantity`); aggregates leak in fewer ways than sessions."""
    kinds = ("unbilled_random", "under_quantity", "over_quantity", "late_charge")
    edges = np.cumsum([profile.rates[kind] for kind in kinds])
    drawn = np.searchsorted(edges, rng.random(len(totals)), side="right")
    fits = (numbers(totals, "quantity") >= 20) & (people.segment[numbers(totals, "subscriber")] != PROBE)
    codes = np.array([*(CODES[kind] for kind in kinds), 0])
    leak = np.where(fits, codes[drawn], 0)
    return totals.with_columns(leak=pl.Series(leak.astype(np.int32)), hard=pl.lit(False))
