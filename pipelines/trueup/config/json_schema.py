"""Derive a JSON Schema of `trueup.toml` from the models, by which editors complete and check the file."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from trueup.config.columns import DECIMAL_COLUMNS, STREAM_COLUMNS
from trueup.config.document import Config
from trueup.config.preset_files import PRESET, preset_names
from trueup.config.tables.source import SourceConfig
from trueup.secret import Place
from trueup.units import MICROS

SCHEMA_NAME = "trueup.schema.json"
SCHEMA_LINE = f"#:schema ./{SCHEMA_NAME}"
"""The first line of a `trueup.toml`, by which editors find the schema in the same folder."""
_TITLE = "trueup.toml"
_DURATIONS = {"d": 86_400 * MICROS, "h": 3_600 * MICROS, "m": 60 * MICROS, "s": MICROS, "ms": 1_000, "us": 1}
_DROPPED = ("title", "format", "writeOnly", "gt", "ge", "le", "default")


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a `trueup.toml`, each setting with the description of its model."""
    schema = Config.model_json_schema()
    models = {model.__name__: model for model in _list_models(Config)}
    tables = schema.pop("$defs")
    for name, table in tables.items():
        _describe(table, models[name])
    _describe(schema, Config)
    _name_columns(tables[SourceConfig.__name__]["properties"])
    _name_presets(tables[SourceConfig.__name__])
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": _TITLE}
    return head | {name: value for name, value in schema.items() if name != "title"} | {"$defs": tables}


def _list_models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return a model and all models that its fields hold."""
    found = [model]
    for field in model.model_fields.values():
        held = [inner for inner in _list_types(field.annotation) if inner is not model]
        found += [inner for one in held for inner in _list_models(one)]
    return found


def _list_types(annotation: Any) -> list[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [inner for part in getattr(annotation, "__args__", ()) for inner in _list_types(part)]


def _describe(table: dict[str, Any], model: type[BaseModel]) -> None:
    """Add descriptions and defaults to the properties of a table, and leave out what TOML does not have."""
    table.pop("title", None)
    table["description"] = " ".join((model.__doc__ or "").split())
    texts = descriptions_of(model)
    for name, field in model.model_fields.items():
        value = _drop_null({key: part for key, part in table["properties"][name].items() if key not in _DROPPED})
        default = _find_default(field, value)
        described = {"description": texts[name]} | value | ({} if default is None else {"default": default})
        table["properties"][name] = described


def descriptions_of(model: type[BaseModel]) -> dict[str, str]:
    """Return the description below each field of a model, read from its source because no other command needs it."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for statement, below in zip(definition.body, definition.body[1:], strict=False):
        is_field = isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        if is_field and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            texts[statement.target.id] = str(below.value.value)  # type: ignore[attr-defined]
    return texts


def _drop_null(value: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without the alternative null, which TOML lacks."""
    choices = [choice for choice in value.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) != 1:
        return value | ({"anyOf": choices} if choices else {})
    (only,) = choices
    return {**{name: part for name, part in value.items() if name != "anyOf"}, **only}


def _find_default(field: FieldInfo, value: dict[str, Any]) -> object:
    """Return the default of a field in TOML's form; None for a default that TOML cannot express."""
    default = field.default
    if default is PydanticUndefined or isinstance(default, BaseModel):
        return None
    if isinstance(default, Place):
        return default.get_secret_value()
    if isinstance(default, int) and {choice.get("type") for choice in value.get("anyOf", [value])} == {"string"}:
        return duration_text(default)
    return list(default) if isinstance(default, tuple) else default


def duration_text(duration_us: int) -> str:
    """Return a duration in the form of a `trueup.toml`, in its largest unit.

    >>> duration_text(36 * 3_600 * MICROS), duration_text(1_500_000), duration_text(0)
    ('36h', '1500ms', '0s')
    """
    if not duration_us:
        return "0s"
    return next(f"{duration_us // size}{unit}" for unit, size in _DURATIONS.items() if duration_us % size == 0)


def _name_columns(properties: dict[str, Any]) -> None:
    """Name the event columns as the keys of the tables that map them."""
    known = sorted({name for columns in STREAM_COLUMNS.values() for name in columns})
    for table, names in (("columns", known), ("constants", known), ("range", sorted(DECIMAL_COLUMNS))):
        value = properties[table].pop("additionalProperties")
        properties[table] |= {"properties": dict.fromkeys(names, value), "additionalProperties": False}


def _name_presets(table: dict[str, Any]) -> None:
    """Name the presets, and let a preset replace the stream."""
    table["properties"][PRESET] |= {"enum": preset_names()}
    table["required"] = [name for name in table["required"] if name != "stream"]
    table["anyOf"] = [{"required": ["stream"]}, {"required": [PRESET]}]
