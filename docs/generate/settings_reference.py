"""The page of settings, from the JSON Schema of `trueup.toml`."""

from __future__ import annotations

from typing import Any

from markdown_text import code, plain, table

from trueup.config.json_schema import config_schema


def settings_reference() -> str:
    """Return the page: each table of `trueup.toml` with its settings, their values and defaults."""
    schema = config_schema()
    parts = [
        "# Settings of trueup.toml\n",
        "Each setting has an effect; an unknown one is an error. `trueup schema` prints the same as a JSON Schema, by which "
        "editors complete and check the file. Durations are texts such as `36h`, `90s` or `250ms`.\n",
    ]
    seen: set[str] = set()
    for name, value in schema["properties"].items():
        reference, is_list, is_map = _reference(value)
        if reference is None:
            continue
        heading = f"[[{name}]]" if is_list else f"[{name}.SERVICE]" if is_map else f"[{name}]"
        parts += _tables(heading, reference, schema["$defs"], seen)
    loose = {name: value for name, value in schema["properties"].items() if _reference(value)[0] is None}
    if loose:
        parts += ["## Settings outside of tables\n", _rows(loose, schema["$defs"])]
    return "\n".join(parts)


def _tables(heading: str, name: str, tables: dict[str, Any], seen: set[str]) -> list[str]:
    """Return the sections of a table and of the tables within it, each once."""
    if name in seen:
        return []
    seen.add(name)
    model = tables[name]
    parts = [f"## `{heading}`\n", plain(model["description"]) + "\n", _rows(model["properties"], tables, model.get("required", ()))]
    for key, value in model["properties"].items():
        inner, is_list, is_map = _reference(value)
        if inner is not None:
            path = f"{heading.strip('[]')}.{key}"
            below = f"[[{path}]]" if is_list else f"[{path}.NAME]" if is_map else f"[{path}]"
            parts += _tables(below, inner, tables, seen)
    return parts


def _rows(properties: dict[str, Any], tables: dict[str, Any], required: Any = ()) -> str:
    rows = []
    for name, value in properties.items():
        default = value.get("default")
        shown = code(_toml(default)) if default is not None else "required" if name in required else ""
        rows.append((code(name), _type(value, tables), shown, plain(value.get("description", ""))))
    return table(("setting", "value", "default", "meaning"), rows)


def _reference(value: dict[str, Any]) -> tuple[str | None, bool, bool]:
    """Return the table that a setting holds, whether the setting is a list of tables, and whether it maps names to tables."""
    if "$ref" in value:
        return value["$ref"].rpartition("/")[2], False, False
    for key in ("items", "additionalProperties"):
        inner = value.get(key)
        if isinstance(inner, dict) and "$ref" in inner:
            return inner["$ref"].rpartition("/")[2], key == "items", key == "additionalProperties"
    for choice in value.get("anyOf", ()):
        if "$ref" in choice:
            return choice["$ref"].rpartition("/")[2], False, False
    # A table whose keys are event columns has one kind of value for all columns.
    for inner in value.get("properties", {}).values():
        return _reference(inner)[0], False, True
    return None, False, False


def _type(value: dict[str, Any], tables: dict[str, Any]) -> str:
    if "enum" in value:
        return ", ".join(code(_toml(one)) for one in value["enum"])
    if "const" in value:
        return code(_toml(value["const"]))
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type(choice, tables) for choice in value["anyOf"]))
    if "$ref" in value:
        target = tables[value["$ref"].rpartition("/")[2]]
        return "table" if target.get("type") == "object" else _type(target, tables)
    kind = value.get("type", "value")
    if kind == "array":
        items = value.get("items") or next(iter(value.get("prefixItems", [{}])), {})
        return f"list of {_type(items, tables)}"
    return {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "object": "table"}.get(
        kind, kind
    )


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)
