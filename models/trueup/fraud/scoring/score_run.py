"""The scoring of a log: features → margin → probability → what is suspicious, with reasons, committed once; all are counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import polars as pl

from trueup.clock import Clock, system_clock
from trueup.config import FraudConfig, Project
from trueup.errors import LogError
from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.telecom import telecom_features, transactions
from trueup.fraud.load import decisions_of, first_day_needed, label_events, party, usage_of
from trueup.fraud.monitoring.drift import MARGIN, counts
from trueup.fraud.record import scoring_record
from trueup.fraud.scoring.model import Model
from trueup.fraud.scoring.model_registry import NO_MODEL, ModelInterval, active_models, models_of, within
from trueup.fraud.scoring.model_score import scored, with_reasons
from trueup.fraud.scoring.rules import rule_matches, with_cell_areas, with_rule_features
from trueup.log.lake import Lake, Transaction
from trueup.progress import LogFn

CONSUMER = "score"
KEPT_COLUMNS = ("event_id", "position", "bucket", "day", "started_at", "service", "subscriber", "peer", "party")
"""What is kept of a suspicious transaction beside what was said of it."""


@dataclass(frozen=True)
class ScoreBatch:
    """Rows for `events.score`, `events.scoring` and `events.drift`."""

    score: pl.DataFrame
    scoring: pl.DataFrame
    drift: pl.DataFrame


EMPTY = ScoreBatch(pl.DataFrame(), pl.DataFrame(), pl.DataFrame())
"""No transaction came."""


@dataclass(frozen=True)
class ScoreSummary:
    """What a run did. `skipped` says why nothing was done, where nothing was."""

    from_position: int
    to_position: int
    transactions: int = 0
    suspicious: int = 0
    models: dict[str, str] = field(default_factory=dict)
    skipped: str = ""


def score(project: Project, *, clock: Clock = system_clock, log: LogFn | None = None) -> ScoreSummary:
    """Scores the usage records the log holds beyond what was scored before, and commits what is suspicious once.

    Running it again adds nothing. Raises `ModelError` for a model that is damaged or made for other features, and `LogError` when
    another run has moved the position meanwhile.
    """
    config = project.config.fraud
    with Lake.open(project, clock=clock) as lake:
        wanted = pending(lake)
        if isinstance(wanted, ScoreSummary):
            return wanted
        after, upto, judged = wanted.after, wanted.upto, EMPTY
        if wanted.first_day is not None:
            usage = usage_of(lake, upto=upto, first_day=wanted.first_day)
            if log:
                log(f"scoring positions {after + 1} to {upto}, looking back over {usage.height} records")
            labels = label_events(lake, project, decisions_of(lake, project), upto=upto)
            events = with_cell_areas(pl.concat([transactions(usage, config), labels]), config.rule)
            features = history(with_rule_features(telecom_features(), config.rule), events, wanted=events["position"] > after)
            judged = score_transactions(events, features, wanted.parts, wanted.models, config, upto=upto)
        commit_judged(lake, judged, after=after, upto=upto)
    return summary_of(judged, wanted.parts, after=after, upto=upto)


@dataclass(frozen=True)
class PendingScoring:
    """What a run has to score: positions (after, upto], the models in force there, and the earliest day that windows reach back to,
    None where no record came."""

    after: int
    upto: int
    parts: list[ModelInterval]
    models: dict[str, Model]
    first_day: date | None


def pending(lake: Lake) -> PendingScoring | ScoreSummary:
    """What there is to score; what a run says of itself where there is nothing. Raises `ModelError` for models of no use."""
    after, upto = lake.consumer_position(CONSUMER), lake.last_position()
    if after == upto:
        return ScoreSummary(after, after)
    parts = active_models(lake, after=after, upto=upto)
    if parts is None:
        return ScoreSummary(after, after, skipped=NO_MODEL)
    models = models_of(lake.project, telecom_features(), parts)
    declared = with_rule_features(telecom_features(), lake.project.config.fraud.rule)
    return PendingScoring(after, upto, parts, models, first_day_needed(lake, declared, after=after, upto=upto))


def summary_of(judged: ScoreBatch, parts: list[ModelInterval], *, after: int, upto: int) -> ScoreSummary:
    """What a run that judged (after, upto] did."""
    looked = judged.scoring.filter(pl.col("role").is_in(["champion", "none"])) if judged.scoring.height else judged.scoring
    return ScoreSummary(
        after, upto, int(looked["transactions"].sum()) if looked.height else 0,
        judged.score.filter(pl.col("role") != "challenger")["event_id"].n_unique() if judged.score.height else 0,
        {s.model_id: s.role for s in parts},
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
    """What models and rules say of the transactions whose features are told. Batch and stream call this."""
    seen = events.filter(~pl.col("is_label")).with_columns(party=party()).select(KEPT_COLUMNS)
    seen = features.select("event_id").join(seen.unique("event_id", keep="first"), on="event_id", how="left", maintain_order="left")
    scores, tallies, spreads = [], [], []
    told_by_champion = pl.repeat(False, seen.height, eager=True)
    for part in parts:
        inside = seen.select(within("position", part)).to_series()
        if not inside.any():
            continue
        model, booster = models[part.model_id], models[part.model_id].booster()
        rows, of_part = seen.filter(inside), features.filter(inside)
        said = scored(model, of_part, booster=booster)
        found = of_part.filter(said["suspicious"])
        reasons = with_reasons(model, found, booster=booster)
        told = rows.join(said.filter("suspicious").drop("suspicious"), on="event_id", how="inner", maintain_order="left")
        told = told.join(reasons, on="event_id", how="left", maintain_order="left")
        scores.append(_named(told, "model", part.model_id, part.role))
        tallies.append(_tally(rows, said["suspicious"], "model", part.model_id, part.role))
        spreads.append(_spread(model, rows, of_part, said["margin"]))
        if part.role == "champion":
            told_by_champion = told_by_champion | inside
    if not told_by_champion.all():
        left = seen.filter(~told_by_champion)
        tallies.append(_tally(left, pl.repeat(False, left.height, eager=True), "none", "", "none"))
    for part_scores, part_tally in _by_rules(events, features, seen, config):
        scores.append(part_scores)
        tallies.append(part_tally)
    at = pl.lit(upto, pl.Int64).alias("position")
    counted, spread = (_all(p).with_columns(at) if p else pl.DataFrame() for p in (tallies, spreads))
    return ScoreBatch(_all(scores), counted, spread)


def _by_rules(
    events: pl.DataFrame, features: pl.DataFrame, seen: pl.DataFrame, config: FraudConfig
) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    found = rule_matches(config.rule, events, features)
    parts = []
    for rule in config.rule:
        role = "shadow" if rule.shadow else "alert"
        held = found.filter(pl.col("rule") == rule.name)
        told = seen.join(held.select("event_id", "reason"), on="event_id", how="inner", maintain_order="left")
        sentences = pl.struct(sentences=pl.concat_list("reason")).struct.json_encode()
        told = told.with_columns(margin=pl.lit(None, pl.Float64), probability=pl.lit(None, pl.Float64), reasons=sentences).drop(
            "reason"
        )
        parts.append((
            _named(told.clear() if rule.shadow else told, "rule", rule.name, role),
            _tally(seen, seen["event_id"].is_in(held["event_id"].implode()), "rule", rule.name, role),
        ))  # fmt: skip
    return parts


def _named(rows: pl.DataFrame, source: str, name: str, role: str) -> pl.DataFrame:
    return rows.with_columns(source=pl.lit(source), name=pl.lit(name), role=pl.lit(role))


def _tally(rows: pl.DataFrame, suspicious: pl.Series, source: str, name: str, role: str) -> pl.DataFrame:
    counted = rows.select("day", suspicious=suspicious).group_by("day").agg(
        transactions=pl.len().cast(pl.Int64), suspicious=pl.col("suspicious").sum().cast(pl.Int64)
    )  # fmt: skip
    return _named(counted.sort("day"), source, name, role)


def _spread(model: Model, rows: pl.DataFrame, features: pl.DataFrame, margin: pl.Series) -> pl.DataFrame:
    """Counts by bin of each feature and of the margin, day by day, beside the shares the model was trained on."""
    reference = model.card.get("reference", {})
    parts = []
    for day in rows["day"].unique().sort():
        mine = rows["day"] == day
        columns = features.filter(mine).with_columns(margin.filter(mine).alias(MARGIN))
        for name in (*model.feature_names, MARGIN):
            if name not in reference:
                continue
            found = counts(columns[name].cast(pl.Float32).to_numpy(), reference[name]["edges"])
            parts.append(pl.DataFrame({
                "bin": range(len(found)), "transactions": found, "expected": reference[name]["shares"],
            }).with_columns(day=pl.lit(day), feature=pl.lit(name), name=pl.lit(model.model_id)))  # fmt: skip
    return _all(parts)


def _all(parts: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(parts, how="diagonal") if parts else pl.DataFrame()


def commit_judged(lake: Lake, judged: ScoreBatch, *, after: int, upto: int) -> bool:
    """Commits what was said of (after, upto] and the consumer's position; False where it is there already.

    Raises `LogError` when another run has moved the position meanwhile.
    """

    def write(transaction: Transaction) -> bool:
        standing = lake.consumer_position(CONSUMER)
        if standing >= upto:
            return False
        if standing != after:
            raise LogError(
                f"the lake has been scored up to {standing} meanwhile, this run began at {after}",
                where=str(lake.project.directory), todo="run it again",
            )  # fmt: skip
        for table, rows in (("score", judged.score), ("scoring", judged.scoring), ("drift", judged.drift)):
            transaction.append(table, rows)
        transaction.set_consumer_position(
            CONSUMER, upto, configuration=transaction.record(scoring_record(lake.project.config.fraud))
        )
        return True

    return lake.commit(write)
