"""Checks of the machine: Python, memory, cores, free disk, optional packages and DuckDB's extensions."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata, util
from pathlib import Path

import duckdb

from trueup.doctor.result import Grade, Result, of_error
from trueup.errors import TrueupError
from trueup.log.catalog.connection import connect, load_extension

_LEAST_MEMORY_BYTES, _LEAST_FREE_BYTES, _LITTLE_FREE_BYTES = 2 << 30, 100 << 20, 5 << 30
_DISTRIBUTIONS = {"vl_convert": "vl-convert-python", "pyflink": "apache-flink"}
"""Distributions whose name differs from that of their package."""
_EXTENSIONS = ("ducklake", "sqlite_scanner", "postgres_scanner")


def check_machine(extras: Mapping[str, str], folder: Path) -> Iterator[Result]:
    """Yield the checks of this machine; `extras` names the extra of each optional package, `folder` is on the checked disk."""
    yield _check_python()
    yield _check_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Result("ok", "cores", f"{cores} that this process may use")
    yield _check_disk(folder)
    for package, extra in extras.items():
        yield _check_package(package, extra)
    yield from _check_extensions()


def _check_python() -> Result:
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    accepted = metadata.metadata("trueup")["Requires-Python"]
    least, below = re.search(r">=(\d+)\.(\d+)", accepted), re.search(r"<(\d+)\.(\d+)", accepted)
    version = sys.version_info[:2]
    fits = (least is None or version >= (int(least[1]), int(least[2]))) and (
        below is None or version < (int(below[1]), int(below[2]))
    )
    if fits:
        return Result("ok", "Python", f"{found}, of {accepted}")
    return Result("error", "Python", f"{found} is not of {accepted}", "install trueup with a Python of these versions")


def _check_memory() -> Result:
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size < _LEAST_MEMORY_BYTES:
        todo = "set `memory` of [sql] below it, and reconcile smaller deliveries"
        return Result("notice", "memory", f"{gib(size)} in all, less than {gib(_LEAST_MEMORY_BYTES)}", todo)
    return Result("ok", "memory", f"{gib(size)} in all")


def _check_disk(folder: Path) -> Result:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free >= _LITTLE_FREE_BYTES:
        return Result("ok", "free disk", f"{gib(free)} at {existing}")
    grade: Grade = "notice" if free >= _LEAST_FREE_BYTES else "error"
    return Result(grade, "free disk", f"{gib(free)} at {existing}", "free some space, or place the lake elsewhere ([lake] data)")


def gib(size: int) -> str:
    """Return a number of bytes in GiB."""
    return f"{size / (1 << 30):.1f} GiB"


def _check_package(package: str, extra: str) -> Result:
    if util.find_spec(package) is None:
        return Result("notice", f"package {package}", "it is not installed", f"install trueup[{extra}] to use it")
    name = _DISTRIBUTIONS.get(package, package.replace("_", "-"))
    wanted = next((text for text in metadata.requires("trueup") or () if re.match(rf"{re.escape(name)}\b", text)), "")
    version, pinned = metadata.version(name), re.search(r"==([0-9][0-9.]*[0-9])(\.\*)?", wanted)
    if pinned is not None and not (version + ".").startswith(pinned[1] + "."):
        return Result("error", f"package {package}", f"{version}, but trueup needs {pinned[1]}", f"install trueup[{extra}] again")
    return Result("ok", f"package {package}", version)


def _check_extensions() -> Iterator[Result]:
    yield Result("ok", "DuckDB", duckdb.__version__)
    for name in _EXTENSIONS:
        try:
            with connect(threads=1, extensions=(name,)) as connection:
                load_extension(connection, name)
                query = "SELECT extension_version FROM duckdb_extensions() WHERE extension_name = $name AND loaded"
                row = connection.execute(query, {"name": name}).fetchone()
        except TrueupError as error:
            yield of_error(f"DuckDB extension {name}", error)
        else:
            yield Result("ok", f"DuckDB extension {name}", f"version {row[0]} is loaded" if row else "it is loaded")
