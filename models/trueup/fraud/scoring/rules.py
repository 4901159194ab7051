"""Apply rules in addition to the model; a rule in shadow counts and raises no alert.

A rule depends only on facts and features of a transaction, so batch and stream give the same result. It accuses the party whose
behaviour it describes.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import polars as pl

from trueup.config import FraudConfig, HotRule
from trueup.fraud.features.feature_spec import Feature, FeatureError, FeatureSet, Owner
from trueup.fraud.scoring.accused import Side, actor_of, side_of
from trueup.fraud.scoring.detectors import DETECTORS, detector_rules
from trueup.fraud.scoring.reason_text import sentence_with_limit
from trueup.fraud.scoring.typology import typology_of_rule
from trueup.party_numbers import digits_of, international_digits

RULE_TEXT = {
    "hot_list": "a number on the hot list",
    "range": "a destination range to watch",
    "velocity": "more than the limit",
    "overlap": "calls at once",
    "travel": "distant places within a time too short to travel",
}
OVERLAP = "sub_open_4h"
MATCH = {"event_id": pl.Binary(), "rule": pl.String(), "shadow": pl.Boolean(), "side": pl.String(), "reasons": pl.String()}
_SIGNS: dict[str, Callable[[pl.Expr, float], pl.Expr]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "=": operator.eq,
}  # fmt: skip
_SENTENCES = 3


def rules_of(config: FraudConfig) -> tuple[HotRule, ...]:
    """Return the rules of a project: its own, then the detectors if on. An own rule replaces the detector of the same name."""
    own = {rule.name for rule in config.rule}
    return (*config.rule, *(rule for rule in detector_rules(config.detectors) if rule.name not in own))


def with_rule_features(declared: FeatureSet, rules: Sequence[HotRule]) -> FeatureSet:
    """Add the features that rules need; a model selects its own features by name."""
    travel = (r for r in rules if r.kind == "travel")
    extra = tuple(
        Feature(_name_places(r), ("subscriber",), r.within, "distinct", _name_area(r), owner="subscriber") for r in travel
    )
    return replace(declared, features=declared.features + extra)


def with_cell_areas(events: pl.DataFrame, rules: Sequence[HotRule]) -> pl.DataFrame:
    """Add the area of each record's cell, one column per travel rule."""
    return events.with_columns(pl.col("cell").str.extract(r.area).alias(_name_area(r)) for r in rules if r.kind == "travel")


def _name_area(rule: HotRule) -> str:
    return f"area of {rule.name}"


def _name_places(rule: HotRule) -> str:
    return f"places of {rule.name}"


def rule_matches(
    rules: Sequence[HotRule], events: pl.DataFrame, features: pl.DataFrame, owners: Mapping[str, Owner]
) -> pl.DataFrame:
    """Return one row per rule, matching transaction and accused end: `MATCH`.

    `events` are transactions with their facts; `features` are those of `with_rule_features`; `owners` names the party whose
    behaviour each of them describes. Raises `FeatureError` for a rule on an unknown feature.
    """
    facts = events.filter(~pl.col("is_label")).select("event_id", "subscriber", "peer", "called").unique("event_id", keep="first")
    rows = features.join(facts, on="event_id", how="left", maintain_order="left")
    parts = [pl.DataFrame(schema={**MATCH, "event_id": features.schema["event_id"]})]
    for rule in rules:
        for accuses, condition in _build_conditions(rule, rows, owners):
            matches = rows.filter(condition)
            side = [accuses(row) for row in matches.select("is_received", "peer").iter_rows(named=True)]
            reasons = pl.Series(
                [_write_reasons(rule, row, accused) for row, accused in zip(matches.iter_rows(named=True), side, strict=True)],
                dtype=pl.String,
            )
            named = matches.select("event_id", rule=pl.lit(rule.name), shadow=pl.lit(rule.shadow))
            parts.append(named.with_columns(side=pl.Series(side, dtype=pl.String), reasons=reasons))
    return pl.concat(parts).sort("rule", "event_id", "side")


_Accuses = Callable[[Mapping[str, Any]], Side]


def _build_conditions(rule: HotRule, rows: pl.DataFrame, owners: Mapping[str, Owner]) -> list[tuple[_Accuses, pl.Expr]]:
    """Return pairs of a function that names the accused end of a match, and the condition for a match."""
    match rule.kind:
        case "hot_list":
            numbers = digits_of(rule.numbers)
            return [
                (lambda _: "subscriber", international_digits(pl.col("subscriber")).is_in(numbers)),
                (lambda _: "peer", international_digits(pl.col("peer")).is_in(numbers)),
            ]
        case "range":
            called = international_digits(pl.col("called"))
            return [(lambda _: "subscriber", pl.any_horizontal(called.str.starts_with(p) for p in digits_of(rule.prefixes)))]
        case "all":
            compared = [_SIGNS[c.sign](_find_column(c.feature, rule, rows).cast(pl.Float64), c.limit) for c in rule.conditions]
            return [(_choose_accuser(rule, rule.conditions[0].feature, owners), reduce(operator.and_, compared))]
        case "velocity" | "overlap" | "travel":
            return [(_choose_accuser(rule, _number(rule), owners), _find_column(_number(rule), rule, rows) > _limit(rule))]


