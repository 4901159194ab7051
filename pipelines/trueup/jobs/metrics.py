"""Seeing the job run: what the lake and the job's folder tell, for Prometheus."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import TrueupError
from trueup.jobs.loopback import LOOPBACK
from trueup.warehouse.query import with_retries
from trueup.warehouse.status import Status, status

REFRESH = timedelta(seconds=5)
"""However often one asks, the lake is asked no more often than this."""
PROGRESS = "progress.json"
"""In the job's folder: what the last epoch told, written by whoever commits it."""


_COUNTED = {
    "records": "Records that came.",
    "accepted": "Records that became events.",
    "duplicate": "Records that were known already.",
    "quarantined": "Records that were rejected.",
}


class StatusCollector(Collector):
    """What `trueup status` tells, and how the job's state fares."""

    def __init__(self, project: Project, folder: Path, clock: Clock = system_clock) -> None:
        self._project, self._folder, self._clock = project, folder, clock
        self._lock = Lock()
        self._last: tuple[datetime, list[Metric]] | None = None

    def collect(self) -> Iterable[Metric]:
        """All metrics; when the lake cannot be read, only that it cannot."""
        with self._lock:
            now = self._clock()
            if self._last is None or now - self._last[0] >= REFRESH:
                self._last = (now, list(self._told(now)))
            return self._last[1]

    def _told(self, now: datetime) -> Iterator[Metric]:
        up = GaugeMetricFamily("trueup_lake_readable", "Whether the lake could be read.")
        try:
            found = with_retries(self._project, status)
        except TrueupError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from of_status(found, now)
        yield from of_folder(self._folder, now)


def of_status(found: Status, now: datetime) -> Iterator[Metric]:
    """What the lake tells."""
    waited = (now - found.waiting_since).total_seconds() if found.waiting_since else 0.0
    yield _one("trueup_position", "Newest position of the log.", found.position)
    yield _one("trueup_reconciled_position", "Position the findings hold everything up to.", found.reconciled_position)
    yield _one("trueup_lag_positions", "Positions the findings do not know yet.", found.lag)
    yield _one("trueup_lag_seconds", "How long the first of them has waited.", waited)
    changes = CounterMetricFamily("trueup_finding_changes", "Findings raised, revised and retracted.")
    changes.add_metric([], found.changes)
    yield changes
    for name, what in _COUNTED.items():
        counter = CounterMetricFamily(f"trueup_{name}", what, labels=["source", "stream"])
        for source in found.sources:
            counter.add_metric([source["source"], source["stream"] or ""], source[name])
        yield counter
    frontier = GaugeMetricFamily("trueup_frontier_timestamp_seconds", "Time a source is complete up to.", labels=["source"])
    for source in found.sources:
        if source["frontier"] is not None:
            frontier.add_metric([source["source"]], source["frontier"].astimezone(UTC).timestamp())
    yield frontier
    pending = GaugeMetricFamily("trueup_pending_amount", "Expected less billed that is not final.", labels=["currency"])
    for sums in found.money:
        pending.add_metric([sums["currency"] or ""], float(sums["pending"]))
    yield pending
    standing = GaugeMetricFamily("trueup_findings", "Findings that stand.", labels=["kind", "status", "currency"])
    for one in found.findings:
        standing.add_metric([one["kind"], one["status"], one["currency"] or ""], one["findings"])
    yield standing


def of_folder(folder: Path, now: datetime) -> Iterator[Metric]:
    """What the job's folder tells: how old its state is, how many records it keeps."""
    kept = [path.stat().st_mtime for path in folder.glob("**/_metadata")]
    if kept:
        yield _one("trueup_checkpoint_age_seconds", "Age of the newest state kept.", now.timestamp() - max(kept))
    try:
        told = json.loads((folder / PROGRESS).read_text("utf-8"))
    except FileNotFoundError:
        return
    yield _one("trueup_pending_records", "Records kept because they can still change.", told["kept"])
    again = CounterMetricFamily("trueup_read_again", "Records read from the log again.")
    again.add_metric([], told["read_again"])
    yield again


@contextmanager
def served(project: Project, folder: Path, port: int, host: str = LOOPBACK, clock: Clock = system_clock) -> Iterator[str]:
    """Serves the metrics while the context lasts, on loopback unless `host` names another; gives their URL.

    Port 0 leaves the choice to the system. Raises `TrueupError` for a host or port that cannot be listened on.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatusCollector(project, folder, clock))
    try:
        if not host:
            # To a socket an empty host means every interface; an unset shell variable must not mean that.
            raise socket.gaierror
        server, thread = start_http_server(port, addr=host, registry=registry)
    except socket.gaierror:
        raise TrueupError(
            f"{host!r} is not a host of this machine", where="--metrics-host", todo=f"write an address such as {LOOPBACK} or ::1"
        ) from None
    except OSError as error:
        raise TrueupError(
            f"metrics cannot be served on host {host} and port {port}: {error.strerror}",
            where="--metrics-port", todo="name another port, or another --metrics-host",
        ) from None  # fmt: skip
    try:
        place = f"[{host}]" if ":" in host else host
        yield f"http://{place}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _one(name: str, what: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(name, what)
    gauge.add_metric([], value)
    return gauge
