"""Sample the network listeners of a process and its descendants while they run."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import psutil
import pytest

SAMPLE_EVERY_S = 0.2
SAMPLE_WITHIN_S = 60
GATEWAY, REST, BLOBS, PER_WORKER, METRICS = 1, 1, 1, 6, 1
"""Number of ports of each kind that Java and the client of a job open; Beam opens six for each worker."""


@dataclass(frozen=True)
class Listener:
    """A TCP socket that listens, or a UDP socket that is bound, with the name of its process."""

    process: str
    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        address = ipaddress.ip_address(self.address)
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address).is_loopback


@dataclass
class ObservedListeners:
    """All listeners observed, and the number of samples."""

    listeners: set[Listener] = field(default_factory=set)
    samples: int = 0

    def wait_for_sample(self) -> None:
        """Wait until a sample that begins from now on has ended; the one in progress may have missed a new listener."""
        wanted, deadline = self.samples + 2, time.monotonic() + SAMPLE_WITHIN_S
        while self.samples < wanted:
            assert time.monotonic() < deadline, f"no sample within {SAMPLE_WITHIN_S} s"
            time.sleep(SAMPLE_EVERY_S / 4)

    def assert_only_loopback(self, least: int) -> None:
        """Fail unless at least `least` listeners were observed and all of them are on loopback; no listener proves nothing."""
        observed = sorted(self.listeners, key=str)
        exposed = [listener for listener in observed if not listener.is_loopback]
        assert not exposed, f"open to other machines: {exposed}"
        assert self.samples and len(observed) >= least, f"observed in {self.samples} samples: {observed}"


@contextmanager
def observe_listeners(pid: int | None = None) -> Iterator[ObservedListeners]:
    """Observe the listeners of a process (by default this one) and its descendants within the context."""
    observed, stop, root = ObservedListeners(), threading.Event(), this_process() if pid is None else psutil.Process(pid)

    def sample() -> None:
        while True:
            observed.listeners |= listeners_of(root)
            observed.samples += 1
            if stop.wait(SAMPLE_EVERY_S):
                return

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield observed
    finally:
        stop.set()
        thread.join()


def this_process() -> psutil.Process:
    return psutil.Process(os.getpid())


def listeners_of(root: psutil.Process) -> set[Listener]:
    """Return the current listeners of a process and its descendants."""
    listeners = set()
    for process in _list_family(root):
        try:
            name, connections = process.name(), process.net_connections("inet")
        except psutil.Error:
            continue
        listeners |= without_port_probe({Listener(name, c.laddr.ip, c.laddr.port) for c in connections if _listens(c)})
    return listeners


def without_port_probe(listeners: set[Listener]) -> set[Listener]:
    """Omit the listener by which PyFlink finds a free port before its gateway listens.

    It is on all interfaces, accepts no connection and is closed before the gateway listens. The gateway stays open from then to
    the end of Java. So a Java process whose only listener is not on loopback has no port yet that accepts code.
    """
    starts = len(listeners) == 1 and all("java" in each.process and not each.is_loopback for each in listeners)
    return set() if starts else listeners


def _list_family(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _listens(connection: Any) -> bool:
    return bool(connection.laddr) and (connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM)


def ports_of_job(parallelism: int) -> int:
    """Return the number of ports of a job that serves its metrics."""
    return GATEWAY + REST + BLOBS + PER_WORKER * parallelism + METRICS


def assert_web_page_accepts_no_code(observed: ObservedListeners) -> None:
    """Find Flink's REST endpoint among the listeners of Java, and fail if its web page can change anything."""
    features = _read_features({each.port for each in observed.listeners if "java" in each.process})
    assert features == {"web-submit": False, "web-cancel": False, "web-rescale": False, "web-history": False}


def _read_features(ports: set[int]) -> dict[str, Any]:
    for port in ports:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=20) as answer:
                features = json.load(answer)["features"]
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/jars", timeout=20)
                return dict(features)
        except (OSError, ValueError, HTTPException):
            continue
    raise AssertionError(f"no REST endpoint among {sorted(ports)}")
