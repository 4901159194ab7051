"""Adapter between logs of plain values and the kernel: events, frontier and terms in, finding changes and sums out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import polars as pl
from reference_model.history import ReferenceRun, Sums
from reference_model.log import Close, Log, Record, State, Supersede, Tariff, Tick

from trueup.policies.declared import without_void_ticks
from trueup.policies.policy import Policies, Policy
from trueup.rating.book import TARIFF, Book
from trueup.reconcile.domain.frontier import Frontier, RunningMax, Ticks
from trueup.reconcile.domain.tariff_terms import FLAT, SUBSCRIBER_CHANGE, TARIFF_CHANGE, Edition, Terms, changes_of, states_of
from trueup.reconcile.kernel.evaluate import Evaluated, evaluate
from trueup.reconcile.log_io.load import touched_from
from trueup.reconcile.results.finding_rows import finding_changes
from trueup.reconcile.sessions.admission import EVENTS

SUMS = ["expected_micros", "billed_micros", "impact_micros", "tolerated_micros", "pending_micros", "unrated_records"]


def events_of(log: Log) -> pl.DataFrame:
    """Return all records of a log as rows of `EVENTS`."""
    own = [
        (position, r, r.scope, None, None) for position, commit in enumerate(log, start=1) for r in commit if isinstance(r, Record)
    ]
    rows = [
        {
            "charge": r.charge, "event_id": r.event_id, "position": position, "source": r.source, "bucket": 0, "scope": scope,
            "delivered_scope": delivered_scope, "delivered_at": delivered_at,
            "key_scope": r.key_scope, "record_key": r.key, "session_key": r.session, "service": r.service, "subscriber": r.subscriber,
            "peer": r.peer, "node": r.node, "time_us": r.time_us, "started": r.started_us is not None,
            "quantity_micros": r.quantity_micros, "amount_micros": r.amount_micros, "partial_no": r.part, "record_version": r.version,
            "currency": r.currency, "corrected_charge": r.corrects and r.corrects[0], "corrected_key": r.corrects and r.corrects[1],
            "line": r.tariff_code and int.from_bytes(r.tariff_code.encode(), "big"),
        }
        for position, r, scope, delivered_scope, delivered_at in [*own, *moved_rows(log)]
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=EVENTS)


def moved_rows(log: Log) -> list[tuple[int, Record, str, str, int]]:
    """Return the copies, in each scope of a record with versions, of its contents in other scopes.

    Rows are (position of the copy, content, scope, scope of the content, position of the content).
    """
    contents: dict[Any, dict[bytes, tuple[int, Record]]] = {}
    rows = []
    for position, commit in enumerate(log, start=1):
        arrived = [r for r in commit if isinstance(r, Record) and r.versioned]
        for identity in dict.fromkeys(r.identity for r in arrived):
            known = contents.setdefault(identity, {})
            scopes_before, ids_before = {r.scope for _, r in known.values()}, {*known}
            for r in arrived:
                if r.identity == identity:
                    known.setdefault(r.event_id, (position, r))
            for scope in {r.scope for _, r in known.values()}:
                rows += [
                    (position, r, scope, r.scope, at) for event_id, (at, r) in known.items()
                    if r.scope != scope and (scope not in scopes_before or event_id not in ids_before)
                ]  # fmt: skip
    return rows


def frontier_of(log: Log, policy: Policy, upto: int | None = None) -> Frontier:
    """Return the frontier of a log, up to a position."""
    observed: dict[str, list[tuple[int, int]]] = {}
    closed: dict[str, list[tuple[int, int]]] = {}
    ticks, policies, superseded = list[tuple[int, Tick]](), [policy], dict[int, frozenset[int]]()
    for position, commit in enumerate(log[:upto], start=1):
        for item in commit:
            if isinstance(item, Close):
                closed.setdefault(item.source, []).append((position, item.through_us))
            elif isinstance(item, Tick):
                ticks.append((position, item))
            elif isinstance(item, Supersede):
                void = {at for at, tick in ticks if tick == item.tick and at < position}
                superseded[position] = superseded.get(position, frozenset()) | void
            elif isinstance(item, Record):
                if item.started_us is not None:
                    observed.setdefault(item.source, []).append((position, item.started_us))
            elif isinstance(item, Policy):
                policies.append(policy_from(item, position))
    marks = ({n: _build_marks(rows) for n, rows in by_source.items()} for by_source in (observed, closed))
    clock = Ticks.of(pl.DataFrame([(at, tick.now_us) for at, tick in ticks], schema=_MARK, orient="row"))
    return Frontier(Policies(without_void_ticks(policies, superseded)), *marks, clock)


def terms_of(log: Log, upto: int | None = None) -> Terms:
    """Return the tariff terms of a log, as known at each position up to one."""
    rows: list[dict[str, Any]] = []
    editions, first = [], []
    for position, commit in enumerate(log[:upto], start=1):
        new = [row for item in commit if isinstance(item, Tariff) for row in item.rows]
        if new:
            rows = [*rows, *new]
            editions.append(Edition(position, Book.of(pl.DataFrame([{n: r.get(n) for n in TARIFF} for r in rows], schema=TARIFF))))
            first.append((position, touched_from(pl.DataFrame([{n: r.get(n) for n in TARIFF} for r in new], schema=TARIFF))))
    states = states_of(pl.DataFrame(_build_states(log[:upto]), schema=_STATE))
    if not editions and states.is_empty():
        return FLAT
    causes = dict.fromkeys(states["since"].to_list(), SUBSCRIBER_CHANGE) | {e.position: TARIFF_CHANGE for e in editions}
    return Terms(tuple(editions), states, changes_of(first, states), causes)


def _build_states(log: Log) -> list[dict[str, Any]]:
    """Return the states of a log as rows of `events.subscriber`, of the network."""
    return [
        {
            "bucket": 0, "system": "network", "subscriber": item.subscriber, "status": "active", "position": position,
            "event_id": repr(item).encode(), "cycle_day": item.cycle_day, "timezone": item.zone, "valid_from": item.from_us,
        }
        for position, commit in enumerate(log, start=1) for item in commit if isinstance(item, State)
    ]  # fmt: skip


_STATE = {
    "bucket": pl.Int16, "system": pl.String, "subscriber": pl.String, "plan": pl.String, "status": pl.String, "position": pl.Int64,
    "event_id": pl.Binary, "imsi": pl.String, "timezone": pl.String, "cycle_day": pl.Int64, "valid_from": pl.Int64,
    "valid_to": pl.Int64,
}  # fmt: skip


def policy_from(policy: Policy, position: int) -> Policy:
    return Policy.from_content(position, policy.content())


def _build_marks(rows: list[tuple[int, int]]) -> RunningMax:
    return RunningMax.of(pl.DataFrame(rows, schema=_MARK, orient="row"))


_MARK = {"position": pl.Int64, "value": pl.Int64}


def kernel_changes(evaluated: Evaluated, policies: Policies, *, after: int = 0) -> list[dict[str, Any]]:
    """Return the finding changes of the kernel as rows of the reference model; `finding` is the finding id."""
    rows = finding_changes(evaluated, policies, after=after).rename({"finding_id": "finding"})
    started = (pl.col("started_at").cast(pl.Int64)).alias("started_us")
    return [
        {n: tuple(v) if isinstance(v, list) else int(v) if n.endswith("_micros") and v is not None else v for n, v in row.items()}
        for row in rows.with_columns(started).drop("bucket", "started_at", "reason", "ended_at", "booking_id").iter_rows(named=True)
    ]


def changes_by_finding(changes: Iterable[dict[str, Any]]) -> Counter[frozenset[tuple[Any, ...]]]:
    """Group changes by finding, without its id: two histories are equal if they have the same life cycles."""
    by_finding: dict[Any, list[tuple[Any, ...]]] = {}
    for row in changes:
        by_finding.setdefault(row["finding"], []).append(tuple(sorted((n, v) for n, v in row.items() if n != "finding")))
    assert all(len(set(rows)) == len(rows) for rows in by_finding.values()), "a change occurs twice"
    return Counter(frozenset(rows) for rows in by_finding.values())


def sums_of(ledger: pl.DataFrame, positions: int) -> list[Sums]:
    """Return the sums after each position, from the changes in the ledger."""
    sums: list[Sums] = []
    now: dict[Any, tuple[int, ...]] = {}
    deltas: dict[int, list[tuple[Any, tuple[int, ...]]]] = {}
    for row in ledger.iter_rows(named=True):
        cell = (row["service"], row["day"], row["currency"])
        deltas.setdefault(row["position"], []).append((cell, tuple(int(row[n]) for n in SUMS)))
    for position in range(1, positions + 1):
        for cell, delta in deltas.get(position, []):
            now = {**now, cell: tuple(a + b for a, b in zip(now.get(cell, (0,) * len(SUMS)), delta, strict=True))}
        sums.append({cell: row for cell, row in now.items() if any(row)})
    return sums


def assert_same_history(reference: ReferenceRun, evaluated: Evaluated, policies: Policies) -> None:
    """Compare the kernel with the reference: life cycles of findings, sums after each position, one booking per record."""
    expected, actual = changes_by_finding(reference.changes), changes_by_finding(kernel_changes(evaluated, policies))
    assert actual == expected, _describe_differences(actual, expected)
    sums = sums_of(evaluated.ledger, len(reference.sums))
    for position, (expected_sums, actual_sums) in enumerate(zip(reference.sums, sums, strict=True), start=1):
        assert actual_sums == expected_sums, f"sums after position {position}"
    members = evaluated.members
    assert (
        members["record_no"].n_unique() == members.height == len(reference.records) - evaluated.fast_path_records["records"].sum()
    )


def _describe_differences(actual: Counter[Any], expected: Counter[Any]) -> str:
    def lines(counted: Counter[Any]) -> list[str]:
        return [str(dict(row)) for life in counted for row in sorted(life, key=repr)]

    return "\n".join(
        ["", "only in the kernel:", *lines(actual - expected), "only in the reference model:", *lines(expected - actual)]
    )


def evaluate_in_ranges(log: Log, policy: Policy, cuts: Iterable[int]) -> list[Evaluated]:
    """Evaluate a log in ranges that end at the positions `cuts`; each range knows the log up to its own end only."""
    parts, after = [], 0
    for upto in [*sorted(set(cuts) - {0, len(log)}), len(log)]:
        parts.append(evaluate(events_of(log[:upto]), frontier_of(log, policy, upto), terms_of(log, upto), after=after, upto=upto))
        after = upto
    return parts


Check = Callable[[Log], bool]


def shrink(log: Log, fails: Check) -> Log:
    """Return a smaller log for which `fails` still holds, by removing items and empty commits while it does."""
    changed = True
    while changed:
        changed = False
        smaller = [
            [*log[:i], commit[:j] + commit[j + 1 :], *log[i + 1 :]] for i, commit in enumerate(log) for j in range(len(commit))
        ]
        smaller += [[*log[:i], *log[i + 1 :]] for i, commit in enumerate(log) if not commit]
        for candidate in smaller:
            if fails(candidate):
                log, changed = candidate, True
                break
    return log


def format_log(log: Log) -> str:
    """Return a log as text, commit by commit, for the message of a failing test."""

    def describe(item: Any) -> str:
        if not isinstance(item, Record):
            return f"policy {sorted(item.services)}" if isinstance(item, Policy) else str(item)
        values = {n: v for n, v in vars(item).items() if v != getattr(Record(item.charge, "", ""), n)}
        return f"{'charge' if item.charge else 'usage'} {values}"

    return "\n".join(f"{position}: " + "\n   ".join(map(describe, commit)) for position, commit in enumerate(log, start=1))
