"""DuckDB connections with the lake's extensions, in UTC."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import duckdb

from trueup.errors import LogError


def connect(path: str = ":memory:", *, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection whose sessions speak UTC, print no progress bar of their own and keep no copies of files they read."""
    connection = duckdb.connect(path)
    localise(connection)
    connection.execute("SET autoinstall_known_extensions = false")
    # Who reads every new file of a log once would keep them all, up to most of the machine's memory.
    connection.execute("SET enable_external_file_cache = false")
    if threads is not None:
        connection.execute(f"SET threads = {int(threads)}")
    return connection


def localise(connection: duckdb.DuckDBPyConnection) -> None:
    """Sets what holds for one connection only: a further connection to the same instance needs it as well."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")


class _NotYetImported(ModuleType):
    """Stands for pandas until somebody asks it for more than its missing values."""

    NaT = NA = object()

    def __getattr__(self, name: str) -> object:
        try:
            return getattr(importlib.import_module("pandas"), name)
        except ImportError:
            raise AttributeError(name) from None


def spare_pandas() -> None:
    """Keeps DuckDB from importing pandas, for a process of our own.

    DuckDB compares each value bound to a query with pandas' missing values, and imports pandas for it: 0.6 s of CPU, for values
    that are not there while pandas is not. It looks them up once, here in a module that hands on everything else.
    """
    if "pandas" in sys.modules:
        return
    sys.modules["pandas"] = _NotYetImported("pandas")
    try:
        with duckdb.connect() as connection:
            connection.execute("SELECT ?", [1])
    finally:
        del sys.modules["pandas"]


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Loads an extension: from its wheel, else as installed, else by installing it.

    DuckDB verifies the extension's signature in each case. Raises `LogError` when none of the three works.
    """
    wheel = _in_wheel(name)
    # A bare LOAD of what is not installed asks the network first, and takes half a second where there is none.
    ways = [["LOAD '" + str(wheel).replace("'", "''") + "'"]] if wheel else [[f"LOAD {name}"], [f"INSTALL {name}", f"LOAD {name}"]]
    reason = ""
    for way in ways:
        try:
            for statement in way:
                connection.execute(statement)
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
        else:
            return
    raise LogError(
        f"DuckDB's extension {name} cannot be loaded: {reason}",
        todo=f"install the package duckdb-extension-{name.replace('_', '-')} at the version of duckdb",
    )


def _in_wheel(name: str) -> Path | None:
    found = importlib.util.find_spec(f"duckdb_extension_{name}")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations)))
    return next(iter(sorted(folder.glob(f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"))), None)
