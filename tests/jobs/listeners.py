"""Sample the network listeners of a process and its descendants while they run."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil

SAMPLE_EVERY_S = 0.2


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
    for process in _family(root):
        try:
            name, connections = process.name(), process.net_connections("inet")
        except psutil.Error:
            continue
        listeners |= without_port_probe({Listener(name, c.laddr.ip, c.laddr.port) for c in connections if _listens(c)})
    return listeners


def without_port_probe(listeners: set[Listener]) -> set[Listener]:
    """Omit the listener by which PyFlink finds a free port before its gateway listens.

    It is on all interfaces, accepts no connection and is closed before the gateway listens. The gateway stays open from then to
    the end of Java, so a Java process whose only listener is not on loopback has no port yet that accepts code.
    """
    starts = len(listeners) == 1 and all("java" in each.process and not each.is_loopback for each in listeners)
    return set() if starts else listeners


def _family(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _listens(connection: Any) -> bool:
    return bool(connection.laddr) and (connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM)
