"""The kernel agrees with the reference model of the design, where that is available."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from trueup.config import ServiceConfig
from trueup.policies.policy import Policies, Policy, SourceRules
from trueup.reconcile.domain.frontier import Frontier, RunningMax
from trueup.reconcile.kernel.evaluate import Evaluated, evaluate
from trueup.reconcile.sessions.admission import EVENTS

SECOND = 1_000_000
EPOCH = date(1970, 1, 1)
REFERENCE = Path(os.environ.get("TRUEUP_REFERENCE", Path(__file__).resolve().parents[4] / "shared" / "reference"))
pytestmark = pytest.mark.skipif(not (REFERENCE / "laws.py").exists(), reason=f"no reference model in {REFERENCE}")


def _load_module(name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, REFERENCE / f"{name}.py")
        assert spec and spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="module")
def laws() -> ModuleType:
    _load_module("oracle")
    return _load_module("laws")


def policy_of(config: Any) -> Policy:
    def service(s: Any) -> ServiceConfig:
        return ServiceConfig.model_construct(
            match=s.match, start_tolerance=s.start_tolerance * SECOND, quantity_tolerance=s.quantity_tolerance_micros,
            amount_tolerance=s.amount_tolerance_micros, grace=s.grace * SECOND, price=s.price_micros, price_per=1,
            currency=None, period=s.period * SECOND,
        )  # fmt: skip

    sources = {n: SourceRules(s.stream, None if s.lateness is None else s.lateness * SECOND) for n, s in config.sources.items()}
    # The reference does not judge lines one by one, as policies that earlier versions declared do not.
    services = {n: service(s) for n, s in config.services.items()}
    return Policy(0, services, service(config.default), sources, judges_lines=False)


def frontier_of(log: list[Any], config: Any) -> Frontier:
    marks_of: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for position, commit in enumerate(log, start=1):
        for e in commit:
            if e.stream == "close":
                for name in config.sources:
                    if e.source in ("", name):
                        marks_of.setdefault(("closed", name), []).append((position, e.through * SECOND))
            elif e.started_at is not None:
                marks_of.setdefault(("observed", e.source), []).append((position, e.started_at * SECOND))
    marks = {
        kind: {
            n: RunningMax.of(pl.DataFrame(rows, schema=["position", "value"], orient="row"))
            for (k, n), rows in marks_of.items()
            if k == kind
        }
        for kind in ("observed", "closed")
    }
    return Frontier(Policies([policy_of(config)]), marks["observed"], marks["closed"])


def events_of(log: list[Any], scope_of: Any, config: Any) -> pl.DataFrame:
    rows = [
        {
            "charge": e.stream == "charge", "event_id": e.content.encode(), "position": position, "source": e.source, "bucket": 0,
            "scope": scope_of(e, config), "key_scope": "", "record_key": e.record_key, "session_key": e.session_key,
            "service": e.service, "subscriber": e.subscriber, "peer": e.peer, "node": None,
            "time_us": None if e.time is None else e.time * SECOND, "started": e.started_at is not None,
            "quantity_micros": e.quantity_micros, "amount_micros": e.amount_micros, "partial_no": e.partial_no, "currency": None,
        }
        for position, commit in enumerate(log, start=1) for e in commit if e.stream != "close"
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=EVENTS)


def raised_by_fast_path(evaluated: Evaluated, events: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Return the findings of the fast path as rows of the reference model."""
    # Events of equal content have one id here, unlike in the log; a session of the fast path has one record of each side.
    columns = events.select("event_id", "scope", "session_key", "record_key")
    keys = {tuple(row[:3]): row[3] for row in columns.iter_rows()}
    rows = []
    for f in evaluated.raised.iter_rows(named=True):
        own = f["session_key"] is None
        usage, charges = (
            tuple(
                (side, f["scope"], f["record_key"] if own else keys[event_id, f["scope"], f["session_key"]])
                for event_id in (f[f"{side}_event_id"],)
                if event_id is not None
            )
            for side in ("usage", "charge")
        )
        name = f["record_key"] if own else f["session_key"]
        subject = ("record" if own else "key", f["scope"], name, "charge" if f["charge"] else "usage")
        money = (int(f["expected_micros"]), int(f["billed_micros"]))
        rows.append((f["at"], "raised", f["cause"], f["kind"], subject, f["service"], (f["day"] - EPOCH).days, *money, usage, charges, ()))  # fmt: skip
    return rows