def _find_column(name: str, rule: HotRule, rows: pl.DataFrame) -> pl.Expr:
    if name not in rows.columns:
        raise FeatureError(f"the rule is about {name!r}, an unknown feature", where=rule.name)
    return pl.col(name)


def _choose_accuser(rule: HotRule, feature: str, owners: Mapping[str, Owner]) -> _Accuses:
    def accuses(row: Mapping[str, Any]) -> Side:
        side = rule.party or side_of(owners[feature], actor_of(is_received=bool(row["is_received"])))
        return side if row["peer"] is not None else "subscriber"

    return accuses


def _number(rule: HotRule) -> str:
    """Return the name of the feature that a rule compares."""
    if rule.kind == "travel":
        return _name_places(rule)
    return rule.feature if rule.kind == "velocity" and rule.feature else OVERLAP


def _limit(rule: HotRule) -> int:
    return max(rule.above, 1) if rule.kind == "travel" else rule.above


def _write_reasons(rule: HotRule, row: Mapping[str, Any], side: Side) -> str:
    """Return the reasons of a match as JSON: sentences and, where known, the kind of fraud and the recommended action."""
    detector = DETECTORS.get(rule.name)
    kind = None if detector is None else typology_of_rule(detector.typology, row, side)
    content: dict[str, Any] = {"sentences": [f"{rule.name}: {text}" for text in _write_texts(rule, row)]}
    if kind is not None:
        content["typology"] = kind.name
    action = rule.action or (kind.action if kind else None)
    if action:
        content["action"] = action
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def _write_texts(rule: HotRule, row: Mapping[str, Any]) -> list[str]:
    if rule.kind == "all":
        texts = (sentence_with_limit(c.feature, row, c.sign, c.limit) for c in rule.conditions)
        return [text for text in texts if text][:_SENTENCES] or ["all its conditions hold"]
    if rule.kind == "velocity" and rule.feature:
        text = sentence_with_limit(rule.feature, row, ">", rule.above)
        return [text or f"{rule.feature}; limit: above {rule.above}"]
    how_much = "" if rule.kind in ("hot_list", "range") else f", {row[_number(rule)]} against {_limit(rule)}"
    return [RULE_TEXT[rule.kind] + how_much]


def cases_of_rules(matches: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    """Return the cases (day, party) that matches raise, with each rule; `facts` has `event_id`, `day`, `subscriber` and `peer`."""
    party = pl.when(pl.col("side") == "peer").then("peer").otherwise("subscriber").alias("party")
    return matches.join(facts, on="event_id", how="inner").select("day", party, "rule").unique().sort("day", "party", "rule")


def back_test(rules: Sequence[HotRule], matches: pl.DataFrame, rows: pl.DataFrame, *, by_day: bool = False) -> pl.DataFrame:
    """Return one row per rule, or per rule and day, over the whole log.

    `rows` has `event_id`, `day`, `subscriber`, `peer`, `loss_micros` and `fraud` of every transaction; `fraud` is missing where it
    is not known yet. `transactions` = `frauds` + `honest` + `unlabelled`. Precision is among labelled transactions, recall among
    all frauds. `loss_micros` is the money of all matches, missing without [[fraud.loss]].
    """
    over = ["rule", "day"] if by_day else ["rule"]
    frauds = (
        rows.group_by("day").agg(frauds_in_all=pl.col("fraud").sum())
        if by_day
        else rows.select(frauds_in_all=pl.col("fraud").sum())
    )
    matched = matches.join(rows, on="event_id", how="inner")
    party = pl.when(pl.col("side") == "peer").then("peer").otherwise("subscriber")
    cases = matched.with_columns(party=party).group_by(over).agg(cases=pl.struct("day", "party").n_unique())
    counted = matched.unique(["rule", "event_id"]).group_by(over).agg(
        transactions=pl.len(), frauds=pl.col("fraud").sum(), honest=(~pl.col("fraud")).sum(),
        unlabelled=pl.col("fraud").is_null().sum(),
        loss_micros=pl.when(pl.col("loss_micros").is_not_null().any()).then(pl.col("loss_micros").sum()),
    ).join(cases, on=over, how="left")  # fmt: skip
    every = pl.DataFrame({"rule": [r.name for r in rules], "shadow": [r.shadow for r in rules]})
    counted = every.join(counted, on="rule", how="inner" if by_day else "left")
    counted = counted.join(frauds, on="day", how="left") if by_day else counted.join(frauds, how="cross")
    counts = ("transactions", "frauds", "honest", "unlabelled", "cases")
    labelled = pl.col("frauds") + pl.col("honest")
    return counted.with_columns(pl.col(n).fill_null(0).cast(pl.Int64) for n in counts).select(
        *over, "shadow", *counts, "loss_micros",
        precision=pl.when(labelled > 0).then(pl.col("frauds") / labelled),
        recall=pl.when(pl.col("frauds_in_all") > 0).then(pl.col("frauds") / pl.col("frauds_in_all")),
    ).sort(over)  # fmt: skip
