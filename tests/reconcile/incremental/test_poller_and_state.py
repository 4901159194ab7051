"""Which epoch comes next, what is kept of it as bytes, and what a later or an earlier version makes of that."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import lake_fixture
import numpy as np
import polars as pl
import pytest
from random_logs import MICRO, any_log, service
from reference_model.log import Log, Record

from trueup.errors import LogError
from trueup.frames import to_ipc
from trueup.log.lake import BucketRange, Lake
from trueup.reconcile.blocking.keys import identity_keys
from trueup.reconcile.domain.policies import Policy, SourceRules
from trueup.reconcile.incremental.epoch import ReconcilerState
from trueup.reconcile.incremental.epoch_ranges import Bounds, epoch_end, split_ranges
from trueup.reconcile.incremental.pending_records import PendingRecords
from trueup.reconcile.incremental.poller import EpochLoader, Poller, resume_position
from trueup.reconcile.incremental.settled_keys import SettledKeyIndex
from trueup.reconcile.incremental.state_codec import decode_state, encode_state
from trueup.reconcile.log_io.load import arrivals, frontier_of

RULES = Policy(0, {"voice": service(("session_key",))}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")})
ALL = BucketRange(0, lake_fixture.BUCKETS - 1)


def used(n: int) -> Record:
    return Record(False, "n", f"u{n}", f"K{n}", started_us=n, quantity_micros=MICRO)


LOG: Log = [[RULES], [used(1), used(2)], [used(3)], [used(4)], [used(5), used(6), used(7)]]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    log, rows = lake_fixture.with_ids_of_content(LOG, "subscriber")
    with lake_fixture.lake_of(tmp_path, log, rows, "subscriber") as opened:
        yield opened


def polled(poller: Poller) -> list[tuple[int, int]]:
    """All epochs a poller has to tell."""
    found, position = [], 0
    while span := poller.next_epoch(position):
        found.append(span)
        position = span[1]
    return found


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (Bounds(), [(0, 5)]),
        (Bounds(commits=2), [(0, 2), (2, 4), (4, 5)]),
        (Bounds(rows=2), [(0, 2), (2, 4), (4, 5)]),
        (Bounds(rows=1), [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]),
        (Bounds(rows=4), [(0, 4), (4, 5)]),
    ],
)
def test_an_epoch_holds_no_more_than_it_may_but_always_one_commit(
    bounds: Bounds, expected: list[tuple[int, int]], lake: Lake
) -> None:
    assert polled(Poller(lake, bounds)) == expected
    assert list(split_ranges(lake, 0, 5, bounds)) == expected


def test_an_epoch_never_holds_what_was_committed_together_with_what_was_not(lake: Lake) -> None:
    assert polled(Poller(lake, Bounds(), committed=3)) == [(0, 3), (3, 5)]
    assert polled(Poller(lake, Bounds(), until=4)) == [(0, 4)]
    assert epoch_end(pl.DataFrame(schema={"position": pl.Int64, "accepted": pl.Int64}), 7, 9, Bounds()) == 9


def test_time_is_declared_when_all_is_taken_on_and_no_more_often_than_asked(lake: Lake) -> None:
    now = [lake_fixture.clock()]
    lake.clock = lambda: now[0]
    poller = Poller(lake, Bounds(), tick_every=timedelta(minutes=1))
    told: list[datetime] = []
    for seconds in range(0, 150, 10):
        now[0] = lake_fixture.clock() + timedelta(seconds=seconds)
        assert poller.next_epoch(lake.last_position()) is None or seconds in (60, 120)
        told = lake.read("declaration").filter(pl.col("kind") == "tick")["through"].to_list()
    assert told == [lake_fixture.clock() + timedelta(seconds=s) for s in (60, 120)]
    assert poller.next_epoch(5) == (5, 7)


def test_a_state_that_is_ahead_of_the_findings_belongs_to_another_lake(lake: Lake) -> None:
    lake_fixture.reconcile(lake, 3, 1)
    assert resume_position(lake, None) == 3
    assert resume_position(lake, 2) == 2
    with pytest.raises(LogError, match="--fresh"):
        resume_position(lake, 4)


def test_a_memory_comes_back_as_it_was(lake: Lake) -> None:
    gone = SettledKeyIndex().add(np.array([1, 2, 2**64 - 1], dtype=np.uint64)).add(np.array([7], dtype=np.uint64))
    frontier, came = frontier_of(lake, 5), arrivals(lake, ALL, after=0, upto=5).with_row_index("component")
    first = PendingRecords().add(came[:5], frontier)
    memory = ReconcilerState(
        5, first.excluding(first.keys_sharing(identity_keys(came[:1]))).add(came[5:], frontier), gone, -7, 2**62
    )
    told = encode_state(memory, ALL)
    back = decode_state(told.head, dict(enumerate(told.runs)), dict(enumerate(told.segments)), ALL)
    assert back is not None and back.pending.rows.equals(memory.pending.rows) and back.pending.height == 6
    assert len(back.pending.keys_sharing(identity_keys(came))) == 6
    assert (back.position, back.passed_us, back.latest_us) == (5, -7, 2**62)
    assert [run.tolist() for run in back.settled_keys.runs] == [run.tolist() for run in gone.runs]


def changed(head: bytes, **values: object) -> bytes:
    """A state that says something else of itself."""
    length = int.from_bytes(head[:4], "little")
    text = json.dumps(json.loads(head[4 : 4 + length]) | values).encode()
    return len(text).to_bytes(4, "little") + text + head[4 + length :]


def test_a_state_as_the_first_version_wrote_it_is_made_of_the_log_again(lake: Lake) -> None:
    rows = arrivals(lake, ALL, after=0, upto=5)
    text = (
        f'{{"schema": 1, "kernel": 2, "hashing": "polars {pl.__version__}", "buckets": [{ALL.first}, {ALL.last}], '
        '"position": 5, "passed_us": 0, "latest_us": 0, "runs": [2]}'
    ).encode()
    head = len(text).to_bytes(4, "little") + text + to_ipc(rows)
    assert decode_state(head, {0: np.array([1, 2], dtype="<u8").tobytes()}, {}, ALL) is None


@pytest.mark.parametrize("values", [{"schema": 1}, {"kernel": 1}, {"hashing": "polars 0.1"}, {"buckets": [0, 3]}])
def test_a_state_of_an_older_version_is_made_of_the_log_again(values: dict[str, object]) -> None:
    told = encode_state(ReconcilerState(), ALL)
    assert decode_state(told.head, {}, {}, ALL) is not None
    assert decode_state(changed(told.head, **values), {}, {}, ALL) is None


def test_of_a_memory_only_what_is_new_is_told_again(lake: Lake) -> None:
    frontier, came = frontier_of(lake, 5), arrivals(lake, ALL, after=0, upto=5).with_row_index("component")
    before = ReconcilerState(4, PendingRecords().add(came[:6], frontier), SettledKeyIndex().add(np.arange(9, dtype=np.uint64)))
    after = ReconcilerState(5, before.pending.add(came[6:], frontier), before.settled_keys.add(np.array([99], dtype=np.uint64)))
    told = encode_state(after, ALL, before)
    assert [bool(part) for part in (*told.runs, *told.segments)] == [False, True, False, True]


@pytest.mark.parametrize("values", [{"schema": 99}, {"kernel": 99}])
def test_a_state_of_a_later_version_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(LogError, match="later version"):
        decode_state(changed(encode_state(ReconcilerState(), ALL).head, **values), {}, {}, ALL)


def test_a_set_of_hashes_holds_what_was_added_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    gone, added = SettledKeyIndex(), np.empty(0, dtype=np.uint64)
    for _ in range(40):
        new = rng.integers(0, 500, size=rng.integers(0, 30), dtype=np.uint64)
        gone, added = gone.add(new), np.union1d(added, new)
        assert all(len(a) > 2 * len(b) for a, b in zip(gone.runs, gone.runs[1:], strict=False))
    everything = np.arange(600, dtype=np.uint64)
    assert gone.contains(everything).tolist() == np.isin(everything, added).tolist()


def test_following_step_by_step_knows_the_frontiers_of_one_look(tmp_path: Path) -> None:
    rng = random.Random("frontiers")
    world, log = any_log(rng)
    log, rows = lake_fixture.with_ids_of_content([[world.first], *lake_fixture.one_declaration_per_commit(log)], world.bucket_by)
    with lake_fixture.quick_lake(tmp_path, log, rows, world.bucket_by) as lake:
        follower, after = EpochLoader(lake), 0
        for upto in [*sorted(rng.sample(range(1, len(log)), min(9, len(log) - 1))), len(log), 1]:
            stepwise, whole = follower.epoch((after, upto), ALL).frontier, frontier_of(lake, upto)
            for mine, all_of in ((stepwise.observed, whole.observed), (stepwise.closed, whole.closed)):
                told = {n: (m.positions.tolist(), m.values.tolist()) for n, m in mine.items() if len(m.values)}
                assert told == {n: (m.positions.tolist(), m.values.tolist()) for n, m in all_of.items() if len(m.values)}
            assert stepwise.ticks.values.tolist() == whole.ticks.values.tolist()
            assert stepwise.policies.starts.tolist() == whole.policies.starts.tolist()
            after = 0 if upto == len(log) else upto


def test_the_job_goes_on_with_a_wrong_clock_and_declares_the_time_again_when_it_is_right(lake: Lake) -> None:
    start = lake.last_position()
    moments = [lake_fixture.clock() + timedelta(hours=hours) for hours in (0, 1, 90, 90, 2, 3)]
    lake.clock = lambda: moments[0]
    poller = Poller(lake, Bounds(), tick_every=timedelta(hours=1))
    committed = []
    while moments:
        assert poller.next_epoch(lake.last_position()) is None
        committed.append(lake.last_position() - start)
        moments.pop(0)
    assert committed == [0, 1, 1, 1, 2, 3]
