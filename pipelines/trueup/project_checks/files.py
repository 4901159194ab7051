"""Rules about files: what the paths of sources lead to, and what they must not lead to."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from trueup.collect.discover.shared_files import SENTENCE, TODO, shared_files
from trueup.collect.discover.units import display_path
from trueup.config import FILE_NAME, Project, SourceConfig, expand_path
from trueup.errors import ConfigError
from trueup.events.schema import MOVEMENTS
from trueup.log.catalog import SqliteCatalog, catalog_of
from trueup.log.lake import data_path
from trueup.project_checks.facts import Facts
from trueup.project_checks.problem import Instance, Rule

PUBLISHED = "leakage.duckdb"
"""Where `trueup run` publishes unless another file is named."""


def _shared(facts: Facts) -> Iterator[Instance]:
    paths = {name: [path for found in patterns.values() for path in found] for name, patterns in facts.patterns.items()}
    for pair in shared_files(facts.config.source, paths):
        yield {"where": display_path(facts.project, pair.paths[0]), "first": pair.first, "second": pair.second, "more": pair.more}


def _unresolved(facts: Facts) -> Iterator[Instance]:
    for name, error in facts.unresolved.items():
        yield {"where": f"[[source]] {name}", "source": name, "what": error.what, "advice": error.todo or "correct `path`"}


def _own_files(facts: Facts) -> Iterator[Instance]:
    folder, written = _data_folder(facts.project), _written_files(facts)
    for source in facts.config.source:
        if source.name in facts.unresolved:
            continue
        for pattern in source.path:
            parts = _pattern_parts(facts.project, pattern)
            inside = folder is not None and _literal_folder(parts).is_relative_to(folder)
            own = folder if inside else next((path for path in written if _leads_to(parts, path.parts)), None)
            if own is not None:
                yield {
                    "where": f"[[source]] {source.name}", "source": source.name, "pattern": pattern,
                    "own": display_path(facts.project, own),
                }  # fmt: skip
                break


def _empty_patterns(facts: Facts) -> Iterator[Instance]:
    for source in facts.config.source:
        for pattern, paths in facts.patterns.get(source.name, {}).items():
            if glob.has_magic(pattern) and not paths and not _was_read(facts, source, pattern):
                yield {"where": f"[[source]] {source.name}", "source": source.name, "pattern": pattern}


def _same_content(facts: Facts) -> Iterator[Instance]:
    sources = {source.name: source for source in facts.sources}
    for same in facts.log.same_content:
        first, second = sources.get(same.first), sources.get(same.second)
        if first is not None and second is not None and _are_twice(first, second):
            files = "a file" if same.units == 1 else f"{same.units} files"
            yield {"where": same.path, "first": same.first, "second": same.second, "files": files}


def _are_twice(first: SourceConfig, second: SourceConfig) -> bool:
    """Whether equal bytes of two sources count twice: keys of one scope are known again, states are told by each system."""
    is_known_again = first.stream == second.stream and first.scope == second.scope
    on_purpose = first.shared_files and second.shared_files
    return {first.stream, second.stream} <= set(MOVEMENTS) and not is_known_again and not on_purpose


def _was_read(facts: Facts, source: SourceConfig, pattern: str) -> bool:
    """Whether units of a source were read by a pattern: files that were moved away afterwards are missed by nobody."""
    brought = facts.log.sources.get(source.name)
    parts = _pattern_parts(facts.project, pattern)
    return brought is not None and any(_leads_to(parts, (facts.project.directory / path).parts) for path in brought.newest_paths)


# --- what trueup writes -----------------------------------------------------------------------------------------------


def _data_folder(project: Project) -> Path | None:
    """The folder of the lake's data; None where it lies in an object store or its place cannot be resolved."""
    try:
        path = data_path(project)
    except ConfigError:
        return None
    return None if "://" in path else Path(path)


def _written_files(facts: Facts) -> list[Path]:
    """Files of the project that no source may read, whether they are there yet or not."""
    directory, folder = facts.project.directory, _data_folder(facts.project)
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


def _pattern_parts(project: Project, pattern: str) -> Sequence[str]:
    """The parts of a path as written in `path` of a source; those of the project's folder are no pattern."""
    relative = Path(expand_path(pattern))
    return relative.parts if relative.is_absolute() else (*map(glob.escape, project.directory.parts), *relative.parts)


def _literal_folder(parts: Sequence[str]) -> Path:
    """The folder within which a pattern leads to files."""
    names = []
    for part in parts[:-1]:
        if glob.has_magic(part) and glob.escape(_unescaped(part)) != part:
            break
        names.append(_unescaped(part))
    return Path(*names)


def _unescaped(part: str) -> str:
    for magic in "*?[":
        part = part.replace(f"[{magic}]", magic)
    return part


def _leads_to(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Whether a pattern leads to a path: `**` stands for any number of folders, and no wildcard for a hidden name."""
    if not pattern or not path:
        return not pattern and not path
    if pattern[0] == "**":
        if _leads_to(pattern[1:], path) or (len(pattern) == 1 and len(path) == 1 and not path[0].startswith(".")):
            return True
        return not path[0].startswith(".") and _leads_to(pattern, path[1:])
    hidden = path[0].startswith(".") and not pattern[0].startswith(".")
    return not hidden and fnmatchcase(path[0], pattern[0]) and _leads_to(pattern[1:], path[1:])


FILE_RULES = (
    Rule("shared-file", "error", SENTENCE, TODO, _shared),
    Rule(
        "own-file", "error", "the path {pattern} of source {source} also leads to {own}, which is the project's own",
        "keep delivered files in a folder of their own, such as landing/{source}", _own_files,
    ),
)  # fmt: skip
COLLECTION_RULES = (
    Rule("unresolved-path", "error", "the path of source {source} cannot be resolved: {what}", "{advice}", _unresolved),
)
LOG_RULES = (
    Rule(
        "empty-pattern", "notice", "no file matches {pattern}", "correct `path` of source {source}, or have the files delivered",
        _empty_patterns,
    ),
    Rule(
        "same-content", "warning", "sources {first} and {second} have each collected {files} of the same content",
        "deliver each file to one source; set shared_files = true in both where one file holds records of both", _same_content,
    ),
)  # fmt: skip
