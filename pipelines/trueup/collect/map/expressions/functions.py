"""Permitted functions of numbers and texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from trueup.collect.map.expressions.conditions import nullif
from trueup.collect.map.expressions.exact_numbers import Fractions
from trueup.collect.map.expressions.node import (
    WHOLE_TYPES,
    Compile,
    Node,
    Refused,
    as_number,
    as_text,
    reads_of,
    text_literal,
    whole_literal,
)
from trueup.collect.map.expressions.values import (
    NO_NUMBER,
    TOO_LARGE,
    UNCOMPUTABLE,
    Records,
    Value,
    all_of,
    no_error,
    none_of,
    text_value,
)

# --- numbers ----------------------------------------------------------------------------------------------------------


def _compute_number(arguments: Sequence[Node], compute: Callable[..., Fractions]) -> Node:
    parts = [as_number(argument) for argument in arguments]

    def evaluate(records: Records) -> Value:
        values = [part.evaluate(records) for part in parts]
        return Value(compute(*(value.fractions for value in values)), *all_of(values))

    return Node("number", evaluate, **reads_of(parts))


def _compute_signed(arguments: Sequence[Node], both: Callable[..., Fractions], one: Callable[..., Fractions]) -> Node:
    return _compute_number(arguments, one if len(arguments) == 1 else both)


def _divide(arguments: Sequence[Node]) -> Node:
    parts = [as_number(argument) for argument in arguments]

    def evaluate(records: Records) -> Value:
        dividend, divisor = (part.evaluate(records) for part in parts)
        is_null, error = all_of((dividend, divisor))
        is_zero = np.asarray(divisor.fractions.numerator == 0)
        safe = Fractions.of(1).where(is_zero, divisor.fractions)
        error = np.where((error == 0) & ~is_null & is_zero, UNCOMPUTABLE, error).astype(np.uint8)
        return Value(dividend.fractions / safe, is_null, error)

    return Node("number", evaluate, **reads_of(parts))


def _round(arguments: Sequence[Node]) -> Node:
    decimals = whole_literal(arguments[1], 0, "the decimals of ROUND") if len(arguments) > 1 else 0
    if decimals > WHOLE_TYPES["HUGEINT"]:
        raise Refused("rounds to more than 38 decimals")
    return _compute_number(arguments[:1], lambda number: number.rounded(decimals))


def cast(tree: dict[str, Any], build: Compile) -> Node:
    """Return a part cast to a decimal, whole number or text; no cast rounds."""
    child, dtype = build(tree["child"]), tree["cast_type"]
    if dtype["id"] == "BOOLEAN" and child.literal in ("t", "f"):
        is_true = child.literal == "t"
        return Node("truth", lambda records: Value(np.full(records.rows, is_true), none_of(records.rows), no_error(records.rows)))
    if dtype["id"] == "VARCHAR":
        return as_text(child)
    if dtype["id"] == "DECIMAL":
        width, scale = dtype["type_info"]["width"], dtype["type_info"]["scale"]
    elif dtype["id"] in WHOLE_TYPES:
        width, scale = WHOLE_TYPES[dtype["id"]], 0
    else:
        raise Refused(f"casts to {dtype['id']}; DECIMAL(38, 6), INTEGER, BIGINT, HUGEINT and VARCHAR are permitted")
    return _limit_digits(as_number(child), width, scale, is_tried=tree["try_cast"])


def _limit_digits(part: Node, width: int, scale: int, *, is_tried: bool) -> Node:
    """Return numbers with at most `scale` decimals and `width` digits; other numbers become NULL with `tried`, else an error."""

    def evaluate(records: Records) -> Value:
        value = part.evaluate(records)
        scaled = value.fractions * Fractions.of(10**scale)
        fits = (scaled.numerator % scaled.denominator == 0) & ((abs(scaled) - Fractions.of(10**width)).sign() < 0)
        error = np.where((value.error == 0) & ~value.is_null & ~fits, TOO_LARGE, value.error).astype(np.uint8)
        if is_tried:
            # TRY_CAST gives NULL only for a value that it cannot convert; a division by zero inside it stays an error.
            is_failed = (error == TOO_LARGE) | (error == NO_NUMBER)
            return Value(value.data, value.is_null | is_failed, np.where(is_failed, 0, error).astype(np.uint8))
        return Value(value.data, value.is_null, error)

    return Node("number", evaluate, part.columns, part.needed)


# --- texts ------------------------------------------------------------------------------------------------------------


def _compute_text(argument: Node, compute: Callable[[pl.Series], pl.Series]) -> Node:
    part = as_text(argument)

    def evaluate(records: Records) -> Value:
        value = part.evaluate(records)
        return text_value(compute(value.texts), value.error)

    return Node("text", evaluate, part.columns, part.needed)


def _substring(arguments: Sequence[Node]) -> Node:
    start = whole_literal(arguments[1], 1, "the start of SUBSTR") - 1
    length = whole_literal(arguments[2], 0, "the length of SUBSTR") if len(arguments) > 2 else None
    return _compute_text(arguments[0], lambda texts: texts.str.slice(start, length))


def _left(arguments: Sequence[Node]) -> Node:
    length = whole_literal(arguments[1], 0, "the length of LEFT")
    return _compute_text(arguments[0], lambda texts: texts.str.slice(0, length))


def _right(arguments: Sequence[Node]) -> Node:
    length = whole_literal(arguments[1], 0, "the length of RIGHT")
    return _compute_text(arguments[0], lambda texts: texts.str.tail(length))


def _split_part(arguments: Sequence[Node]) -> Node:
    separator, number = (
        text_literal(arguments[1], "the separator of SPLIT_PART"),
        whole_literal(arguments[2], 1, "the part of SPLIT_PART"),
    )

    def part(texts: pl.Series) -> pl.Series:
        return texts.str.split(separator).list.get(number - 1, null_on_oob=True).fill_null("").set(texts.is_null(), None)

    return _compute_text(arguments[0], part)


def _replace(arguments: Sequence[Node]) -> Node:
    old = text_literal(arguments[1], "the text that REPLACE looks for")
    new = arguments[2].literal
    if not isinstance(new, str):
        raise Refused("needs a quoted text as the replacement of REPLACE")
    return _compute_text(arguments[0], lambda texts: texts.str.replace_all(old, new, literal=True))


def _trim(arguments: Sequence[Node], trim: Callable[[pl.Series, str], pl.Series]) -> Node:
    characters = text_literal(arguments[1], "the characters of TRIM") if len(arguments) > 1 else " "
    return _compute_text(arguments[0], lambda texts: trim(texts, characters))


def _concat(arguments: Sequence[Node], *, skips_nulls: bool) -> Node:
    parts = [as_text(argument) for argument in arguments]

    def evaluate(records: Records) -> Value:
        values = [part.evaluate(records) for part in parts]
        frame = pl.DataFrame({str(number): value.texts for number, value in enumerate(values)})
        texts = frame.select(pl.concat_str(pl.all().fill_null("") if skips_nulls else pl.all())).to_series()
        return text_value(texts, all_of(values)[1])

    reads = reads_of(parts)
    return Node("text", evaluate, reads["columns"], () if skips_nulls else reads["needed"])


def _length(arguments: Sequence[Node]) -> Node:
    part = as_text(arguments[0])

    def evaluate(records: Records) -> Value:
        value = part.evaluate(records)
        lengths = value.texts.str.len_chars().cast(pl.Int64).fill_null(0).to_numpy()
        return Value(Fractions(lengths, np.array([1])), value.is_null, value.error)

    return Node("number", evaluate, part.columns, part.needed)


def _like(arguments: Sequence[Node], *, is_negated: bool) -> Node:
    part, pattern = as_text(arguments[0]), text_literal(arguments[1], "the pattern of LIKE")
    wildcards = {"%": "(?s:.*)", "_": "(?s:.)"}
    expression = f"^{''.join(wildcards.get(character, pl.escape_regex(character)) for character in pattern)}$"

    def evaluate(records: Records) -> Value:
        value = part.evaluate(records)
        matches = value.texts.str.contains(expression).fill_null(False).to_numpy()
        return Value(matches != is_negated, value.is_null, value.error)

    return Node("truth", evaluate, part.columns, part.needed)


# --- the permitted functions ------------------------------------------------------------------------------------------

_FUNCTIONS: dict[str, tuple[tuple[int, ...], Callable[[Sequence[Node]], Node]]] = {
    "+": ((1, 2), lambda a: _compute_signed(a, lambda one, other: one + other, lambda one: one)),
    "-": ((1, 2), lambda a: _compute_signed(a, lambda one, other: one - other, lambda one: -one)),
    "*": ((2,), lambda a: _compute_number(a, lambda one, other: one * other)),
    "/": ((2,), _divide),
    "abs": ((1,), lambda a: _compute_number(a, abs)),
    "round": ((1, 2), _round),
    "floor": ((1,), lambda a: _compute_number(a, lambda number: number.floor())),
    "ceil": ((1,), lambda a: _compute_number(a, lambda number: -(-number).floor())),
    "nullif": ((2,), nullif),
    "length": ((1,), _length),
    "upper": ((1,), lambda a: _compute_text(a[0], lambda texts: texts.str.to_uppercase())),
    "lower": ((1,), lambda a: _compute_text(a[0], lambda texts: texts.str.to_lowercase())),
    "trim": ((1, 2), lambda a: _trim(a, lambda texts, characters: texts.str.strip_chars(characters))),
    "ltrim": ((1, 2), lambda a: _trim(a, lambda texts, characters: texts.str.strip_chars_start(characters))),
    "rtrim": ((1, 2), lambda a: _trim(a, lambda texts, characters: texts.str.strip_chars_end(characters))),
    "replace": ((3,), _replace),
    "substr": ((2, 3), _substring),
    "substring": ((2, 3), _substring),
    "left": ((2,), _left),
    "right": ((2,), _right),
    "split_part": ((3,), _split_part),
    "concat": (tuple(range(1, 100)), lambda a: _concat(a, skips_nulls=True)),
    "||": ((2,), lambda a: _concat(a, skips_nulls=False)),
    "~~": ((2,), lambda a: _like(a, is_negated=False)),
    "!~~": ((2,), lambda a: _like(a, is_negated=True)),
}
"""Permitted functions and operators, each with its number of arguments and the function that makes its part of an expression."""


def function(tree: dict[str, Any], build: Compile) -> Node:
    """Return a permitted function or operator of its arguments; raise `Refused` for any other."""
    name = tree["function_name"]
    is_plain = not (tree["filter"] or tree["distinct"] or tree["order_bys"]["orders"] or tree["catalog"])
    if name not in _FUNCTIONS or not is_plain:
        permitted = ", ".join(sorted(name.upper() for name in _FUNCTIONS if name.isidentifier()))
        raise Refused(
            f"uses {name.upper()}, which is not permitted; there are {permitted}, COALESCE, CASE, CAST, IN, BETWEEN and LIKE"
        )
    counts, compile_function = _FUNCTIONS[name]
    if len(tree["children"]) not in counts:
        raise Refused(f"gives {name.upper()} {len(tree['children'])} values, not {' or '.join(map(str, counts[:3]))}")
    return compile_function([build(child) for child in tree["children"]])
