"""Ports of the job: loopback only, in Java and in Python, and a web page that changes nothing."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import listeners
import pytest
import streaming
from streaming import project_with, random_log

from trueup.cli import main
from trueup.jobs.loopback import grpc_servers_on_loopback


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False), ("::ffff:0.0.0.0", False)],
)
def test_loopback_addresses_are_recognised_in_both_families(address: str, loopback: bool) -> None:
    assert listeners.Listener("java", address, 1).is_loopback is loopback


def test_the_check_fails_for_a_socket_open_to_other_machines_and_where_no_listener_was_observed() -> None:
    with socket.socket() as server, listeners.observe_listeners() as observed:
        server.bind(("", 0))
        server.listen()
        port = server.getsockname()[1]
        assert port in {each.port for each in listeners.listeners_of(listeners.this_process())}
        # Other tests of this process may have left listeners of their own, on loopback.
        streaming.wait_until(lambda: port in {each.port for each in observed.listeners})
    with pytest.raises(AssertionError, match=r"open to other machines: .*0\.0\.0\.0"):
        observed.assert_only_loopback(1)
    beside_the_gateway = {listeners.Listener("java", "127.0.0.1", 1), listeners.Listener("java", "::", 2)}
    assert listeners.without_port_probe(beside_the_gateway) == beside_the_gateway
    assert not listeners.without_port_probe({listeners.Listener("java", "::", 2)})
    with pytest.raises(AssertionError, match="observed in 9 samples"):
        listeners.ObservedListeners(samples=9).assert_only_loopback(1)


# At a parallelism of 2, the test of appends and a restart in test_stream.py checks the same.
@pytest.mark.slow
@pytest.mark.parametrize("parallelism", [1, 4])
def test_the_job_listens_on_loopback_only_and_its_web_page_accepts_no_code(parallelism: int, tmp_path: Path) -> None:
    log, rows = random_log("listeners", size=3)
    project = project_with(tmp_path, log, rows, len(log))
    options = ("--parallelism", str(parallelism), "--metrics-port", "0")
    with streaming.running(project, *options) as process, listeners.observe_listeners(process.pid) as observed:
        streaming.wait_until(lambda: streaming.position(project)[0] >= len(log), process)
        listeners.assert_web_page_accepts_no_code(observed)
        process.send_signal(signal.SIGTERM)
        assert streaming.exit_status(process) == 0, streaming.log_text(project)
    observed.assert_only_loopback(listeners.ports_of_job(parallelism))


def test_a_grpc_server_on_the_wildcard_address_gets_loopback_and_one_on_a_named_host_gets_that_host() -> None:
    import grpc
    from apache_beam.utils import thread_pool_executor

    with grpc_servers_on_loopback(), listeners.observe_listeners() as observed:
        servers = [grpc.server(thread_pool_executor.shared_unbounded_instance()) for _ in range(3)]
        ports = [
            server.add_insecure_port(address)
            for server, address in zip(servers, ("[::]:0", "0.0.0.0:0", "127.0.0.2:0"), strict=True)
        ]
        for server in servers:
            server.start()
        observed.wait_for_sample()
        addresses = {each.port: each.address for each in listeners.listeners_of(listeners.this_process())}
        for server in servers:
            server.stop(None).wait()
    assert [addresses[port].removeprefix("::ffff:") for port in ports] == ["127.0.0.1", "127.0.0.1", "127.0.0.2"]
    assert len({*ports} & {each.port for each in observed.listeners}) == 3


def test_an_empty_metrics_host_is_refused_before_the_job_discards_its_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, rows = random_log("empty host", size=3)
    project = project_with(tmp_path, log, rows, len(log))
    (tmp_path / "state/checkpoints").mkdir(parents=True)
    options = ("--metrics-port", "0", "--metrics-host", "", "--fresh", "--state", str(tmp_path / "state"))
    assert main(["stream", "--project", str(project.directory), *options]) == 2
    todo = "write an address such as 127.0.0.1, or omit it"
    assert capsys.readouterr().err == f"trueup: the host of the metrics is empty (--metrics-host); {todo}\n"
    assert (tmp_path / "state/checkpoints").exists()


def test_a_metrics_host_without_a_metrics_port_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stream", "--project", str(tmp_path), "--metrics-host", "0.0.0.0"]) == 2
    assert capsys.readouterr().err == "trueup: metrics are served only on a named port (--metrics-host); add --metrics-port\n"
