"""The kernel: records in, history of findings out. A pure function, vectorised over components and their positions.

Every component is evaluated only at positions at which it can change: when a record of it arrives, when a stream passes an
instant it waits for, when another policy comes into force. All components advance together, each to its own next position;
a round evaluates them all at once. The number of rounds is that of the busiest component, the work is in proportion to what
can change, and the result is the same as from evaluating everything at every position.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from trueup.reconcile.blocking.components import assign_components, assign_groups, schedule_of
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import FLAT, Terms
from trueup.reconcile.kernel.booking import book
from trueup.reconcile.kernel.fast_path import split_fast_path
from trueup.reconcile.kernel.lifecycle import CHANGE, Snapshot, diff_findings
from trueup.reconcile.kernel.matching import match, priced_sessions
from trueup.reconcile.pricing.allowance_pools import Pools, build_pools
from trueup.reconcile.pricing.billing_error import add_misrating_reason
from trueup.reconcile.sessions.admission import ResolvedRecords, resolve_contents, with_due_date

LEDGER: dict[str, pl.DataType] = {
    "position": pl.Int64(),
    "service": pl.String(),
    "day": pl.Date(),
    "currency": pl.String(),
    "expected_micros": pl.Int128(),
    "billed_micros": pl.Int128(),
    "impact_micros": pl.Int128(),
    "tolerated_micros": pl.Int128(),
    "pending_micros": pl.Int128(),
    "unrated_records": pl.Int64(),
}
_SUMS = [n for n in LEDGER if n not in ("position", "service", "day", "currency")]
_CELL = ["service", "day", "currency"]


@dataclass(frozen=True)
class Evaluated:
    """What happened to findings and sums after a position, and what the numbers in it (`record_no`, `subject`) stand for.

    `changes` and `ledger` tell of positions after `after`; `members` are the last places of the records that went through the
    rounds, `clean` the records that did not need to (see `trueup.reconcile.kernel.fast_path`), `waiting` which of the events
    are alone among those.
    """

    changes: pl.DataFrame
    ledger: pl.DataFrame
    members: pl.DataFrame
    fast_path_records: pl.DataFrame
    unmatched: pl.Series
    versions: pl.DataFrame
    groups: pl.DataFrame
    cells: pl.DataFrame
    resolved: ResolvedRecords


def evaluate(
    events: pl.DataFrame, frontier: Frontier, terms: Terms = FLAT, *, after: int, upto: int, fast_path: bool = True
) -> Evaluated:
    """Evaluates `events` (rows of `EVENTS` that came up to position `upto`) at every position in (after, upto].

    What happened up to `after` is evaluated too, to know what stood, but not reported again. `tell_apart = False` sends
    everything through the rounds: slower, with the same result.
    """
    all_events = with_rules(events, frontier)
    pools = build_pools(all_events, frontier, terms, upto)
    separated = split_fast_path(all_events, frontier, terms, pools, upto=upto, fast_path=fast_path)
    admitted = resolve_contents(separated.remaining, frontier)
    versions, groups = assign_groups(with_due_date(admitted.versions, frontier))
    run = _Run(frontier, terms, pools.for_groups(groups), after, upto)
    apart, cells = assign_components(versions, frontier.policies)
    told, moved, members = _evaluate_components(apart, cells, run)
    ledger = _summed(pl.concat([moved, separated.ledger_deltas.select(pl.col(n).cast(t) for n, t in LEDGER.items())]), after)
    return Evaluated(told, ledger, members, separated.booked_records, separated.unmatched, apart, groups, cells, admitted)


@dataclass(frozen=True)
class _Run:
    """What all rounds of an evaluation share."""

    frontier: Frontier
    terms: Terms
    pools: Pools
    after: int
    upto: int


def _evaluate_components(apart: pl.DataFrame, cells: pl.DataFrame, run: _Run) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(changes, ledger movements, last members) of all components.

    Pools do not tie components together: few have a pair whose amount differs. The components of those are evaluated once
    more, tied together, for such a pair is judged with all others of its pool.
    """
    first = _run_iterations(apart.sort("component"), cells, run, together=False)
    if first.differing.is_empty():
        return first.changes, _of_ledger(first.ledger_deltas), first.members
    tied, _ = assign_components(apart.drop("component"), run.frontier.policies, run.pools.component_links(first.differing))
    differing = first.differing.to_frame("group_no").unique()
    once_more = apart.join(differing, on="group_no", how="semi").select("component").unique()
    second = _run_iterations(
        tied.join(
            apart.join(once_more, on="component", how="semi").select("group_no").unique(), on="group_no", how="semi"
        ).sort("component"),
        cells, run, together=True,
    )  # fmt: skip
    kept = [frame.join(once_more, on="component", how="anti") for frame in (first.changes, first.ledger_deltas, first.members)]
    told, moved, members = (
        pl.concat([a, b]) for a, b in zip(kept, (second.changes, second.ledger_deltas, second.members), strict=True)
    )  # fmt: skip
    return told, _of_ledger(moved), members