def kernel_history(evaluated: Evaluated, events: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Return the kernel's changes as rows of the reference model."""
    names = {
        r["record_no"]: ("charge" if r["charge"] else "usage", r["scope"], r["record_key"])
        for r in evaluated.versions.iter_rows(named=True)
    }
    groups = {r["group_no"]: r for r in evaluated.groups.iter_rows(named=True)}
    cells = {r["cell"]: r for r in evaluated.cells.iter_rows(named=True)}

    def owner(number: int) -> tuple[Any, ...]:
        kind, n = number % 3, number // 3
        if kind == 2:
            return ("period", cells[n]["service"], cells[n]["subscriber"], cells[n]["index"])
        g = groups[n]
        return ("record" if g["own"] else "key", g["scope"], g["name"], "charge" if kind else "usage")

    rows = raised_by_fast_path(evaluated, events)
    for c in evaluated.changes.iter_rows(named=True):
        action = "retracted" if c["action"] == "resolved" else c["action"]
        days = (c["day"] - EPOCH).days
        rows.append(
            (
                c["at"],
                action,
                c["cause"],
                c["kind"],
                owner(c["owner_no"]),
                c["service"],
                days,
                int(c["expected_micros"]),
                int(c["billed_micros"]),
                tuple(sorted(names[r] for r in c["usage"])),
                tuple(sorted(names[r] for r in c["charges"])),
                (),
            )
        )
    for c in evaluated.resolved.conflicts.iter_rows(named=True):
        record_id = names[c["record_no"]]
        counted = evaluated.versions.filter((pl.col("record_no") == c["record_no"]) & (pl.col("event_id") == c["counted"])).row(
            0, named=True
        )
        record_ids = ((record_id,), ()) if record_id[0] == "usage" else ((), (record_id,))
        rows.append(
            (
                c["position"],
                "raised" if c["first"] else "revised",
                "conflict",
                f"conflicting_{record_id[0]}",
                record_id,
                counted["service"] or "",
                counted["time_us"] // SECOND // 86_400,
                0,
                0,
                *record_ids,
                tuple(sorted(b.decode() for b in c["contents"])),
            )
        )
    return sorted(rows, key=repr)


def reference_history(result: Any) -> list[tuple[Any, ...]]:
    return sorted(
        ((at, action, cause, f.kind, f.subject, f.service, f.day, f.expected_micros, f.billed_micros, tuple(sorted(f.usage)),
          tuple(sorted(f.charges)), f.contents) for at, action, cause, f in result.history), key=repr)  # fmt: skip


def check(log: list[Any], config: Any, oracle: ModuleType, *, fast_path: bool = True) -> None:
    result = oracle.evaluate(log, config)
    events, frontier = events_of(log, oracle.scope_of, config), frontier_of(log, config)
    actual = evaluate(events, frontier, after=0, upto=len(log), fast_path=fast_path)
    assert kernel_history(actual, events) == reference_history(result)
    sums = actual.ledger.group_by("service", "day").agg(
        pl.col("expected_micros", "billed_micros", "impact_micros", "tolerated_micros", "pending_micros").sum()
    )
    rows = {(r[0], (r[1] - EPOCH).days): tuple(map(int, r[2:])) for r in sums.iter_rows()}
    expected = {k: (v["expected"], v["billed"], v["impact"], v["tolerated"], v["pending"]) for k, v in result.conservation.items()}
    assert {k: v for k, v in rows.items() if any(v)} == {k: v for k, v in expected.items() if any(v)}
    assert (
        actual.members["record_no"].n_unique()
        == actual.members.height
        == len(result.places) - actual.fast_path_records["records"].sum()
    )


def _draw_logs(laws: ModuleType, first: int, count: int, seed: str) -> None:
    oracle = sys.modules["oracle"]
    for n in range(first, first + count):
        rng = random.Random(f"{seed}/{n}")
        config = (laws.RICH, laws.RICH, laws.NEAR, laws.POOR)[n % 4]
        size = rng.choice((3, 5, 8, 12, 20)) if n % 50 else rng.choice((60, 120))
        try:
            check(laws.wild_log(rng, config, size), config, oracle, fast_path=n % 5 != 0)
        except AssertionError:
            print(f"log {n} of seed {seed}")
            raise


@pytest.mark.parametrize("part", range(2))
def test_the_kernel_and_the_reference_have_the_same_history_of_random_logs(laws: ModuleType, part: int) -> None:
    _draw_logs(laws, part * 20, 20, "kernel")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_the_kernel_and_the_reference_have_the_same_history_of_two_thousand_logs(laws: ModuleType, part: int) -> None:
    _draw_logs(laws, part * 250, 250, "many")


def test_the_kernel_and_the_reference_agree_on_each_named_case(laws: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    reference_evaluate, checked = laws.evaluate, []

    def evaluate_both(log: list[Any], config: Any, on_step: Any = None) -> Any:
        if config.undecided_edges_block:  # other cases show what a literal reading of the definition would give
            check(log, config, sys.modules["oracle"], fast_path=len(checked) % 2 == 0)
            checked.append(log)
        return reference_evaluate(log, config, on_step)

    monkeypatch.setattr(laws, "evaluate", evaluate_both)
    laws.cases()
    assert len(checked) >= 25
