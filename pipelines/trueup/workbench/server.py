"""Serve the workbench until it is interrupted."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from trueup.clock import Clock, system_clock
from trueup.config import Project
from trueup.errors import ConfigError, TrueupError
from trueup.workbench.access.users import users_of
from trueup.workbench.application import application
from trueup.workbench.workbench import Workbench, workbench_of

LogFn = Callable[[str], None]
REFRESH_EVERY_S = 2.0
REST = 3
"""Pause after a copy, as a multiple of its duration, so that copying takes at most a quarter of the time."""
REST_AFTER_DECISIONS_S = 600.0
"""Minimum time between copies that are due only to decisions, which cases and the queue show without a new copy."""


@dataclass(frozen=True)
class Listener:
    """The address at which the page listens."""

    host: str
    port: int


def serve(project: Project, listener: Listener, log: LogFn, announce: LogFn, *, clock: Clock = system_clock) -> None:
    """Serve the page until Ctrl-C or SIGTERM; `announce` is called with its address once it listens.

    Raises `TrueupError` where it cannot listen or the settings are wrong.
    """
    config = project.config.workbench
    users = users_of(config, listener.host)
    listening = _open_listener(listener)
    try:
        workbench = workbench_of(project, users, clock)
        try:
            log("copying the views")
            version = workbench.copy.refresh()
            scheme = "https" if config.certificate else "http"
            host = f"[{listener.host}]" if ":" in listener.host else listener.host
            access = f"{len(users.by_hash)} users by token" if users.by_hash else "without a token, from this machine only"
            log(f"the workbench shows position {version.position}: {access}")
            server = uvicorn.Server(_configure_server(workbench, listener.host, project))
            announce(f"{scheme}://{host}:{listening.getsockname()[1]}/")
            # Uvicorn raises the signal that ended it again.
            with suppress(KeyboardInterrupt):
                asyncio.run(_serve(server, workbench, listening))
        finally:
            workbench.close()
    finally:
        listening.close()


def _configure_server(workbench: Workbench, host: str, project: Project) -> uvicorn.Config:
    config = project.config.workbench
    try:
        return uvicorn.Config(
            application(workbench, host),
            log_level="warning",
            access_log=False,
            lifespan="on",
            ws_max_size=8 << 20,
            server_header=False,
            timeout_graceful_shutdown=2,
            proxy_headers=False,
            ssl_certfile=_find_file(project, config.certificate),
            ssl_keyfile=_find_file(project, config.key),
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificate cannot be read: {error}", where="[workbench]", todo="correct certificate and key"
        ) from None


def _find_file(project: Project, name: str | None) -> str | None:
    return None if name is None else str(Path(project.directory, name))


def _open_listener(listener: Listener) -> socket.socket:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((listener.host, listener.port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise TrueupError(
            f"the page cannot listen: {error.strerror or error}",
            where=f"{listener.host} port {listener.port}",
            todo="stop the other program, or name another --port",
        ) from None
    return listening


async def _serve(server: uvicorn.Server, workbench: Workbench, listening: socket.socket) -> None:
    refreshing = asyncio.create_task(_keep_fresh(workbench))
    try:
        await server.serve(sockets=[listening])
    finally:
        refreshing.cancel()


async def _keep_fresh(workbench: Workbench) -> None:
    """Copy the views again when the lake has changed, while a page is open."""
    from nicegui import Client

    now = asyncio.get_running_loop().time
    took_s, copied_at = 0.0, now()
    while True:
        await asyncio.sleep(REFRESH_EVERY_S)
        if not Client.instances or now() - copied_at < REST * took_s:
            continue
        try:
            behind = await asyncio.to_thread(workbench.copy.follow)
            if behind == "more" or (behind == "decisions" and now() - copied_at > REST_AFTER_DECISIONS_S):
                began = now()
                await asyncio.to_thread(workbench.copy.refresh)
                copied_at = now()
                took_s = copied_at - began
        except TrueupError:
            # If the lake cannot be read for a moment, pages keep their content, with its position.
            continue
