"""Expressions of a mapping: parsed by DuckDB's SQL parser, limited to a fixed list of functions.

DuckDB only parses the expression. Its arithmetic would wrap, round or use floats, so this package evaluates the parts in exact
fractions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import polars as pl

from trueup.collect.decode.thread_connection import own_connection
from trueup.collect.map.expressions.conditions import between, case, comparison, connected, operator
from trueup.collect.map.expressions.exact_numbers import Fractions
from trueup.collect.map.expressions.functions import cast, function
from trueup.collect.map.expressions.node import WHOLE_TYPES, Compile, Node, Refused
from trueup.collect.map.expressions.values import Value, no_error, none_of, null_of, text_value
from trueup.errors import ConfigError

_MOST_CHARACTERS, _DEEPEST = 10_000, 60
_LITERALS = {"TINYINT", "SMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", *WHOLE_TYPES}
"""Types that the parser assigns to whole numbers."""


def parse(text: str, *, where: str) -> Node:
    """Return a parsed expression; raise `ConfigError` if it is invalid, names no column, or uses a forbidden function."""
    try:
        node = _parse_text(text)
    except Refused as refused:
        raise ConfigError(
            f"the expression {text!r} {refused}", where=where, todo="correct it (docs/feeds.md#expressions)"
        ) from None
    if not node.columns:
        raise ConfigError(
            f"the expression {text!r} names no column: it is the same for all records", where=where,
            todo="name a column of the source, or write the value into [source.constants]",
        )  # fmt: skip
    return node


def parse_condition(text: str, *, where: str) -> Node:
    """Return a parsed condition; raise `ConfigError` as `parse` does, and for an expression that is neither true nor false."""
    node = parse(text, where=where)
    if node.kind != "truth":
        raise ConfigError(
            f"the expression {text!r} is a {node.kind}, not a condition", where=where, todo="write a comparison such as leg = 'a'"
        )
    return node


@lru_cache(maxsize=256)
def _parse_text(text: str) -> Node:
    if len(text) > _MOST_CHARACTERS:
        raise Refused(f"has more than {_MOST_CHARACTERS} characters")
    (tree,) = (
        own_connection().execute("SELECT json_serialize_sql($query::VARCHAR)", {"query": f"SELECT (\n{text}\n)"}).fetchall()[0]
    )
    parsed = json.loads(tree)
    if parsed["error"]:
        raise Refused(f"is not an SQL expression: {parsed['error_message']}")
    node = parsed["statements"][0]["node"]
    others = (node.get("modifiers"), node.get("where_clause"), node.get("group_expressions"), node.get("having"))
    is_one = len(parsed["statements"]) == len(node.get("select_list", ())) == 1
    if not is_one or any(others) or node["from_table"]["type"] != "EMPTY":
        raise Refused("is a query; only its one expression is permitted")
    return _compile_node(node["select_list"][0], _DEEPEST)


def _compile_node(tree: dict[str, Any], depth: int) -> Node:
    if not depth:
        raise Refused(f"is nested deeper than {_DEEPEST}")
    compile_class = _CLASSES.get(tree["class"])
    if compile_class is None or tree.get("alias"):
        raise Refused(f"contains {tree['alias'] or tree['class'].lower()!r}, which is not permitted")
    return compile_class(tree, lambda child: _compile_node(child, depth - 1))


# --- columns and literals ---------------------------------------------------------------------------------------------


def _compile_column(tree: dict[str, Any], _: Compile) -> Node:
    names = tree["column_names"]
    if len(names) > 1:
        raise Refused(f"names the column {'.'.join(names)}; write it in double quotes")
    (name,) = names
    return Node("text", lambda records: records.text(name), (name,), (name,), column=name)


def _compile_constant(tree: dict[str, Any], _: Compile) -> Node:
    value, dtype = tree["value"], tree["value"]["type"]
    if value["is_null"]:
        return Node("null", lambda records: null_of("text", records.rows))
    if dtype["id"] == "VARCHAR":
        text = str(value["value"])
        repeated = lambda records: text_value(pl.repeat(text, records.rows, dtype=pl.String, eager=True))  # noqa: E731
        return Node("text", repeated, literal=text)
    if dtype["id"] not in _LITERALS and dtype["id"] != "DECIMAL":
        raise Refused("has a number with an exponent, or of more than 38 digits; write it out")
    whole = value["value"]
    if isinstance(whole, dict):
        whole = (whole["upper"] << 64) + whole["lower"]
    scale = dtype["type_info"]["scale"] if dtype["id"] == "DECIMAL" else 0
    number = Fractions.of(whole, 10**scale)
    return Node(
        "number", lambda records: Value(number, none_of(records.rows), no_error(records.rows)), literal=None if scale else whole
    )  # fmt: skip


_CLASSES: dict[str, Callable[[dict[str, Any], Compile], Node]] = {
    "COLUMN_REF": _compile_column, "CONSTANT": _compile_constant, "COMPARISON": comparison, "CONJUNCTION": connected,
    "BETWEEN": between, "OPERATOR": operator, "CASE": case, "CAST": cast, "FUNCTION": function,
}  # fmt: skip
