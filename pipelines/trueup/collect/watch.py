"""Watching: ingests files as they arrive, until stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from trueup.clock import Clock, system_clock
from trueup.collect.discover.arrival import is_complete
from trueup.collect.discover.manifest import manifest_of
from trueup.collect.discover.units import SourceFiles, find_files
from trueup.collect.ingest import IngestSummary, find_vanished_folders, ingest, select_sources
from trueup.collect.map.implied_settings import with_implied_settings
from trueup.config import Project, SourceConfig
from trueup.errors import ClockError, TrueupError
from trueup.log.lake import Lake
from trueup.log.ticks import check_clock, declare_idle

_Stamp = tuple[int, ...]


class Watch:
    """Watcher of the sources' paths: finds files that are complete and new or changed.

    A file that was ingested or refused is not read again until it changes. Files accumulate in a landing folder, and only a hash of
    each could show which are known.
    """

    def __init__(self, project: Project, *, sources: Sequence[str] = (), clock: Clock = system_clock) -> None:
        self._project, self._names, self._clock = project, sources, clock
        self._sources = [with_implied_settings(source) for source in select_sources(project, sources)]
        self._stamps: dict[tuple[str, Path], _Stamp] = {}
        self._last_idle_check = clock()
        self._reported = set[str]()
        self._vanished = dict[tuple[str, Path], list[TrueupError]]()

    def look(self) -> IngestSummary | None:
        """Ingest new files; return None without any. Errors of `ingest` are raised, and the files then still count as new."""
        new_stamps, errors = dict[tuple[str, Path], _Stamp](), list[TrueupError]()
        for source in self._sources:
            files = find_files(self._project, source)
            errors += [*files.errors, *self._find_vanished(source, files)]
            stamps = {(source.name, path): self._stamp_new_file(source, path) for path in files.paths}
            new_stamps |= {key: stamp for key, stamp in stamps.items() if stamp is not None}
        new_errors = self._report_once(errors)
        if not new_stamps:
            self._declare_idle()
            return IngestSummary(errors=new_errors) if new_errors else None
        summary = ingest(
            self._project, sources=self._names, clock=self._clock, choose=lambda source, path: (source.name, path) in new_stamps
        )
        summary.errors = [*new_errors, *(e for e in summary.errors if str(e) not in self._reported and not _is_missing_file(e))]
        summary.notices.clear()
        self._stamps |= new_stamps
        return summary

    def _declare_idle(self) -> None:
        """Declare the time in the log at intervals, so that the first file after some days does not look like a clock jump."""
        now = self._clock()
        longest = timedelta(microseconds=self._project.config.project.max_clock_jump)
        if abs(now - self._last_idle_check) < longest / 4 or not Lake.exists(self._project):
            return
        self._last_idle_check = now
        with Lake.open(self._project, clock=self._clock, threads=1) as lake:
            declare_idle(lake)

    def _report_once(self, errors: Sequence[TrueupError]) -> list[TrueupError]:
        """Return the errors of paths that are new; each is reported once, and again when it recurs later."""
        new = {str(error): error for error in errors if str(error) not in self._reported and not _is_missing_file(error)}
        self._reported = {str(error) for error in errors}
        return list(new.values())

    def _find_vanished(self, source: SourceConfig, files: SourceFiles) -> list[TrueupError]:
        """Return the errors of folders that vanished. The log is read once for each missing folder, not at every look."""
        missing = {(source.name, folder) for folder in files.missing}
        self._vanished = {key: errors for key, errors in self._vanished.items() if key[0] != source.name or key in missing}
        if missing - self._vanished.keys() and Lake.exists(self._project):
            with Lake.open(self._project, read_only=True, clock=self._clock, threads=1) as lake:
                for folder in files.missing:
                    found = find_vanished_folders(lake, source, SourceFiles(missing=[folder]))
                    self._vanished[source.name, folder] = list[TrueupError](found)
        return [error for key in sorted(missing & self._vanished.keys()) for error in self._vanished[key]]

    def _stamp_new_file(self, source: SourceConfig, path: Path) -> _Stamp | None:
        """Return the stamp that identifies a file's content; None for a file that is known or incomplete."""
        if not is_complete(source, path, self._clock()):
            return None
        # A file whose manifest was wrong is read again once the manifest changes.
        files = [path] if source.manifest is None else [path, manifest_of(source.manifest, path)]
        try:
            # A broken link is identified by its own attributes: its error is reported once, and again when the link changes.
            stats = [file.stat() if file.exists() else file.lstat() for file in files]
        except OSError:
            return None
        stamp = tuple(number for t in stats for number in (t.st_ino, t.st_size, t.st_mtime_ns))
        return None if self._stamps.get((source.name, path)) == stamp else stamp


def _is_missing_file(error: TrueupError) -> bool:
    """Return whether the error is a missing file, which is what a watch waits for."""
    return error.what == "there is no such file"


def watch(
    project: Project,
    *,
    sources: Sequence[str] = (),
    every: timedelta = timedelta(seconds=2),
    clock: Clock = system_clock,
    stop: threading.Event,
    report: Callable[[IngestSummary], None],
) -> None:
    """Ingest files as they arrive, with a pause between two scans, until `stop` is set; raises what `ingest` raises.

    A clock that is wrong at the start is refused. A clock that becomes wrong later is reported once: nothing is ingested
    until it is right again, when the files that arrived meanwhile are ingested.
    """
    check_clock(project, clock=clock)
    watcher, refused = Watch(project, sources=sources, clock=clock), ""
    while not stop.is_set():
        try:
            summary, refused = watcher.look(), ""
        except ClockError as error:
            summary = None if refused else IngestSummary(errors=[error])
            refused = str(error)
        if summary is not None:
            report(summary)
        stop.wait(every.total_seconds())
