"""Score a log: compute features, margins and probabilities; commit suspicious transactions with reasons, and counts of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.config import FraudConfig, Project
from trueup.errors import LogError
from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.telecom import telecom_features, transactions
from trueup.fraud.load import decisions_of, first_day_needed, label_events, usage_of
from trueup.fraud.monitoring.drift import MARGIN, counts
from trueup.fraud.record import scoring_record
from trueup.fraud.scoring.model import Model
from trueup.fraud.scoring.model_registry import SCORER, ModelInterval, active_models, models_of, no_model, within
from trueup.fraud.scoring.model_score import score_features, with_reasons
from trueup.fraud.scoring.rules import rule_matches, rules_of, with_cell_areas, with_rule_features
from trueup.log.lake import Lake, Transaction
from trueup.progress import LogFn

CONSUMER = SCORER
SCORE_COLUMNS = (
    "event_id", "position", "bucket", "day", "started_at", "service", "subscriber", "peer", "loss_micros", "currency",
)  # fmt: skip
"""The columns of a suspicious transaction that are stored with its score."""


@dataclass(frozen=True)
class ScoreBatch:
    """Rows for `events.score`, `events.scoring` and `events.drift`."""

    score: pl.DataFrame
    scoring: pl.DataFrame
    drift: pl.DataFrame


EMPTY = ScoreBatch(pl.DataFrame(), pl.DataFrame(), pl.DataFrame())
"""The scores of no transaction."""


@dataclass(frozen=True)
class ScoreSummary:
    """The counts of a scoring run. `skipped` is the reason why a run scored nothing.

    `exposure` is the loss by the suspicious transactions if they are fraud. `value_detected_ratio` comes from the card of the
    champion. The ratio is the share of all fraud money that was in the cases within the budget, on days after the training.
    """

    from_position: int
    to_position: int
    transactions: int = 0
    suspicious: int = 0
    models: dict[str, str] = field(default_factory=dict)
    skipped: str = ""
    exposure: Decimal | None = None
    currency: str | None = None
    value_detected_ratio: float | None = None


def score(project: Project, *, clock: Clock = system_clock, log: LogFn | None = None) -> ScoreSummary:
    """Score the usage records that no earlier run scored, and commit the suspicious ones exactly once.

    A second run adds nothing. Raises `ModelError` for a model that is damaged or trained on other features, and `LogError` when
    another run has advanced the position meanwhile.
    """
    config = project.config.fraud
    with Lake.open(project, clock=clock) as lake:
        due = pending(lake)
        if isinstance(due, ScoreSummary):
            return due
        after, upto, judged = due.after, due.upto, EMPTY
        if due.first_day is not None:
            usage = usage_of(lake, upto=upto, first_day=due.first_day)
            if log:
                log(f"scoring positions {after + 1} to {upto}, looking back over {usage.height} records")
            labels = label_events(lake, project, decisions_of(lake, project), upto=upto)
            rules = rules_of(config)
            events = with_cell_areas(pl.concat([transactions(usage, config), labels]), rules)
            features = history(with_rule_features(telecom_features(), rules), events, requested=events["position"] > after)
            judged = score_transactions(events, features, due.parts, due.models, config, upto=upto)
        commit_judged(lake, judged, after=after, upto=upto)
    return summary_of(judged, due)


@dataclass(frozen=True)
class PendingScoring:
    """The work of a scoring run: positions (after, upto], the models in force there, and the first day that windows cover.

    `first_day` is None where no record arrived.
    """

    after: int
    upto: int
    parts: list[ModelInterval]
    models: dict[str, Model]
    first_day: date | None


def pending(lake: Lake) -> PendingScoring | ScoreSummary:
    """Return the work of the next run; where there is nothing to score, return its summary.

    Raises `ModelError` for a model that cannot be used.
    """
    after, upto = lake.consumer_position(CONSUMER), lake.last_position()
    if after == upto:
        return ScoreSummary(after, after)
    parts = active_models(lake, after=after, upto=upto)
    if parts is None:
        return ScoreSummary(after, after, skipped=no_model(lake.project))
    models = models_of(lake.project, telecom_features(), parts)
    declared = with_rule_features(telecom_features(), rules_of(lake.project.config.fraud))
    return PendingScoring(after, upto, parts, models, first_day_needed(lake, declared, after=after, upto=upto))


def summary_of(judged: ScoreBatch, due: PendingScoring) -> ScoreSummary:
    """Return the summary of a run that scored pending work."""
    alerts = judged.score.filter(pl.col("role") != "challenger").unique("event_id") if judged.score.height else judged.score
    priced = alerts.drop_nulls("loss_micros") if alerts.height else alerts
    champions = [due.models[s.model_id].card for s in due.parts if s.role == "champion"]
    counted = judged.scoring.filter(pl.col("role").is_in(["champion", "none"])) if judged.scoring.height else judged.scoring
    return ScoreSummary(
        due.after, due.upto, int(counted["transactions"].sum()) if counted.height else 0, alerts.height,
        {s.model_id: s.role for s in due.parts},
        exposure=Decimal(int(priced["loss_micros"].sum())).scaleb(-6) if priced.height else None,
        currency=priced["currency"][0] if priced.height else None,
        value_detected_ratio=champions[-1].get("metrics", {}).get("value_detected_ratio") if champions else None,
    )  # fmt: skip


def score_transactions(
    events: pl.DataFrame,
    features: pl.DataFrame,
    parts: list[ModelInterval],
    models: dict[str, Model],
    config: FraudConfig,
    *,
    upto: int,
) -> ScoreBatch:
    """Score the transactions in `features` by models and rules. Batch and stream both call this function.

    `events` has the facts of the transactions; `upto` is the position of the counts.
    """
    facts = events.filter(~pl.col("is_label")).select(SCORE_COLUMNS)
    facts = features.select("event_id").join(
        facts.unique("event_id", keep="first"), on="event_id", how="left", maintain_order="left"
    )
    scores, tallies, spreads, owners = [], [], [], telecom_features().owners
    scored_by_champion = pl.repeat(False, facts.height, eager=True)
    for part in parts:
        inside = facts.select(within("position", part)).to_series()
        if not inside.any():
            continue
        model, booster = models[part.model_id], models[part.model_id].booster()
        rows, of_part = facts.filter(inside), features.filter(inside)
        rows = rows.with_columns(in_sample=in_sample(model))
        of_model = score_features(model, of_part, booster=booster, threshold=part.threshold)
        reported, has_peer = of_part.filter(of_model["suspicious"]), rows.filter(of_model["suspicious"])["peer"].is_not_null()
        reasons = with_reasons(model, reported, owners=owners, has_peer=has_peer, booster=booster)
        alerts = rows.join(of_model.filter("suspicious").drop("suspicious"), on="event_id", how="inner", maintain_order="left")
        alerts = _list_accusations(alerts, reasons)
        scores.append(_add_source(alerts, "model", part.model_id, part.role))
        tallies.append(_tally(rows, of_model["suspicious"], "model", part.model_id, part.role))
        spreads.append(_spread(model, rows, of_part, of_model["margin"]))
        if part.role == "champion":
            scored_by_champion = scored_by_champion | inside
    if not scored_by_champion.all():
        remaining = facts.filter(~scored_by_champion)
        tallies.append(_tally(remaining, pl.repeat(False, remaining.height, eager=True), "none", "", "none"))
    for part_scores, part_tally in _by_rules(events, features, facts, config):
        scores.append(part_scores)
        tallies.append(part_tally)
    at = pl.lit(upto, pl.Int64).alias("position")
    counted, spread = (_concat_parts(p).with_columns(at) if p else pl.DataFrame() for p in (tallies, spreads))
    return ScoreBatch(_concat_parts(scores), counted, spread)


def _by_rules(
    events: pl.DataFrame, features: pl.DataFrame, facts: pl.DataFrame, config: FraudConfig
) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    rules = rules_of(config)
    owners = with_rule_features(telecom_features(), rules).owners
    matches = rule_matches(rules, events, features, owners)
    parts = []
    for rule in rules:
        role = "shadow" if rule.shadow else "alert"
        of_rule = matches.filter(pl.col("rule") == rule.name)
        # Where a rule accuses both ends, the subscriber gets rank 1.
        accusing = of_rule.select("event_id", "side", "reasons").sort("event_id", "side", descending=[False, True])
        accusing = accusing.with_columns(party_rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("event_id"))
        alerts = _list_accusations(facts, accusing).with_columns(
            margin=pl.lit(None, pl.Float64), probability=pl.lit(None, pl.Float64)
        )
        parts.append((
            _add_source(alerts.clear() if rule.shadow else alerts, "rule", rule.name, role),
            _tally(facts, facts["event_id"].is_in(of_rule["event_id"].implode()), "rule", rule.name, role),
        ))  # fmt: skip
    return parts


def _list_accusations(rows: pl.DataFrame, reasons: pl.DataFrame) -> pl.DataFrame:
    """Return one row per transaction and accused party; a party that calls itself is accused once."""
    both = rows.join(reasons, on="event_id", how="inner", maintain_order="left_right")
    party = pl.when(pl.col("side") == "peer").then("peer").otherwise("subscriber")
    return both.with_columns(party=party).drop("side").unique(["event_id", "party"], keep="first", maintain_order=True)


def in_sample(model: Model) -> pl.Expr:
    """Return whether the training of a model covered a transaction, judged by position and time."""
    trained = model.card.get("trained_on")
    if trained is None:
        return pl.lit(value=False)
    at_us = pl.col("started_at").dt.epoch("us")
    before: pl.Expr = pl.col("position") <= trained["position"]
    return before & at_us.is_between(trained["first_us"], trained["last_us"])


def _add_source(rows: pl.DataFrame, source: str, name: str, role: str) -> pl.DataFrame:
    return rows.with_columns(source=pl.lit(source), name=pl.lit(name), role=pl.lit(role))


def _tally(rows: pl.DataFrame, suspicious: pl.Series, source: str, name: str, role: str) -> pl.DataFrame:
    seen = rows["in_sample"] if "in_sample" in rows.columns else pl.repeat(False, rows.height, eager=True)
    counted = rows.select("day", suspicious=suspicious, in_sample=seen).group_by("day").agg(
        transactions=pl.len().cast(pl.Int64), suspicious=pl.col("suspicious").sum().cast(pl.Int64),
        in_sample=pl.col("in_sample").sum().cast(pl.Int64),
    )  # fmt: skip
    return _add_source(counted.sort("day"), source, name, role)


def _spread(model: Model, rows: pl.DataFrame, features: pl.DataFrame, margin: pl.Series) -> pl.DataFrame:
    """Count each feature and the margin by day and bin, with the shares of the bins in training."""
    reference = model.card.get("reference", {})
    parts = []
    for day in rows["day"].unique().sort():
        of_day = rows["day"] == day
        columns = features.filter(of_day).with_columns(margin.filter(of_day).alias(MARGIN))
        for name in (*model.feature_names, MARGIN):
            if name not in reference:
                continue
            bin_counts = counts(columns[name].cast(pl.Float32).to_numpy(), reference[name]["edges"])
            parts.append(pl.DataFrame({
                "bin": range(len(bin_counts)), "transactions": bin_counts, "expected": reference[name]["shares"],
            }).with_columns(day=pl.lit(day), feature=pl.lit(name), name=pl.lit(model.model_id)))  # fmt: skip
    return _concat_parts(parts)


def _concat_parts(parts: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(parts, how="diagonal") if parts else pl.DataFrame()


def commit_judged(lake: Lake, judged: ScoreBatch, *, after: int, upto: int) -> bool:
    """Commit the scores of (after, upto] and the consumer's position; return False where they are committed already.

    Raises `LogError` when another run has advanced the position meanwhile.
    """

    def write(transaction: Transaction) -> bool:
        committed = lake.consumer_position(CONSUMER)
        if committed >= upto:
            return False
        if committed != after:
            raise LogError(
                f"the lake has been scored up to {committed} meanwhile, this run began at {after}",
                where=str(lake.project.directory), todo="run it again",
            )  # fmt: skip
        for table, rows in (("score", judged.score), ("scoring", judged.scoring), ("drift", judged.drift)):
            transaction.append(table, rows)
        transaction.set_consumer_position(
            CONSUMER, upto, configuration=transaction.record(scoring_record(lake.project.config.fraud))
        )
        return True

    return lake.commit(write)
