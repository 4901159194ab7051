"""One project, one server of it and one browser for all tests of the page."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from small_project import FILES, clock, reconcile, write_files

from trueup.collect.ingest import ingest
from trueup.config import FILE_NAME, Project
from trueup.fraud.scoring.score_run import score
from trueup.warehouse.close import close

MARKUP = "<img src=x onerror=document.title=1>"
FORMULA = '=HYPERLINK("http://evil.example")'
COLOURED = "\x1b[31mred"
RECORDS = f'''u8,A5,"{MARKUP}",2024-03-02 13:00:00,9,15
u9,A6,"{FORMULA.replace('"', '""')}",2024-03-02 13:10:00,9,15
u10,A7,{COLOURED},2024-03-02 13:20:00,9,15
u11,A8,B9,2024-03-02 13:30:00,9,15
'''
USERS = "".join(
    f'[[workbench.user]]\nname = "{name}"\nrole = "{role}"\ntoken = "${{TRUEUP_TEST_{role.upper()}}}"\n'
    for name, role in (("rita", "reader"), ("ann", "analyst"), ("adam", "admin"))
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip


@dataclass(frozen=True)
class Served:
    """A running server: its address, the tokens by role and the project."""

    address: str
    tokens: dict[str, str]
    project: Project

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc


@pytest.fixture(scope="session")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with findings and scores, whose records hold markup, a formula and colours of a terminal."""
    project = write_files(tmp_path_factory.mktemp("workbench"), {**FILES, "msc-1.csv": FILES["msc-1.csv"] + RECORDS})
    assert not ingest(project, clock=clock).errors
    for source in ("msc", "billing"):
        close(project, source, date(2024, 3, 4), clock=clock)
    reconcile(project)
    score(project, clock=clock)
    return project


@pytest.fixture(scope="session")
def served(processed: Project) -> Iterator[Served]:
    project, folder = processed, processed.directory
    tokens = {role: secrets.token_hex(24) for role in ("reader", "analyst", "admin")}
    with (folder / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write(f"\n[workbench]\n{USERS}")
    environment = os.environ | {f"TRUEUP_TEST_{role.upper()}": token for role, token in tokens.items()}
    log = folder / "workbench.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "trueup.cli", "workbench", "--port", "0", "--project", str(folder)],
            env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield Served(_address_in(log, process), tokens, project)
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15), log.read_text()


def _address_in(log: Path, process: subprocess.Popen[bytes]) -> str:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = re.search(r"open (http://\S+)/", log.read_text())
        if found:
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()
