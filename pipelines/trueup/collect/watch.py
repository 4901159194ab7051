"""Taking in files as they land, until told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from trueup.clock import Clock, system_clock
from trueup.collect.discover.arrival import is_complete
from trueup.collect.discover.manifest import manifest_of
from trueup.collect.discover.units import find
from trueup.collect.ingest import IngestSummary, ingest, select_sources
from trueup.collect.map.presets import expanded
from trueup.config import Project, SourceConfig
from trueup.errors import ClockError, TrueupError
from trueup.log.lake import Lake
from trueup.log.ticks import check_clock, declare_idle

_Stamp = tuple[int, ...]


class Watch:
    """Looks for files that are complete and have not been looked at as they are now.

    What has been taken in, or could not be, is not read again before it changes: files pile up in a landing folder, and each
    would have to be hashed to find that it is known.
    """

    def __init__(self, project: Project, *, sources: Sequence[str] = (), clock: Clock = system_clock) -> None:
        self._project, self._names, self._clock = project, sources, clock
        self._sources = [expanded(source) for source in select_sources(project, sources)]
        self._seen: dict[tuple[str, Path], _Stamp] = {}
        self._looked_at = clock()
        self._reported = set[str]()

    def look(self) -> IngestSummary | None:
        """Takes in what has landed; None where nothing has. Raises what `ingest` raises; then the files are still new."""
        landed, news = dict[tuple[str, Path], _Stamp](), list[TrueupError]()
        for source in self._sources:
            found = find(self._project, source)
            news += [error for error in found.errors if self._is_news(error)]
            stamps = {(source.name, path): self._stamp_of_new(source, path) for path in found.paths}
            landed |= {place: stamp for place, stamp in stamps.items() if stamp is not None}
        if not landed:
            self._declare_idle()
            return IngestSummary(errors=news) if news else None
        summary = ingest(
            self._project, sources=self._names, clock=self._clock, choose=lambda source, path: (source.name, path) in landed
        )
        patterns = {str(error) for error in news} | self._reported
        summary.errors = [*news, *(e for e in summary.errors if str(e) not in patterns and not _is_waiting(e))]
        summary.notices.clear()
        self._seen |= landed
        return summary

    def _declare_idle(self) -> None:
        """Leaves a trace of the time in the log now and then, so that the first file after days of silence is no jump."""
        now = self._clock()
        longest = timedelta(microseconds=self._project.config.project.max_clock_jump)
        if abs(now - self._looked_at) < longest / 4 or not Lake.is_made(self._project):
            return
        self._looked_at = now
        with Lake.open(self._project, clock=self._clock, threads=1) as lake:
            declare_idle(lake)

    def _is_news(self, error: TrueupError) -> bool:
        """Whether the error of a pattern is to be told: each once."""
        known = str(error) in self._reported or _is_waiting(error)
        self._reported.add(str(error))
        return not known

    def _stamp_of_new(self, source: SourceConfig, path: Path) -> _Stamp | None:
        """What tells a file's content apart, None for one that is known or not complete."""
        if not is_complete(source, path, self._clock()):
            return None
        # A file whose manifest was wrong is looked at again once the manifest is another.
        files = [path] if source.manifest is None else [path, manifest_of(source.manifest, path)]
        try:
            # Of a link itself where it leads nowhere: the error is told once, and again when the link is another.
            told = [file.stat() if file.exists() else file.lstat() for file in files]
        except OSError:
            return None
        stamp = tuple(number for t in told for number in (t.st_ino, t.st_size, t.st_mtime_ns))
        return None if self._seen.get((source.name, path)) == stamp else stamp


def _is_waiting(error: TrueupError) -> bool:
    """Paths that lead nowhere are what waiting is made of."""
    return error.what == "there is no such file"


def watch(
    project: Project,
    *,
    sources: Sequence[str] = (),
    every: timedelta = timedelta(seconds=2),
    clock: Clock = system_clock,
    stop: threading.Event,
    tell: Callable[[IngestSummary], None],
) -> None:
    """Takes in files as they land, looking again after each pause, until `stop` is set; raises what `ingest` raises.

    A clock that is wrong at the start is refused. One that becomes wrong later is told once: nothing is taken in until it is
    right again, and what landed meanwhile is taken in then.
    """
    check_clock(project, clock=clock)
    looking, refused = Watch(project, sources=sources, clock=clock), ""
    while not stop.is_set():
        try:
            summary, refused = looking.look(), ""
        except ClockError as error:
            summary = None if refused else IngestSummary(errors=[error])
            refused = str(error)
        if summary is not None:
            tell(summary)
        stop.wait(every.total_seconds())
