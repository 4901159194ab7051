"""Rules about files: the files that the paths of sources match, and those they must not match."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from trueup.collect.discover.shared_files import SENTENCE, TODO, shared_files
from trueup.collect.discover.units import display_path, is_below, vanished_error
from trueup.config import FILE_NAME, Project, SourceConfig, expand_path
from trueup.errors import ConfigError, SourceError
from trueup.events.streams import MOVEMENTS
from trueup.log.catalog.catalogs import SqliteCatalog, catalog_of
from trueup.log.lake import data_path
from trueup.project_checks.facts import Facts
from trueup.project_checks.problem import Instance, Rule

PUBLISHED = "leakage.duckdb"
"""File to which `trueup run` publishes by default."""


def _find_shared_files(facts: Facts) -> Iterator[Instance]:
    paths = {name: [path for matched in patterns.values() for path in matched] for name, patterns in facts.patterns.items()}
    for pair in shared_files(facts.config.source, paths):
        yield {"where": display_path(facts.project, pair.paths[0]), "first": pair.first, "second": pair.second, "more": pair.more}


def _find_unresolved(facts: Facts) -> Iterator[Instance]:
    for name, error in facts.unresolved.items():
        yield {"where": f"[[source]] {name}", "source": name, "what": error.what, "advice": error.todo or "correct `path`"}


def _find_own_files(facts: Facts) -> Iterator[Instance]:
    folder, written = _find_data_folder(facts.project), _list_written_files(facts)
    for source in facts.config.source:
        if source.name in facts.unresolved:
            continue
        for pattern in source.path:
            parts = _split_pattern(facts.project, pattern)
            inside = folder is not None and _find_literal_folder(parts).is_relative_to(folder)
            own = folder if inside else next((path for path in written if _is_match(parts, path.parts)), None)
            if own is not None:
                yield {
                    "where": f"[[source]] {source.name}", "source": source.name, "pattern": pattern,
                    "own": display_path(facts.project, own),
                }  # fmt: skip
                break


def _find_empty_patterns(facts: Facts) -> Iterator[Instance]:
    for source in facts.config.source:
        for pattern, paths in facts.patterns.get(source.name, {}).items():
            if (
                glob.has_magic(pattern)
                and not paths
                and not facts.files[source.name][pattern].unreadable
                and not _check_was_read(facts, source, pattern)
            ):
                yield {"where": f"[[source]] {source.name}", "source": source.name, "pattern": pattern}


def _find_unreadable_paths(facts: Facts) -> Iterator[Instance]:
    for files in facts.files.values():
        for found in files.values():
            yield from map(_as_instance, found.unreadable)


def _find_vanished_folders(facts: Facts) -> Iterator[Instance]:
    for source in facts.config.source:
        deliveries = facts.log.sources.get(source.name)
        for found in facts.files.get(source.name, {}).values() if deliveries is not None else ():
            for folder in found.missing:
                if deliveries is not None and is_below(facts.project, folder, deliveries.newest_paths):
                    yield _as_instance(vanished_error(facts.project, source, folder))


def _as_instance(error: SourceError) -> Instance:
    return {"where": error.where, "what": error.what, "advice": error.todo}


def _find_same_content(facts: Facts) -> Iterator[Instance]:
    sources = {source.name: source for source in facts.sources}
    for same in facts.log.same_content:
        first, second = sources.get(same.first), sources.get(same.second)
        if first is not None and second is not None and _count_twice(first, second):
            files = "a file" if same.units == 1 else f"{same.units} files"
            yield {"where": same.path, "first": same.first, "second": same.second, "files": files}


def _count_twice(first: SourceConfig, second: SourceConfig) -> bool:
    """Return whether equal files of two sources count twice: not within one key scope, and not for states of different systems."""
    is_duplicate = first.stream == second.stream and first.scope == second.scope
    on_purpose = first.shared_files and second.shared_files
    return {first.stream, second.stream} <= set(MOVEMENTS) and not is_duplicate and not on_purpose


def _check_was_read(facts: Facts, source: SourceConfig, pattern: str) -> bool:
    """Return whether a pattern ever led to units of a source; then a file that was moved away later is not missing."""
    deliveries = facts.log.sources.get(source.name)
    parts = _split_pattern(facts.project, pattern)
    return deliveries is not None and any(
        _is_match(parts, (facts.project.directory / path).parts) for path in deliveries.newest_paths
    )


# --- files that trueup writes -----------------------------------------------------------------------------------------


def _find_data_folder(project: Project) -> Path | None:
    """Return the folder of the lake's data; None for an object store or a path that cannot be resolved."""
    try:
        path = data_path(project)
    except ConfigError:
        return None
    return None if "://" in path else Path(path)


