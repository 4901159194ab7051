"""Reading only what positions touch never misses what they change: case by case, and on random logs."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import lake_fixture
import polars as pl
import pytest
import random_logs
from hypothesis import given
from hypothesis import strategies as st
from kernel_adapter import assert_same_history
from random_logs import MICRO, service
from reference_model.history import run_reference
from reference_model.log import Close, Item, Log, Record

from trueup.reconcile.domain.policies import Policy, SourceRules
from trueup.reconcile.kernel.evaluate import evaluate
from trueup.reconcile.log_io.affected import _OFFSET_US, _time_blocks, _width_us, affected_records
from trueup.reconcile.log_io.load import frontier_of

S = 1_000_000
HOUR = 3_600
VOICE = service(("session_key", "nearest"), near=2 * S, slack=MICRO, grace=12 * S)
WEB = service(("session_key",), grace=8 * S)
IOT = service(("aggregate",), grace=5 * S, period=20 * S)
SOURCES = {"n": SourceRules("usage"), "b": SourceRules("charge")}
PLAIN = Policy(0, {"voice": VOICE, "web": WEB, "iot": IOT}, sources=SOURCES)


def u(key: str, t: int, quantity: int, session: str | None = None, **more: Any) -> Record:
    return Record(False, "n", key, session, started_us=t * S, quantity_micros=quantity * MICRO, **more)


def c(key: str, t: int, quantity: int, amount: int, session: str | None = None, **more: Any) -> Record:
    return Record(True, "b", key, session, started_us=t * S, quantity_micros=quantity * MICRO, amount_micros=amount * MICRO, **more)


def far(t: int) -> list[Item]:
    return [
        Record(s.stream == "charge", n, f"{n}{t}", f"{n}{t}", "web", "z", "z", started_us=t * S, scope="z")
        for n, s in SOURCES.items()
    ]


def last_step_tells_the_same(log: Log, policy: Policy, folder: Path) -> int:
    """Whether the last position told by itself is the last of the whole story; returns how many findings it changed."""
    log, rows = lake_fixture.with_ids_of_content([[policy], *lake_fixture.one_declaration_per_commit(log)], "subscriber")
    with lake_fixture.quick_lake(folder, log, rows, "subscriber") as lake:
        whole, step = lake_fixture.outcome_of(lake, 0, len(log), 1), lake_fixture.outcome_of(lake, len(log) - 1, len(log), 1)
        assert lake_fixture.totals(
            lake_fixture.merge_outcomes([lake_fixture.outcome_of(lake, 0, len(log) - 1, 1), step])
        ) == lake_fixture.totals(whole)
    return step.history.height


OLD = 100 * HOUR  # Everything before is long final when this has been passed, also a period that ends a day later.
CASES: dict[str, tuple[Log, Policy]] = {
    "a late charge for usage that is long final": ([[u("u", 0, 5, "K")], far(OLD), [c("c", 1, 5, 5, "K")]], PLAIN),
    "a late neighbour without a key": ([[u("u", 0, 5)], far(OLD), [c("c", 1, 5, 5)]], PLAIN),
    "a late neighbour that is of the next block of time": ([[u("u", 3, 5)], far(OLD), [c("c", 4, 5, 5)]], PLAIN),
    "a late record of a period long final": (
        [[u("u", 0, 5, service="iot"), c("c", 3, 5, 5, service="iot")], far(OLD), [u("v", 19, 5, service="iot")]], PLAIN,
    ),
    "a neighbour of no service, under the rules for all others": (
        [[u("u", 0, 5, service=None)], far(OLD), [c("c", 1, 5, 5, service=None)]], replace(PLAIN, default=VOICE),
    ),
    "a period of no service, under the rules for all others": (
        [[u("u", 0, 5, service=None), c("c", 1, 5, 5, service=None)], far(OLD), [u("v", 3, 5, service=None)]],
        replace(PLAIN, default=IOT),
    ),
    "a bill that has its service of one record and its start of another": (
        [[c("r1", 0, 0, -5, "K"), c("r2", 100, 5, 50, "K", service="web")], far(OLD), [u("u", 100, 5)]], PLAIN,
    ),
    "a bill summed as the service of its first record": (
        [[c("r1", 0, 1, 1, "K", service="iot"), c("r2", 105, 5, 50, "K", service="web")], far(OLD), [u("v", 110, 5, service="iot")]], PLAIN,
    ),
    "a bill summed as one of two services that are both summed": (
        [[c("r1", 0, 1, 1, "K", service="iot"), c("r2", 105, 5, 50, "K", service="iot2")], far(OLD), [u("v", 110, 5, service="iot")]],
        replace(PLAIN, services={**PLAIN.services, "iot2": IOT}),
    ),
    "the other way round: a record that moves a bill into a period": (
        [[u("v", 110, 5, service="iot"), c("r2", 105, 5, 50, "K", service="web")], far(OLD), [c("r1", 0, 1, 1, "K", service="iot")]], PLAIN,
    ),
    "the second delivery of a record that is known": ([[u("u", 0, 5, "K")], far(OLD), [u("u", 0, 5, "K")]], PLAIN),
    "another content of a record that is known": ([[u("u", 0, 5, "K")], far(OLD), [u("u", 0, 7, "K")]], PLAIN),
    "another content of a record without a key": ([[u("u", 0, 5, service="web")], far(OLD), [u("u", 0, 7, service="web")]], PLAIN),
    "a charge without any time, whose source has a namesake that has closed": (
        # In a pattern, `_` would stand for any letter.
        [
            [Close("n", (OLD + 9) * S)], [Close("bxd", OLD * S)],
            [replace(c("c", 0, 5, 5, "K", service="web"), started_us=None, source="bxd")],
            [Close("b_d", 50 * S)], [Close("b_d", OLD * S)], [Close("bxd", (OLD + 5) * S)],
        ],
        replace(PLAIN, sources={"n": SourceRules("usage"), "b_d": SourceRules("charge"), "bxd": SourceRules("charge", None)}),
    ),
    "a charge without any time and the period it came to": (
        [[replace(c("c", 0, 5, 5, service="iot"), started_us=None)], [Close("b", 30 * S)], far(OLD), [u("v", 25, 5, service="iot")]], PLAIN,
    ),
    "a policy": ([[u("u", 0, 5, "K"), c("c", 1, 5, 5, "K")], far(OLD), [replace(PLAIN, services={"voice": WEB})]], PLAIN),
}  # fmt: skip
SILENT = {"the second delivery of a record that is known", "a policy"}


@pytest.mark.parametrize("name", CASES)
def test_the_last_position_alone_tells_what_it_changes(name: str, tmp_path: Path) -> None:
    log, policy = CASES[name]
    assert (last_step_tells_the_same(log, policy, tmp_path) > 0) == (name not in SILENT)


def touches_all_that_changes(seed: str, n: int, folder: Path, pairs: int) -> None:
    """Any (after, upto] evaluated on what `touched` reads tells the same as on everything."""
    rng = random.Random(f"{seed}/{n}")
    world, log = random_logs.any_log(rng)
    log, rows = lake_fixture.with_ids_of_content([[world.first], *lake_fixture.one_declaration_per_commit(log)], world.bucket_by)
    with lake_fixture.quick_lake(folder, log, rows, world.bucket_by) as lake:
        whole = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, len(log), 1))
        frontier = frontier_of(lake, len(log))
        everything = affected_records(lake, frontier, lake_fixture.ranges(1)[0], after=0, upto=len(log))
        assert_same_history(
            run_reference(log, world.first), evaluate(everything, frontier, after=0, upto=len(log)), frontier.policies
        )
        for _ in range(pairs):
            after, upto = sorted(rng.sample(range(len(log) + 1), 2))
            some = lake_fixture.totals(lake_fixture.outcome_of(lake, after, upto, 1))
            where = f"log {n} of seed {seed}, positions {after + 1} to {upto}, {sorted(world.facets)}"
            assert some["history"] == [r for r in whole["history"] if after < r[1] <= upto], where
            assert some["ledger"] == {k: v for k, v in whole["ledger"].items() if after < k[0] <= upto}, where


@pytest.mark.parametrize("n", range(8))
def test_any_positions_by_themselves_tell_what_they_tell_in_the_whole(n: int, tmp_path: Path) -> None:
    touches_all_that_changes("reach", n, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_any_positions_of_four_hundred_logs_tell_what_they_tell_in_the_whole(part: int, tmp_path: Path) -> None:
    for n in range(50):
        touches_all_that_changes("far reach", 50 * part + n, tmp_path / str(n), 5)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from("ab"), st.integers(0, 60)), min_size=1, max_size=12),
    st.integers(0, 5),
    st.tuples(st.integers(0, 1), st.sampled_from("ab"), st.integers(-6, 66)),
)
def test_an_instant_is_told_by_one_block_of_its_key_if_it_is_near_and_by_none_if_not(
    stands: list[tuple[int, str, int]], apart: int, asked: tuple[int, str, int]
) -> None:
    frame = pl.DataFrame(stands, schema={"bucket": pl.Int64, "scope": pl.String, "time_us": pl.Int64}, orient="row")
    instant = asked[2] + _OFFSET_US
    blocks = _time_blocks(frame, apart).filter(bucket=asked[0], scope=asked[1], block=instant // _width_us(apart))
    assert blocks.height <= 1
    told = any(instant <= upto or instant >= since for upto, since in blocks.select("upto_us", "from_us").rows())
    assert told == any((b, s) == asked[:2] and abs(t - asked[2]) <= apart for b, s, t in stands)
