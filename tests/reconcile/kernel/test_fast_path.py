"""The fast path decides by sorted hashes: it may send too many records through all steps, never too few."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kernel_adapter import assert_same_history, events_of, format_log, frontier_of, terms_of
from random_logs import MICRO, any_log, service
from reference_model.history import run_reference
from reference_model.log import Close, Item, Log, Record, State

from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.record_hashes import Hashes, is_duplicated, record_hashes, session_hashes
from trueup.reconcile.domain.tariff_terms import FLAT, Terms
from trueup.reconcile.kernel.evaluate import Evaluated, evaluate
from trueup.reconcile.kernel.fast_path import candidates
from trueup.reconcile.kernel.fast_path.candidates import _mark_neighbours
from trueup.reconcile.results.outcome import outcome_of

# Some of these party hashes share their upper part. The times are so far apart that a unit of the sort order exceeds a microsecond.
PARTIES = st.sampled_from([1, 2, 3 << 60, (3 << 60) + 1, 5 << 60])
TIMES = st.integers(0, 20) | st.integers(2**40, 2**40 + 20)
ROW = st.tuples(PARTIES, TIMES, st.integers(0, 4))
TOLERANCE_US = 3


def has_neighbour(rows: list[tuple[int, int, int]], tolerances_us: list[int] | None = None) -> list[bool]:
    schema = {"party": pl.UInt64, "time_us": pl.Int64, "session": pl.UInt64}
    tolerance = pl.Series("tolerance_us", tolerances_us or [TOLERANCE_US] * len(rows), dtype=pl.Int64)
    return _mark_neighbours(pl.DataFrame(rows, schema=schema, orient="row").with_columns(tolerance)).tolist()


@given(st.lists(ROW, max_size=12))
@example([(1, 4, 0), (1, 2**40, 0), (1, 0, 0), (3 << 60, 0, 0), (1, 1, 1), (1, 0, 1)])
@example([(1, 0, 0), (1, 1024, 0), (1, 1026, 1), (1, 2**40, 0)])
def test_a_session_within_the_tolerance_of_another_of_its_party_has_a_row_with_a_neighbour(
    rows: list[tuple[int, int, int]],
) -> None:
    flagged = has_neighbour(rows)
    for party, time_us, session in rows:
        others = [s for p, t, s in rows if p == party and s != session and abs(t - time_us) <= TOLERANCE_US]
        # Parties with the same upper part of the hash count as one, and a session leaves the fast path with any of its records.
        own = [n for n, (p, _, s) in enumerate(rows) if p >> 60 == party >> 60 and s == session]
        assert not others or any(flagged[n] for n in own)


def test_records_of_different_parties_or_distant_times_have_no_neighbours() -> None:
    assert has_neighbour([(1, 0, 1), (1, 100, 2), (1, 100, 2), (5 << 60, 100, 3)]) == [False] * 4
    assert has_neighbour([(1, 0, 1), (1, 3, 2), (1, 7, 3)]) == [True, True, False]
    assert has_neighbour([(1, 5, 1), (2, 6, 2)]) == [True, True], "parties with the same upper part of the hash count as one"
    assert has_neighbour([(1, 5, 1), (2, 2**35, 2)]) == [False, False]
    assert has_neighbour([]) == []


def test_parties_of_different_tolerances_are_compared_by_their_own() -> None:
    rows = [(1, 0, 1), (5 << 60, 0, 2), (1, 8, 3), (5 << 60, 8, 4)]
    assert has_neighbour(rows, [5, 10, 5, 10]) == [False, True, False, True]
    assert has_neighbour(rows, [10, 5, 10, 5]) == [True, False, True, False]


@given(st.lists(st.integers(0, 6)))
def test_a_hash_that_occurs_twice_is_duplicated(numbers: list[int]) -> None:
    assert is_duplicated(np.array(numbers, dtype=np.uint64)).tolist() == [numbers.count(n) > 1 for n in numbers]


# --- hashes that collide ----------------------------------------------------------------------------------------------


def collide(monkeypatch: pytest.MonkeyPatch, values: int) -> None:
    """Give sessions, records and parties one of a few hashes each, which differ in their upper bits."""

    def few(hashes: Hashes, least: int = 0) -> Hashes:
        return (hashes % np.uint64(values) + np.uint64(least)) << np.uint64(56)

    party = candidates._hash
    monkeypatch.setattr(candidates, "session_hashes", lambda rows: few(session_hashes(rows)))
    monkeypatch.setattr(candidates, "record_hashes", lambda rows: few(record_hashes(rows), values))
    monkeypatch.setattr(candidates, "_hash", lambda *names: party(*names) % values * 2**56)


@pytest.mark.parametrize("values", [1, 6, 40])
def test_hashes_that_collide_change_no_finding(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    collide(monkeypatch, values)
    for n in range(3):
        generator, log = any_log(random.Random(f"collisions/{values}/{n}"))
        kernel = evaluate(events_of(log), frontier_of(log, generator.first), after=0, upto=len(log))
        assert_same_history(run_reference(log, generator.first), kernel, frontier_of(log, generator.first).policies)


@pytest.mark.slow
@pytest.mark.parametrize("values", [1, 3, 9, 27, 81])
def test_hashes_that_collide_change_no_finding_of_two_hundred_logs(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    collide(monkeypatch, values)
    for n in range(40):
        generator, log = any_log(random.Random(f"more collisions/{values}/{n}"))
        kernel = evaluate(events_of(log), frontier_of(log, generator.first), after=0, upto=len(log))
        assert_same_history(run_reference(log, generator.first), kernel, frontier_of(log, generator.first).policies)


# --- with and without ---------------------------------------------------------------------------------------------------


def assert_same_outcome(events: pl.DataFrame, frontier: Frontier, terms: Terms, after: int, upto: int) -> Evaluated:
    """Check that changes, sums and counts after a position are the same without the fast path; return the evaluation with it."""
    fast, slow = (evaluate(events, frontier, terms, after=after, upto=upto, fast_path=f) for f in (True, False))
    outcomes = [outcome_of(e, frontier, terms, after=after, upto=upto, records=events.height) for e in (fast, slow)]
    for name in ("history", "ledger", "placement"):
        frames = [getattr(outcome, name) for outcome in outcomes]
        assert frames[0].equals(frames[1]), name
    return fast


def check_with_and_without(seed: str, n: int) -> int:
    """Check one log with and without the fast path, every second one after a position; return how many records it took."""
    rng = random.Random(f"{seed}/{n}")
    generator, log = any_log(rng)
    after = rng.randrange(len(log)) if n % 2 else 0
    try:
        fast = assert_same_outcome(events_of(log), frontier_of(log, generator.first), FLAT, after, len(log))
    except AssertionError:
        print(f"log {n} of {seed}\n{format_log(log)}")
        raise
    return int(fast.fast_path_records["records"].sum())


def test_random_logs_have_the_same_outcome_with_and_without_the_fast_path() -> None:
    assert sum(check_with_and_without("fast and slow", n) for n in range(15)) > 10


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("values", [None, 5])
def test_a_thousand_random_logs_and_as_many_with_colliding_hashes_have_the_same_outcome(
    values: int | None, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if values is not None:
        collide(monkeypatch, values)
    assert sum(check_with_and_without(f"often fast and slow/{values}", n) for n in range(part * 100, part * 100 + 100)) > 0


def plain_log(rng: random.Random) -> tuple[Policy, Log]:
    """Return a policy and a log in which each session has one usage record, one charge or both, with one trouble at most."""
    tolerances = {"amount_tolerance": rng.choice((0, 10)), "quantity_tolerance": rng.choice((0, 2 * MICRO))}
    match = rng.choice((("session_key",), ("session_key", "nearest")))
    rules = service(match, grace=rng.choice((4, 12)), start_tolerance=2 * (len(match) - 1), **tolerances)
    policy = Policy(0, {"voice": rules}, sources={"n": SourceRules("usage", 1), "b": SourceRules("charge", rng.choice((0, 3)))})
    arrivals = dict[int, list[Item]]()
    for n in range(40):
        start, trouble = rng.randrange(60), rng.choice(("none", "no charge", "no usage", "amount", "quantity", "no key", "late"))
        key = None if trouble == "no key" else f"K{n}"
        of_both: dict[str, Any] = {"subscriber": f"s{n}", "started_us": start, "quantity_micros": 3 * MICRO}
        usage = Record(False, "n", f"u{n}", key, **of_both)
        amount = 3 * MICRO + {"amount": rng.choice((5, 7 * MICRO)), "quantity": -MICRO}.get(trouble, 0)
        charge = Record(True, "b", f"c{n}", key, amount_micros=amount, **of_both)
        if trouble == "quantity":
            charge = replace(charge, quantity_micros=rng.choice((None, 2 * MICRO, 8 * MICRO)))
        for record in (usage, charge)[trouble == "no usage" : 2 - (trouble == "no charge")]:
            delay = rng.choice((0, 0, 2, 5)) if trouble != "late" else rng.randrange(40)
            arrivals.setdefault((start + delay) // 4, []).append(record)
    return policy, [[policy], *(arrivals[at] for at in sorted(arrivals)), [Close("n", 999)], [Close("b", 999)]]


@pytest.mark.parametrize("values", [None, 30], ids=["true hashes", "colliding hashes"])
def test_plain_findings_are_those_of_all_steps(values: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    check_plain_logs("plain", range(4), values, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("values", [None, 30], ids=["true hashes", "colliding hashes"])
def test_plain_findings_of_sixty_logs_are_those_of_all_steps(values: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    check_plain_logs("more plain", range(60), values, monkeypatch)


def check_plain_logs(seed: str, numbers: range, values: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if values is not None:
        collide(monkeypatch, values)
    seen = Counter[str]()
    for n in numbers:
        rng = random.Random(f"{seed}/{n}")
        policy, log = plain_log(rng)
        frontier = frontier_of(log, policy)
        fast = assert_same_outcome(events_of(log), frontier, FLAT, rng.choice((0, rng.randrange(len(log)))), len(log))
        seen.update([*fast.raised["kind"], *fast.raised["cause"]])
    of_pairs, of_records = {"misrated", "underbilled", "arrival"}, {"unbilled", "charge_without_usage", "frontier"}
    assert values is not None or seen.keys() >= of_pairs | of_records, seen


ONE_EACH = Policy(
    0, {"voice": service(("session_key",), grace=10)}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")}
)


def used(key: str, **more: Any) -> Record:
    return Record(False, "n", f"u{key}", key, quantity_micros=MICRO, started_us=0, **more)


def charged(key: str, amount_micros: int = MICRO) -> Record:
    return Record(True, "b", f"c{key}", key, quantity_micros=MICRO, amount_micros=amount_micros, started_us=0)


def raised(log: Log) -> list[tuple[int, str, str, str]]:
    """Return (position, kind, cause, session key) of the fast path's findings, which must be all of the reference model's."""
    frontier = frontier_of(log, ONE_EACH)
    kernel = evaluate(events_of(log), frontier, after=0, upto=len(log))
    assert kernel.versions.is_empty(), "no record goes through all steps"
    assert_same_history(run_reference(log, ONE_EACH), kernel, frontier.policies)
    return sorted(kernel.raised.select("at", "kind", "cause", "session_key").rows())


def test_the_fast_path_raises_findings_of_single_records_and_pairs() -> None:
    log: Log = [
        [ONE_EACH], [used("A"), used("B"), used("C")], [charged("B"), charged("C", 2 * MICRO), charged("D"), charged("E", 0)],
        [Close("n", 100)], [Close("b", 100)],
    ]  # fmt: skip
    assert raised(log) == [
        (3, "misrated", "arrival", "C"), (4, "charge_without_usage", "frontier", "D"), (5, "unbilled", "frontier", "A"),
    ]  # fmt: skip


def test_a_late_record_of_the_fast_path_is_the_cause_of_its_finding() -> None:
    log: Log = [
        [ONE_EACH], [Close("n", 100)], [Close("b", 100)], [used("A")], [charged("B")], [used("C"), charged("C", 2 * MICRO)],
    ]  # fmt: skip
    assert raised(log) == [
        (4, "unbilled", "late_usage", "A"), (5, "charge_without_usage", "late_charge", "B"), (6, "misrated", "late_charge", "C"),
    ]  # fmt: skip


def test_a_late_record_whose_counterpart_arrived_in_time_is_not_a_cause() -> None:
    log: Log = [[ONE_EACH], [Close("b", 100)], [charged("A", 2 * MICRO)], [used("A")]]
    assert raised(log) == [(4, "misrated", "arrival", "A")]


def test_a_state_that_comes_with_the_record_that_makes_usage_final_is_the_cause() -> None:
    far: dict[str, Any] = {"subscriber": None, "scope": "z", "quantity_micros": 0, "started_us": 500}
    log: Log = [[ONE_EACH], [used("A", subscriber="s")], [State("other", 400, None), Record(True, "b", "cz", "Z", **far)]]
    fast = assert_same_outcome(events_of(log), frontier_of(log, ONE_EACH), terms_of(log), 0, len(log))
    assert fast.raised.select("at", "kind", "cause").rows() == [(3, "unbilled", "subscriber_change")]


def test_a_usage_record_and_a_charge_of_different_keys_with_one_hash_are_not_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "session_hashes", lambda rows: np.zeros(rows.height, dtype=np.uint64))
    policy = Policy(
        0, {"voice": service(("session_key",), grace=10)}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")}
    )
    log: Log = [
        [policy], [Record(False, "n", "u", "K", quantity_micros=MICRO, started_us=0)],
        [Record(True, "b", "c", "L", quantity_micros=MICRO, amount_micros=MICRO, started_us=0)],
    ]  # fmt: skip
    kernel = evaluate(events_of(log), frontier_of(log, policy), after=0, upto=3)
    assert kernel.fast_path_records.is_empty()
    assert_same_history(run_reference(log, policy), kernel, frontier_of(log, policy).policies)
