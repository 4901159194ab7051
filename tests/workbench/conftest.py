"""One project, one server of it and one browser for all tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from serving import Served, serving
from small_project import FILES, clock, reconcile, write_files

from trueup.collect.ingest import ingest
from trueup.config import Project
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
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip


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
    with serving(processed) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()
