"""A server of the page over a project, in a process of its own."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from trueup.config import FILE_NAME, Project

USERS = "".join(
    f'[[workbench.user]]\nname = "{name}"\nrole = "{role}"\ntoken = "${{TRUEUP_TEST_{role.upper()}}}"\n'
    for name, role in (("rita", "reader"), ("ann", "analyst"), ("adam", "admin"))
)


@dataclass(frozen=True)
class Served:
    """A running server: its address, the tokens by role and the project."""

    address: str
    tokens: dict[str, str]
    project: Project

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc


@contextmanager
def serving(project: Project, *, with_users: bool = True) -> Iterator[Served]:
    """Serve the page over a project to three users, or to anyone on this machine, until the context ends."""
    folder = project.directory
    tokens = {role: secrets.token_hex(24) for role in ("reader", "analyst", "admin") if with_users}
    with (folder / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write(f"\n[workbench]\n{USERS}" if with_users else "")
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    environment = os.environ | {f"TRUEUP_TEST_{role.upper()}": token for role, token in tokens.items()} | {"TMPDIR": str(temporary)}
    log = folder / "workbench.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "trueup.cli", "workbench", "--port", "0", "--project", str(folder)],
            env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield Served(_find_address(log, process), tokens, project)
    finally:
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
        assert not list(temporary.glob("trueup-*")), "copies of the log's data remain"


def _find_address(log: Path, process: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = re.search(r"open (http://\S+)/", log.read_text())
        if found:
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())
