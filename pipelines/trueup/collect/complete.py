"""Whether a file is complete, as its source tells: by its name alone, by a marker beside it, or by having stood still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from trueup.collect.manifest import is_manifest, manifest_of
from trueup.config import SourceConfig

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_complete(source: SourceConfig, path: Path, now: datetime) -> bool:
    """Whether a file may be taken in.

    `rename`: whoever writes it gives it its name when it is whole, so it is. `marker`: when the file of the same name and the
    marker's suffix is there; markers themselves are never taken in. `quiet`: when nothing has changed it for that long. A source
    with manifests waits for that of the file besides, and takes in none of them either.
    """
    if source.manifest is not None and (is_manifest(source.manifest, path) or not manifest_of(source.manifest, path).exists()):
        return False
    if source.complete == "marker":
        return not path.name.endswith(source.marker) and path.with_name(path.name + source.marker).exists()
    if source.complete == "quiet":
        try:
            changed = _EPOCH + timedelta(microseconds=path.stat().st_mtime_ns // 1_000)
        except FileNotFoundError:
            return False
        return now - changed >= timedelta(microseconds=source.quiet)
    return True
