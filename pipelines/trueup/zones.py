"""Time zones by name: those that settings and records may name, and the zone by which an earlier recorded name is computed."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from trueup.errors import TrueupError

_UNSET = ("Factory", "localtime", "posixrules")
"""Names of no place: the tz database's zone of a clock that was never set, which shows UTC, and two files of a machine's own."""
_FOLDERS = ("posix/", "right/")
"""Folders of some machines with copies of the tz database, which neither Polars nor DuckDB knows."""


@cache
def zone_names() -> frozenset[str]:
    """Return the names of the tz database, as the package tzdata lists them, without `Factory`.

    Python also finds the files that a machine has beside them. Polars and DuckDB have tables of their own, without these files.
    """
    return frozenset(files("tzdata").joinpath("zones").read_text("ascii").split()).difference(_UNSET)


def check_zone(name: str) -> str:
    """Return a name of the tz database; raise `ValueError` for any other."""
    if name not in zone_names():
        raise ValueError(f"unknown time zone {name!r}; use a name of the tz database such as 'Europe/Berlin' or 'UTC'")
    return name


@cache
def computed_zone(recorded: str) -> str:
    """Return the zone by which a recorded name is computed: the name itself, if it is of the tz database.

    Earlier versions recorded names that only a machine knows. A name in the folder `posix` or `right` stands for the zone without
    the folder, and a name of no place for UTC. Any other name raises `TrueupError`. The macro `steps.known_zone` is the same rule.
    """
    name = recorded
    for folder in _FOLDERS:
        name = name.removeprefix(folder)
    name = "UTC" if name in _UNSET else name
    try:
        return check_zone(name)
    except ValueError:
        raise TrueupError(
            f"the log has the time zone {recorded!r}, which the installed package tzdata lacks",
            todo="update tzdata, or read the log with the version of trueup that wrote it",
        ) from None
