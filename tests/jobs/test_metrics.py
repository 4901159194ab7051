"""What the job shows of itself: the lake's own numbers, on a port."""

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
from trueup.jobs.metrics import StatusCollector, served
from trueup.reconcile.domain.policies import Policy, SourceRules

NOW = datetime(2024, 6, 1, 0, 1, tzinfo=UTC)
RULES = Policy(0, {"voice": service(("session_key",))}, sources={"n": SourceRules("usage"), "b": SourceRules("charge")})
LOG: Log = [
    [RULES], [Record(False, "n", "u", "K", started_us=0, quantity_micros=MICRO)], [Close("n", 10**12)], [Close("b", 10**12)],
    [Record(False, "n", "v", "L", started_us=10**13, quantity_micros=MICRO)],
]  # fmt: skip


def project_in(folder: Path) -> Project:
    log, rows = lake_fixture.with_ids_of_content(LOG, "subscriber")
    with lake_fixture.lake_of(folder, log, rows, "subscriber") as lake:
        lake_fixture.reconcile(lake, 4, 1)
        return lake.project


def shown(project: Project, folder: Path) -> dict[str, float]:
    return {
        f"{s.name}{s.labels or ''}": s.value
        for metric in StatusCollector(project, folder, lambda: NOW).collect()
        for s in metric.samples
        if not s.name.endswith("_created")
    }


def test_the_lake_tells_how_far_it_is_what_came_and_what_stands(tmp_path: Path) -> None:
    told = shown(project_in(tmp_path), tmp_path / "stream")
    assert told["trueup_position"] == 5 and told["trueup_reconciled_position"] == 4
    assert told["trueup_lag_positions"] == 1 and told["trueup_lag_seconds"] == 60
    assert told["trueup_finding_changes_total"] == 1
    assert told["trueup_accepted_total{'source': 'n', 'stream': 'usage'}"] == 2
    assert told["trueup_quarantined_total{'source': 'n', 'stream': 'usage'}"] == 0
    assert told["trueup_frontier_timestamp_seconds{'source': 'b'}"] == 10**6
    assert told["trueup_findings{'kind': 'unbilled', 'status': 'open', 'currency': 'EUR'}"] == 1
    assert "trueup_checkpoint_age_seconds" not in told


def test_the_job_s_folder_tells_how_old_its_state_is_and_how_much_it_keeps(tmp_path: Path) -> None:
    project, folder = project_in(tmp_path), tmp_path / "stream"
    (folder / "checkpoints" / "1").mkdir(parents=True)
    (folder / "checkpoints" / "1" / "_metadata").touch()
    (folder / "progress.json").write_text(json.dumps({"position": 4, "kept": 3, "read_again": 2}), "utf-8")
    told = shown(project, folder)
    assert told["trueup_pending_records"] == 3 and told["trueup_read_again_total"] == 2
    assert "trueup_checkpoint_age_seconds" in told


def test_they_are_served_on_loopback_and_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    with served(project, tmp_path, 0, clock=lambda: NOW) as url:
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert "trueup_reconciled_position 4.0" in answer.read().decode()
        port = url.removesuffix("/metrics").rpartition(":")[2]
        ours = {one.address for one in listeners.listeners_of(listeners.this_process()) if one.port == int(port)}
        assert ours == {"127.0.0.1"}
        with pytest.raises(TrueupError, match=f"port {port}"), served(project, tmp_path, int(port)):
            pass


@pytest.mark.parametrize(("host", "bound"), [("0.0.0.0", "0.0.0.0"), ("127.0.0.2", "127.0.0.2"), ("localhost", None)])
def test_another_host_is_listened_on_when_it_is_named(host: str, bound: str | None, tmp_path: Path) -> None:
    project = project_in(tmp_path)
    with served(project, tmp_path, 0, host, clock=lambda: NOW) as url:
        port = int(url.removesuffix("/metrics").rpartition(":")[2])
        (one,) = [one for one in listeners.listeners_of(listeners.this_process()) if one.port == port]
        assert one.address == bound or (bound is None and one.is_loopback)
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("host", ["", "no.such.host.invalid"])
def test_a_name_that_is_not_a_host_is_refused_and_opens_nothing(host: str, tmp_path: Path) -> None:
    project = project_in(tmp_path)
    with pytest.raises(TrueupError, match=r"is not a host of this machine \(--metrics-host\)"), served(project, tmp_path, 0, host):
        pass


def test_a_lake_that_cannot_be_read_is_told_as_that(tmp_path: Path) -> None:
    project = lake_fixture.project_of(tmp_path, RULES, "subscriber")
    assert shown(project, tmp_path) == {"trueup_lake_readable": 0}
