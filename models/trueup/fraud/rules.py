"""Rules beside the model, for what needs no learning; in shadow they count and do not alert."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from trueup.config import HotRule
from trueup.fraud.declare import FeatureError, FeatureSet

TOLD = {
    "hot_list": "a number on the hot list", "range": "a destination range to watch", "velocity": "more than the limit",
    "overlap": "calls overlap", "travel": "two distant places in too short a time",
}  # fmt: skip
OVERLAP = "sub_open_4h"


def hits(rules: Sequence[HotRule], events: pl.DataFrame, features: pl.DataFrame, declared: FeatureSet) -> pl.DataFrame:
    """Which rule holds for which transaction: `event_id`, `rule`, `shadow`, `reason`.

    `events` are transactions with their facts, `features` those told; only transactions whose features are told are looked at.
    """
    seen = events.filter(~pl.col("is_label")).sort("at_us", "event_id")
    nothing: dict[str, pl.DataType | type[pl.DataType]] = {
        "event_id": events.schema["event_id"],
        "rule": pl.String,
        "shadow": pl.Boolean,
        "reason": pl.String,
    }
    parts = [pl.DataFrame(schema=nothing)]
    for rule in rules:
        found = _found(rule, seen, features, declared).select(
            "event_id", rule=pl.lit(rule.name), shadow=pl.lit(rule.shadow), reason="reason"
        )
        parts.append(found.join(features.select("event_id"), on="event_id", how="semi"))
    return pl.concat(parts).sort("rule", "event_id")


def _found(rule: HotRule, seen: pl.DataFrame, features: pl.DataFrame, declared: FeatureSet) -> pl.DataFrame:
    told = pl.lit(f"{rule.name}: {TOLD[rule.kind]}")
    match rule.kind:
        case "hot_list":
            listed = pl.col("peer").is_in(rule.numbers) | pl.col("subscriber").is_in(rule.numbers)
            return seen.filter(listed).select("event_id", reason=told)
        case "range":
            begins = pl.any_horizontal(pl.col("called").str.starts_with(p) for p in rule.prefixes)
            return seen.filter(begins).select("event_id", reason=told)
        case "velocity" | "overlap":
            name = rule.feature if rule.kind == "velocity" and rule.feature else OVERLAP
            if name not in declared.names:
                raise FeatureError(f"the rule is about {name!r}, which is no feature", where=rule.name)
            value = pl.col(name).cast(pl.Int64).cast(pl.String)
            over = features.filter(pl.col(name) > rule.above)
            return over.select("event_id", reason=told + ": " + value + f" against {rule.above}")
        case "travel":
            return _travel(rule, seen, told)


def _travel(rule: HotRule, seen: pl.DataFrame, told: pl.Expr) -> pl.DataFrame:
    """Records of one subscriber in two areas, one after the other, sooner than anybody could get there."""
    placed = seen.with_columns(area=pl.col("cell").str.extract(rule.area)).drop_nulls(["area", "subscriber"])
    before, last = (pl.col(name).shift(1).over("subscriber") for name in ("area", "at_us"))
    moved = placed.with_columns(before=before, since=pl.col("at_us") - last)
    moved = moved.filter((pl.col("before") != pl.col("area")) & (pl.col("since") < rule.within))
    seconds = (pl.col("since") // 1_000_000).cast(pl.String)
    return moved.select("event_id", reason=told + ": " + pl.col("before") + " to " + pl.col("area") + " in " + seconds + " s")


def back_test(found: pl.DataFrame, fraud: pl.DataFrame) -> pl.DataFrame:
    """Over history, for each rule: transactions it holds for, those that were fraud, precision and share of frauds.

    `fraud`: `event_id` and `fraud` of every transaction whose label is known; others are not counted.
    """
    frauds = int(fraud["fraud"].sum())
    judged = found.join(fraud, on="event_id", how="inner")
    return (
        judged.group_by("rule", "shadow")
        .agg(transactions=pl.len(), frauds=pl.col("fraud").sum())
        .with_columns(precision=pl.col("frauds") / pl.col("transactions"), recall=pl.col("frauds") / max(1, frauds))
        .sort("rule")
    )
