"""Inject leaks with a known truth into a copy of a log, by the mechanisms of the simulated operator.

The original log is only read. `inject` writes its commits again, at the same positions, into a branch with a lake of its own. A
leak removes, changes, delays, duplicates or invents a charge, or sends a record again. Each leak takes a clean pair (see
`matched_pairs`). Control rows keep their times, so every stream is complete exactly when the original's was. Findings of the
original log are in the truth as `found_before`, not decidable: no ledger records whether they are leaks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from trueup.config import FILE_NAME, MAX_TOML_BYTES, Project
from trueup.errors import LogError
from trueup.log.lake import Lake
from trueup.policies.policy import Policy
from trueup.regular import read_regular
from trueup.simulate.checks import SimulationError, check_target
from trueup.simulate.injection.branch import Changes, branch_text, replay, write_config
from trueup.simulate.injection.leak_maker import LeakMaker, complete_events
from trueup.simulate.injection.matched_pairs import CleanPairs, clean_pairs
from trueup.simulate.injection.rates import INJECTED
from trueup.simulate.injection.selection import draw_kinds, reason_for_none, with_qualified_kinds
from trueup.simulate.injection.truth_rows import rows_found_before, truth_rows, with_leak_ids

_STREAM = 17
"""Separates the random numbers of injection from those of the simulator's stages."""


@dataclass(frozen=True)
class KindSummary:
    """The result for one kind: qualified pairs, injected leaks, their money, and a note (why none, or what fails)."""

    kind: str
    rate: float
    qualified: int
    injected: int
    impact_micros: int
    note: str


@dataclass(frozen=True)
class InjectionSummary:
    """The branch that `inject` wrote: `positions` commits in `directory`, and the leaks in it by kind."""

    directory: Path
    seed: int
    positions: int
    clean_pairs: int
    found_before: int
    kinds: tuple[KindSummary, ...]


@dataclass(frozen=True)
class Plan:
    """A planned injection: the truth without found-before rows, the changes to the log, and a summary per kind."""

    truth: pl.DataFrame
    changes: Changes
    kinds: tuple[KindSummary, ...]


def inject(
    project: Project,
    directory: Path,
    *,
    rates: Mapping[str, float],
    seed: int,
    on_commit: Callable[[int, int], None] = lambda *_: None,
) -> InjectionSummary:
    """Write a branch of a project's log with leaks, and `truth.parquet` beside it, into an empty or new folder.

    `rates` is a mapping as `rates.rates_of` returns it. The same log, rates and seed give the same branch. Raises
    `SimulationError` or `LogError` before anything is written. The causes are a target with files in it, and too little data for
    any leak. Others are a log that is not reconciled to its end, or was reconciled under another policy than trueup.toml
    declares.
    """
    check_target(directory)
    if not 0 <= seed < 2**63:
        raise SimulationError(f"invalid seed: {seed}", where="--seed", todo="choose a whole number from 0 on")
    text = branch_text(
        read_regular(project.directory / FILE_NAME, max_bytes=MAX_TOML_BYTES).decode("utf-8"),
        where=str(project.directory / FILE_NAME),
    )
    with Lake.open(project, read_only=True) as lake:
        _check_reconciled(lake)
        pairs = clean_pairs(lake)
        _check_policy(lake, pairs)
        plan = plan_injection(lake, pairs, rates, seed)
        if plan.truth.is_empty():
            reasons = "; ".join(f"{k.kind}: {k.note}" for k in plan.kinds)
            raise SimulationError(
                f"too little data to inject leaks: {pairs.frame.height} clean pairs of usage and charge ({reasons})",
                where=str(project.directory), todo="raise the rates, choose other kinds or ingest more data",
            )  # fmt: skip
        before = rows_found_before(lake)
        truth = with_leak_ids(pl.concat([plan.truth, before]))
        try:
            replay(lake, directory, text, plan.changes, on_commit=on_commit)
            truth.write_parquet(directory / "truth.parquet", compression="zstd")
            write_config(directory, text)
        except BaseException:
            # A partial branch is unusable; the folder was empty before.
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return InjectionSummary(directory, seed, pairs.end, pairs.frame.height, before.height, plan.kinds)


def _check_reconciled(lake: Lake) -> None:
    position, last = lake.consumer_position("reconcile"), lake.last_position()
    if last == 0:
        raise SimulationError("the log is empty", where=str(lake.project.directory), todo="run `trueup ingest` first")
    if position < last:
        raise LogError(
            f"the log ends at position {last} and is reconciled up to {position}", where=str(lake.project.directory),
            todo="run `trueup reconcile` first; only reconciled pairs can be known to be clean",
        )  # fmt: skip


def _check_policy(lake: Lake, pairs: CleanPairs) -> None:
    declared, configured = pairs.frontier.policies.all[-1], Policy.of(lake.project.config)
    if declared.content() != configured.content():
        raise LogError(
            "trueup.toml declares another policy than the log was reconciled under", where=str(lake.project.directory),
            todo="run `trueup ingest` and `trueup reconcile` first",
        )  # fmt: skip


def plan_injection(lake: Lake, pairs: CleanPairs, rates: Mapping[str, float], seed: int) -> Plan:
    """Draw the leaks and make their events, without writing anything."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(_STREAM,))))
    qualified = with_qualified_kinds(lake, pairs)
    drawn, notes = draw_kinds(rng, qualified, rates)
    maker = LeakMaker(lake, pairs, rng)
    leaks = {kind: maker.make(kind, qualified.filter(pl.Series(drawn == kind))) for kind in INJECTED if rates.get(kind)}
    truth = pl.concat([truth_rows(kind, of_kind.truth, lake, pairs) for kind, of_kind in leaks.items()])
    removed = pl.concat([of_kind.removed for of_kind in leaks.values()])
    added = {s: pl.concat([of_kind.added[s] for of_kind in leaks.values()]) for s in ("usage", "charge")}
    kinds = tuple(
        _summarise_kind(kind, rates[kind], qualified, truth.filter(pl.col("kind") == kind), notes.get(kind, "")) for kind in leaks
    )
    return Plan(truth, Changes(removed, complete_events(lake, added)), kinds)


def _summarise_kind(kind: str, rate: float, pairs: pl.DataFrame, truth: pl.DataFrame, note: str) -> KindSummary:
    qualified = int(pairs[f"fits_{kind}"].sum())
    note = note or ("" if truth.height else reason_for_none(kind, qualified))
    return KindSummary(kind, rate, qualified, truth.height, int(truth["impact_micros"].cast(pl.Int128).sum() or 0), note)
