"""Small logs of calls priced by a tariff book, and what changes along them, by the kernel and by the reference model."""

from __future__ import annotations

from typing import Any

import polars as pl
from kernel_adapter import assert_same_history, events_of, frontier_of, terms_of
from random_allowance_logs import moment
from random_logs import MICRO, service
from reference_model.history import run_reference
from reference_model.log import Log, Record

from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.kernel.evaluate import Evaluated, evaluate
from trueup.reconcile.results.finding_rows import finding_changes

VOICE = service(("session_key",), grace=3_600 * MICRO, price=None)
POLICY = Policy(0, {"voice": VOICE, "sms": VOICE}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")})
Change = tuple[int, str, str, str, int, str | None]


def u(key: str, time: str, seconds: int, **more: Any) -> Record:
    return Record(False, "n", f"u{key}", key, started_us=moment(time), quantity_micros=seconds * MICRO, **more)


def c(key: str, time: str, seconds: int, euros: int, **more: Any) -> Record:
    values = {"quantity_micros": seconds * MICRO, "amount_micros": euros * MICRO}
    return Record(True, "b", f"c{key}", key, started_us=moment(time), **values, **more)


def watermarks_past(time: str) -> list[Any]:
    """Return unrelated records that make both streams pass all earlier times."""
    far: dict[str, Any] = {"subscriber": None, "scope": "z", "service": "far"}
    return [u(f"z{time}", time, 0, **far), c(f"z{time}", time, 0, 0, **far)]


def evaluated(log: Log, policy: Policy = POLICY) -> Evaluated:
    """Evaluate a log by the kernel, with and without the fast path, and compare it with the reference model."""
    reference, frontier = run_reference(log, policy), frontier_of(log, policy)
    for fast_path in (False, True):
        result = evaluate(events_of(log), frontier, terms_of(log), after=0, upto=len(log), fast_path=fast_path)
        assert_same_history(reference, result, frontier.policies)
    return result


def changes(log: Log, policy: Policy = POLICY) -> list[Change]:
    """Return (position, action, cause, kind, impact in EUR, reason) of each change, except those of the service `far`."""
    rows = finding_changes(evaluated(log, policy), frontier_of(log, policy).policies, after=0).filter(pl.col("service") != "far")
    impact = (pl.col("expected_micros") - pl.col("billed_micros")).cast(pl.Int64) // MICRO
    return sorted(rows.select("position", "action", "cause", "kind", impact, "reason").rows(), key=repr)
