"""The stream holds a pending period as its sums, and reads its records from the log where they are needed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lake_fixture
import pytest
from random_logs import MICRO, service, sum_facets
from reference_model.log import Close, Item, Log, Record
from run_epochs import compare_epochs_with_one_call, process_epochs

from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.incremental.epoch import EpochResult
from trueup.reconcile.incremental.hash_runs import store_for
from trueup.reconcile.incremental.state_codec import decode_state, encode_state
from trueup.reconcile.results.outcome import merge_outcomes

DAY_US = 86_400 * MICRO
POLICY = Policy(
    0, {"iot": service(("aggregate",), grace=DAY_US, period="month")},
    sources={"n": SourceRules("usage"), "b": SourceRules("charge")},
)  # fmt: skip


def pass_day(day: int) -> list[Item]:
    """Return a record of each stream on a day; with it both streams pass, by grace, periods that ended two days earlier."""
    own = Record(
        False, "n", f"after {day}", service="iot", subscriber="z", scope="z", started_us=day * DAY_US, quantity_micros=MICRO
    )
    return [own, replace(own, charge=True, source="b", amount_micros=MICRO)]


FEBRUARY = pass_day(39)


def usage(day: int, subscriber: str = "s") -> Record:
    return Record(
        False, "n", f"{subscriber}{day}", service="iot", subscriber=subscriber, scope=subscriber, started_us=day * DAY_US,
        quantity_micros=MICRO,
    )  # fmt: skip


def line(units: int, subscriber: str = "s", key: str = "line") -> Record:
    return replace(
        usage(30, subscriber), charge=True, source="b", key=key, quantity_micros=units * MICRO, amount_micros=units * MICRO
    )


def results_of(folder: Path, log: Log, lost: frozenset[int] = frozenset()) -> list[EpochResult]:
    """Return the results of epochs of one position each, which have the outcome of one call."""
    log, rows = lake_fixture.with_event_ids_of_lake([[POLICY], *log], "subscriber")
    with lake_fixture.quick_lake(folder, log, rows, "subscriber") as lake:
        full = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        results = process_epochs(lake, range(1, len(log) + 1), lake_fixture.ranges(1)[0], lost)
        assert lake_fixture.totals(merge_outcomes([r.outcome for r in results])) == full
    return results[1:]


def count_folded(results: Sequence[EpochResult]) -> list[tuple[int, int, int]]:
    """Return the rows, periods and records of periods of the state after each epoch."""
    states = [r.state for r in results]
    return [(s.pending.height, s.folded.height, s.folded.records) for s in states if s is not None]


def test_a_month_is_held_as_sums_and_judged_without_its_records(tmp_path: Path) -> None:
    results = results_of(tmp_path, [[usage(1)], [usage(5), usage(9)], [line(3)], FEBRUARY])
    assert count_folded(results) == [(0, 1, 1), (0, 1, 3), (0, 1, 4), (0, 1, 2)]
    assert [r.read_again for r in results] == [0, 0, 0, 0]
    assert [r.outcome.records for r in results] == [1, 2, 1, 2]


def test_only_a_month_that_differs_is_read_again_when_it_ends(tmp_path: Path) -> None:
    results = results_of(tmp_path, [[usage(1), usage(1, "t")], [usage(5), usage(5, "t")], [line(2), line(1, "t")], FEBRUARY])
    assert [r.read_again for r in results] == [0, 0, 0, 3]
    assert results[-1].outcome.history.select("subscriber", "kind").rows() == [("t", "underbilled")]
    assert results[-1].outcome.history["usage_event_ids"].list.len().to_list() == [2]


@pytest.mark.parametrize(
    ("late", "read"),
    [([usage(7)], 3), ([line(1, key="second")], 3), ([replace(usage(1), quantity_micros=4 * MICRO, version=1)], 3)],
    ids=["usage", "line", "correction"],
)
def test_a_judged_month_is_read_again_when_a_record_of_it_arrives(late: list[Item], read: int, tmp_path: Path) -> None:
    results = results_of(tmp_path, [[usage(1)], [usage(5)], [line(2)], FEBRUARY, late])
    assert [r.read_again for r in results] == [0, 0, 0, 0, read]
    assert results[-1].outcome.history["action"].to_list() == ["raised"]


def test_a_pending_month_is_read_again_when_one_of_its_records_is_corrected(tmp_path: Path) -> None:
    corrected, credit = (
        replace(usage(1), quantity_micros=4 * MICRO, version=1),
        replace(line(-1, key="credit"), corrects=(True, "line")),
    )
    results = results_of(tmp_path, [[usage(1), usage(5)], [corrected], [line(5)], [credit], FEBRUARY])
    # Records of several contents, and corrected ones, stay rows until the month ends.
    assert count_folded(results)[:4] == [(0, 1, 2), (3, 0, 0), (4, 0, 0), (5, 0, 0)]
    assert results[1].read_again == 2


def test_records_that_arrive_when_their_month_ends_are_judged_with_all_others(tmp_path: Path) -> None:
    log: Log = [[usage(1)], [usage(5)], [*FEBRUARY, line(2), usage(9)]]
    results = results_of(tmp_path, log)
    assert results[-1].read_again == 2
    assert results[-1].outcome.history["kind"].to_list() == ["underbilled"]


def test_a_month_that_is_right_without_its_newest_record_is_judged_with_it(tmp_path: Path) -> None:
    results = results_of(tmp_path, [[usage(1)], [line(1)], [*FEBRUARY, usage(9)]])
    assert results[-1].read_again == 2
    assert results[-1].outcome.history["kind"].to_list() == ["underbilled"]


def test_a_record_that_a_closing_dates_joins_the_sums_of_its_month(tmp_path: Path) -> None:
    undated = replace(line(2), started_us=None)
    results = results_of(tmp_path, [[usage(1), usage(5)], [undated], [Close("b", 20 * DAY_US)], FEBRUARY])
    assert count_folded(results)[1] == (1, 1, 2)
    assert results[-1].outcome.history.is_empty()


def test_records_in_parts_stay_rows(tmp_path: Path) -> None:
    parts = [replace(usage(day), session="K", part=day) for day in (1, 2)]
    assert count_folded(results_of(tmp_path, [[part] for part in parts])) == [(1, 0, 0), (2, 0, 0)]


def test_a_lost_state_holds_the_same_sums_again(tmp_path: Path) -> None:
    log: Log = [[usage(1)], [usage(5)], [line(2)], [usage(1, "t")], FEBRUARY]
    kept, rebuilt = (results_of(tmp_path / str(len(lost)), log, lost)[3].state for lost in (frozenset(), frozenset({5})))
    assert kept is not None and rebuilt is not None
    sums = [
        s.folded.rows.sort("subscriber").select("subscriber", "records", "usage_quantity", "billed_micros") for s in (kept, rebuilt)
    ]
    assert sums[0].equals(sums[1]) and sums[0].rows() == [("s", 3, 2 * MICRO, 2 * MICRO), ("t", 1, MICRO, 0)]


def test_folded_sums_are_encoded_with_the_state(tmp_path: Path) -> None:
    state = results_of(tmp_path, [[usage(1)], [usage(5)], [line(2)], [replace(usage(1, "t"), session="K", part=1)]])[-1].state
    assert state is not None and state.undecided_records == 4
    buckets = lake_fixture.ranges(1)[0]
    encoded = encode_state(state, buckets)
    store = store_for(tmp_path / "hash-runs", buckets, min_hashes=2)
    decoded = decode_state(encoded.head, dict(enumerate(encoded.runs)), dict(enumerate(encoded.segments)), buckets, store)
    assert decoded is not None and decoded.folded.rows.equals(state.folded.rows) and decoded.pending.rows.equals(state.pending.rows)
    assert [bool(part) for part in encode_state(state, buckets, state).segments] == [False, False]


def test_the_state_of_a_pending_month_does_not_grow_with_its_records(tmp_path: Path) -> None:
    sizes = []
    for count in (1, 20):
        records = [replace(usage(day), key=f"{day} {n}") for day in range(20) for n in range(count)]
        state = results_of(tmp_path / str(count), [records])[-1].state
        assert state is not None and state.folded.records == 20 * count
        sizes.append(sum(map(len, encode_state(state, lake_fixture.ranges(1)[0]).segments)))
    assert sizes[1] < 1.1 * sizes[0]


def random_bills(rng: random.Random) -> Log:
    """Return usage of two months with lines that are mostly right, each a few days late, and some very late."""
    moments: list[tuple[float, Item]] = [(day + 0.1 * n, item) for day in (39, 75) for n, item in enumerate(pass_day(day))]
    for subscriber, first in itertools.product("stu", (0, 31)):
        days = rng.sample(range(first + 1, first + 26), rng.randrange(4))
        billed = len(days) if rng.random() < 0.7 else rng.randrange(4)
        parts = rng.choice(([billed], [1] * billed, [billed, 0]))
        lines = [
            replace(line(units, subscriber, f"{first} {n}"), started_us=(first + 27) * DAY_US) for n, units in enumerate(parts)
        ]
        records = [*(usage(day, subscriber) for day in days), *lines]
        moments += [((r.started_us or 0) / DAY_US + rng.choice((0, 1, 5, 5, 60)), r) for r in records]
    items = [item for _, item in sorted(moments, key=lambda moment: moment[0])]
    cuts = [0, *sorted(rng.sample(range(1, len(items)), len(items) // 2)), len(items)]
    return [items[low:high] for low, high in itertools.pairwise(cuts)]


def check_random_bills(seed: int, folder: Path) -> None:
    rng = random.Random(f"bills/{seed}")
    log = random_bills(rng)
    lost = frozenset(position for position in range(2, len(log) + 2) if rng.random() < 0.1)
    results_of(folder, log, lost)


@pytest.mark.parametrize("seed", range(2))
def test_bills_in_any_order_have_the_outcome_of_one_call(seed: int, tmp_path: Path) -> None:
    check_random_bills(seed, tmp_path)


@pytest.mark.slow
def test_forty_logs_of_bills_have_the_outcome_of_one_call(tmp_path: Path) -> None:
    for seed in range(2, 42):
        check_random_bills(seed, tmp_path / str(seed))


@pytest.mark.parametrize("n", range(1))
def test_sums_have_the_same_outcome_in_any_division_into_epochs(n: int, tmp_path: Path) -> None:
    compare_epochs_with_one_call("epochs with sums", n, tmp_path, 2, facets_of=sum_facets)


@pytest.mark.slow
def test_sums_of_twelve_logs_have_the_same_outcome_in_any_division_into_epochs(tmp_path: Path) -> None:
    for n in range(12):
        compare_epochs_with_one_call("many epochs with sums", n, tmp_path / str(n), facets_of=sum_facets)
