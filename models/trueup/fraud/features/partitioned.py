"""Scoring in pieces: windows where an entity's events meet, the judgement where a transaction is at home.

An engine divides events by entity (`divided`), has each part's features told by whoever holds that part of the windows, sends
them home (`homeward`), and has each home's transactions judged (`judged_at_home`). A home is a range of the lake's buckets; a part
is a group of an entity's values. Which engine carries the pieces makes no difference to any number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.config import FraudConfig
from trueup.fraud.features.feature_engine import HEAD, joined
from trueup.fraud.features.feature_spec import FeatureError, FeatureSet
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.scoring.model import Model
from trueup.fraud.scoring.model_registry import ModelInterval
from trueup.fraud.scoring.rules import with_rule_features
from trueup.fraud.scoring.score_run import KEPT_COLUMNS, ScoreBatch, score_transactions
from trueup.log.lake import BucketRange

GROUPING = f"polars {pl.__version__}"
"""Who says which group a value is in: another version may say another one."""
_FACTS = ("is_label", "is_received", "called")
HOME = "home"


@dataclass(frozen=True)
class Part:
    """A group of one entity's values: the number of the entity among those declared, and of the group."""

    entity: int
    group: int


def declared_for(config: FraudConfig) -> FeatureSet:
    """The features that models and the rules of a configuration ask for."""
    return with_rule_features(telecom_features(), config.rule)


def grouped(events: pl.DataFrame, entity: Sequence[str], groups: int) -> pl.Series:
    """The group of each event's value of an entity; missing where a part of it is."""
    columns = [pl.col(c) for c in entity]
    group = (pl.struct(columns).hash(seed=0) % groups).cast(pl.Int64)
    return events.select(group=pl.when(pl.all_horizontal(c.is_not_null() for c in columns)).then(group)).to_series()


def homes(events: pl.DataFrame, ranges: Sequence[BucketRange]) -> pl.Series:
    """The number of the range of buckets each event is in."""
    first = np.array([r.first for r in ranges])
    return pl.Series(HOME, np.searchsorted(first, events["bucket"].to_numpy(), side="right") - 1, dtype=pl.Int32)


def partition_by_entity(
    declared: FeatureSet, events: pl.DataFrame, ranges: Sequence[BucketRange], groups: int
) -> Iterator[tuple[Part, pl.DataFrame]]:
    """Events as each part of each entity needs them, with the home of each; those without a value of one are in none of its."""
    at_home = events.with_columns(homes(events, ranges))
    for number, alone in enumerate(declared.apart):
        group = grouped(at_home, alone.entities[0], groups)
        columns = [*HEAD, HOME, *(c for c in alone.columns if c not in HEAD)]
        for value in group.unique().drop_nulls().sort().to_list():
            yield Part(number, value), at_home.filter(group == value).select(columns)


def transactions_by_owner(
    declared: FeatureSet, events: pl.DataFrame, ranges: Sequence[BucketRange]
) -> Iterator[tuple[int, pl.DataFrame]]:
    """The transactions of each home, with what a judgement needs beside windows; homes without any have none."""
    parts = (c for entity in declared.entities for c in entity)
    columns = dict.fromkeys((*(c for c in KEPT_COLUMNS if c != "party"), *_FACTS, *parts, *declared.own))
    rows = events.filter(~pl.col("is_label"))
    home = homes(rows, ranges)
    for number in home.unique().sort().to_list():
        yield number, rows.filter(home == number).select(*columns)


def route_features(features: pl.DataFrame, home: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """Features of a part's transactions, divided by the home of each (`event_id`, `home`)."""
    where = features.select("event_id").join(home, on="event_id", how="left", maintain_order="left")[HOME]
    for number in where.unique().sort().to_list():
        yield number, features.filter(where == number)


def join_features(declared: FeatureSet, facts: pl.DataFrame, told: Mapping[int, Sequence[pl.DataFrame]]) -> pl.DataFrame:
    """Features of a home's transactions out of those each entity's parts told of them.

    Raises `FeatureError` where not every part that should know a transaction has told of it, once.
    """
    parts = []
    for number, alone in enumerate(declared.apart):
        nothing = facts.select("event_id", *(pl.lit(None, pl.Int64).alias(n) for n in alone.names)).clear()
        part = pl.concat([nothing, *told.get(number, ())], how="vertical_relaxed")
        due = facts.filter(pl.all_horizontal(pl.col(c).is_not_null() for c in alone.entities[0]))
        if part.height != due.height or not due.join(part, on="event_id", how="anti").is_empty():
            raise FeatureError(
                f"the windows of {' and '.join(alone.entities[0])} told of {part.height} transactions, not of {due.height}",
                todo="run `trueup stream --fresh`, which makes them of the log again",
            )
        parts.append(part)
    return joined(declared, facts, parts)


def score_owner_range(
    config: FraudConfig, facts: pl.DataFrame, told: Mapping[int, Sequence[pl.DataFrame]], parts: list[ModelInterval],
    models: dict[str, Model], *, upto: int,
) -> ScoreBatch:  # fmt: skip
    """What models and rules say of a home's transactions."""
    return score_transactions(facts, join_features(declared_for(config), facts, told), parts, models, config, upto=upto)


def merge_scores(found: Sequence[ScoreBatch]) -> ScoreBatch:
    """The judgements of several homes as one: their scores side by side, their counts added up."""

    def summed(frames: list[pl.DataFrame], *counted: str) -> pl.DataFrame:
        some = [f for f in frames if f.width]
        if not some:
            return pl.DataFrame()
        rows = pl.concat(some, how="diagonal")
        keys = [c for c in rows.columns if c not in counted]
        return rows.group_by(keys).agg(pl.col(counted).sum()).sort(keys, nulls_last=True)

    some = [f.score for f in found if f.score.height]
    return ScoreBatch(
        pl.concat(some, how="diagonal") if some else pl.DataFrame(),
        summed([f.scoring for f in found], "transactions", "suspicious"),
        summed([f.drift for f in found], "transactions"),
    )
