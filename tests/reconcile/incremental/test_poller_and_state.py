"""The poller chooses epochs and declares ticks; the state codec restores its own versions and refuses later ones."""

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
from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.blocking.keys import identity_keys
from trueup.reconcile.incremental.epoch import ReconcilerState
from trueup.reconcile.incremental.epoch_ranges import Bounds, epoch_end, split_ranges
from trueup.reconcile.incremental.pending_records import PendingRecords
from trueup.reconcile.incremental.poller import EpochLoader, Poller, resume_position
from trueup.reconcile.incremental.settled_keys import SettledKeyIndex
from trueup.reconcile.incremental.state_codec import decode_state, encode_state
from trueup.reconcile.log_io.column_scan import arrivals
from trueup.reconcile.log_io.load import frontier_of

RULES = Policy(0, {"voice": service(("session_key",))}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")})
ALL = BucketRange(0, lake_fixture.BUCKETS - 1)


def usage(n: int) -> Record:
    return Record(False, "n", f"u{n}", f"K{n}", started_us=n, quantity_micros=MICRO)


LOG: Log = [[RULES], [usage(1), usage(2)], [usage(3)], [usage(4)], [usage(5), usage(6), usage(7)]]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    log, rows = lake_fixture.with_event_ids_of_lake(LOG, "subscriber")
    with lake_fixture.lake_of(tmp_path, log, rows, "subscriber") as open_lake:
        yield open_lake


def all_epochs(poller: Poller) -> list[tuple[int, int]]:
    """Return all epochs of a poller."""
    epochs, position = [], 0
    while span := poller.next_epoch(position):
        epochs.append(span)
        position = span[1]
    return epochs


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
def test_an_epoch_stays_within_its_bounds_but_has_at_least_one_commit(
    bounds: Bounds, expected: list[tuple[int, int]], lake: Lake
) -> None:
    assert all_epochs(Poller(lake, bounds)) == expected
    assert list(split_ranges(lake, 0, 5, bounds)) == expected


def test_an_epoch_never_crosses_the_committed_position(lake: Lake) -> None:
    assert all_epochs(Poller(lake, Bounds(), committed=3)) == [(0, 3), (3, 5)]
    assert all_epochs(Poller(lake, Bounds(), until=4)) == [(0, 4)]
    assert epoch_end(pl.DataFrame(schema={"position": pl.Int64, "accepted": pl.Int64}), 7, 9, Bounds()) == 9


def test_the_poller_declares_a_tick_once_it_has_caught_up_and_at_most_once_per_interval(lake: Lake) -> None:
    now = [lake_fixture.clock()]
    lake.clock = lambda: now[0]
    poller = Poller(lake, Bounds(), tick_every=timedelta(minutes=1))
    ticks: list[datetime] = []
    for seconds in range(0, 150, 10):
        now[0] = lake_fixture.clock() + timedelta(seconds=seconds)
        assert poller.next_epoch(lake.last_position()) is None or seconds in (60, 120)
        ticks = lake.read("declaration").filter(pl.col("kind") == "tick")["through"].to_list()
    assert ticks == [lake_fixture.clock() + timedelta(seconds=s) for s in (60, 120)]
    assert poller.next_epoch(5) == (5, 7)


def test_a_state_ahead_of_the_committed_position_is_refused(lake: Lake) -> None:
    lake_fixture.reconcile(lake, 3, 1)
    assert resume_position(lake, None) == 3
    assert resume_position(lake, 2) == 2
    with pytest.raises(LogError, match="--fresh"):
        resume_position(lake, 4)


def test_a_state_of_another_history_of_the_lake_is_refused(lake: Lake) -> None:
    lake_fixture.reconcile(lake, 3, 1)
    time_us = lake.commit_time_us(2)
    assert time_us > 0 == lake.commit_time_us(0)
    assert resume_position(lake, 2, state_time_us=time_us) == 2
    with pytest.raises(LogError, match=r"the lake committed position 2 of the job's state at another time.*--fresh"):
        resume_position(lake, 2, state_time_us=time_us + 1)


def test_a_decoded_state_equals_the_encoded_one(lake: Lake) -> None:
    settled = SettledKeyIndex().add(np.array([1, 2, 2**64 - 1], dtype=np.uint64)).add(np.array([7], dtype=np.uint64))
    frontier, arrived = frontier_of(lake, 5), arrivals(lake, ALL, after=0, upto=5).with_row_index("component")
    first = PendingRecords().add(arrived[:5], frontier)
    state = ReconcilerState(
        5, first.excluding(first.keys_sharing(identity_keys(arrived[:1]))).add(arrived[5:], frontier), settled, -7, 2**62
    )
    encoded = encode_state(state, ALL)
    decoded = decode_state(encoded.head, dict(enumerate(encoded.runs)), dict(enumerate(encoded.segments)), ALL)
    assert decoded is not None and decoded.pending.rows.equals(state.pending.rows) and decoded.pending.height == 6
    assert len(decoded.pending.keys_sharing(identity_keys(arrived))) == 6
    assert (decoded.position, decoded.passed_us, decoded.latest_us) == (5, -7, 2**62)
    assert [run.tolist() for run in decoded.settled_keys.runs] == [run.tolist() for run in settled.runs]


def with_header_values(head: bytes, **values: object) -> bytes:
    """Return an encoded state with other values in its header."""
    length = int.from_bytes(head[:4], "little")
    text = json.dumps(json.loads(head[4 : 4 + length]) | values).encode()
    return len(text).to_bytes(4, "little") + text + head[4 + length :]


def test_a_state_of_the_first_version_is_discarded(lake: Lake) -> None:
    rows = arrivals(lake, ALL, after=0, upto=5)
    text = (
        f'{{"schema": 1, "kernel": 2, "hashing": "polars {pl.__version__}", "buckets": [{ALL.first}, {ALL.last}], '
        '"position": 5, "passed_us": 0, "latest_us": 0, "runs": [2]}'
    ).encode()
    head = len(text).to_bytes(4, "little") + text + to_ipc(rows)
    assert decode_state(head, {0: np.array([1, 2], dtype="<u8").tobytes()}, {}, ALL) is None


@pytest.mark.parametrize("values", [{"schema": 1}, {"kernel": 1}, {"hashing": "polars 0.1"}, {"buckets": [0, 3]}])
def test_a_state_of_an_older_version_is_discarded(values: dict[str, object]) -> None:
    encoded = encode_state(ReconcilerState(), ALL)
    assert decode_state(encoded.head, {}, {}, ALL) is not None
    assert decode_state(with_header_values(encoded.head, **values), {}, {}, ALL) is None


def test_only_new_runs_and_segments_of_a_state_are_encoded_again(lake: Lake) -> None:
    frontier, arrived = frontier_of(lake, 5), arrivals(lake, ALL, after=0, upto=5).with_row_index("component")
    before = ReconcilerState(4, PendingRecords().add(arrived[:6], frontier), SettledKeyIndex().add(np.arange(9, dtype=np.uint64)))
    after = ReconcilerState(5, before.pending.add(arrived[6:], frontier), before.settled_keys.add(np.array([99], dtype=np.uint64)))
    encoded = encode_state(after, ALL, before)
    assert [bool(part) for part in (*encoded.runs, *encoded.segments)] == [False, True, False, True]


@pytest.mark.parametrize("values", [{"schema": 99}, {"kernel": 99}])
def test_a_state_of_a_later_version_is_refusage(values: dict[str, object]) -> None:
    with pytest.raises(LogError, match="later version"):
        decode_state(with_header_values(encode_state(ReconcilerState(), ALL).head, **values), {}, {}, ALL)


def test_an_index_of_settled_keys_contains_the_added_hashes_and_no_others() -> None:
    rng = np.random.default_rng(1)
    settled, added = SettledKeyIndex(), np.empty(0, dtype=np.uint64)
    for _ in range(40):
        new = rng.integers(0, 500, size=rng.integers(0, 30), dtype=np.uint64)
        settled, added = settled.add(new), np.union1d(added, new)
        assert all(len(a) > 2 * len(b) for a, b in zip(settled.runs, settled.runs[1:], strict=False))
    candidates = np.arange(600, dtype=np.uint64)
    assert settled.contains(candidates).tolist() == np.isin(candidates, added).tolist()


def test_loading_epoch_by_epoch_gives_the_frontier_of_one_load(tmp_path: Path) -> None:
    rng = random.Random("frontiers")
    generator, log = any_log(rng)
    log, rows = lake_fixture.with_event_ids_of_lake(
        [[generator.first], *lake_fixture.one_declaration_per_commit(log)], generator.bucket_by
    )
    with lake_fixture.quick_lake(tmp_path, log, rows, generator.bucket_by) as lake:
        loader, after = EpochLoader(lake), 0
        for upto in [*sorted(rng.sample(range(1, len(log)), min(9, len(log) - 1))), len(log), 1]:
            stepwise, full = loader.epoch((after, upto), ALL).frontier, frontier_of(lake, upto)
            for marks, full_marks in ((stepwise.observed, full.observed), (stepwise.closed, full.closed)):
                own = {n: (m.positions.tolist(), m.values.tolist()) for n, m in marks.items() if len(m.values)}
                assert own == {n: (m.positions.tolist(), m.values.tolist()) for n, m in full_marks.items() if len(m.values)}
            assert stepwise.ticks.values.tolist() == full.ticks.values.tolist()
            assert stepwise.policies.starts.tolist() == full.policies.starts.tolist()
            after = 0 if upto == len(log) else upto


def test_the_poller_declares_no_tick_while_the_clock_is_wrong(lake: Lake) -> None:
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
