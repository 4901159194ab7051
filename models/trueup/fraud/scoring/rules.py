"""Rules beside the model, for what needs no learning; in shadow they count and do not alert.

A rule holds for a transaction by its own facts and features alone, so that it says the same in batch and stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from trueup.config import HotRule
from trueup.fraud.features.feature_spec import Feature, FeatureError, FeatureSet

TOLD = {
    "hot_list": "a number on the hot list",
    "range": "a destination range to watch",
    "velocity": "more than the limit",
    "overlap": "calls at once",
    "travel": "distant places within a time nobody could travel in",
}
OVERLAP = "sub_open_4h"


def with_rule_features(declared: FeatureSet, rules: Sequence[HotRule]) -> FeatureSet:
    """Features with what rules need beside them; a model sees its own by name."""
    travel = (r for r in rules if r.kind == "travel")
    extra = tuple(Feature(_places(r), ("subscriber",), r.within, "distinct", _area(r)) for r in travel)
    return replace(declared, features=declared.features + extra)


def with_cell_areas(events: pl.DataFrame, rules: Sequence[HotRule]) -> pl.DataFrame:
    """Events with the area of each record's cell, as each rule about travel tells it."""
    return events.with_columns(pl.col("cell").str.extract(r.area).alias(_area(r)) for r in rules if r.kind == "travel")


def _area(rule: HotRule) -> str:
    return f"area of {rule.name}"


def _places(rule: HotRule) -> str:
    return f"places of {rule.name}"


def rule_matches(rules: Sequence[HotRule], events: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    """Which rule holds for which transaction whose features are told: `event_id`, `rule`, `shadow`, `reason`.

    `events` are transactions with their facts, `features` those of `watched`. Raises `FeatureError` for a rule about a feature
    that is none.
    """
    facts = events.filter(~pl.col("is_label")).select("event_id", "subscriber", "peer", "called").unique("event_id", keep="first")
    seen = features.join(facts, on="event_id", how="left", maintain_order="left")
    nothing: dict[str, object] = {
        "event_id": features.schema["event_id"],
        "rule": pl.String,
        "shadow": pl.Boolean,
        "reason": pl.String,
    }
    parts = [pl.DataFrame(schema=nothing)]  # type: ignore[arg-type]
    for rule in rules:
        found = seen.filter(_rule_condition(rule, seen))
        reason = pl.lit(f"{rule.name}: {TOLD[rule.kind]}") + _how_much(rule)
        parts.append(found.select("event_id", rule=pl.lit(rule.name), shadow=pl.lit(rule.shadow), reason=reason))
    return pl.concat(parts).sort("rule", "event_id")


def _rule_condition(rule: HotRule, seen: pl.DataFrame) -> pl.Expr:
    match rule.kind:
        case "hot_list":
            return pl.col("peer").is_in(rule.numbers) | pl.col("subscriber").is_in(rule.numbers)
        case "range":
            return pl.any_horizontal(pl.col("called").str.starts_with(p) for p in rule.prefixes)
        case "velocity" | "overlap" | "travel":
            if _number(rule) not in seen.columns:
                raise FeatureError(f"the rule is about {_number(rule)!r}, which is no feature", where=rule.name)
            return pl.col(_number(rule)) > _limit(rule)


def _number(rule: HotRule) -> str:
    """The feature a rule is about."""
    if rule.kind == "travel":
        return _places(rule)
    return rule.feature if rule.kind == "velocity" and rule.feature else OVERLAP


def _limit(rule: HotRule) -> int:
    return max(rule.above, 1) if rule.kind == "travel" else rule.above


def _how_much(rule: HotRule) -> pl.Expr:
    if rule.kind in ("hot_list", "range"):
        return pl.lit("")
    return pl.lit(", ") + pl.col(_number(rule)).cast(pl.Int64).cast(pl.String) + pl.lit(f" against {_limit(rule)}")


def back_test(found: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Over history, for each rule: transactions it holds for, those that were fraud, precision, and its share of all frauds.

    `known`: `event_id` and `fraud` of every transaction whose label is known; others are not counted.
    """
    frauds = int(known["fraud"].sum())
    judged = found.join(known, on="event_id", how="inner")
    counted = judged.group_by("rule", "shadow").agg(transactions=pl.len(), frauds=pl.col("fraud").sum())
    share = {"precision": pl.col("frauds") / pl.col("transactions"), "recall": pl.col("frauds") / max(1, frauds)}
    return counted.with_columns(**share).sort("rule")
