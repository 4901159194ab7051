"""Manifests: declarations about a file that its sender delivers in a separate file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from trueup.collect.discover.units import Unit, read_side_file
from trueup.config import ManifestConfig, Project
from trueup.errors import SourceError
from trueup.regular import NotRegularError

_ENDING = re.compile(r"[{](name|stem)[}]")
_MOST_DIGITS = 18


@dataclass(frozen=True)
class DeclaredContent:
    """Declaration about a file: its number of records, its SHA-256, both, or neither."""

    records: int | None = None
    sha256: str | None = None


def manifest_of(manifest: ManifestConfig, path: Path) -> Path:
    """Return the path of a file's manifest."""
    return path.parent / manifest.path.replace("{name}", path.name).replace("{stem}", path.stem)


def is_manifest(manifest: ManifestConfig, path: Path) -> bool:
    """Return whether a file's name is that of a manifest."""
    literal = _ENDING.split(Path(manifest.path).name)[::2]
    return re.fullmatch(".+".join(map(re.escape, literal)), path.name) is not None


def read_manifest(project: Project, unit: Unit) -> DeclaredContent:
    """Return what the manifest of a unit declares; raise `SourceError` if it is unreadable, empty, or contradicts the bytes."""
    manifest = unit.source.manifest
    if manifest is None:
        return DeclaredContent()
    path = manifest_of(manifest, unit.path)
    try:
        text = read_side_file(project, unit.source, path).decode("utf-8", "replace")
    except OSError as error:
        todo = "have it delivered"
        if isinstance(error, NotRegularError) and error.fault == "too_long":
            todo = "check the manifest, or raise `manifest_bytes` in [limits] or [source.limits]"
        reason = f"its manifest {path.name} cannot be read: {error.strerror or error}"
        raise SourceError(reason, where=unit.shown, todo=todo) from None
    match = re.search(manifest.pattern.replace("{name}", re.escape(unit.path.name)), text)
    if match is None:
        raise SourceError(
            f"its manifest {path.name} has no entry for it", where=unit.shown,
            todo=f"check the manifest, and [source.manifest] pattern of source {unit.source.name}",
        )  # fmt: skip
    groups = match.groupdict()
    records, sha256 = groups.get("records"), groups.get("sha256")
    if records is not None and not (records.isascii() and records.isdecimal() and len(records) <= _MOST_DIGITS):
        raise SourceError(f"its manifest {path.name} declares an invalid number of records: {records[:80]!r}", where=unit.shown)
    if sha256 is not None and sha256.lower() != unit.sha256:
        raise SourceError(
            f"the file is not the one that its manifest {path.name} declares: its SHA-256 is {unit.sha256}", where=unit.shown,
            todo="have it delivered again",
        )  # fmt: skip
    return DeclaredContent(None if records is None else int(records), sha256)
