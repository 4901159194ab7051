"""Raise findings about scored days: drift from training, an unusual number of alerts, or missing decisions.

A day is checked once a later day has been scored, and again whenever late records change it.
"""

from __future__ import annotations

from datetime import date, timedelta
from math import sqrt

import polars as pl

from trueup.fraud.monitoring.drift import ALARM, BINS
from trueup.fraud.monitoring.ordinary import ordinary_days
from trueup.fraud.scoring.score_run import CONSUMER as SCORER
from trueup.log.lake import Lake, Transaction
from trueup.reconcile.results.finding_rows import with_finding_ids
from trueup.warehouse import install_views
from trueup.warehouse.query import Warehouse

CONSUMER = "fraud_watch"
LEAST_TRANSACTIONS = 500
"""Days with fewer transactions are not checked for drift, because chance dominates their shares."""
_BEFORE, _LEAST_BEFORE = 7, 3
"""The number of earlier days that give the usual share, and the minimum number needed."""
_DEVIATIONS, _TIMES = 4.0, 2.0
_NAMED = 3
MONITORING_FINDING: dict[str, pl.DataType] = {
    "kind": pl.String(), "control": pl.String(), "model_id": pl.String(), "day": pl.Date(), "records": pl.Int64(),
    "reason": pl.String(),
}  # fmt: skip
_Row = tuple[str, str, str, date, int, str]


def drift_findings(drift: pl.DataFrame) -> list[_Row]:
    """Return a finding per model and day whose PSI exceeds the alarm bound significantly.

    `drift` has the rows of the view `fraud_drift`.
    """
    chance = (BINS - 1) / pl.col("transactions")
    far = drift.filter((pl.col("transactions") >= LEAST_TRANSACTIONS) & (pl.col("psi") - chance >= ALARM))
    counted = drift.group_by("model_id", "day").agg(features=pl.len())
    rows: list[_Row] = []
    for (model_id, day), features in far.sort(["psi", "feature"], descending=[True, False]).group_by(["model_id", "day"]):
        every = counted.filter((pl.col("model_id") == model_id) & (pl.col("day") == day))["features"][0]
        worst = ", ".join(f"{f} {p:.2f}" for f, p in features.head(_NAMED).select("feature", "psi").iter_rows())
        reason = f"{features.height} of {every} features differ from training by a PSI of {ALARM} or more: {worst}"
        rows.append(("model_drift", "drift", str(model_id), day, int(features["transactions"].max()), reason))  # type: ignore[arg-type]
    return rows


