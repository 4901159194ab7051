"""Turn the columns of a table into features: numbers unchanged, a category into one feature for each frequent value."""

from __future__ import annotations

import polars as pl

from trueup.errors import list_names
from trueup.fraud.tables.declaration import MOST_LEVELS, OTHER, TableColumns, TableError, TableFeatures


def features_of(rows: pl.DataFrame, columns: TableColumns) -> TableFeatures:
    """Return the features that a table has for training; raise `TableError` for a column that is neither number nor category."""
    others = [n for n in rows.columns if n not in columns.not_features]
    if "event_id" in others:
        raise TableError("a feature cannot be named 'event_id'", todo="rename the column, or leave it out with --ignore event_id")
    for name in others:
        _refuse_unusable(rows[name], is_money=name == columns.money)
    if not others and not columns.category:
        raise TableError("the table has no features", todo="add columns of numbers next to id, time and label")
    return TableFeatures(tuple(others), {name: _list_levels(rows[name]) for name in columns.category})


def _refuse_unusable(values: pl.Series, *, is_money: bool) -> None:
    dtype = values.dtype
    if dtype.is_numeric() or dtype in (pl.Boolean, pl.Null) or is_money:
        return
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        todo = f"declare it with --category {values.name}, or leave it out with --ignore {values.name}"
        raise TableError(f"the column {values.name!r} is text, and a feature is a number", todo=todo)
    todo = f"write a number, for example the hours since then, or leave it out with --ignore {values.name}"
    raise TableError(f"the column {values.name!r} holds {dtype}, and a feature is a number", todo=todo)


def _list_levels(values: pl.Series) -> tuple[str, ...]:
    texts = _convert_to_category(values).drop_nulls()
    counted = texts.to_frame("level").group_by("level").agg(rows=pl.len())
    return tuple(counted.sort(["rows", "level"], descending=[True, False]).head(MOST_LEVELS)["level"].to_list())


def _convert_to_category(values: pl.Series) -> pl.Series:
    if values.dtype.is_float() or values.dtype.is_nested():
        todo = f"write its values as text, or leave it out with --ignore {values.name}"
        raise TableError(f"the category {values.name!r} holds {values.dtype}", where="--category", todo=todo)
    return values.cast(pl.String)


def encoded(rows: pl.DataFrame, features: TableFeatures) -> pl.DataFrame:
    """Return the features of each row. A value absent or rare in training becomes `another value`; a missing value stays missing.

    Raises `TableError` for a feature that the table lacks or that is not a number.
    """
    missing = [n for n in (*features.numbers, *features.levels) if n not in rows.columns]
    if missing:
        raise TableError(f"the table lacks features of the model: {list_names(missing)}", todo="add these columns")
    own = []
    for name in features.numbers:
        number = rows[name].cast(pl.Float64, strict=False)
        wrong = (number.is_null() & rows[name].is_not_null()).arg_true()
        if wrong.len():
            raise TableError(f"row {wrong[0] + 1} has {rows[name][wrong[0]]!r} as {name!r}, which is not a number")
        own.append(number.fill_nan(None).alias(name))
    for name, levels in features.levels.items():
        texts = _convert_to_category(rows[name])
        own += [(texts == level).cast(pl.Float64).alias(f"{name} is {level}") for level in levels]
        own.append((~texts.is_in(list(levels))).cast(pl.Float64).alias(f"{name} is {OTHER}"))
    return pl.DataFrame(own)
