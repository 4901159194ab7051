"""Presets: `[[source]]` tables that ship with trueup, one TOML file for each format of a producer."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from trueup.errors import ConfigError

PRESET = "preset"
"""The setting of a `[[source]]` that names a preset."""
_ENDING = ".toml"
_BY_COLUMN = ("columns", "constants", "range")
"""Tables of a source whose entries override those of the preset one by one."""
_OF_THE_USER = ("name", "path")
"""Settings that a preset shows only as examples to copy; each source sets its own."""


def preset_names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(file.name.removesuffix(_ENDING) for file in _find_folder().iterdir() if file.name.endswith(_ENDING))


def preset_text(name: str) -> str:
    """Return the text of a preset's TOML file; raise `ConfigError` for an unknown preset."""
    try:
        _check_known(name)
    except ValueError as error:
        raise ConfigError(str(error), todo="`trueup presets` lists them") from None
    return _find_folder().joinpath(name + _ENDING).read_text("utf-8")


def preset_title(name: str) -> str:
    """Return the title of a preset: the comment in the first line of its file."""
    return preset_text(name).split("\n", 1)[0].removeprefix("#").strip().rstrip(".")


def preset_source(name: str) -> dict[str, Any]:
    """Return the `[[source]]` table of a preset; raise `ConfigError` for an unknown preset."""
    return dict(_parse_preset(preset_text(name)))


def with_preset(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a source, completed with the settings of its preset.

    A column or constant of the source replaces the preset's column or constant of that name. Raises `ValueError` for an unknown
    preset, and for one of another stream.
    """
    name = settings[PRESET]
    _check_known(name)
    preset = {key: value for key, value in preset_source(name).items() if key not in _OF_THE_USER}
    stream = settings.get("stream", preset["stream"])
    if stream != preset["stream"]:
        raise ValueError(f"the preset {name!r} is of stream {preset['stream']}, and the source of stream {stream}")
    given = {key: value for key in _BY_COLUMN if isinstance(value := settings.get(key, {}), dict)}
    mapped = {column for key in ("columns", "constants") for column in given.get(key, {})}
    for key, own in given.items():
        of_preset = {column: value for column, value in preset.get(key, {}).items() if key == "range" or column not in mapped}
        if of_preset or own:
            preset[key] = of_preset | own
    return preset | {key: value for key, value in settings.items() if key not in given}


def _find_folder() -> Traversable:
    return files("trueup.config").joinpath("presets")


def _check_known(name: object) -> None:
    known = preset_names()
    if name not in known:
        raise ValueError(f"there is no preset {name!r}; there are {', '.join(known)}")


@cache
def _parse_preset(text: str) -> dict[str, Any]:
    (source,) = tomllib.loads(text)["source"]
    return dict(source)
