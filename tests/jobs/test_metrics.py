"""Prometheus metrics of the job: the figures of the lake, on a port."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import lake_fixture
import listeners
import pytest
from random_logs import MICRO, service
from reference_model.log import Close, Log, Record

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.jobs.metrics import StatusCollector, serve_metrics
from trueup.jobs.options import MetricsAddress
from trueup.policies.policy import Policy, SourceRules

NOW = datetime(2024, 6, 1, 0, 1, tzinfo=UTC)
RULES = Policy(0, {"voice": service(("session_key",))}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")})
LOG: Log = [
    [RULES], [Record(False, "n", "u", "K", started_us=0, quantity_micros=MICRO)], [Close("n", 10**12)], [Close("b", 10**12)],
    [Record(False, "n", "v", "L", started_us=10**13, quantity_micros=MICRO)],
]  # fmt: skip


def project_in(folder: Path) -> Project:
    log, rows = lake_fixture.with_event_ids_of_lake(LOG, "subscriber")
    with lake_fixture.lake_of(folder, log, rows, "subscriber") as lake:
        lake_fixture.reconcile(lake, 4, 1)
        return lake.project


def metric_values(project: Project, folder: Path) -> dict[str, float]:
    return {
        f"{s.name}{s.labels or ''}": s.value
        for metric in StatusCollector(project, folder, lambda: NOW).collect()
        for s in metric.samples
        if not s.name.endswith("_created")
    }


def test_the_metrics_have_positions_lag_record_counts_frontiers_and_open_findings(tmp_path: Path) -> None:
    values = metric_values(project_in(tmp_path), tmp_path / "stream")
    assert values["trueup_position"] == 5 and values["trueup_reconciled_position"] == 4
    assert values["trueup_lag_positions"] == 1 and values["trueup_lag_seconds"] == 60
    assert values["trueup_finding_changes_total"] == 1
    assert values["trueup_accepted_total{'source': 'n', 'stream': 'usage'}"] == 2
    assert values["trueup_quarantined_total{'source': 'n', 'stream': 'usage'}"] == 0
    assert values["trueup_frontier_timestamp_seconds{'source': 'b'}"] == 10**6
    assert values["trueup_findings{'kind': 'unbilled', 'status': 'open', 'currency': 'EUR'}"] == 1
    assert "trueup_checkpoint_age_seconds" not in values


def test_the_metrics_have_the_age_of_the_state_and_the_number_of_pending_records(tmp_path: Path) -> None:
    project, folder = project_in(tmp_path), tmp_path / "stream"
    (folder / "checkpoints" / "1").mkdir(parents=True)
    (folder / "checkpoints" / "1" / "_metadata").touch()
    (folder / "progress.json").write_text(json.dumps({"position": 4, "kept": 3, "read_again": 2}), "utf-8")
    values = metric_values(project, folder)
    assert values["trueup_pending_records"] == 3 and values["trueup_read_again_total"] == 2
    assert "trueup_checkpoint_age_seconds" in values


def test_metrics_are_served_on_loopback_and_a_port_in_use_is_refused(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    with serve_metrics(project, tmp_path, MetricsAddress(0), clock=lambda: NOW) as url:
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert "trueup_reconciled_position 4.0" in answer.read().decode()
        port = url.removesuffix("/metrics").rpartition(":")[2]
        addresses = {each.address for each in listeners.listeners_of(listeners.this_process()) if each.port == int(port)}
        assert addresses == {"127.0.0.1"}
        with pytest.raises(TrueupError, match=f"port {port}"), serve_metrics(project, tmp_path, MetricsAddress(int(port))):
            pass


@pytest.mark.parametrize(("host", "bound"), [("0.0.0.0", "0.0.0.0"), ("127.0.0.2", "127.0.0.2"), ("localhost", None)])
def test_metrics_are_served_on_a_named_host(host: str, bound: str | None, tmp_path: Path) -> None:
    project = project_in(tmp_path)
    with serve_metrics(project, tmp_path, MetricsAddress(0, host), clock=lambda: NOW) as url:
        port = int(url.removesuffix("/metrics").rpartition(":")[2])
        (listener,) = [each for each in listeners.listeners_of(listeners.this_process()) if each.port == port]
        assert listener.address == bound or (bound is None and listener.is_loopback)
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert answer.status == 200


def test_a_metrics_host_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    with (
        pytest.raises(TrueupError, match=r"is not a host of this machine \(--metrics-host\)"),
        serve_metrics(project, tmp_path, MetricsAddress(0, "no.such.host.invalid")),
    ):
        pass


@pytest.mark.parametrize("host", ["", " "])
def test_an_empty_metrics_host_is_refused(host: str) -> None:
    with pytest.raises(TrueupError, match=r"the host of the metrics is empty \(--metrics-host\)"):
        MetricsAddress(0, host)


def test_an_unreadable_lake_is_shown_as_the_only_metric(tmp_path: Path) -> None:
    project = lake_fixture.project_of(tmp_path, RULES, "subscriber")
    assert metric_values(project, tmp_path) == {"trueup_lake_readable": 0}
