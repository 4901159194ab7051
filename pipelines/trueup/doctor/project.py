"""Checks of a project: its file, its folders, its catalog and clock, and the first file of each source."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from trueup.clock import Clock
from trueup.collect.decode.readers import reader_of
from trueup.collect.discover.units import find_files, sample_unit
from trueup.collect.map.implied_settings import with_implied_settings
from trueup.collect.map.mapping import Mapping
from trueup.config import FILE_NAME, Project, SourceConfig
from trueup.config.tables.of_source.framing import FramingConfig
from trueup.doctor.result import Grade, Result, of_error
from trueup.errors import TrueupError, list_names
from trueup.log.catalog.catalogs import SqliteCatalog, catalog_of
from trueup.log.lake import Lake, data_path
from trueup.onboarding.sample import Sample, read_sample
from trueup.project_checks.check import log_problems, project_problems, vanished_folders
from trueup.project_checks.log_summary import summarise_log
from trueup.project_checks.problem import Problem
from trueup.proof.anchors.keys import read_private_key
from trueup.regular import open_regular

_GRADES: dict[str, Grade] = {"error": "error", "warning": "notice", "notice": "notice"}
_MOST_RECORDS = 5_000_000


def check_project(folder: Path, clock: Clock) -> Iterator[Result]:
    """Yield the checks of the project in a folder; where the project is missing or invalid, yield only that."""
    if not (folder / FILE_NAME).exists():
        yield Result(
            "notice", "project", f"there is no {FILE_NAME} in {folder}", "run `trueup init`, or name the folder with --project"
        )
        return
    try:
        project = Project.load(folder)
    except TrueupError as error:
        yield of_error("project", error)
        return
    yield Result("ok", "project", f"{FILE_NAME} is valid: {len(project.config.source)} sources")
    yield from _check_paths(project)
    yield from _check_catalog(project, clock)
    yield from map(_convert_problem, project_problems(project))
    for source in project.config.source:
        yield _check_source(project, source, clock)


def _convert_problem(problem: Problem) -> Result:
    return Result(_GRADES[problem.severity], problem.where, problem.what, problem.todo)


# --- folders and catalog ----------------------------------------------------------------------------------------------


def _check_paths(project: Project) -> Iterator[Result]:
    try:
        data, catalog = data_path(project), catalog_of(project)
    except TrueupError as error:
        yield of_error("[lake]", error)
        return
    yield _check_folder("project folder", project.directory)
    if "://" in data:
        yield Result("ok", "[lake] data", f"{data.split('://')[0]} store: read with the first commit")
    else:
        yield _check_folder("[lake] data", Path(data))
    if isinstance(catalog, SqliteCatalog):
        yield _check_folder("[lake] catalog", catalog.path.parent)
    if project.config.anchor.key is not None:
        yield _check_key(project, project.config.anchor.key)


def _check_folder(subject: str, folder: Path) -> Result:
    """Return whether a folder is readable and writable; where it is missing, whether it can be created."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        return Result("error", subject, f"{existing} is not a folder", "move it elsewhere, or name another path")
    if not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        return Result("error", subject, f"{existing} may not be read and written", "give this user the right to read and write it")
    missing = "" if existing == folder else "; it is created when it is needed"
    return Result("ok", subject, f"{folder} can be read and written{missing}")


def _check_key(project: Project, path: str) -> Result:
    try:
        read_private_key(project.resolve(path))
    except TrueupError as error:
        return of_error("[anchor] key", error)
    return Result("ok", "[anchor] key", f"{path} can be read, by its owner alone")


def _check_catalog(project: Project, clock: Clock) -> Iterator[Result]:
    try:
        if not Lake.exists(project):
            yield Result("notice", "lake", "there is none yet", "`trueup ingest` or `trueup run` creates it")
            return
        with Lake.open(project, read_only=True, clock=clock) as lake:
            position, newest = lake.last_position(), lake.newest_commit()
            yield Result("ok", "lake", f"the catalog opens; the newest position is {position}")
            log = summarise_log(lake, project, most_records=_MOST_RECORDS)
            problems, vanished = log_problems(project, log), vanished_folders(project, log)
            try:
                lake.check_clock(clock(), newest)
            except TrueupError as error:
                yield of_error("clock", error)
            else:
                yield Result("ok", "clock", "it agrees with the newest commit")
    except TrueupError as error:
        yield of_error("lake", error)
        return
    yield from (Result("error", problem.where, problem.what, problem.todo) for problem in vanished)
    # The checks of the sources report patterns without files.
    yield from (_convert_problem(problem) for problem in problems if problem.rule != "empty-pattern")


# --- sources ----------------------------------------------------------------------------------------------------------


def _check_source(project: Project, source: SourceConfig, clock: Clock) -> Result:
    """Return whether a source has readable files, and whether the first file has the columns of the mapping."""
    subject = f"[[source]] {source.name}"
    try:
        files = find_files(project, source)
        if files.errors:
            return of_error(subject, files.errors[0])
        if not files.paths:
            return Result(
                "notice", subject, f"no file matches {list_names(source.path)}", "correct `path`, or have the files delivered"
            )
        unreadable = [path for path in files.paths if not os.access(path, os.R_OK)]
        if unreadable:
            return Result("error", subject, f"{unreadable[0]} may not be read", "give this user the right to read it")
        columns = _check_columns(project, source, files.paths[0], clock)
    except TrueupError as error:
        return of_error(subject, error)
    count = len(files.paths)
    return Result("ok", subject, f"{count} {'file' if count == 1 else 'files'}; the first has the {columns} mapped columns")


def _check_columns(project: Project, source: SourceConfig, path: Path, clock: Clock) -> int:
    """Check the mapping against the beginning of a file, and return the number of columns that it reads.

    Raises `TrueupError` for a column that the file lacks and for a file that cannot be read.
    """
    expanded = with_implied_settings(source)
    mapping = Mapping(expanded, project.config.project, clock())
    available = _read_columns(expanded, path)
    mapping.check(available, where=os.fspath(path), required_only=not source.has_equal_records)
    return len(mapping.requested_among(available))


def _read_columns(source: SourceConfig, path: Path) -> Sequence[str]:
    """Return the columns of a file; read only the beginning of a text file, and the file itself where its reader must seek."""
    if source.format == "xlsx":
        with open_regular(path) as handle:
            return reader_of(sample_unit(source, path, handle, os.fstat(handle.fileno()).st_size)).columns()
    sample = read_sample(path)
    bounded = source.model_copy(update={"framing": _choose_framing(source, sample)})
    with open_regular(path) if sample.kind == "parquet" else io.BytesIO(sample.data) as handle:
        size = sample.size_bytes if sample.kind == "parquet" else len(sample.data)
        return reader_of(sample_unit(bounded, path, handle, size)).columns()


def _choose_framing(source: SourceConfig, sample: Sample) -> FramingConfig | None:
    """Return the framing with which to read a sample: a sample that ends before its file has no trailer."""
    framing = source.framing
    if framing is None or sample.is_whole or framing.trailer is None:
        return framing
    return None if framing.header is None else FramingConfig(header=framing.header)
