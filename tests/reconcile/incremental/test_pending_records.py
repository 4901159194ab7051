"""Pending records are found by the keys they share with new records, and by the instants that watermarks pass."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import lake_fixture
import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st
from kernel_adapter import events_of, frontier_of
from random_logs import MICRO, any_log, service
from reference_model.log import Close, Log, Record
from repetitions import on_many_random, on_random
from run_epochs import process_epochs

from trueup.config import ServiceConfig
from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.blocking.keys import blocking_keys, candidate_keys, identity_keys
from trueup.reconcile.incremental.pending_records import PendingRecords
from trueup.reconcile.log_io.affected import ROW
from trueup.reconcile.results.outcome import merge_outcomes

HOUR_S = 3600
RULES = Policy(
    0, {"voice": service(("session_key", "nearest"), start_tolerance=2 * MICRO, grace=HOUR_S * MICRO)},
    sources={"n": SourceRules("usage"), "b": SourceRules("charge")},
)  # fmt: skip


def replace_rules(rules: ServiceConfig, **changes: object) -> ServiceConfig:
    return rules.model_copy(update=changes)


def usage(key: str, at_s: int, subscriber: str = "a") -> Record:
    return Record(
        False, "n", f"u{key}", key, subscriber=subscriber, scope=subscriber, started_us=at_s * MICRO, quantity_micros=MICRO
    )


def charge(key: str, at_s: int, subscriber: str = "a") -> Record:
    return Record(
        True,
        "b",
        f"c{key}",
        key,
        subscriber=subscriber,
        scope=subscriber,
        started_us=at_s * MICRO,
        quantity_micros=MICRO,
        amount_micros=0,
    )


def records_per_epoch(folder: Path, log: Log) -> list[int]:
    """Return the number of records that the kernel evaluates per position, where each epoch is one position."""
    log, rows = lake_fixture.with_event_ids_of_lake(log, "subscriber")
    with lake_fixture.lake_of(folder, log, rows, "subscriber") as lake:
        full = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        results = process_epochs(lake, range(1, len(log) + 1), lake_fixture.ranges(1)[0])
        assert lake_fixture.totals(merge_outcomes([r.outcome for r in results])) == full
        return [r.outcome.records for r in results]


def test_an_epoch_evaluates_new_records_and_those_they_affect_only(tmp_path: Path) -> None:
    many = [usage(f"K{n}", 10 * n) for n in range(50)]
    log = [[RULES], many, [charge("K7", 70)], [usage("far", 1000, "b")], [charge("near", 201)]]
    # A charge with a key brings its usage; a record without neighbours comes alone; one with a neighbour brings the neighbour.
    assert records_per_epoch(tmp_path, log) == [0, 50, 2, 1, 2]


def test_an_epoch_evaluates_pending_records_that_a_watermark_has_passed(tmp_path: Path) -> None:
    log: Log = [
        [RULES],
        [usage("early", 0), usage("late", 10 * HOUR_S)],
        [charge("x", 3 * HOUR_S, "b")],
        [charge("y", 12 * HOUR_S, "b")],
    ]
    # With the first charge, the watermark of charges passes the first usage record by grace; with the second, it passes the
    # other one. Both watermarks have then passed the first charge, which was unmatched.
    assert records_per_epoch(tmp_path, log) == [0, 2, 2, 3]


def test_a_final_record_leaves_the_state_once_both_streams_have_passed_every_wait(tmp_path: Path) -> None:
    log: Log = [[RULES], [usage("K1", 0)], [charge("x", 100 * HOUR_S, "b")], [usage("y", 100 * HOUR_S, "c")]]
    log, rows = lake_fixture.with_event_ids_of_lake(log, "subscriber")
    with lake_fixture.lake_of(tmp_path, log, rows, "subscriber") as lake:
        results = process_epochs(lake, range(1, len(log) + 1), lake_fixture.ranges(1)[0])
    assert [r.outcome.history.height for r in results] == [0, 0, 1, 0]
    assert [r.state.pending.height for r in results if r.state] == [0, 1, 2, 2]


def test_an_epoch_evaluates_undated_charges_that_a_closing_assigns_a_time(tmp_path: Path) -> None:
    undated = replace(charge("K1", 0), started_us=None)
    log: Log = [[RULES], [undated], [usage("far", 100 * HOUR_S, "b")], [Close("b", 10 * HOUR_S * MICRO)]]
    # The closing assigns its end to the charge as time; the watermark of usage has passed that already.
    assert records_per_epoch(tmp_path, log) == [0, 1, 1, 1]


@pytest.mark.parametrize("of", ["counters", "lines"])
def test_a_pair_that_may_have_further_records_stays_in_the_state_until_its_stream_is_complete(of: str, tmp_path: Path) -> None:
    voice = replace_rules(RULES.services["voice"], amount_tolerance=MICRO, parts="last" if of == "counters" else "sum")
    sources = {"n": SourceRules("usage"), "b": SourceRules("charge", bill_lines=of == "lines")}
    rules = replace(RULES, services={"voice": voice}, sources=sources)
    pair = [usage("K", 0), replace(charge("K", 0), amount_micros=MICRO + 1)]
    log: Log = [[rules], pair, [usage("y", 12 * HOUR_S, "b"), charge("z", 12 * HOUR_S, "b")]]
    # The difference is tolerated when the watermark passes the pair.
    assert records_per_epoch(tmp_path, log) == [0, 2, 4]


def test_settled_records_are_read_again_when_a_record_of_their_key_arrives(tmp_path: Path) -> None:
    pairs = [record for n in range(4) for record in (usage(f"K{n}", 100 * n), charge(f"K{n}", 100 * n))]
    # The keys of the first pairs lie in files by then, the key of the last in the state.
    late = [[replace(charge(key, at_s), key=f"again {key}", amount_micros=MICRO)] for key, at_s in (("K0", 0), ("K9", 900))]
    log: Log = [[RULES], *([record] for record in pairs), [usage("K9", 900), charge("K9", 900)], *late]
    records = records_per_epoch(tmp_path, log)
    assert records[-2:] == [3, 3]


def test_records_read_again_are_not_kept_twice(tmp_path: Path) -> None:
    generator, log = any_log(random.Random("twice"), ("contents", "undated", "very late", "mixed keys"), 30)
    log, rows = lake_fixture.with_event_ids_of_lake(
        [[generator.first], *lake_fixture.one_declaration_per_commit(log)], generator.bucket_by
    )
    read_again = 0
    with lake_fixture.quick_lake(tmp_path, log, rows, generator.bucket_by) as lake:
        for result in process_epochs(lake, range(1, len(log) + 1), lake_fixture.ranges(1)[0]):
            pending = result.state.pending.rows if result.state else pl.DataFrame(schema=dict.fromkeys(ROW, pl.Binary))
            assert not pending.select(pl.struct(ROW).is_duplicated().any()).item()
            read_again += result.read_again
    assert read_again > 0


def frame(rng: random.Random, count: int) -> pl.DataFrame:
    """Return records of few parties, keys and times, so that many share keys or are neighbours."""
    records = [
        Record(
            rng.random() < 0.5, "n", f"r{n}", rng.choice([None, "K1", "K2", "K3"]), subscriber=rng.choice("ab"),
            started_us=rng.randrange(40) * MICRO, quantity_micros=MICRO, amount_micros=0,
        ) for n in range(count)
    ]  # fmt: skip
    return events_of([[RULES], records])


def check_pending_records(seed: int) -> None:
    rng = random.Random(seed)
    rows = frame(rng, 60).with_columns(component=pl.Series([rng.randrange(20) for _ in range(60)], dtype=pl.Int64))
    frontier = frontier_of([[RULES]], RULES)
    pending, expected = PendingRecords(), {}
    for low in range(0, 60, 12):
        part = rows[low : low + 12]
        pending = pending.add(part, frontier)
        expected |= {r["event_id"]: (low, r["component"]) for r in part.iter_rows(named=True)}
        query = part.sample(2, seed=seed % 1000)
        labels = pending.keys_sharing(identity_keys(query))
        # All records of the components of the queried records are returned.
        returned = set(pending.rows_of(labels)["event_id"])
        components = {(low, c) for c in query["component"]}
        assert {i for i, component in expected.items() if component in components} <= returned <= set(expected)
        if rng.random() < 0.7:
            pending = pending.excluding(labels)
            expected = {i: component for i, component in expected.items() if i not in returned}
        assert set(pending.rows["event_id"]) == set(expected) and pending.height == len(expected)


test_pending_records_return_what_was_added_and_not_excluded = on_random(st.integers(0, 2**32), examples=20)(check_pending_records)
test_pending_records_return_what_was_added_and_not_excluded_of_many_logs = on_many_random(st.integers(0, 2**32), examples=60)(
    check_pending_records
)


def check_blocking_keys(seed: int) -> None:
    rows = frame(random.Random(seed), 12)
    frontier, numbers = frontier_of([[RULES]], RULES), np.arange(12, dtype=np.uint64)
    candidates = candidate_keys(rows, numbers, frontier)
    stored, query = (blocking_keys(candidates, frontier, around=around) for around in (True, False))
    pairs = set(stored.join(query, on="blocking_key").select("component_key", "component_key_right").iter_rows())
    parties = list(rows.select("scope", "subscriber", "time_us").iter_rows())
    for a, (scope, subscriber, at_us) in enumerate(parties):
        for b, other in enumerate(parties):
            if other[:2] == (scope, subscriber) and abs(other[2] - at_us) <= 2 * MICRO:
                assert (a, b) in pairs


test_two_records_of_a_party_within_the_tolerance_share_a_blocking_key = on_random(st.integers(0, 2**32), examples=25)(
    check_blocking_keys
)
test_two_records_of_a_party_within_the_tolerance_share_a_blocking_key_of_many_logs = on_many_random(
    st.integers(0, 2**32), examples=60
)(check_blocking_keys)


def text_bytes(rows: pl.DataFrame) -> int:
    """Return the bytes of text that a frame keeps in state, shared buffers included."""
    table = rows.select(pl.col(pl.String)).to_arrow(compat_level=pl.CompatLevel.newest())
    return sum(b.size for column in table.columns for chunk in column.chunks for b in chunk.buffers()[2:] if b is not None)


def test_pending_records_keep_no_text_of_other_records_in_memory(tmp_path: Path) -> None:
    # Most records form pairs, which do not stay pending; a few are unmatched.
    names = [f"a session with a long name, {n}" for n in range(3_000)]
    pairs = [record for n, name in enumerate(names) for record in (usage(name, n, f"s{n}"), charge(name, n, f"s{n}"))]
    unmatched = [usage(f"an unmatched session, {n}", n, f"w{n}") for n in range(300)]
    log, rows = lake_fixture.with_event_ids_of_lake([[RULES], [*pairs, *unmatched]], "subscriber")
    with lake_fixture.lake_of(tmp_path, log, rows, "subscriber") as lake:
        state = process_epochs(lake, range(1, 3), lake_fixture.ranges(1)[0])[-1].state
    assert state is not None and state.pending.height == 300
    assert sum(text_bytes(segment.rows) for segment in state.pending.segments) < 300 * 150
