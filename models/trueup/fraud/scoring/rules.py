"""Apply rules in addition to the model; a rule in shadow counts and raises no alert.

A rule depends on a transaction's own facts and features alone, so its result is equal in batch and stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from trueup.config import HotRule
from trueup.fraud.features.feature_spec import Feature, FeatureError, FeatureSet
from trueup.party_numbers import digits_of, international_digits

RULE_TEXT = {
    "hot_list": "a number on the hot list",
    "range": "a destination range to watch",
    "velocity": "more than the limit",
    "overlap": "calls at once",
    "travel": "distant places within a time too short to travel",
}
OVERLAP = "sub_open_4h"


def with_rule_features(declared: FeatureSet, rules: Sequence[HotRule]) -> FeatureSet:
    """Return the features with those that rules need in addition; a model selects its own by name."""
    travel = (r for r in rules if r.kind == "travel")
    extra = tuple(Feature(_areas_visited(r), ("subscriber",), r.within, "distinct", _area(r)) for r in travel)
    return replace(declared, features=declared.features + extra)


def with_cell_areas(events: pl.DataFrame, rules: Sequence[HotRule]) -> pl.DataFrame:
    """Add the area of each record's cell, one column per travel rule."""
    return events.with_columns(pl.col("cell").str.extract(r.area).alias(_area(r)) for r in rules if r.kind == "travel")


def _area(rule: HotRule) -> str:
    return f"area of {rule.name}"


def _areas_visited(rule: HotRule) -> str:
    return f"places of {rule.name}"


def rule_matches(rules: Sequence[HotRule], events: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    """Return one row per rule and matching transaction: `event_id`, `rule`, `shadow`, `reason`.

    `events` are transactions with their facts; `features` are those of `with_rule_features`. Raises `FeatureError` for a rule on an
    unknown feature.
    """
    facts = events.filter(~pl.col("is_label")).select("event_id", "subscriber", "peer", "called").unique("event_id", keep="first")
    transactions = features.join(facts, on="event_id", how="left", maintain_order="left")
    match_schema: dict[str, object] = {
        "event_id": features.schema["event_id"],
        "rule": pl.String,
        "shadow": pl.Boolean,
        "reason": pl.String,
    }
    parts = [pl.DataFrame(schema=match_schema)]  # type: ignore[arg-type]
    for rule in rules:
        matches = transactions.filter(_rule_condition(rule, transactions))
        reason = pl.lit(f"{rule.name}: {RULE_TEXT[rule.kind]}") + _how_much(rule)
        parts.append(matches.select("event_id", rule=pl.lit(rule.name), shadow=pl.lit(rule.shadow), reason=reason))
    return pl.concat(parts).sort("rule", "event_id")


def _rule_condition(rule: HotRule, transactions: pl.DataFrame) -> pl.Expr:
    match rule.kind:
        case "hot_list":
            numbers = digits_of(rule.numbers)
            return pl.any_horizontal(international_digits(pl.col(name)).is_in(numbers) for name in ("peer", "subscriber"))
        case "range":
            called = international_digits(pl.col("called"))
            return pl.any_horizontal(called.str.starts_with(prefix) for prefix in digits_of(rule.prefixes))
        case "velocity" | "overlap" | "travel":
            if _number(rule) not in transactions.columns:
                raise FeatureError(f"the rule is about {_number(rule)!r}, an unknown feature", where=rule.name)
            return pl.col(_number(rule)) > _limit(rule)


def _number(rule: HotRule) -> str:
    """Return the name of the feature that a rule compares."""
    if rule.kind == "travel":
        return _areas_visited(rule)
    return rule.feature if rule.kind == "velocity" and rule.feature else OVERLAP


def _limit(rule: HotRule) -> int:
    return max(rule.above, 1) if rule.kind == "travel" else rule.above


def _how_much(rule: HotRule) -> pl.Expr:
    if rule.kind in ("hot_list", "range"):
        return pl.lit("")
    return pl.lit(", ") + pl.col(_number(rule)).cast(pl.Int64).cast(pl.String) + pl.lit(f" against {_limit(rule)}")


def back_test(matches: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return one row per rule: its transactions, the frauds among them, precision, and its share of all frauds.

    `known` has `event_id` and `fraud` of every transaction whose label is known; other matches are not counted.
    """
    frauds = int(known["fraud"].sum())
    judged = matches.join(known, on="event_id", how="inner")
    counted = judged.group_by("rule", "shadow").agg(transactions=pl.len(), frauds=pl.col("fraud").sum())
    share = {"precision": pl.col("frauds") / pl.col("transactions"), "recall": pl.col("frauds") / max(1, frauds)}
    return counted.with_columns(**share).sort("rule")