def unusual(days: list[tuple[date, int, int]], *, fewer_only: bool = False) -> list[tuple[date, int, int, float]]:
    """Return the days whose count differs much from the expected count, with the expected count.

    `days` has (day, total, counted) in order. The median share of the days before gives the expectation; `fewer_only` leaves out
    days with more than expected.
    """
    unusual_days = []
    for n, (day, of, counted) in enumerate(days):
        shares = sorted(c / o for _, o, c in days[max(0, n - _BEFORE) : n] if o)
        if len(shares) < _LEAST_BEFORE:
            continue
        expected = shares[len(shares) // 2] * of
        far = abs(counted - expected) > _DEVIATIONS * sqrt(max(expected, 1.0))
        if far and (counted * _TIMES < expected or (not fewer_only and counted > expected * _TIMES)):
            unusual_days.append((day, of, counted, expected))
    return unusual_days


def monitoring_findings(drift: pl.DataFrame, daily: pl.DataFrame, *, label_delay: timedelta) -> pl.DataFrame:
    """Return all findings on the days of champions (rows of `fraud_drift` and `fraud_daily`), without the newest day of each."""
    champions = daily.filter(pl.col("role") == "champion").sort("name", "day")
    closed = champions.filter(pl.col("day") < pl.col("day").max().over("name"))
    rows = drift_findings(drift.join(closed, left_on=["model_id", "day"], right_on=["name", "day"], how="semi"))
    for (name,), of_model in closed.group_by(["name"], maintain_order=True):
        alerts = list(of_model.select("day", "transactions", "suspicious").iter_rows())
        for day, of, counted, expected in unusual(alerts):
            reason = f"{counted} of {of} transactions were suspicious; usual: {expected:.0f}"
            rows.append(("alert_rate", "alert_rate", str(name), day, of, reason))
        due = of_model.filter(pl.col("day") < pl.lit(of_model["day"].max()) - label_delay)
        decided = list(due.select("day", "suspicious", pl.col("confirmed") + pl.col("dismissed")).iter_rows())
        for day, of, counted, expected in unusual(decided, fewer_only=True):
            reason = f"{counted} of {of} suspicious transactions have been decided on; usual: {expected:.0f}"
            rows.append(("label_rate", "label_rate", str(name), day, of, reason))
    return pl.DataFrame(rows, schema=MONITORING_FINDING, orient="row").sort("kind", "model_id", "day")


def budget_findings(cases: pl.DataFrame, of_rules: pl.DataFrame, *, alerts_per_day: int) -> list[_Row]:
    """Return a finding for each day that ends a week with significantly more cases a day than the budget.

    `cases`: day, transactions, cases (of champion and rules, on days that no model was trained on), and rule_cases of them.
    `of_rules`: day, rule, cases. Only ordinary days count. Where rules alone exceed the budget, the reason names them.
    """
    rows: list[_Row] = []
    if cases.height < _LEAST_BEFORE:
        return rows
    days = ordinary_days(cases).sort("day")
    for n in range(_LEAST_BEFORE, days.height + 1):
        week = days[max(0, n - _BEFORE) : n]
        realised, allowed = int(week["cases"].sum()), alerts_per_day * week.height
        if realised > allowed + _DEVIATIONS * sqrt(allowed):
            reason = f"{realised / week.height:.0f} cases a day in {week.height} ordinary days; the budget is {alerts_per_day}"
            by_rules = int(week["rule_cases"].sum())
            if by_rules > allowed:
                reason += f"; rules alone have {by_rules / week.height:.1f} a day: {_name_busiest_rules(of_rules, week)}"
            rows.append(("alert_budget", "alert_budget", "all", week["day"][-1], int(week["transactions"][-1]), reason))
    return rows


def _name_busiest_rules(of_rules: pl.DataFrame, week: pl.DataFrame) -> str:
    """Return the rules with the most cases in a week, each with its cases a day."""
    counted = of_rules.join(week, on="day", how="semi").group_by("rule").agg(pl.col("cases").sum())
    most = counted.sort("cases", "rule", descending=[True, False]).head(_NAMED)
    return ", ".join(f"{rule} {cases / week.height:.1f}" for rule, cases in most.iter_rows())


def changes(open_findings: pl.DataFrame, now: pl.DataFrame, position: int) -> pl.DataFrame:
    """Return the changes from open findings to current ones (rows of `MONITORING_FINDING`), as rows of `events.finding`."""
    key = ["kind", "control", "model_id", "day"]
    earlier, new = open_findings.with_columns(was=pl.lit(True)), now.with_columns(is_=pl.lit(True))
    compared = earlier.join(new, on=key, how="full", suffix="_new", coalesce=True)
    was, is_ = pl.col("was").fill_null(False), pl.col("is_").fill_null(False)
    differs = pl.col("reason").ne_missing(pl.col("reason_new")) | pl.col("records").ne_missing(pl.col("records_new"))
    compared = compared.filter(differs).with_columns(
        action=pl.when(~was).then(pl.lit("raised")).when(~is_).then(pl.lit("resolved")).otherwise(pl.lit("revised")),
        cause=pl.when(~was).then(pl.lit("frontier")).otherwise(pl.lit("late_usage")),
        reason=pl.coalesce("reason_new", "reason"), records=pl.coalesce("records_new", "records"),
    )  # fmt: skip
    absent = pl.lit(None, pl.String)
    named = with_finding_ids(compared.with_columns(
        about=pl.lit("model"), id_scope=absent, id_currency=absent, id_service=absent, id_subscriber=absent, name="model_id",
        name_scope="control", period=pl.col("day").cast(pl.String),
    ))  # fmt: skip
    start = pl.col("day").cast(pl.Datetime("us", "UTC"))
    return named.select(
        "finding_id", "action", "cause", "kind", "day", "reason", "control", position=pl.lit(position, pl.Int64),
        bucket=pl.lit(0, pl.Int16), started_at=start, ended_at=start + timedelta(days=1), expected_micros=pl.lit(0, pl.Int64),
        billed_micros=pl.lit(0, pl.Int64), subject="model_id", records_low="records", records_high="records",
    ).sort("kind", "subject", "day")  # fmt: skip


def watch(lake: Lake) -> int:
    """Check the scored days, commit changed findings once, and return their number; 0 without new scores."""
    upto = lake.consumer_position(SCORER)
    if lake.consumer_position(CONSUMER) >= upto:
        return 0
    install_views.set_variables(lake.connection, lake.project)
    warehouse = Warehouse(lake, None)
    names = (
        "fraud/feature_drift", "fraud/scored_days", "fraud/monitoring_findings", "fraud/cases_of_days",
        "fraud_cases/rule_cases_of_days",
    )  # fmt: skip
    drift, daily, stored, cases, of_rules = (pl.DataFrame(warehouse.table(f"queries/{n}"), infer_schema_length=None) for n in names)
    delay = timedelta(microseconds=lake.project.config.fraud.label_delay)
    now = (
        monitoring_findings(drift, daily, label_delay=delay)
        if daily.height and drift.height
        else pl.DataFrame(schema=MONITORING_FINDING)
    )
    over_budget = budget_findings(cases, of_rules, alerts_per_day=lake.project.config.fraud.alerts_per_day)
    now = pl.concat([now, pl.DataFrame(over_budget, schema=MONITORING_FINDING, orient="row")])
    open_findings = (
        stored.select(pl.col(n).cast(t) for n, t in MONITORING_FINDING.items())
        if stored.height
        else pl.DataFrame(schema=MONITORING_FINDING)
    )
    changed = changes(open_findings, now, upto)

    def write(transaction: Transaction) -> int:
        if lake.consumer_position(CONSUMER) >= upto:
            return 0
        transaction.append("finding", changed)
        transaction.set_consumer_position(CONSUMER, upto)
        return changed.height

    return lake.commit(write)
