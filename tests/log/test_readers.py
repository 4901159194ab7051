"""Readers without the right to write next to the catalog: they read what is committed, and change no file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from trueup.config import Project, parse
from trueup.log.lake import Lake

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
# Root may write everywhere unless it drops the capability.
DROPPED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"] if os.geteuid() == 0 else []
pytestmark = pytest.mark.skipif(
    bool(DROPPED) and shutil.which("setpriv") is None, reason="root has to give up its capabilities, which takes setpriv"
)
READS = """
import sys
from trueup.config import Project, parse
from trueup.log.lake import Lake
with Lake.open(Project.load(sys.argv[1]), read_only=True) as lake:
    print(sorted(lake.read("usage", columns=["record_key"])["record_key"].to_list()))
"""
COMMANDS = """
import sys
from trueup.cli import main
commands = (["sql", "select count(*) from lake.events.usage", "--format", "csv"], ["status"], ["findings"], ["digest"],
            ["digest", "--recompute", "plain"], ["verify", "00ff00ff"], ["explain", "00ff00ff"], ["ingest"])
print([main([*command, "--project", sys.argv[1]]) for command in commands])
"""


def commit_usage(lake: Lake, name: str) -> None:
    rows = pl.DataFrame({"record_key": [name], "bucket": [0], "day": [NOON.date()]})
    lake.commit(lambda transaction: (transaction.append("usage", rows), transaction.next_position("unit")))


def catalog_of(project: Project) -> Path:
    return project.directory / "lake/catalog.sqlite"


def read_only(folder: Path, mode: int) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222 if mode == 0 else path.stat().st_mode | 0o200)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Create a lake with one record."""
    project = Project(tmp_path / "p", parse(""))
    project.directory.mkdir()
    (project.directory / "trueup.toml").write_text("")
    Lake.create(project)
    with Lake.open(project, clock=lambda: NOON) as lake:
        commit_usage(lake, "first")
    yield project
    read_only(project.directory, 1)


def run_as_reader(script: str, project: Project) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DROPPED, sys.executable, "-c", script, str(project.directory)], capture_output=True, text=True, check=False
    )


def clean_shutdown(_: Path) -> None:
    pass


def killed_writer(catalog: Path) -> None:
    """Leave the write-ahead log of a killed writer, whose commits are in that log alone."""
    folder = catalog.with_name("while-open")
    with sqlite3.connect(catalog) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("CREATE TABLE of_the_writer (x)")
        writer.commit()
        shutil.copytree(catalog.parent, folder, ignore=shutil.ignore_patterns("data", "while-open"))
    writer.close()
    for path in catalog.parent.glob("catalog.sqlite*"):
        path.unlink()
    for path in folder.glob("catalog.sqlite*"):
        shutil.copy2(path, catalog.parent)
    shutil.rmtree(folder)


def without_index(catalog: Path) -> None:
    """Leave the write-ahead log without its index, as a restored backup does."""
    killed_writer(catalog)
    catalog.with_name(f"{catalog.name}-shm").unlink()


@pytest.mark.parametrize("leave", [clean_shutdown, killed_writer, without_index])
def test_a_reader_without_the_right_to_write_reads_what_is_committed_and_changes_nothing(
    project: Project, leave: Callable[[Path], None]
) -> None:
    leave(catalog_of(project))
    read_only(project.directory, 0)
    before = {path: path.stat().st_mtime_ns for path in project.directory.rglob("*")}
    result = run_as_reader(READS, project)
    assert (result.stdout, result.stderr) == ("['first']\n", "")
    assert {path: path.stat().st_mtime_ns for path in project.directory.rglob("*")} == before


def test_a_reader_reads_while_a_writer_is_open(project: Project) -> None:
    with Lake.open(project, clock=lambda: NOON) as lake:
        commit_usage(lake, "second")
        read_only(project.directory, 0)
        result = run_as_reader(READS, project)
    assert (result.stdout, result.stderr) == ("['first', 'second']\n", "")


def test_every_reading_command_works_and_a_writing_one_reports_the_missing_right(project: Project) -> None:
    read_only(project.directory, 0)
    result = run_as_reader(COMMANDS, project)
    assert result.stdout.splitlines()[-1] == "[0, 0, 0, 0, 0, 2, 2, 2]", result.stdout + result.stderr
    *unknown, denied = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(unknown) == 2 and all("no finding, event or fraud case" in line for line in unknown)
    assert "right to write" in denied or "Permission denied" in denied


def test_an_unreadable_catalog_is_an_error_of_one_line(project: Project) -> None:
    catalog_of(project).chmod(0)
    catalog_of(project).parent.chmod(0o555)
    result = run_as_reader("import sys\nfrom trueup.cli import main\nsys.exit(main(['status', '--project', sys.argv[1]]))", project)
    catalog_of(project).parent.chmod(0o755)
    catalog_of(project).chmod(0o644)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1 and "cannot be read" in result.stderr
