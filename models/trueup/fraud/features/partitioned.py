"""Score in partitions: compute windows per entity, and score each transaction in its owner range.

An engine divides events by entity (`partition_by_entity`) and computes the features of each part in the worker that holds its
windows. The engine routes features to the owner range (`route_features`) and scores the transactions there (`score_owner_range`).
An owner range is a range of the lake's buckets; a part is a group of an entity's values. Every engine gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.config import FraudConfig
from trueup.fraud.features.feature_engine import HEAD, join_entity_features
from trueup.fraud.features.feature_spec import FeatureError, FeatureSet
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.scoring.model import Model
from trueup.fraud.scoring.model_registry import ModelInterval
from trueup.fraud.scoring.rules import rules_of, with_rule_features
from trueup.fraud.scoring.score_run import SCORE_COLUMNS, ScoreBatch, score_transactions
from trueup.log.lake import BucketRange

GROUPING = f"polars {pl.__version__}"
"""The library that assigns values to groups; another version may assign other groups."""
_FACTS = ("is_label", "is_received", "called")
HOME = "home"


@dataclass(frozen=True)
class Part:
    """A group of one entity's values: the index of the entity among those declared, and the number of the group."""

    entity: int
    group: int


def declared_for(config: FraudConfig) -> FeatureSet:
    """Return the features that the models and the rules of a configuration use."""
    return with_rule_features(telecom_features(), rules_of(config))


def grouped(events: pl.DataFrame, entity: Sequence[str], groups: int) -> pl.Series:
    """Return the group of each event's entity value; missing where a column of the entity is missing."""
    columns = [pl.col(c) for c in entity]
    group = (pl.struct(columns).hash(seed=0) % groups).cast(pl.Int64)
    return events.select(group=pl.when(pl.all_horizontal(c.is_not_null() for c in columns)).then(group)).to_series()


def owner_ranges(events: pl.DataFrame, ranges: Sequence[BucketRange]) -> pl.Series:
    """Return the number of the bucket range of each event."""
    first = np.array([r.first for r in ranges])
    return pl.Series(HOME, np.searchsorted(first, events["bucket"].to_numpy(), side="right") - 1, dtype=pl.Int32)


def partition_by_entity(
    declared: FeatureSet, events: pl.DataFrame, ranges: Sequence[BucketRange], groups: int
) -> Iterator[tuple[Part, pl.DataFrame]]:
    """Yield the events of each part of each entity, with their owner range.

    An event without a value of an entity is in no part of that entity.
    """
    with_owner = events.with_columns(owner_ranges(events, ranges))
    for number, own in enumerate(declared.per_entity):
        group = grouped(with_owner, own.entities[0], groups)
        columns = [*HEAD, HOME, *(c for c in own.columns if c not in HEAD)]
        for value in group.unique().drop_nulls().sort().to_list():
            yield Part(number, value), with_owner.filter(group == value).select(columns)


def transactions_by_owner(
    declared: FeatureSet, events: pl.DataFrame, ranges: Sequence[BucketRange]
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield the transactions of each non-empty owner range, with the columns that scoring needs besides windowed features."""
    parts = (c for entity in declared.entities for c in entity)
    columns = dict.fromkeys((*SCORE_COLUMNS, *_FACTS, *parts, *declared.own))
    rows = events.filter(~pl.col("is_label"))
    owner = owner_ranges(rows, ranges)
    for number in owner.unique().sort().to_list():
        yield number, rows.filter(owner == number).select(*columns)


def route_features(features: pl.DataFrame, home: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield features of a part's transactions by owner range; `home` has a row per transaction: `event_id`, `home`."""
    where = features.select("event_id").join(home, on="event_id", how="left", maintain_order="left")[HOME]
    for number in where.unique().sort().to_list():
        yield number, features.filter(where == number)


def join_features(
    declared: FeatureSet, facts: pl.DataFrame, features_by_entity: Mapping[int, Sequence[pl.DataFrame]]
) -> pl.DataFrame:
    """Join the features that each entity's parts computed for the transactions of an owner range.

    Raises `FeatureError` unless every entity's parts returned each transaction exactly once.
    """
    parts = []
    for number, own in enumerate(declared.per_entity):
        nothing = facts.select("event_id", *(pl.lit(None, pl.Int64).alias(n) for n in own.names)).clear()
        part = pl.concat([nothing, *features_by_entity.get(number, ())], how="vertical_relaxed")
        due = facts.filter(pl.all_horizontal(pl.col(c).is_not_null() for c in own.entities[0]))
        if part.height != due.height or not due.join(part, on="event_id", how="anti").is_empty():
            raise FeatureError(
                f"the windows of {' and '.join(own.entities[0])} returned {part.height} transactions instead of {due.height}",
                todo="run `trueup stream --fresh`, which rebuilds them from the log",
            )
        parts.append(part)
    return join_entity_features(declared, facts, parts)


def score_owner_range(
    config: FraudConfig, facts: pl.DataFrame, features_by_entity: Mapping[int, Sequence[pl.DataFrame]], parts: list[ModelInterval],
    models: dict[str, Model], *, upto: int,
) -> ScoreBatch:  # fmt: skip
    """Score the transactions of an owner range by models and rules."""
    return score_transactions(
        facts, join_features(declared_for(config), facts, features_by_entity), parts, models, config, upto=upto
    )


def merge_scores(batches: Sequence[ScoreBatch]) -> ScoreBatch:
    """Merge the scores of several owner ranges: concatenate their rows and add up their counts."""

    def add_counts(frames: list[pl.DataFrame], *counted: str) -> pl.DataFrame:
        with_columns = [f for f in frames if f.width]
        if not with_columns:
            return pl.DataFrame()
        rows = pl.concat(with_columns, how="diagonal")
        keys = [c for c in rows.columns if c not in counted]
        return rows.group_by(keys).agg(pl.col(counted).sum()).sort(keys, nulls_last=True)

    scores = [f.score for f in batches if f.score.height]
    return ScoreBatch(
        pl.concat(scores, how="diagonal") if scores else pl.DataFrame(),
        add_counts([f.scoring for f in batches], "transactions", "suspicious", "in_sample"),
        add_counts([f.drift for f in batches], "transactions"),
    )
