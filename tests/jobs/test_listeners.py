"""Which ports the job opens: loopback only, on both sides of its Java, and a web page that changes nothing."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

import listeners
import pytest
import streaming
from streaming import prepared, project_with

from trueup.cli import main
from trueup.jobs.loopback import grpc_servers_on_loopback

GATEWAY, REST, BLOBS, OF_A_WORKER, METRICS = 1, 1, 1, 6, 1
"""How many ports Java and the client open of each; Beam opens six for each worker."""


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False), ("::ffff:0.0.0.0", False)],
)
def test_loopback_is_known_in_both_families(address: str, loopback: bool) -> None:
    assert listeners.Listener("java", address, 1).is_loopback is loopback


def test_a_socket_that_is_open_to_other_machines_fails_the_check_as_does_a_check_that_saw_none() -> None:
    with socket.socket() as one, listeners.watched() as seen:
        one.bind(("", 0))
        one.listen()
        assert one.getsockname()[1] in {each.port for each in listeners.listeners_of(listeners.this_process())}
        streaming.waited_for(lambda: bool(seen.listeners))
    with pytest.raises(AssertionError, match=r"open to other machines: .*0\.0\.0\.0"):
        seen.assert_only_loopback(1)
    with pytest.raises(AssertionError, match="looks saw"):
        listeners.Seen(looks=9).assert_only_loopback(1)


def features(ports: set[int]) -> dict[str, Any]:
    """Find Flink's REST endpoint among ports and return which features its web page has."""
    for port in ports:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=20) as answer:
                offered = json.load(answer)["features"]
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/jars", timeout=20)
                return dict(offered)
        except (OSError, ValueError, HTTPException):
            continue
    raise AssertionError(f"no REST endpoint among {sorted(ports)}")


@pytest.mark.parametrize("parallelism", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_the_job_listens_on_loopback_only_and_takes_no_code_over_its_web_page(parallelism: int, tmp_path: Path) -> None:
    log, rows = prepared("listeners", size=3)
    project = project_with(tmp_path, log, rows, len(log))
    options = ("--parallelism", str(parallelism), "--metrics-port", "0")
    with streaming.running(project, *options) as process, listeners.watched(process.pid) as seen:
        streaming.waited_for(lambda: streaming.position(project)[0] >= len(log), process)
        java = {one.port for one in seen.listeners if "java" in one.process}
        assert features(java) == {"web-submit": False, "web-cancel": False, "web-rescale": False, "web-history": False}
        process.send_signal(signal.SIGTERM)
        assert streaming.ended(process) == 0, streaming.said(project)
    seen.assert_only_loopback(GATEWAY + REST + BLOBS + OF_A_WORKER * parallelism + METRICS)


def test_a_grpc_server_that_asks_for_every_interface_gets_loopback_and_one_that_names_a_host_gets_it() -> None:
    import grpc
    from apache_beam.utils import thread_pool_executor

    with grpc_servers_on_loopback(), listeners.watched() as seen:
        servers = [grpc.server(thread_pool_executor.shared_unbounded_instance()) for _ in range(3)]
        ports = [one.add_insecure_port(to) for one, to in zip(servers, ("[::]:0", "0.0.0.0:0", "127.0.0.2:0"), strict=True)]
        for one in servers:
            one.start()
        addresses = {one.port: one.address for one in listeners.listeners_of(listeners.this_process())}
        for one in servers:
            one.stop(None).wait()
    assert [addresses[port].removeprefix("::ffff:") for port in ports] == ["127.0.0.1", "127.0.0.1", "127.0.0.2"]
    assert len({*ports} & {one.port for one in seen.listeners}) == 3


def test_a_host_for_metrics_without_a_port_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stream", "--project", str(tmp_path), "--metrics-host", "0.0.0.0"]) == 2
    assert capsys.readouterr().err == "trueup: no metrics are served without a port (--metrics-host); add --metrics-port\n"
