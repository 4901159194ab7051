"""Completeness of files, by the source's setting: by name alone, by a marker file, or by a quiet period."""

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
    """Return whether a file may be ingested.

    `rename`: the writer renames the file when it is complete, so a file with a matching name is always complete. `marker`: a file
    of the same name with the marker's suffix exists; markers themselves are never ingested. `quiet`: the file has not changed for
    the configured time. A source with manifests also waits for the file's manifest, and ingests no manifest.
    """
    # A path that is not a file counts as complete too, so that ingestion refuses it with a message.
    manifest = source.manifest
    if manifest is not None and (is_manifest(manifest, path) or not os.path.lexists(manifest_of(manifest, path))):
        return False
    if source.complete == "marker":
        return not path.name.endswith(source.marker) and os.path.lexists(_find_marker(source, path))
    if source.complete == "quiet":
        try:
            status = path.stat() if path.exists() else path.lstat()
            changed = _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1_000)
        except OSError:
            return False
        return now - changed >= timedelta(microseconds=source.quiet)
    return True


def check_marker(source: SourceConfig, path: Path, *, shown: str) -> None:
    """Raise `SourceError` where the marker of a file is not a regular file."""
    if source.complete != "marker":
        return
    marker = _find_marker(source, path)
    try:
        refuse_irregular(marker.stat().st_mode)
    except NotRegularError as error:
        todo = "have the marker written again"
        raise SourceError(f"invalid marker {marker.name}: {error.strerror}", where=shown, todo=todo) from None
    except OSError:
        # A marker that was removed in the meantime is no longer needed.
        return


def _find_marker(source: SourceConfig, path: Path) -> Path:
    return path.with_name(path.name + source.marker)
