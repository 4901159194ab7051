"""The page and `trueup sql` answer without error while the continuous job commits and files are merged."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import streaming
from serving import serving
from streaming import append, assert_equals_plain_call, project_with, random_log

from trueup.config import Project
from trueup.warehouse.maintain import maintain

PAGES = ("/", "/cases", "/fraud", "/quality", "/explore")
QUERY = "SELECT count(*) AS n FROM findings"


def _ask(project: Project, address: str, stop: threading.Event, answers: list[str], faults: list[str]) -> None:
    """Ask for each page and a query in turn until `stop` is set, each at least once."""
    while not stop.is_set() or len(answers) + len(faults) <= len(PAGES):
        for path in PAGES:
            try:
                with urlopen(address + path, timeout=120) as response:
                    text = response.read().decode()
                (faults if "cannot be drawn" in text else answers).append(path)
            except HTTPError as error:
                faults.append(f"{path}: {error.read().decode()[:500]}")
        command = [sys.executable, "-m", "trueup.cli", "sql", QUERY, "--json", "--project", str(project.directory)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        faults.append(done.stderr) if done.returncode else answers.append("sql")


@pytest.mark.slow
def test_page_and_sql_answer_while_the_stream_commits_and_files_are_merged(tmp_path: Path) -> None:
    log, rows = random_log("beside", size=8)
    project = project_with(tmp_path, log, rows, 3)
    stop, answers, faults = threading.Event(), list[str](), list[str]()
    options = ("--epoch-commits", "1", "--parallelism", "1", "--groups", "2", "--metrics-port", "0")
    with serving(project, with_users=False) as served, streaming.running(project, *options) as process:
        asking = threading.Thread(target=_ask, args=(project, served.address, stop, answers, faults))
        asking.start()
        try:
            for position in range(4, len(log) + 1):
                append(project, log, rows, position, position)
                if position % 4 == 0:
                    maintain(project)
            streaming.wait_until(lambda: streaming.position(project) == (len(log), len(log)), process)
        finally:
            stop.set()
            asking.join(300)
    assert faults == [] and set(answers) == {*PAGES, "sql"}
    assert_equals_plain_call(project)
