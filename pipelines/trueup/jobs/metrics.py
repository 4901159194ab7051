"""Prometheus metrics of a running job, from the lake and from the job's folder."""

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
from trueup.jobs.options import MetricsAddress
from trueup.jobs.state_folder import PROGRESS, last_state_ns
from trueup.warehouse.query import with_retries
from trueup.warehouse.status import Status, status

REFRESH = timedelta(seconds=5)
"""The shortest interval between two queries of the lake, however often Prometheus scrapes."""

_COUNTED = {
    "records": "Records received.",
    "accepted": "Records that became events.",
    "duplicate": "Records that were already ingested.",
    "filtered": "Records that a source leaves out by its `where`.",
    "quarantined": "Records that were rejected.",
}


class StatusCollector(Collector):
    """Collects the figures of `trueup status` and the age and size of the job's state."""

    def __init__(self, project: Project, folder: Path, clock: Clock = system_clock) -> None:
        self._project, self._folder, self._clock = project, folder, clock
        self._lock = Lock()
        self._last: tuple[datetime, list[Metric]] | None = None

    def collect(self) -> Iterable[Metric]:
        """Return all metrics; while the lake cannot be read, only that one."""
        with self._lock:
            now = self._clock()
            if self._last is None or now - self._last[0] >= REFRESH:
                self._last = (now, list(self._collect_metrics(now)))
            return self._last[1]

    def _collect_metrics(self, now: datetime) -> Iterator[Metric]:
        up = GaugeMetricFamily("trueup_lake_readable", "Whether the lake could be read.")
        try:
            current = with_retries(self._project, status)
        except TrueupError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from of_status(current, now)
        yield from of_folder(self._folder, now)


def of_status(current: Status, now: datetime) -> Iterator[Metric]:
    """Yield the metrics of the lake's status."""
    lag_s = (now - current.waiting_since).total_seconds() if current.waiting_since else 0.0
    yield _build_gauge("trueup_position", "Newest position of the log.", current.position)
    yield _build_gauge("trueup_reconciled_position", "Position up to which the findings are complete.", current.reconciled_position)
    yield _build_gauge("trueup_lag_positions", "Positions that are not reconciled yet.", current.lag)
    yield _build_gauge("trueup_lag_seconds", "Age of the first position that is not reconciled yet.", lag_s)
    changes = CounterMetricFamily("trueup_finding_changes", "Findings raised, revised and retracted.")
    changes.add_metric([], current.changes)
    yield changes
    for name, description in _COUNTED.items():
        counter = CounterMetricFamily(f"trueup_{name}", description, labels=["source", "stream"])
        for source in current.sources:
            counter.add_metric([source["source"], source["stream"] or ""], source[name])
        yield counter
    frontier = GaugeMetricFamily(
        "trueup_frontier_timestamp_seconds", "Event time up to which a source is complete.", labels=["source"]
    )
    for source in current.sources:
        if source["frontier"] is not None:
            frontier.add_metric([source["source"]], source["frontier"].astimezone(UTC).timestamp())
    yield frontier
    pending = GaugeMetricFamily("trueup_pending_amount", "Expected minus billed that is not final.", labels=["currency"])
    for sums in current.money:
        pending.add_metric([sums["currency"] or ""], float(sums["pending"]))
    yield pending
    open_findings = GaugeMetricFamily("trueup_findings", "Findings by kind and status.", labels=["kind", "status", "currency"])
    for row in current.findings:
        open_findings.add_metric([row["kind"], row["status"], row["currency"] or ""], row["findings"])
    yield open_findings


def of_folder(folder: Path, now: datetime) -> Iterator[Metric]:
    """Yield the metrics of the job's folder: the age of its newest state and the number of pending records."""
    written_ns = last_state_ns(folder)
    if written_ns is not None:
        age_s = now.timestamp() - written_ns / 1_000_000_000
        yield _build_gauge("trueup_checkpoint_age_seconds", "Age of the newest checkpoint or savepoint.", age_s)
    try:
        progress = json.loads((folder / PROGRESS).read_text("utf-8"))
    except FileNotFoundError:
        return
    yield _build_gauge("trueup_pending_records", "Records held in state because their findings can still change.", progress["kept"])
    again = CounterMetricFamily("trueup_read_again", "Records that were read from the log again.")
    again.add_metric([], progress["read_again"])
    yield again


@contextmanager
def serve_metrics(project: Project, folder: Path, address: MetricsAddress, clock: Clock = system_clock) -> Iterator[str]:
    """Serve the metrics at an address within the context; yield their URL.

    Raises `TrueupError` for a host or port that cannot be listened on.
    """
    host, port = address.host, address.port
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StatusCollector(project, folder, clock))
    try:
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
        url_host = f"[{host}]" if ":" in host else host
        yield f"http://{url_host}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _build_gauge(name: str, description: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(name, description)
    gauge.add_metric([], value)
    return gauge
