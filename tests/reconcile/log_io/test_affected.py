"""Positions evaluated on their affected records change the same findings as the full log: case by case, and on random logs."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lake_fixture
import polars as pl
import pytest
import random_logs
from hypothesis import given
from hypothesis import strategies as st
from kernel_adapter import assert_same_history, terms_of
from random_logs import MICRO, service
from reference_model.history import run_reference
from reference_model.log import Close, Item, Log, Record, State

from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.kernel.evaluate import evaluate
from trueup.reconcile.log_io.affected import _OFFSET_US, _choose_width_us, _time_blocks, affected_records
from trueup.reconcile.log_io.load import frontier_of

S = 1_000_000
HOUR = 3_600
VOICE = service(("session_key", "nearest"), start_tolerance=2 * S, quantity_tolerance=MICRO, grace=12 * S)
WEB = service(("session_key",), grace=8 * S)
IOT = service(("aggregate",), grace=5 * S, period=20 * S)
SOURCES = {"n": SourceRules("usage"), "b": SourceRules("charge")}
PLAIN = Policy(0, {"voice": VOICE, "web": WEB, "iot": IOT}, sources=SOURCES)


def u(key: str, t: int, quantity: int, session: str | None = None, **more: Any) -> Record:
    return Record(False, "n", key, session, started_us=t * S, quantity_micros=quantity * MICRO, **more)


def c(key: str, t: int, quantity: int, amount: int, session: str | None = None, **more: Any) -> Record:
    return Record(True, "b", key, session, started_us=t * S, quantity_micros=quantity * MICRO, amount_micros=amount * MICRO, **more)


def advance_watermarks(t: int) -> list[Item]:
    """Return unrelated records at second `t` that make both streams pass all earlier times."""
    return [
        Record(s.stream == "charge", n, f"{n}{t}", f"{n}{t}", "web", "z", "z", started_us=t * S, scope="z")
        for n, s in SOURCES.items()
    ]


def changes_of_last_position(log: Log, policy: Policy, folder: Path) -> int:
    """Compare the last position evaluated by itself with the full run; return the number of findings that it changes."""
    log, rows = lake_fixture.with_event_ids_of_lake([[policy], *lake_fixture.one_declaration_per_commit(log)], "subscriber")
    with lake_fixture.quick_lake(folder, log, rows, "subscriber") as lake:
        full, last = lake_fixture.outcome_of(lake, 0, len(log), 1), lake_fixture.outcome_of(lake, len(log) - 1, len(log), 1)
        assert lake_fixture.totals(
            lake_fixture.merge_outcomes([lake_fixture.outcome_of(lake, 0, len(log) - 1, 1), last])
        ) == lake_fixture.totals(full)
    return last.history.height


Facets = Callable[[random.Random], frozenset[str]]
OLD = 100 * HOUR  # All earlier records are final once the watermarks pass this, as is a period that ends a day later.
CASES: dict[str, tuple[Log, Policy]] = {
    "a late charge for final usage": ([[u("u", 0, 5, "K")], advance_watermarks(OLD), [c("c", 1, 5, 5, "K")]], PLAIN),
    "a late neighbour without a key": ([[u("u", 0, 5)], advance_watermarks(OLD), [c("c", 1, 5, 5)]], PLAIN),
    "a late neighbour in the next time block": ([[u("u", 3, 5)], advance_watermarks(OLD), [c("c", 4, 5, 5)]], PLAIN),
    "a late record of a final period": (
        [[u("u", 0, 5, service="iot"), c("c", 3, 5, 5, service="iot")], advance_watermarks(OLD), [u("v", 19, 5, service="iot")]], PLAIN,
    ),
    "a neighbour without a service, under the default rules": (
        [[u("u", 0, 5, service=None)], advance_watermarks(OLD), [c("c", 1, 5, 5, service=None)]], replace(PLAIN, default=VOICE),
    ),
    "a period without a service, under the default rules": (
        [[u("u", 0, 5, service=None), c("c", 1, 5, 5, service=None)], advance_watermarks(OLD), [u("v", 3, 5, service=None)]],
        replace(PLAIN, default=IOT),
    ),
    "a charge group with its service from one record and its start from another": (
        [[c("r1", 0, 0, -5, "K"), c("r2", 100, 5, 50, "K", service="web")], advance_watermarks(OLD), [u("u", 100, 5)]], PLAIN,
    ),
    "a charge group aggregated under the service of its first record": (
        [[c("r1", 0, 1, 1, "K", service="iot"), c("r2", 105, 5, 50, "K", service="web")], advance_watermarks(OLD), [u("v", 110, 5, service="iot")]], PLAIN,
    ),
    "a charge group of two services that are both aggregated": (
        [[c("r1", 0, 1, 1, "K", service="iot"), c("r2", 105, 5, 50, "K", service="iot2")], advance_watermarks(OLD), [u("v", 110, 5, service="iot")]],
        replace(PLAIN, services={**PLAIN.services, "iot2": IOT}),
    ),
    "a record that moves a charge group into a period": (
        [[u("v", 110, 5, service="iot"), c("r2", 105, 5, 50, "K", service="web")], advance_watermarks(OLD), [c("r1", 0, 1, 1, "K", service="iot")]], PLAIN,
    ),
    "a late record of a covered service": (
        [[u("u", 0, 5, service="iot"), c("c", 3, 5, 5, service="bundle")], advance_watermarks(OLD), [u("v", 19, 5, service="sms")]],
        replace(PLAIN, services={
            **PLAIN.services, **dict.fromkeys(("iot", "sms"), service(("aggregate",), period=24 * HOUR * S)),
            "bundle": service(("aggregate",), grace=5 * S, period=20 * S, covers=("iot", "sms")),
        }),
    ),
    "a back-dated state that moves records of two final cycles": (
        [
            [State("s", 0, 1)],
            [u("a", 24 * HOUR, 5, service="iot"), c("c", 480 * HOUR, 5, 5, service="iot"), u("d", 960 * HOUR, 7, service="iot")],
            advance_watermarks(9_000 * HOUR), [State("s", 0, 15)],
        ],
        replace(PLAIN, services={**PLAIN.services, "iot": service(("aggregate",), grace=5 * S, period="cycle")}),
    ),
    "a repeated delivery of a record": ([[u("u", 0, 5, "K")], advance_watermarks(OLD), [u("u", 0, 5, "K")]], PLAIN),
    "another content of a record": ([[u("u", 0, 5, "K")], advance_watermarks(OLD), [u("u", 0, 7, "K")]], PLAIN),
    "another content of a record without a key": ([[u("u", 0, 5, service="web")], advance_watermarks(OLD), [u("u", 0, 7, service="web")]], PLAIN),
    "an undated charge whose source resembles a closed one": (
        # In an SQL pattern, `_` would match any letter.
        [
            [Close("n", (OLD + 9) * S)], [Close("bxd", OLD * S)],
            [replace(c("c", 0, 5, 5, "K", service="web"), started_us=None, source="bxd")],
            [Close("b_d", 50 * S)], [Close("b_d", OLD * S)], [Close("bxd", (OLD + 5) * S)],
        ],
        replace(PLAIN, sources={"n": SourceRules("usage"), "b_d": SourceRules("charge"), "bxd": SourceRules("charge", None)}),
    ),
    "an undated charge and the period that it is assigned to": (
        [[replace(c("c", 0, 5, 5, service="iot"), started_us=None)], [Close("b", 30 * S)], advance_watermarks(OLD), [u("v", 25, 5, service="iot")]], PLAIN,
    ),
    "a policy": ([[u("u", 0, 5, "K"), c("c", 1, 5, 5, "K")], advance_watermarks(OLD), [replace(PLAIN, services={"voice": WEB})]], PLAIN),
}  # fmt: skip
WITHOUT_CHANGES = {"a repeated delivery of a record", "a policy"}


@pytest.mark.parametrize("name", CASES)
def test_the_last_position_evaluated_by_itself_changes_the_same_findings(name: str, tmp_path: Path) -> None:
    log, policy = CASES[name]
    assert (changes_of_last_position(log, policy, tmp_path) > 0) == (name not in WITHOUT_CHANGES)


def check_affected_records(seed: str, n: int, folder: Path, pairs: int, *, facets_of: Facets | None = None) -> None:
    """Check that random ranges (after, upto], evaluated on their affected records, change the same as in the full run."""
    rng = random.Random(f"{seed}/{n}")
    generator, log = random_logs.any_log(rng, facets_of(rng) if facets_of else None)
    log, rows = lake_fixture.with_event_ids_of_lake(
        [[generator.first], *lake_fixture.one_declaration_per_commit(log)], generator.bucket_by
    )
    with lake_fixture.quick_lake(folder, log, rows, generator.bucket_by) as lake:
        frontier = frontier_of(lake, len(log))
        all_records = affected_records(lake, frontier, lake_fixture.ranges(1)[0], after=0, upto=len(log))
        assert_same_history(
            run_reference(log, generator.first),
            evaluate(all_records, frontier, terms_of(log), after=0, upto=len(log)),
            frontier.policies,
        )
        lake_fixture.check_position_ranges(lake, rng, pairs, f"log {n} of seed {seed}, {sorted(generator.facets)}")


@pytest.mark.parametrize("n", range(2))
def test_random_position_ranges_change_the_same_as_in_the_full_run(n: int, tmp_path: Path) -> None:
    check_affected_records("reach", n, tmp_path, 3)


@pytest.mark.parametrize("n", range(2))
def test_random_position_ranges_with_correcting_charges_change_the_same_as_in_the_full_run(n: int, tmp_path: Path) -> None:
    check_affected_records("recovered reach", n, tmp_path, 3, facets_of=random_logs.recovery_facets)


@pytest.mark.parametrize("n", range(2))
def test_random_position_ranges_with_covering_services_change_the_same_as_in_the_full_run(n: int, tmp_path: Path) -> None:
    check_affected_records("covered reach", n, tmp_path, 2, facets_of=random_logs.line_facets)


@pytest.mark.parametrize("n", range(3))
def test_random_position_ranges_with_billing_cycles_change_the_same_as_in_the_full_run(n: int, tmp_path: Path) -> None:
    check_affected_records("cycle reach", n, tmp_path, 3, facets_of=random_logs.cycle_facets)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_random_position_ranges_of_four_hundred_logs_change_the_same_as_in_the_full_run(part: int, tmp_path: Path) -> None:
    for n in range(50):
        check_affected_records("far reach", 50 * part + n, tmp_path / str(n), 5)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from("ab"), st.integers(0, 60)), min_size=1, max_size=12),
    st.integers(0, 5),
    st.tuples(st.integers(0, 1), st.sampled_from("ab"), st.integers(-6, 66)),
)
def test_an_instant_is_covered_by_one_time_block_of_its_key_if_within_reach_and_by_none_otherwise(
    instants: list[tuple[int, str, int]], width: int, query: tuple[int, str, int]
) -> None:
    frame = pl.DataFrame(instants, schema={"bucket": pl.Int64, "scope": pl.String, "time_us": pl.Int64}, orient="row")
    instant = query[2] + _OFFSET_US
    blocks = _time_blocks(frame, width).filter(bucket=query[0], scope=query[1], block=instant // _choose_width_us(width))
    assert blocks.height <= 1
    is_covered = any(instant <= upto or instant >= since for upto, since in blocks.select("upto_us", "from_us").rows())
    assert is_covered == any((b, s) == query[:2] and abs(t - query[2]) <= width for b, s, t in instants)
