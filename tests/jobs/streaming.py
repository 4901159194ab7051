"""Run the continuous job as its user does: in a process with its own Java and workers, which tests may kill."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lake_fixture
import listeners
import pytest
from random_logs import any_log
from reference_model.log import Log

from trueup.cli import main
from trueup.config import Project
from trueup.jobs.options import RunOptions, StreamOptions
from trueup.log.lake import Lake
from trueup.reconcile.log_io.commit import CONSUMER

if TYPE_CHECKING:
    from trueup.jobs.flink_client import StreamSummary

LIMIT_S = 420
FACETS = ("contents", "undated", "very late", "mixed keys")
ENV = {**os.environ, "TRUEUP_NOW": "2024-06-01T00:00:00+00:00", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


_TEST_OPTIONS = ("--checkpoint-every", "500ms", "--no-score", "--keys-in-memory", "4")


def start_job(project: Project, *options: str) -> subprocess.Popen[str]:
    """Start `trueup stream` in its own process group, without scoring, and with hash runs for more than a few keys."""
    with Path(project.directory, "stream.log").open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "trueup.cli", "stream", "--project", str(project.directory), *_TEST_OPTIONS, *options],
            stdout=log, stderr=log, text=True, env=ENV, start_new_session=True,
        )  # fmt: skip


def exit_status(process: subprocess.Popen[str]) -> int:
    """Wait for a job to end and return its exit status."""
    return process.wait(timeout=LIMIT_S)


def catch_up(project: Project, *options: str) -> None:
    """Run the job until it is idle, in this process, whose Java serves all jobs that no test kills."""
    status, _ = run_command(project, "stream", "--until-idle", *_TEST_OPTIONS, *options)
    assert status == 0, log_text(project)


def run_command(project: Project, *arguments: str) -> tuple[int, str]:
    """Run a command in this process; return its exit status and output. Notes of the command go to the log of `start_job`."""
    out = io.StringIO()
    with Path(project.directory, "stream.log").open("a", encoding="utf-8") as log, warnings.catch_warnings():
        # PyFlink imports modules that are deprecated.
        warnings.simplefilter("ignore")
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(log):
            for name in ("TRUEUP_NOW", "PYTHONPATH"):
                # Java passes its own environment on to its workers.
                patch.setenv(name, ENV[name]) if name in ENV else patch.delenv(name, raising=False)
            status = main([*arguments, "--project", str(project.directory)])
    with Path(project.directory, "stream.log").open("a", encoding="utf-8") as log:
        log.write(out.getvalue())
    return status, out.getvalue()


def log_text(project: Project) -> str:
    return Path(project.directory, "stream.log").read_text("utf-8")


@contextmanager
def running(project: Project, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run a job within the context, and kill what is left of it at the end."""
    process = start_job(project, *options)
    try:
        yield process
    finally:
        kill_group(process)


@contextmanager
def running_here(project: Project, notes: list[str], *, groups: int) -> Iterator[Future[StreamSummary]]:
    """Run a scoring job within the context in a thread of this process, whose Java serves all jobs that no test kills.

    The job declares no time, and `notes` receives its messages. The future has its summary after the context.
    """
    from trueup.jobs.flink_client import prepare_java, run

    prepare_java()
    stop = threading.Event()
    options = StreamOptions(str(project.directory), groups=groups, checkpoint_every=timedelta(milliseconds=500), score=True)
    with warnings.catch_warnings(), ThreadPoolExecutor(1) as pool:
        # PyFlink imports modules that are deprecated.
        warnings.simplefilter("ignore")
        job = pool.submit(run, project, options, RunOptions(), stop=stop, log=notes.append)
        try:
            yield job
        finally:
            stop.set()
            job.exception(timeout=LIMIT_S)


def wait_for_job(condition: Callable[[], bool], job: Future[StreamSummary]) -> None:
    """Wait until a condition holds; if the job ends first, raise its error."""
    wait_until(lambda: job.done() or condition())
    if job.done():
        pytest.fail(f"the job ended: {job.result()}")


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill the client, its Java and all workers."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=LIMIT_S)


def descendants(process: subprocess.Popen[str], word: str) -> list[int]:
    """Return the process ids of a job whose command line contains a word."""
    pids = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            group = os.getpgid(int(folder.name))
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except (OSError, ProcessLookupError):
            continue
        if group == process.pid and word in line:
            pids.append(int(folder.name))
    return pids


JAVA, WORKER = "PythonGatewayServer", "pyflink.fn_execution"


def position(project: Project) -> tuple[int, int]:
    """Return the reconciled position and the last position of the log."""
    with Lake.open(project, read_only=True) as lake:
        return lake.consumer_position(CONSUMER), lake.last_position()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Wait until a condition holds; fail if the job ends first."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition does not hold within the limit"
        assert process is None or process.poll() is None, f"the job ended with {process and process.returncode}"
        time.sleep(0.1)


def random_log(seed: str, facets: tuple[str, ...] = FACETS, size: int = 20) -> tuple[Log, dict[tuple[int, str], Any]]:
    generator, log = any_log(random.Random(seed), facets, size)
    return lake_fixture.with_event_ids_of_lake([[generator.first], *lake_fixture.one_declaration_per_commit(log)], "subscriber")


def project_with(folder: Path, log: Log, rows: dict[tuple[int, str], Any], upto: int) -> Project:
    """Return a project whose lake has the positions of a log up to `upto`."""
    with lake_fixture.lake_of(folder, log[:upto], rows, "subscriber") as lake:
        return lake.project


def append(project: Project, log: Log, rows: dict[tuple[int, str], Any], first: int, last: int, wait_s: float = 0.0) -> None:
    """Append the positions `first` to `last` of a log, as another process would."""
    for position in range(first, last + 1):
        with Lake.open(project, clock=lake_fixture.clock, threads=1) as lake:
            lake_fixture.append(lake, log, rows, position, position)
        time.sleep(wait_s)


def assert_equals_plain_call(project: Project) -> None:
    """Compare the results in the lake with the outcome of the plain call on the complete log."""
    with Lake.open(project, read_only=True) as lake:
        expected = lake_fixture.totals(lake_fixture.outcome_of(lake, 0, lake.last_position(), 1))
        assert lake_fixture.committed(lake) == expected, log_text(project)


def digest_lines(project: Project, how: str | None) -> list[str]:
    """Return the digests that `trueup digest` prints; check that it listens on loopback only."""
    with listeners.observe_listeners() as observed:
        status, out = run_command(project, "digest", *(["--recompute", how] if how else []))
    assert status == 0, log_text(project)
    # Java opens its REST endpoint and blob server, the client's port and the ports of its worker. The other ways open no port.
    observed.assert_only_loopback(8 if how == "stream" else 0)
    return out.splitlines()
