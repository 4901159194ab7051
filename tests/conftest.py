"""Shared by all tests: Hypothesis profiles, a template of the empty lake, and a secret that no output may hold."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from trueup.config import Project, parse
from trueup.log.lake import Lake

# A local run draws new examples each time. CI uses the same examples every time.
settings.register_profile("judged", derandomize=True, deadline=None)
settings.register_profile("searching", deadline=None)
settings.load_profile("judged" if os.environ.get("CI") else "searching")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make test` and `make slow`."""
    parser.addoption("--core-each", action="store_true", help="keep each worker, and the processes it starts, on one core")


def pytest_configure(config: pytest.Config) -> None:
    """Keep each worker on a core of its own, if the option is set.

    A query of a small frame passes from thread to thread. Where the threads are on different cores, that costs a third of the time.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker or not config.getoption("--core-each") or not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    core = cores[int(worker.removeprefix("gw")) % len(cores)]
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


_AS_CONFIGURED = ("sqlite:lake/catalog.sqlite", "lake/data")


@pytest.fixture(scope="session", autouse=True)
def template_lakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let `Lake.create` copy an empty lake of the same settings that the test process made before, in a hundredth of the time.

    Tests in `tests/log` test the creation of lakes, and tests in `tests/proof` their identity, so there each lake is created in
    full.
    """
    made, create = dict[tuple[int, str], Path](), Lake.create

    def copied(project: Project) -> None:
        lake, folder = project.config.lake, project.directory / "lake"
        in_full = any(folder in os.environ.get("PYTEST_CURRENT_TEST", "") for folder in ("tests/log/", "tests/proof/"))
        places = (lake.catalog.get_secret_value(), lake.data.get_secret_value())
        if in_full or places != _AS_CONFIGURED or folder.exists():
            create(project)
            return
        key = lake.buckets, lake.bucket_by
        if key not in made:
            made[key] = tmp_path_factory.mktemp("template")
            create(Project(made[key], parse(f'[lake]\nbuckets = {lake.buckets}\nbucket_by = "{lake.bucket_by}"\n')))
        (folder / "data").mkdir(parents=True)
        shutil.copytree(made[key] / "lake/data", folder / "data", dirs_exist_ok=True)
        shutil.copy(made[key] / "lake/catalog.sqlite", folder / "catalog.sqlite")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lake, "create", staticmethod(copied))
        yield


pytest_plugins = ["pytester"]

# Processes that tests start, and the workers of pytest, have the secret too.
PLANTED = os.environ.setdefault("TRUEUP_PLANTED_SECRET", f"Pl4nted-{secrets.token_hex(8)}")
LEAKED = "the planted secret is in an output of this test"
TEXTS = (".log", ".out", ".err", ".html", ".json", ".txt", ".yml")


def check_output(*texts: str | bytes | None) -> None:
    """Fail if a text holds the planted secret."""
    for text in texts:
        if text and (PLANTED.encode() in text if isinstance(text, bytes) else PLANTED in text):
            pytest.fail(LEAKED, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Fail a test whose captured output, log or traceback holds the planted secret."""
    report = yield
    if any(PLANTED in text for _, text in report.sections) or PLANTED in str(report.longrepr or ""):
        report.sections[:] = []
        report.outcome, report.longrepr = "failed", f"{item.nodeid}: {LEAKED}"
    return report


@pytest.fixture
def capsys(capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    """Search captured output when a test reads it."""
    return _check_capture(capsys)


@pytest.fixture
def capfd(capfd: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    """Search captured output of the descriptors when a test reads it."""
    return _check_capture(capfd)


def _check_capture(capture: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    read = capture.readouterr

    def readouterr() -> Any:
        found = read()
        check_output(found.out, found.err)
        return found

    capture.readouterr = readouterr  # type: ignore[method-assign]
    return capture


@pytest.fixture(scope="session", autouse=True)
def _outputs_of_processes_and_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Search the output of processes that tests start, and at the end the text files that tests leave."""
    communicate = subprocess.Popen.communicate

    def checked(self: Any, *arguments: Any, **named: Any) -> Any:
        found = communicate(self, *arguments, **named)
        check_output(*found)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "communicate", checked)
        yield
    leaking = [
        str(path)
        for path in tmp_path_factory.getbasetemp().rglob("*")
        if path.suffix in TEXTS and path.is_file() and not path.is_symlink() and PLANTED.encode() in path.read_bytes()
    ]
    assert not leaking, f"the planted secret is in {', '.join(leaking)}"
