"""Refuse files that two sources read, because their records would be collected twice, once by the wrong mapping."""

from __future__ import annotations

import stat
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from trueup.collect.discover.manifest import is_manifest
from trueup.collect.discover.units import display_path, find_files
from trueup.config import Project, SourceConfig
from trueup.errors import ConfigError

SENTENCE = "sources {first} and {second} read the same file{more}"
TODO = "give each source a `path` of its own, or set shared_files = true in both where one file holds records of both"


@dataclass(frozen=True)
class SharedFiles:
    """Two sources and the files that both read, named as the first source names them."""

    first: str
    second: str
    paths: tuple[Path, ...]

    @property
    def more(self) -> str:
        """The end of a message: the number of shared files beside the named one."""
        return f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""


def shared_files(sources: Iterable[SourceConfig], paths: Mapping[str, Sequence[Path]]) -> list[SharedFiles]:
    """Return the pairs of sources that read one file; `paths` has the files of each source.

    Symbolic and hard links to a file count as that file. Markers and manifests have no records, and a path that is not a regular
    file is refused when it is opened. Two sources that both set `shared_files` read one file intentionally.
    """
    readers: dict[tuple[int, int], dict[str, Path]] = defaultdict(dict)
    shares = {source.name: source.shared_files for source in sources}
    for source in sources:
        for path in paths.get(source.name, ()):
            if _is_data_file(source, path) and (identity := _read_identity(path)) is not None:
                readers[identity].setdefault(source.name, path)
    pairs: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for by_source in readers.values():
        for first, second in combinations(by_source, 2):
            if not (shares[first] and shares[second]):
                pairs[first, second].append(by_source[first])
    return [SharedFiles(first, second, tuple(sorted(files))) for (first, second), files in pairs.items()]


def refuse_shared_files(project: Project, chosen: Iterable[SourceConfig]) -> None:
    """Raise `ConfigError` where another source reads a file of a chosen source, or where a chosen source's path is unresolvable."""
    paths = {source.name: find_files(project, source).paths for source in chosen}
    names = frozenset(paths)
    for source in project.config.source:
        if source.name not in names:
            # The path of a source that is not collected now may name a variable that is not set now.
            with suppress(ConfigError):
                paths[source.name] = find_files(project, source).paths
    pairs = [pair for pair in shared_files(project.config.source, paths) if names & {pair.first, pair.second}]
    if pairs:
        sentence = "; ".join(SENTENCE.format(first=f.first, second=f.second, more=f.more) for f in pairs)
        raise ConfigError(sentence, where=display_path(project, pairs[0].paths[0]), todo=TODO)


def _is_data_file(source: SourceConfig, path: Path) -> bool:
    """Return whether a file of a source holds records, that is, whether it is neither a marker nor a manifest."""
    if source.manifest is not None and is_manifest(source.manifest, path):
        return False
    return not (source.complete == "marker" and path.name.endswith(source.marker))


def _read_identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
