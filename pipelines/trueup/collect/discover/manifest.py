"""Manifests: what the sender of a file declares of it in another file beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from trueup.collect.discover.units import Unit, read_beside
from trueup.config import ManifestConfig, Project
from trueup.errors import SourceError
from trueup.regular import NotRegularError

_ENDING = re.compile(r"[{](name|stem)[}]")
_MOST_DIGITS = 18


@dataclass(frozen=True)
class Declared:
    """What is declared of a file: its records, its bytes' SHA-256, or neither."""

    records: int | None = None
    sha256: str | None = None


def manifest_of(manifest: ManifestConfig, path: Path) -> Path:
    """Where the manifest of a file lies."""
    return path.parent / manifest.path.replace("{name}", path.name).replace("{stem}", path.stem)


def is_manifest(manifest: ManifestConfig, path: Path) -> bool:
    """Whether a file is named like a manifest."""
    literal = _ENDING.split(Path(manifest.path).name)[::2]
    return re.fullmatch(".+".join(map(re.escape, literal)), path.name) is not None


def declared_of(project: Project, unit: Unit) -> Declared:
    """What the manifest of a unit declares; raises `SourceError` where it cannot be read, tells nothing, or tells other bytes."""
    manifest = unit.source.manifest
    if manifest is None:
        return Declared()
    path = manifest_of(manifest, unit.path)
    try:
        text = read_beside(project, unit.source, path).decode("utf-8", "replace")
    except OSError as error:
        todo = "have it delivered"
        if isinstance(error, NotRegularError) and error.fault == "too_long":
            todo = "check the manifest, or raise `manifest_bytes` in [limits] or [source.limits]"
        reason = f"its manifest {path.name} cannot be read: {error.strerror or error}"
        raise SourceError(reason, where=unit.shown, todo=todo) from None
    found = re.search(manifest.pattern.replace("{name}", re.escape(unit.path.name)), text)
    if found is None:
        raise SourceError(
            f"its manifest {path.name} declares nothing of it", where=unit.shown,
            todo=f"check the manifest, and [source.manifest] pattern of source {unit.source.name}",
        )  # fmt: skip
    told = found.groupdict()
    records, sha256 = told.get("records"), told.get("sha256")
    if records is not None and not (records.isascii() and records.isdecimal() and len(records) <= _MOST_DIGITS):
        raise SourceError(f"its manifest {path.name} declares {records[:80]!r} records, which is no number", where=unit.shown)
    if sha256 is not None and sha256.lower() != unit.sha256:
        raise SourceError(
            f"the file is not the one that its manifest {path.name} declares: its SHA-256 is {unit.sha256}", where=unit.shown,
            todo="have it delivered again",
        )  # fmt: skip
    return Declared(None if records is None else int(records), sha256)
