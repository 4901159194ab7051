"""The continuous job as its user runs it: a process of its own, with a Java and workers of its own, which tests may kill."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import lake_fixture
import listeners
import pytest
from random_logs import any_log
from reference_model.log import Log

from trueup.cli import main
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.reconcile.log_io.commit import CONSUMER

LIMIT_S = 420
FACETS = ("contents", "untimed", "long ago", "mixed keys")
ENV = {**os.environ, "TRUEUP_NOW": "2024-06-01T00:00:00+00:00", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


_OF_TESTS = ("--checkpoint-every", "500ms", "--no-score", "--keys-in-memory", "4")


def begun(project: Project, *options: str) -> subprocess.Popen[str]:
    """`trueup stream`, in a group of processes of its own; it scores only where told to, and puts keys into files soon."""
    with Path(project.directory, "stream.log").open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "trueup.cli", "stream", "--project", str(project.directory), *_OF_TESTS, *options],
            stdout=log, stderr=log, text=True, env=ENV, start_new_session=True,
        )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> int:
    """How a job ended."""
    return process.wait(timeout=LIMIT_S)


def caught_up(project: Project, *options: str) -> None:
    """Runs the job until it has nothing left to do: in this process, whose Java serves all jobs that no test kills."""
    status, _ = ran(project, "stream", "--until-idle", *_OF_TESTS, *options)
    assert status == 0, said(project)


def ran(project: Project, *arguments: str) -> tuple[int, str]:
    """The status and the output of a command run in this process; its notes go to the log of `begun`."""
    out = io.StringIO()
    with Path(project.directory, "stream.log").open("a", encoding="utf-8") as log, warnings.catch_warnings():
        # Flink's Python imports what is deprecated elsewhere.
        warnings.simplefilter("ignore")
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(log):
            for name in ("TRUEUP_NOW", "PYTHONPATH"):
                # Java is begun with them, and begins the workers with what it was begun with.
                patch.setenv(name, ENV[name])
            status = main([*arguments, "--project", str(project.directory)])
    with Path(project.directory, "stream.log").open("a", encoding="utf-8") as log:
        log.write(out.getvalue())
    return status, out.getvalue()


def said(project: Project) -> str:
    return Path(project.directory, "stream.log").read_text("utf-8")


@contextmanager
def running(project: Project, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A job that runs meanwhile; whatever is left of it is killed."""
    process = begun(project, *options)
    try:
        yield process
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kills the client, its Java and all workers."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=LIMIT_S)


def descendants(process: subprocess.Popen[str], word: str) -> list[int]:
    """The processes a job began whose command line holds a word."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            group = os.getpgid(int(folder.name))
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except (OSError, ProcessLookupError):
            continue
        if group == process.pid and word in line:
            found.append(int(folder.name))
    return found


JAVA, WORKER = "PythonGatewayServer", "pyflink.fn_execution"


def position(project: Project) -> tuple[int, int]:
    """How far the findings are, and how far the log."""
    with Lake.open(project, read_only=True) as lake:
        return lake.consumer_position(CONSUMER), lake.last_position()


def waited_for(what: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Waits until something holds, while the job runs."""
    deadline = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        assert process is None or process.poll() is None, f"the job ended with {process and process.returncode}"
        time.sleep(0.1)


def prepared(seed: str, facets: tuple[str, ...] = FACETS, size: int = 20) -> tuple[Log, dict[tuple[int, str], Any]]:
    world, log = any_log(random.Random(seed), facets, size)
    return lake_fixture.with_ids_of_content([[world.first], *lake_fixture.one_declaration_per_commit(log)], "subscriber")


def project_with(folder: Path, log: Log, rows: dict[tuple[int, str], Any], upto: int) -> Project:
    """A project whose lake holds the first positions of a log."""
    with lake_fixture.lake_of(folder, log[:upto], rows, "subscriber") as lake:
        return lake.project


def append(project: Project, log: Log, rows: dict[tuple[int, str], Any], first: int, last: int, wait_s: float = 0.0) -> None:
    """Appends positions `first` to `last`, as somebody else would."""
    for position in range(first, last + 1):
        with Lake.open(project, clock=lake_fixture.clock, threads=1) as lake:
            lake_fixture.append(lake, log, rows, position, position)
        time.sleep(wait_s)


def assert_as_told(project: Project) -> None:
    """Whether what is stored is what the plain call tells of the whole log."""
    with Lake.open(project, read_only=True) as lake:
        assert lake_fixture.committed(lake) == lake_fixture.totals(lake_fixture.outcome_of(lake, 0, lake.last_position(), 1)), said(
            project
        )


def recomputed(project: Project, how: str | None) -> list[str]:
    """The fingerprints that `trueup digest` prints, while it listens on loopback only."""
    with listeners.watched() as seen:
        status, out = ran(project, "digest", *(["--recompute", how] if how else []))
    assert status == 0, said(project)
    # Java with its REST endpoint and blobs, the client, and the ports of its worker; the other ways open none.
    seen.assert_only_loopback(8 if how == "stream" else 0)
    return out.splitlines()
