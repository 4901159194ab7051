"""Parts of an expression, and their conversion to numbers, texts and conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from trueup.collect.map.expressions.values import Evaluate, Kind, Records, Value, null_of, number_of, text_of

WHOLE_TYPES = {"INTEGER": 10, "BIGINT": 19, "HUGEINT": 38}
"""Types of whole numbers, and the number of digits that each holds."""


@dataclass(frozen=True)
class Node:
    """A part of an expression: the kind of its values, the columns it reads, and the columns that a record must have.

    `literal` is the number or text, if the part is a literal; `column` is the source column, if the part is a column.
    """

    kind: Kind
    evaluate: Evaluate
    columns: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    literal: int | str | None = None
    column: str | None = None


class Refused(Exception):
    """The reason why an expression is not permitted, worded as the end of a sentence."""


Compile = Callable[[dict[str, Any]], Node]


class Reads(TypedDict):
    """The source columns that parts of an expression read, and those that they need."""

    columns: tuple[str, ...]
    needed: tuple[str, ...]


def reads_of(nodes: Iterable[Node]) -> Reads:
    """Return the columns that the parts read, and those that they need."""
    nodes = list(nodes)
    columns = tuple(dict.fromkeys(name for node in nodes for name in node.columns))
    return {"columns": columns, "needed": tuple(dict.fromkeys(name for node in nodes for name in node.needed))}


# --- one kind of value ------------------------------------------------------------------------------------------------


def as_number(node: Node) -> Node:
    """Return a part as numbers; raise `Refused` for a condition or a quoted text."""
    if node.kind == "number":
        return node
    if node.kind == "truth" or isinstance(node.literal, str):
        raise Refused(f"takes {'a condition' if node.literal is None else repr(node.literal)} for a number")
    if node.column is not None:
        name = node.column
        return Node("number", lambda records: records.number(name), node.columns, node.needed)
    if node.kind == "null":
        return Node("number", lambda records: null_of("number", records.rows))

    def evaluate(records: Records) -> Value:
        value = node.evaluate(records)
        number = number_of(value.texts, records.notation, None, records.version)
        return Value(number.data, number.is_null, np.where(value.error > 0, value.error, number.error))

    return Node("number", evaluate, node.columns, node.needed)


def as_text(node: Node) -> Node:
    """Return a part as texts."""
    if node.kind in ("text", "null"):
        return node
    return Node("text", lambda records: text_of(node.evaluate(records), records.rows), node.columns, node.needed)


def as_truth(node: Node) -> Node:
    """Return a part that is a condition; raise `Refused` for any other part."""
    if node.kind == "null":
        return Node("truth", lambda records: null_of("truth", records.rows))
    if node.kind != "truth":
        raise Refused(f"takes a {node.kind} for a condition; compare it, for example with = 'true'")
    return node


_AS: dict[Kind, Callable[[Node], Node]] = {"number": as_number, "text": as_text, "truth": as_truth, "null": lambda node: node}


def of_one_kind(nodes: Sequence[Node]) -> tuple[Kind, list[Node]]:
    """Return nodes converted to one kind: numbers where any is a number."""
    kinds = {node.kind for node in nodes} - {"null"}
    if "truth" in kinds and len(kinds) > 1:
        raise Refused("mixes conditions with other values")
    kind: Kind = "number" if "number" in kinds else next(iter(kinds), "text")
    return kind, [_AS[kind](node) for node in nodes]


def whole_literal(node: Node, least: int, what: str) -> int:
    """Return a part that is written as a whole number; raise `Refused` for any other part."""
    if not isinstance(node.literal, int) or not least <= node.literal <= 2**31:
        raise Refused(f"needs a whole number of at least {least} as {what}")
    return node.literal


def text_literal(node: Node, what: str) -> str:
    """Return a part that is written as a quoted text; raise `Refused` for any other part."""
    if not isinstance(node.literal, str) or not node.literal:
        raise Refused(f"needs a quoted text as {what}")
    return node.literal
