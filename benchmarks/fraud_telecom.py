"""Measure fraud detection on simulated operators: cases caught per kind within a daily alert budget, and money stopped.

    python benchmarks/fraud_telecom.py FOLDER [SUBSCRIBERS] [DAYS] [BUDGET]

Protocol. Operators of other seeds serve as the previous months: all their labels are known. The tested operators are new to the
model. There, features use a label from the truth's `knowable_at`, seven days after a case ends. An alert is a party on a day; each
day the BUDGET parties with the highest scores are alerted. A case is caught when one of its records belongs to an alerted party on
that day. Its money is stopped from one hour after its first record that scores at least as high as the day's last alert.
Simulated operators are stored in FOLDER and reused.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.load import events_of, party, usage_of
from trueup.fraud.scoring.model import matrix
from trueup.fraud.scoring.model_score import margins
from trueup.fraud.training.labels import labels_of_truth, training_targets
from trueup.fraud.training.train import Settings, Table, table_of, train_model
from trueup.log.lake import Lake
from trueup.simulate import SimulationRequest, simulate
from trueup.simulate.market.services import NAMES, flat_price

TRAIN_SEEDS, TEST_SEEDS = (11, 12, 13, 14), (21, 22)
REACTION_US = 3_600_000_000
FAR_US = 2**61
ONE_IN = 4
"""Training takes one honest transaction in so many; alerts are chosen by rank, which sampling does not change."""


def operator(folder: Path, seed: int, subscribers: int, days: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return usage records, events with labels, and the truth of one operator."""
    directory = folder / f"{subscribers}-{days}-{seed}"
    if not (directory / "taken").exists():
        simulate(directory, SimulationRequest(subscribers=subscribers, days=days, seed=seed))
        sources = [s.name for s in Project.load(directory).config.source if s.stream == "usage"]
        assert not ingest(Project.load(directory), sources=sources).errors
        (directory / "taken").touch()
    project = Project.load(directory)
    truth = pl.read_parquet(directory / "truth.parquet")
    with Lake.open(project, read_only=True) as lake:
        usage = usage_of(lake, upto=lake.last_position())
    # All records get one position: features follow event time, not the order of files in the single ingest run.
    usage = usage.with_columns(position=pl.lit(1, pl.Int64))
    labels = labels_of_truth(truth, usage.select("record_key", "event_id"))
    return usage, events_of(usage, labels, project), truth


def rows_of(usage: pl.DataFrame, events: pl.DataFrame, truth: pl.DataFrame, *, known_us: int) -> pl.DataFrame:
    labels = labels_of_truth(truth, usage.select("record_key", "event_id"))
    rows = training_targets(events, labels, label_delay_us=7 * 86_400_000_000, upto_us=known_us)
    parties = events.filter(~pl.col("is_label")).select("event_id", "day", party=party())
    return rows.join(parties, on="event_id", how="left", maintain_order="left")


