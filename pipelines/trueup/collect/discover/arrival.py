"""Whether a file is complete, as its source tells: by its name alone, by a marker beside it, or by having stood still."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trueup.collect.discover.manifest import is_manifest, manifest_of
from trueup.config import SourceConfig
from trueup.errors import SourceError
from trueup.regular import NotRegularError, refuse_irregular

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_complete(source: SourceConfig, path: Path, now: datetime) -> bool:
    """Whether a file may be taken in.

    `rename`: whoever writes it gives it its name when it is whole, so it is. `marker`: when the file of the same name and the
    marker's suffix is there; markers themselves are never taken in. `quiet`: when nothing has changed it for that long. A source
    with manifests waits for that of the file besides, and takes in none of them either.
    """
    # Whatever lies there counts: what is no file is refused when the unit is taken in, with a message, rather than waited for.
    manifest = source.manifest
    if manifest is not None and (is_manifest(manifest, path) or not os.path.lexists(manifest_of(manifest, path))):
        return False
    if source.complete == "marker":
        return not path.name.endswith(source.marker) and os.path.lexists(_marker_of(source, path))
    if source.complete == "quiet":
        try:
            status = path.stat() if path.exists() else path.lstat()
            changed = _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1_000)
        except OSError:
            return False
        return now - changed >= timedelta(microseconds=source.quiet)
    return True


def check_marker(source: SourceConfig, path: Path, *, shown: str) -> None:
    """Raises `SourceError` where the marker of a file is no file."""
    if source.complete != "marker":
        return
    marker = _marker_of(source, path)
    try:
        refuse_irregular(marker.stat().st_mode)
    except NotRegularError as error:
        todo = "have the marker written again"
        raise SourceError(f"its marker {marker.name} is no marker: {error.strerror}", where=shown, todo=todo) from None
    except OSError:
        # A marker that has been moved away since has done its work.
        return


def _marker_of(source: SourceConfig, path: Path) -> Path:
    return path.with_name(path.name + source.marker)
