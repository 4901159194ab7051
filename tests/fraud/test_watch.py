"""A day of scoring that differs from the usual days raises a finding, which resolves once the day no longer differs."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
from small_operator import put_in_force, query_rows

from trueup.config import Project
from trueup.fraud.monitoring import watch as watching
from trueup.fraud.monitoring.ordinary import ordinary_days
from trueup.fraud.monitoring.watch import (
    MONITORING_FINDING,
    budget_findings,
    changes,
    drift_findings,
    monitoring_findings,
    unusual,
    watch,
)
from trueup.fraud.scoring.score_run import score
from trueup.log.lake import Lake
from trueup.quality.run import quality

FIRST = date(2024, 3, 1)


def days(*counts: tuple[int, int]) -> list[tuple[date, int, int]]:
    return [(FIRST + timedelta(days=n), of, counted) for n, (of, counted) in enumerate(counts)]


def test_a_day_is_unusual_against_the_days_before_it_and_not_by_chance() -> None:
    usual = [(1_000, 20), (1_000, 22), (1_000, 18)]
    assert unusual(days(*usual, (1_000, 41))) == [(FIRST + timedelta(days=3), 1_000, 41, 20.0)]
    assert unusual(days(*usual, (1_000, 37))) == []
    assert unusual(days(*usual, (1_000, 1))) == [(FIRST + timedelta(days=3), 1_000, 1, 20.0)]
    assert unusual(days(*usual, (1_000, 90)), fewer_only=True) == []
    assert unusual(days(*usual[:2], (1_000, 90))) == []


def test_a_week_with_more_cases_than_the_budget_by_more_than_chance_is_a_finding() -> None:
    assert budget_findings(cases(27, 27, 27), NO_RULES, alerts_per_day=10) == [
        ("alert_budget", "alert_budget", "all", FIRST + timedelta(days=2), 1_000, "27 cases a day in 3 ordinary days; the budget is 10")
    ]  # fmt: skip
    assert budget_findings(cases(12, 9, 14, 11), NO_RULES, alerts_per_day=10) == []


def cases(*counts: int, of_rules: int = 0) -> pl.DataFrame:
    rows = [(FIRST + timedelta(days=n), 1_000, count, of_rules) for n, count in enumerate(counts)]
    return pl.DataFrame(rows, schema=["day", "transactions", "cases", "rule_cases"], orient="row")


NO_RULES = pl.DataFrame(schema={"day": pl.Date, "rule": pl.String, "cases": pl.Int64})


def test_a_week_in_which_rules_alone_exceed_the_budget_names_the_rules_with_most_cases() -> None:
    days = [FIRST + timedelta(days=n) for n in range(3)]
    counts = {"wangiri-ring": 12, "sim-box": 4, "hot": 3, "far": 1}
    of_rules = pl.DataFrame(
        [(day, rule, count) for day in days for rule, count in counts.items()], schema=NO_RULES.schema, orient="row"
    )
    (finding,) = budget_findings(cases(27, 27, 27, of_rules=20), of_rules, alerts_per_day=10)
    named = "wangiri-ring 12.0, sim-box 4.0, hot 3.0"
    assert finding[-1] == f"27 cases a day in 3 ordinary days; the budget is 10; rules alone have 20.0 a day: {named}"


def test_days_of_tests_and_of_a_bulk_load_are_not_ordinary() -> None:
    days = pl.DataFrame({"day": [FIRST + timedelta(days=n) for n in range(5)], "transactions": [1_000, 900, 20, 1_100, 9_000]})
    assert ordinary_days(days)["transactions"].to_list() == [1_000, 900, 1_100]


def test_a_day_drifts_where_features_differ_by_more_than_chance() -> None:
    drift = pl.DataFrame(
        [("m", FIRST, "a", 1_000, 0.5), ("m", FIRST, "b", 1_000, 0.3), ("m", FIRST, "c", 1_000, 0.255), ("m", FIRST, "d", 400, 9.0)],
        schema=["model_id", "day", "feature", "transactions", "psi"], orient="row",
    )  # fmt: skip
    reason = "2 of 4 features differ from training by a PSI of 0.25 or more: a 0.50, b 0.30"
    assert drift_findings(drift) == [("model_drift", "drift", "m", FIRST, 1_000, reason)]


def test_missing_decisions_raise_a_finding_after_the_label_delay() -> None:
    drift = pl.DataFrame(
        schema={"model_id": pl.String, "day": pl.Date, "feature": pl.String, "transactions": pl.Int64, "psi": pl.Float64}
    )
    rows = [(FIRST + timedelta(days=n), "m", "champion", 1_000, 100, 40 if n < 4 else 0, 40 if n < 4 else 0) for n in range(9)]
    daily = pl.DataFrame(rows, schema=["day", "name", "role", "transactions", "suspicious", "confirmed", "dismissed"], orient="row")
    findings = monitoring_findings(drift, daily, label_delay=timedelta(days=2))
    assert findings["day"].to_list() == [FIRST + timedelta(days=4)]
    assert findings["reason"].to_list() == ["0 of 100 suspicious transactions have been decided on; usual: 80"]


def test_a_finding_is_raised_revised_and_resolved() -> None:
    def row(reason: str) -> pl.DataFrame:
        return pl.DataFrame([("alert_rate", "alert_rate", "m", FIRST, 7, reason)], schema=MONITORING_FINDING, orient="row")

    no_findings = pl.DataFrame(schema=MONITORING_FINDING)
    raised, revised, resolved = changes(no_findings, row("a"), 1), changes(row("a"), row("b"), 2), changes(row("b"), no_findings, 3)
    assert [c["action"].item() for c in (raised, revised, resolved)] == ["raised", "revised", "resolved"]
    assert len({c["finding_id"].item() for c in (raised, revised, resolved)}) == 1
    assert changes(row("a"), row("a"), 4).is_empty()


def test_monitoring_findings_are_stored_and_quality_does_not_change_them(operator: Project, monkeypatch) -> None:
    monkeypatch.setattr(watching, "LEAST_TRANSACTIONS", 40)
    put_in_force(operator)
    score(operator)
    with Lake.open(operator) as lake:
        raised = watch(lake)
        assert watch(lake) == 0
    findings = query_rows(
        operator,
        "SELECT kind, status, day, records_low, reason FROM findings WHERE control IN ('drift', 'alert_rate') ORDER BY ALL",
    )
    assert len(findings) == raised > 5
    assert {kind for kind, *_ in findings} == {"alert_rate", "model_drift"}
    quality(operator, validate=False)
    after = query_rows(
        operator,
        "SELECT kind, status, day, records_low, reason FROM findings WHERE control IN ('drift', 'alert_rate') ORDER BY ALL",
    )
    assert after == findings
    assert query_rows(operator, "SELECT count(*) FROM feed_quality WHERE kind IN ('alert_rate', 'model_drift')") == [(0,)]