def _list_written_files(facts: Facts) -> list[Path]:
    """Return files of the project that no source may read, whether they exist or not."""
    directory, folder = facts.project.directory, _find_data_folder(facts.project)
    files = [directory / FILE_NAME, (facts.published or directory / PUBLISHED).absolute()]
    if folder is not None:
        files += [folder / "events/control/ducklake-0.parquet", folder / "events/usage/day=2024-01-01/ducklake-0.parquet"]
    try:
        catalog = catalog_of(facts.project)
    except ConfigError:
        return files
    if isinstance(catalog, SqliteCatalog):
        files += [catalog.path, catalog.path.with_name(f"{catalog.path.name}-wal")]
    return files


# --- patterns ---------------------------------------------------------------------------------------------------------


def _split_pattern(project: Project, pattern: str) -> Sequence[str]:
    """Return the parts of a source's `path`; the parts of the project's folder are literal."""
    relative = Path(expand_path(pattern))
    return relative.parts if relative.is_absolute() else (*map(glob.escape, project.directory.parts), *relative.parts)


def _find_literal_folder(parts: Sequence[str]) -> Path:
    """Return the folder that contains all files of a pattern."""
    names = []
    for part in parts[:-1]:
        if glob.has_magic(part) and glob.escape(_unescape(part)) != part:
            break
        names.append(_unescape(part))
    return Path(*names)


def _unescape(part: str) -> str:
    for magic in "*?[":
        part = part.replace(f"[{magic}]", magic)
    return part


def _is_match(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Return whether a pattern matches a path: `**` matches any number of folders, and no wildcard matches a hidden name."""
    if not pattern or not path:
        return not pattern and not path
    if pattern[0] == "**":
        if _is_match(pattern[1:], path) or (len(pattern) == 1 and len(path) == 1 and not path[0].startswith(".")):
            return True
        return not path[0].startswith(".") and _is_match(pattern, path[1:])
    hidden = path[0].startswith(".") and not pattern[0].startswith(".")
    return not hidden and fnmatchcase(path[0], pattern[0]) and _is_match(pattern[1:], path[1:])


FILE_RULES = (
    Rule("shared-file", "error", SENTENCE, TODO, _find_shared_files),
    Rule(
        "own-file", "error", "the path {pattern} of source {source} also matches {own}, a file of the project itself",
        "keep delivered files in a separate folder, such as landing/{source}", _find_own_files,
    ),
)  # fmt: skip
COLLECTION_RULES = (
    Rule("unresolved-path", "error", "the path of source {source} cannot be resolved: {what}", "{advice}", _find_unresolved),
)
DELIVERY_RULES = (
    Rule("unreadable-path", "warning", "{what}", "{advice}", _find_unreadable_paths),
    Rule("vanished-folder", "warning", "{what}", "{advice}", _find_vanished_folders),
)
LOG_RULES = (
    Rule(
        "empty-pattern", "notice", "no file matches {pattern}", "correct `path` of source {source}, or have the files delivered",
        _find_empty_patterns,
    ),
    Rule(
        "same-content", "warning", "sources {first} and {second} have each collected {files} of the same content",
        "deliver each file to one source; set shared_files = true in both where one file holds records of both", _find_same_content,
    ),
)  # fmt: skip
