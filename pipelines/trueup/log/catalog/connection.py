"""DuckDB connections with the lake's extensions, in UTC."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import duckdb

from trueup.errors import LogError


def connect(path: str = ":memory:", *, threads: int | None = None, extensions: Sequence[str] = ()) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection in UTC, without progress bar and without a cache of the files it reads.

    `extensions` are loaded from their wheels where all of them are installed. DuckDB does not check the signatures of these
    files, because hashing them costs far more than loading them. The files lie beside DuckDB itself, with the same owner. DuckDB
    checks the signatures of extensions loaded later. Raises `LogError` when an extension cannot be loaded.
    """
    wheels = [_find_in_wheel(name) for name in extensions]
    trusted = bool(wheels) and all(wheels)
    # Threads are set at once, so that DuckDB starts none that it must stop again.
    config: dict[str, str | bool | int | float | list[str]] = {} if threads is None else {"threads": threads}
    connection = duckdb.connect(path, config=config | {"allow_unsigned_extensions": True} if trusted else config)
    if trusted:
        for name in extensions:
            load_extension(connection, name)
        # DuckDB never allows this setting to be switched on again.
        connection.execute("SET allow_unsigned_extensions = false")
    localise(connection)
    connection.execute("SET autoinstall_known_extensions = false")
    # A process that follows a log reads each file once; the cache would grow to most of the machine's memory.
    connection.execute("SET enable_external_file_cache = false")
    return connection


def localise(connection: duckdb.DuckDBPyConnection) -> None:
    """Set what applies to one connection only; each further connection to the instance needs it as well."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")


class _NotYetImported(ModuleType):
    """Placeholder for pandas that imports it when more than its missing values is needed."""

    NaT = NA = object()

    def __getattr__(self, name: str) -> object:
        try:
            return getattr(importlib.import_module("pandas"), name)
        except ImportError:
            raise AttributeError(name) from None


def spare_pandas() -> None:
    """Prevent DuckDB from importing pandas in a process of this project.

    DuckDB compares each bound value with pandas' missing values and imports pandas for it: 0.6 s of CPU, for values that cannot
    occur without pandas. DuckDB looks up the missing values once, here in a substitute module that forwards everything else.
    """
    if "pandas" in sys.modules:
        return
    sys.modules["pandas"] = _NotYetImported("pandas")
    try:
        with duckdb.connect(config={"threads": "1"}) as connection:
            connection.execute("SELECT ?", [1])
    finally:
        del sys.modules["pandas"]


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension: from its wheel, else as installed, else by installing it.

    DuckDB checks its signature unless `connect` trusts the wheel. Raises `LogError` when none of the three works.
    """
    wheel = _find_in_wheel(name)
    # LOAD of an extension that is not installed tries the network first, and takes half a second where there is none.
    attempts = (
        [["LOAD '" + str(wheel).replace("'", "''") + "'"]] if wheel else [[f"LOAD {name}"], [f"INSTALL {name}", f"LOAD {name}"]]
    )
    reason = ""
    for attempt in attempts:
        try:
            for statement in attempt:
                connection.execute(statement)
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
        else:
            return
    raise LogError(
        f"DuckDB's extension {name} cannot be loaded: {reason}",
        todo=f"install the package duckdb-extension-{name.replace('_', '-')} at the version of duckdb",
    )


def _find_in_wheel(name: str) -> Path | None:
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations)))
    return next(iter(sorted(folder.glob(f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"))), None)