def cases_of(truth: pl.DataFrame, usage: pl.DataFrame, scored: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return one row per record of each fraud and look-alike: case, kind, variant, money, and its score."""
    kinds = truth.filter(pl.col("category").is_in(["fraud", "lookalike"]) & (pl.col("decided_by") == "fraud"))
    records = kinds.select(
        "kind", "variant", "category", case=pl.lit(f"{seed}-") + pl.col("leak_id"), record_key="usage_record_keys"
    )
    records = records.explode("record_key", empty_as_null=False, keep_nulls=False)
    matched = records.join(usage.select("record_key", "event_id", "service", "quantity_micros"), on="record_key")
    service = matched["service"].replace_strict(NAMES, range(len(NAMES)), return_dtype=pl.Int64).to_numpy()
    money = flat_price(service, matched["quantity_micros"].to_numpy() // 1_000_000)
    return matched.with_columns(money_micros=pl.Series(money)).join(scored, on="event_id")


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("name a folder to store the simulated operators in")
    folder = Path(sys.argv[1])
    subscribers, days, budget = (int(sys.argv[n]) if len(sys.argv) > n else default for n, default in ((2, 400), (3, 21), (4, 5)))
    declared, begun = telecom_features(), time.perf_counter()
    tables = []
    for seed in (*TRAIN_SEEDS, *TEST_SEEDS):
        operator(folder, seed, subscribers, days)
    for seed in TRAIN_SEEDS:
        usage, events, truth = operator(folder, seed, subscribers, days)
        rows = rows_of(usage, events, truth, known_us=FAR_US)
        tables.append(table_of(declared, history(declared, events), rows))
    table = Table(np.concatenate([t.values for t in tables]), pl.concat([t.rows for t in tables]))
    sampled = np.flatnonzero(table.fraud | (np.arange(len(table.fraud)) % ONE_IN == 0))
    order = sampled[np.argsort(table.rows["at_us"].to_numpy()[sampled], kind="stable")]
    settings = Settings(alerts_per_day=budget * len(TRAIN_SEEDS), trials=1, folds=2)
    model = train_model(declared, Table(table.values[order], table.rows[order]), settings)
    frauds, rows, took_s = int(table.fraud.sum()), table.rows.height, time.perf_counter() - begun
    print(f"trained on {len(sampled)} of {rows} transactions of {len(TRAIN_SEEDS)} operators, {frauds} frauds, {took_s:.0f} s")
    booster, parts, alerts = model.booster(), [], []
    for seed in TEST_SEEDS:
        usage, events, truth = operator(folder, seed, subscribers, days)
        features = history(declared, events)
        probability = model.calibration.probability(margins(booster, matrix(features, declared.names)))
        parties = events.filter(~pl.col("is_label")).select("event_id", "at_us", "day", party=party())
        scored = features.select("event_id").with_columns(score=pl.Series(probability)).join(parties, on="event_id")
        of_day = (
            scored.group_by("day", "party")
            .agg(top=pl.col("score").max())
            .sort(["day", "top", "party"], descending=[False, True, False])
        )
        top = (
            of_day.group_by("day", maintain_order=True)
            .head(budget)
            .with_columns(seed=pl.lit(seed), cut=pl.col("top").min().over("day"))
        )
        parts.append(cases_of(truth, usage, scored, seed).join(top.drop("seed"), on=["day", "party"], how="left"))
        frauds = parts[-1].filter(pl.col("category") == "fraud").select("day", "party").unique().with_columns(fraud=pl.lit(1))
        alerts.append(top.join(frauds, on=["day", "party"], how="left"))
    show(pl.concat(parts), pl.concat(alerts), budget)


def show(records: pl.DataFrame, alerts: pl.DataFrame, budget: int) -> None:
    overall = pl.concat([alerts]).select(precision=pl.col("fraud").fill_null(0).mean(), alerts=pl.len())
    print(f"budget {budget} parties a day: {overall['alerts'][0]} alerts on operators new to the model, "
          f"precision {overall['precision'][0]:.3f}")  # fmt: skip
    rows = records.with_columns(caught=pl.col("cut").is_not_null(), hit=pl.col("score") >= pl.col("cut"))
    first = rows.filter("hit").group_by("case").agg(first_us=pl.col("at_us").min())
    rows = rows.join(first, on="case", how="left")
    stopped = pl.when(pl.col("at_us") > pl.col("first_us") + REACTION_US).then("money_micros").otherwise(0)
    per_case = rows.group_by("category", "kind", "variant", "case").agg(
        pl.col("caught").any(),
        records=pl.len(),
        alerted=pl.col("caught").sum(),
        money=pl.col("money_micros").sum(),
        stopped=stopped.sum(),
    )
    summary = per_case.group_by("category", "kind", "variant").agg(
        cases=pl.len(), cases_caught=pl.col("caught").sum(),
        records=pl.col("records").sum(), records_alerted=pl.col("alerted").sum(),
        money=pl.col("money").sum() / 1e6, stopped=pl.col("stopped").sum() / 1e6,
    ).sort("category", "kind", "variant")  # fmt: skip
    with pl.Config(
        tbl_rows=60,
        tbl_cols=12,
        tbl_width_chars=150,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        float_precision=1,
    ):
        print(summary)
    frauds = per_case.filter(pl.col("category") == "fraud")
    for variant, of in (
        ("plain", frauds.filter(pl.col("variant") == "plain")),
        ("hard", frauds.filter(pl.col("variant") == "hard")),
    ):
        money = of["stopped"].sum() / max(1, of["money"].sum())
        print(f"{variant}: {of['caught'].sum()} of {of.height} cases caught; share of their money stopped: {money:.2f}")
    innocent = per_case.filter(pl.col("category") == "lookalike")
    print(f"look-alikes: {innocent['caught'].sum()} of {innocent.height} raised an alert")
    missed = frauds.group_by("kind", "variant").agg(pl.col("caught").any()).filter(~pl.col("caught")).sort("kind", "variant")
    print("never caught: " + (", ".join(f"{k} ({v})" for k, v, _ in missed.iter_rows()) or "none"))


if __name__ == "__main__":
    main()