def with_rules(events: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Adds each event's rule number, and the currency of its money: a usage record's is that of its price.

    The currency a charge itself told stays as `charge_currency`.
    """
    policies = frontier.policies
    rows = events.with_columns(rule=policies.rule_of(pl.col("service")))
    policy = policies.number_at(rows["position"].to_numpy())
    prices = policies.frame["price_currency"][policies.rule_index(policy, rows["rule"].to_numpy())]
    projects = pl.Series([p.currency for p in policies.all], dtype=pl.String)[policy]
    rows = rows.with_columns(price_currency=prices, project_currency=projects)
    charge_currency = pl.coalesce("currency", "project_currency")
    currency = pl.when("charge").then(charge_currency).otherwise("price_currency")
    return rows.with_columns(currency=currency, charge_currency="currency").drop("price_currency", "project_currency")


def _summed(movements: pl.DataFrame, after: int) -> pl.DataFrame:
    """Movements after a position, added up per cell; what cancels out is left away."""
    ledger = movements.filter(pl.col("position") > after).group_by("position", *_CELL).agg(pl.col(_SUMS).sum())
    moved = ledger.filter(pl.any_horizontal(pl.col(n) != 0 for n in _SUMS))
    return moved.select(*LEDGER).sort("position", *_CELL, nulls_last=True)


@dataclass(frozen=True)
class _Rounds:
    """What rounds came to: changes, ledger movements (of pooled sessions by component), last members, and sessions that ask
    to be judged with their pool."""

    changes: pl.DataFrame
    ledger_deltas: pl.DataFrame
    members: pl.DataFrame
    differing: pl.Series


def _run_iterations(versions: pl.DataFrame, cells: pl.DataFrame, run: _Run, *, together: bool) -> _Rounds:
    """Advances all components to the last position."""
    frontier, terms, pools, upto = run.frontier, run.terms, run.pools, run.upto
    agenda = pl.concat([schedule_of(versions), terms.schedule(versions), pools.schedule(versions)])
    settled = pl.DataFrame(schema={"session": pl.Int64, "charge_group": pl.Int64})
    before = Snapshot.empty()
    told, moved, done = [pl.DataFrame(schema=CHANGE)], [pl.DataFrame(schema=_DELTA)], [before.members]
    differing, misrated = [pl.Series(dtype=pl.Int64)], list[pl.DataFrame]()
    pooled = versions.join(pools.numbers, on="group_no", how="semi").select("component", of="component").unique()
    causes = {**terms.causes, **dict.fromkeys(frontier.policies.starts.tolist(), "policy_change")}
    clock = agenda.group_by("component").agg(at=pl.col("at").min()).filter(pl.col("at") <= upto)
    while not clock.is_empty():
        versions = versions.join(clock.select("component"), on="component", how="semi", maintain_order="left")
        rows = versions.join(_with_policy(clock, frontier), on="component", maintain_order="left")
        rows = rows.filter((pl.col("since") <= pl.col("at")) & (pl.col("at") < pl.col("until")))
        rows, units = priced_sessions(rows, frontier, terms, pools)
        matched = match(units, settled)
        assessed = book(rows, units, matched, cells, frontier, terms, pools, together=together)
        now = Snapshot.of(assessed)
        differing.append(assessed.differing)
        misrated.append(assessed.misrated)
        declared = clock.with_columns(declared=pl.col("at").replace_strict(causes, default=None, return_dtype=pl.String))
        told.append(diff_findings(before, now, rows, declared).filter(pl.col("at") > run.after))
        moved.append(_ledger_deltas(before, now, clock, pooled))
        next_clock = _next_positions(clock, agenda, now, frontier, upto)
        ended = now.members.join(next_clock, on="component", how="anti")
        done.append(ended)
        before, settled = now.of_components(next_clock), _carry_settled_pairs(matched.settled, versions, next_clock)
        agenda, clock = agenda.join(next_clock.select("component"), on="component", how="semi"), next_clock
    return _Rounds(
        add_misrating_reason(pl.concat(told), misrated, terms, pools),
        pl.concat(moved),
        pl.concat(done),
        pl.concat(differing).unique(),
    )


def _with_policy(clock: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    return clock.with_columns(policy=pl.Series(frontier.policies.number_at(clock["at"].to_numpy())))


def _next_positions(clock: pl.DataFrame, agenda: pl.DataFrame, now: Snapshot, frontier: Frontier, upto: int) -> pl.DataFrame:
    """Each component's next position, without those that have none up to `upto`."""
    listed = (
        agenda.join(clock.rename({"at": "now"}), on="component").filter(pl.col("at") > pl.col("now"))
        .group_by("component").agg(listed=pl.col("at").min())
    )  # fmt: skip
    wakes = now.bookings.group_by("component").agg(pl.col("next_check_position").min())
    policy = pl.Series("policy_at", frontier.policies.next_start(clock["at"].to_numpy()))
    nexts = clock.with_columns(policy).join(listed, on="component", how="left").join(wakes, on="component", how="left")
    return nexts.select("component", at=pl.min_horizontal("listed", "next_check_position", "policy_at")).filter(
        pl.col("at") <= upto
    )


def _carry_settled_pairs(settled: pl.DataFrame, versions: pl.DataFrame, clock: pl.DataFrame) -> pl.DataFrame:
    """The settled pairs of components that go on."""
    if settled.is_empty():
        return settled
    going = versions.join(clock, on="component", how="semi").select(session="group_no").unique()
    return settled.join(going, on="session", how="semi")


def _ledger_deltas(before: Snapshot, now: Snapshot, clock: pl.DataFrame, pooled: pl.DataFrame) -> pl.DataFrame:
    """By how much each sum moved at each component's position: what is booked now less what was.

    Those of `pooled` components are told one by one.
    """
    was = before.bookings.drop("at").join(clock, on="component").with_columns(pl.col(c) * -1 for c in _MONEY)
    both = pl.concat([now.bookings.select(*_BOOKED), was.select(*_BOOKED)])
    impact = pl.col("expected_micros") - pl.col("billed_micros")
    kinds = {
        "pending_micros": pl.col("kind") == "pending",
        "tolerated_micros": pl.col("kind") == "tolerated",
        "impact_micros": ~pl.col("kind").is_in(["pending", "tolerated"]),
    }
    parts = [pl.when(of).then(impact).otherwise(pl.lit(0, pl.Int128)).alias(name) for name, of in kinds.items()]
    booked = both.with_columns(parts).rename({"at": "position"})
    if pooled.is_empty():
        booked = booked.with_columns(component=pl.lit(None, pl.Int64))
    else:
        booked = booked.join(pooled, on="component", how="left").with_columns(component="of")
    summed = booked.group_by("component", "position", *_CELL).agg(pl.col(_SUMS).sum())
    return summed.select(pl.col(n).cast(t) for n, t in _DELTA.items())


def _of_ledger(moved: pl.DataFrame) -> pl.DataFrame:
    return moved.drop("component")


_MONEY = ["expected_micros", "billed_micros", "unrated_records"]
_BOOKED = ["component", "at", *_CELL, "kind", *_MONEY]
_DELTA = {"component": pl.Int64(), **LEDGER}
