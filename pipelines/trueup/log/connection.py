"""DuckDB connections with the lake's extensions, in UTC."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb

from trueup.errors import LogError


def connect(path: str = ":memory:", *, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection whose sessions speak UTC and never print a progress bar of their own."""
    connection = duckdb.connect(path)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    if threads is not None:
        connection.execute(f"SET threads = {int(threads)}")
    return connection


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Loads an extension: as installed, else from its wheel, else by installing it.

    DuckDB verifies the extension's signature in each case. Raises `LogError` when none of the three works.
    """
    try:
        connection.execute(f"LOAD {name}")
        return
    except duckdb.Error:
        pass  # Not installed in DuckDB's own folder, which is the usual case: the wheel has it.
    try:
        wheel = _in_wheel(name)
        if wheel is not None:
            connection.execute("LOAD '" + str(wheel).replace("'", "''") + "'")
        else:
            connection.execute(f"INSTALL {name}")
            connection.execute(f"LOAD {name}")
    except duckdb.Error as error:
        raise LogError(
            f"DuckDB's extension {name} cannot be loaded: {str(error).splitlines()[0]}",
            todo=f"install the package duckdb-extension-{name.replace('_', '-')} at the version of duckdb",
        ) from None


def _in_wheel(name: str) -> Path | None:
    found = importlib.util.find_spec(f"duckdb_extension_{name}")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations)))
    return next(iter(sorted(folder.glob(f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"))), None)
