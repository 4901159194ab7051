"""Comparisons, conditions and choices between values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from trueup.collect.map.expressions.node import Compile, Node, Refused, as_truth, of_one_kind, reads_of
from trueup.collect.map.expressions.values import (
    Kind,
    Records,
    Value,
    all_of,
    conjunction,
    disjunction,
    negation,
    none_of,
    null_of,
    select,
)

_COMPARISONS = {
    "COMPARE_EQUAL": "=", "COMPARE_NOTEQUAL": "<>", "COMPARE_LESSTHAN": "<", "COMPARE_GREATERTHAN": ">",
    "COMPARE_LESSTHANOREQUALTO": "<=", "COMPARE_GREATERTHANOREQUALTO": ">=",
}  # fmt: skip
_OF_SIGN: dict[str, Callable[[Any], Any]] = {
    "=": lambda sign: sign == 0, "<>": lambda sign: sign != 0, "<": lambda sign: sign < 0, ">": lambda sign: sign > 0,
    "<=": lambda sign: sign <= 0, ">=": lambda sign: sign >= 0,
}  # fmt: skip

# --- conditions -------------------------------------------------------------------------------------------------------


def comparison(tree: dict[str, Any], build: Compile) -> Node:
    """Return a comparison of two parts."""
    one, other = build(tree["left"]), build(tree["right"])
    if tree["type"] in ("COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM"):
        return _compile_distinct(one, other, is_negated=tree["type"] == "COMPARE_NOT_DISTINCT_FROM")
    if tree["type"] not in _COMPARISONS:
        raise Refused(f"contains {tree['type'].lower()}, which is not permitted")
    return compared(one, other, _COMPARISONS[tree["type"]])


def compared(one: Node, other: Node, operator: str) -> Node:
    """Return the comparison of two parts by an operator; compare them as numbers where either is a number."""
    kind, (left, right) = of_one_kind((one, other))
    if operator not in ("=", "<>"):
        _check_order(kind, one, other)

    def evaluate(records: Records) -> Value:
        values = left.evaluate(records), right.evaluate(records)
        return Value(_compare_values(kind, *values, operator), *all_of(values))

    return Node("truth", evaluate, **reads_of((left, right)))


def _check_order(kind: Kind, one: Node, other: Node) -> None:
    """Refuse to order texts where the user most likely means numbers: as texts, '9' is greater than '10'."""
    if kind == "truth":
        raise Refused("orders conditions")
    literals = [node.literal for node in (one, other) if isinstance(node.literal, str)]
    if kind == "text" and one.column is not None and other.column is not None:
        raise Refused("orders two columns; write CAST(… AS DECIMAL(38, 6)) for numbers, or CONCAT(…) for texts")
    for literal in literals:
        if re.fullmatch(r"\s*[+-]?[0-9]*\.?[0-9]*\s*", literal):
            raise Refused(f"orders texts by {literal!r}; write numbers without quotes")


def _compare_values(kind: Kind, one: Value, other: Value, operator: str) -> Any:
    if kind == "number":
        sign = (one.fractions - other.fractions).sign()
        return np.array(np.broadcast_to(_OF_SIGN[operator](sign), len(one.is_null)))
    if kind == "truth":
        return (np.asarray(one.data) == np.asarray(other.data)) == (operator == "=")
    pairs = pl.DataFrame({"one": one.texts, "other": other.texts})
    order = (pl.col("one") > pl.col("other")).cast(pl.Int8) - (pl.col("one") < pl.col("other")).cast(pl.Int8)
    return pairs.select(_OF_SIGN[operator](order).fill_null(False)).to_series().to_numpy()


def _compile_distinct(one: Node, other: Node, *, is_negated: bool) -> Node:
    equal = compared(one, other, "=")
    _, sides = of_one_kind((one, other))

    def evaluate(records: Records) -> Value:
        values = [side.evaluate(records) for side in sides]
        is_same = np.where(
            values[0].is_null | values[1].is_null, values[0].is_null & values[1].is_null, equal.evaluate(records).holds
        )
        return Value(is_same == is_negated, none_of(records.rows), all_of(values)[1])

    return Node("truth", evaluate, equal.columns)


def connected(tree: dict[str, Any], build: Compile) -> Node:
    """Return the condition that connects parts by AND or OR."""
    nodes = [as_truth(build(child)) for child in tree["children"]]
    combine = conjunction if tree["type"] == "CONJUNCTION_AND" else disjunction
    return Node("truth", lambda records: combine([part.evaluate(records) for part in nodes]), **reads_of(nodes))


def _negate(part: Node) -> Node:
    return Node("truth", lambda records: negation(part.evaluate(records)), part.columns, part.needed)


def between(tree: dict[str, Any], build: Compile) -> Node:
    """Return the condition that a part lies between two others, both included."""
    value, low, high = (build(tree[name]) for name in ("input", "lower", "upper"))
    parts = [compared(value, low, ">="), compared(value, high, "<=")]
    return Node("truth", lambda records: conjunction([part.evaluate(records) for part in parts]), **reads_of(parts))


def operator(tree: dict[str, Any], build: Compile) -> Node:
    """Return NOT, IS NULL, IN or COALESCE."""
    nodes = [build(child) for child in tree["children"]]
    match tree["type"]:
        case "OPERATOR_NOT":
            return _negate(as_truth(nodes[0]))
        case "OPERATOR_IS_NULL" | "OPERATOR_IS_NOT_NULL":
            return _is_null(nodes[0], is_negated=tree["type"] == "OPERATOR_IS_NOT_NULL")
        case "COMPARE_IN" | "COMPARE_NOT_IN":
            equal = [compared(nodes[0], choice, "=") for choice in nodes[1:]]
            found = Node("truth", lambda records: disjunction([part.evaluate(records) for part in equal]), **reads_of(equal))
            return found if tree["type"] == "COMPARE_IN" else _negate(found)
        case "OPERATOR_COALESCE":
            return _coalesce(nodes)
        case other:
            raise Refused(f"contains {other.lower()}, which is not permitted")


def _is_null(part: Node, *, is_negated: bool) -> Node:
    def evaluate(records: Records) -> Value:
        value = part.evaluate(records)
        return Value(value.is_null != is_negated, none_of(records.rows), value.error)

    return Node("truth", evaluate, part.columns)


# --- choices ----------------------------------------------------------------------------------------------------------


def _coalesce(nodes: Sequence[Node]) -> Node:
    kind, parts = of_one_kind(nodes)

    def evaluate(records: Records) -> Value:
        undecided, choices = ~none_of(records.rows), []
        for part in parts:
            value = part.evaluate(records)
            has_value = ~value.is_null | (value.error > 0)
            choices.append((undecided & has_value, value))
            undecided = undecided & ~has_value
        return select(choices, kind, records.rows)

    return Node(kind, evaluate, reads_of(parts)["columns"])


def case(tree: dict[str, Any], build: Compile) -> Node:
    """Return CASE: the result of the first condition that is true."""
    conditions = [as_truth(build(check["when_expr"])) for check in tree["case_checks"]]
    results = [build(check["then_expr"]) for check in tree["case_checks"]] + [build(tree["else_expr"])]
    kind, parts = of_one_kind(results)

    def evaluate(records: Records) -> Value:
        undecided, choices = ~none_of(records.rows), []
        for condition, part in zip(conditions, parts, strict=False):
            value = condition.evaluate(records)
            failed = null_of(kind, records.rows)
            choices.append((undecided & (value.error > 0), Value(failed.data, failed.is_null, value.error)))
            choices.append((undecided & value.holds, part.evaluate(records)))
            undecided = undecided & ~value.holds & (value.error == 0)
        choices.append((undecided, parts[-1].evaluate(records)))
        return select(choices, kind, records.rows)

    return Node(kind, evaluate, **reads_of([*conditions, *parts]))


def nullif(arguments: Sequence[Node]) -> Node:
    """Return a part; NULL where it equals the other part."""
    value, equal = arguments[0], compared(arguments[0], arguments[1], "=")

    def evaluate(records: Records) -> Value:
        same, kept = equal.evaluate(records), value.evaluate(records)
        return Value(kept.data, kept.is_null | same.holds, np.where(same.error > 0, same.error, kept.error))

    if value.kind == "text":
        return Node("text", lambda records: _fill_nulls(evaluate(records)), equal.columns, equal.needed)
    return Node(value.kind, evaluate, equal.columns, equal.needed)


def _fill_nulls(value: Value) -> Value:
    return Value(value.texts.set(pl.Series(value.is_null), None), value.is_null, value.error)
