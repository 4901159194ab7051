"""What a process and its descendants listen on, looked at again and again while they run."""

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

EVERY_S = 0.2


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
class Seen:
    """All listeners seen, and how often was looked."""

    listeners: set[Listener] = field(default_factory=set)
    looks: int = 0

    def assert_only_loopback(self, least: int) -> None:
        """Loopback only, of at least so many listeners: where none is seen nothing is shown."""
        found = sorted(self.listeners, key=str)
        beyond = [one for one in found if not one.is_loopback]
        assert not beyond, f"open to other machines: {beyond}"
        assert self.looks and len(found) >= least, f"{self.looks} looks saw {found}"


@contextmanager
def watched(pid: int | None = None) -> Iterator[Seen]:
    """What the process (else this one) and its descendants listen on while the context lasts."""
    seen, stop, root = Seen(), threading.Event(), this_process() if pid is None else psutil.Process(pid)

    def look() -> None:
        while True:
            seen.listeners |= listeners_of(root)
            seen.looks += 1
            if stop.wait(EVERY_S):
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def this_process() -> psutil.Process:
    return psutil.Process(os.getpid())


def listeners_of(root: psutil.Process) -> set[Listener]:
    """The listeners of a process and its descendants at this moment."""
    found = set()
    for process in _family(root):
        try:
            name, connections = process.name(), process.net_connections("inet")
        except psutil.Error:
            continue
        found |= {Listener(name, one.laddr.ip, one.laddr.port) for one in connections if _listens(one)}
    return found


def _family(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _listens(connection: Any) -> bool:
    return bool(connection.laddr) and (connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM)
