"""What is kept of an epoch for the next: found again by whatever ties it to what comes, and by the instants streams pass."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import lake_fixture
import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_adapter import events_of, frontier_of
from random_logs import MICRO, any_log, service
from reference_model.log import Close, Log, Record
from run_epochs import process_epochs

from trueup.reconcile.blocking.keys import blocking_keys, candidate_keys, identity_keys
from trueup.reconcile.domain.policies import Policy, SourceRules
from trueup.reconcile.incremental.pending_records import PendingRecords
from trueup.reconcile.log_io.affected import ROW
from trueup.reconcile.results.outcome import merge_outcomes

HOUR_S = 3600
RULES = Policy(
    0, {"voice": service(("session_key", "nearest"), near=2 * MICRO, grace=HOUR_S * MICRO)},
    sources={"n": SourceRules("usage"), "b": SourceRules("charge")},
)  # fmt: skip


def used(key: str, at_s: int, who: str = "a") -> Record:
    return Record(False, "n", f"u{key}", key, subscriber=who, scope=who, started_us=at_s * MICRO, quantity_micros=MICRO)


def billed(key: str, at_s: int, who: str = "a") -> Record:
    return Record(
        True, "b", f"c{key}", key, subscriber=who, scope=who, started_us=at_s * MICRO, quantity_micros=MICRO, amount_micros=0
    )


def evaluated(folder: Path, log: Log) -> list[int]:
    """How many records each position of a log makes the kernel look at, when every epoch is one position."""
    known, rows = lake_fixture.with_ids_of_content(log, "subscriber")
    with lake_fixture.lake_of(folder, known, rows, "subscriber") as lake:
        whole = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        told = process_epochs(lake, range(1, len(log) + 1), lake_fixture.ranges(1)[0])
        assert lake_fixture.totals(merge_outcomes([t.outcome for t in told])) == whole
        return [t.outcome.records for t in told]


def test_an_epoch_looks_only_at_what_came_and_what_that_touches(tmp_path: Path) -> None:
    many = [used(f"K{n}", 10 * n) for n in range(50)]
    came = [[RULES], many, [billed("K7", 70)], [used("far", 1000, "b")], [billed("near", 201)]]
    # The charge of a key brings its usage, what has nothing near comes alone, and what is near to one brings that.
    assert evaluated(tmp_path, came) == [0, 50, 2, 1, 2]


def test_an_epoch_wakes_what_a_stream_has_passed(tmp_path: Path) -> None:
    came: Log = [
        [RULES],
        [used("early", 0), used("late", 10 * HOUR_S)],
        [billed("x", 3 * HOUR_S, "b")],
        [billed("y", 12 * HOUR_S, "b")],
    ]
    # The first charge tells that charges have passed the first record by grace, the second that they have passed the other
    # one, and both streams then have passed the first charge, which had stood alone since.
    assert evaluated(tmp_path, came) == [0, 2, 2, 3]


def test_an_epoch_wakes_what_a_closing_gives_a_time(tmp_path: Path) -> None:
    untimed = replace(billed("K1", 0), started_us=None)
    came: Log = [[RULES], [untimed], [used("far", 100 * HOUR_S, "b")], [Close("b", 10 * HOUR_S * MICRO)]]
    # From the closing on the charge stands with its end, which usage has long passed.
    assert evaluated(tmp_path, came) == [0, 1, 1, 1]


def test_what_is_read_of_the_log_again_is_not_kept_twice(tmp_path: Path) -> None:
    world, log = any_log(random.Random("twice"), ("contents", "untimed", "long ago", "mixed keys"), 30)
    log, rows = lake_fixture.with_ids_of_content([[world.first], *lake_fixture.one_declaration_per_commit(log)], world.bucket_by)
    again = 0
    with lake_fixture.quick_lake(tmp_path, log, rows, world.bucket_by) as lake:
        for told in process_epochs(lake, range(1, len(log) + 1), lake_fixture.ranges(1)[0]):
            kept = told.state.pending.rows if told.state else pl.DataFrame(schema=dict.fromkeys(ROW, pl.Binary))
            assert not kept.select(pl.struct(ROW).is_duplicated().any()).item()
            again += told.read_again
    assert again > 0


def frame(rng: random.Random, count: int) -> pl.DataFrame:
    """Records of few parties, keys and times, so that many have something to do with one another."""
    made = [
        Record(
            rng.random() < 0.5, "n", f"r{n}", rng.choice([None, "K1", "K2", "K3"]), subscriber=rng.choice("ab"),
            started_us=rng.randrange(40) * MICRO, quantity_micros=MICRO, amount_micros=0,
        ) for n in range(count)
    ]  # fmt: skip
    return events_of([[RULES], made])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_segments_give_back_what_was_put_in_and_not_taken_out(seed: int) -> None:
    rng = random.Random(seed)
    rows = frame(rng, 60).with_columns(component=pl.Series([rng.randrange(20) for _ in range(60)], dtype=pl.Int64))
    frontier = frontier_of([[RULES]], RULES)
    kept, held = PendingRecords(), {}
    for low in range(0, 60, 12):
        part = rows[low : low + 12]
        kept = kept.add(part, frontier)
        held |= {r["event_id"]: (low, r["component"]) for r in part.iter_rows(named=True)}
        asked = part.sample(2, seed=seed % 1000)
        labels = kept.keys_sharing(identity_keys(asked))
        # Whoever belongs to what is asked for comes with it.
        given_back = set(kept.rows_of(labels)["event_id"])
        wanted = {(low, c) for c in asked["component"]}
        assert {i for i, place in held.items() if place in wanted} <= given_back <= set(held)
        if rng.random() < 0.7:
            kept = kept.excluding(labels)
            held = {i: place for i, place in held.items() if i not in given_back}
        assert set(kept.rows["event_id"]) == set(held) and kept.height == len(held)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_two_records_of_a_party_within_the_tolerance_have_a_tie_in_common(seed: int) -> None:
    rows = frame(random.Random(seed), 12)
    frontier, numbers = frontier_of([[RULES]], RULES), np.arange(12, dtype=np.uint64)
    stood = candidate_keys(rows, numbers, frontier)
    kept, asked = (blocking_keys(stood, frontier, around=around) for around in (True, False))
    met = set(kept.join(asked, on="blocking_key").select("component_key", "component_key_right").iter_rows())
    who = list(rows.select("scope", "subscriber", "time_us").iter_rows())
    for a, (scope, subscriber, at_us) in enumerate(who):
        for b, other in enumerate(who):
            if other[:2] == (scope, subscriber) and abs(other[2] - at_us) <= 2 * MICRO:
                assert (a, b) in met


def text_bytes(rows: pl.DataFrame) -> int:
    """How much text a frame keeps in memory, its own or not."""
    table = rows.select(pl.col(pl.String)).to_arrow(compat_level=pl.CompatLevel.newest())
    return sum(b.size for column in table.columns for chunk in column.chunks for b in chunk.buffers()[2:] if b is not None)


def test_what_is_kept_keeps_no_text_of_what_is_not(tmp_path: Path) -> None:
    # Of what comes most are pairs, of which nothing is kept; a few wait.
    names = [f"a session with a long name, {n}" for n in range(3_000)]
    pairs = [one for n, name in enumerate(names) for one in (used(name, n, f"s{n}"), billed(name, n, f"s{n}"))]
    waiting = [used(f"a session that waits, {n}", n, f"w{n}") for n in range(300)]
    known, rows = lake_fixture.with_ids_of_content([[RULES], [*pairs, *waiting]], "subscriber")
    with lake_fixture.lake_of(tmp_path, known, rows, "subscriber") as lake:
        memory = process_epochs(lake, range(1, 3), lake_fixture.ranges(1)[0])[-1].state
    assert memory is not None and memory.pending.height == 300
    assert sum(text_bytes(segment.rows) for segment in memory.pending.segments) < 300 * 150
