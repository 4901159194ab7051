"""The command `stream`: reconcile continuously."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import checked, output
from trueup.cli.options import HERE, AcceptClock, Json, ProjectDir, load
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.config import Project
    from trueup.jobs.flink_client import StreamSummary
    from trueup.jobs.options import MetricsAddress


def register(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(stream)


def stream(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Process all committed positions, then end.")] = False,
    parallelism: Annotated[int, typer.Option(min=1, metavar="N", help="Number of workers.")] = 1,
    groups: Annotated[int, typer.Option(min=1, metavar="N", help="Number of bucket groups; a change rebuilds the state.")] = 8,
    epoch_rows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Largest number of records of an epoch, unless one commit has more.")
    ] = 1_000_000,
    epoch_commits: Annotated[int, typer.Option(min=1, metavar="N", help="Largest number of commits of an epoch.")] = 1_000,
    polls: Annotated[int, typer.Option(min=1, metavar="N", help="Number of polls for new commits per second.")] = 10,
    tick_every: Annotated[
        str, typer.Option(metavar="DURATION", help="Interval between clock events; a silent feed is detected at the next one.")
    ] = "5m",
    checkpoint_every: Annotated[str, typer.Option(metavar="DURATION", help="Interval between checkpoints of the state.")] = "10s",
    keys_in_memory: Annotated[
        int, typer.Option(min=1, metavar="N", help="Settled keys that a group holds in its state rather than in files.")
    ] = 65_536,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder of the state; by default `stream` in the project.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard the state and rebuild it from the log.")] = False,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, metavar="PORT", help="Serve metrics for Prometheus on this port.")
    ] = None,
    metrics_host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Listen for Prometheus on this address; by default on loopback only.")
    ] = None,
    scoring: Annotated[
        bool, typer.Option("--score/--no-score", help="Also score usage records by the models and rules in force.")
    ] = True,
    flink: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A Flink setting; may be repeated.")] = None,
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Reconcile new commits continuously, until interrupted."""
    metrics = metrics_address(metrics_port, metrics_host)
    opened = load(project, accept_clock=accept_clock)
    checked.check_settings(opened)
    from trueup.jobs.flink_client import prepare_java, run
    from trueup.jobs.options import RunOptions, StreamOptions
    from trueup.reconcile.incremental.epoch_ranges import Bounds

    prepare_java()
    options = StreamOptions(
        str(opened.directory), parallelism=parallelism, groups=groups, bounds=Bounds(epoch_rows, epoch_commits),
        polls_per_second=polls, tick_every=None if until_idle else tick_interval(tick_every, opened),
        checkpoint_every=duration(checkpoint_every, "--checkpoint-every"), keys_in_memory=keys_in_memory,
        score=scoring and importlib.util.find_spec("xgboost") is not None,
    )  # fmt: skip
    with interrupted() as stop:
        run_options = RunOptions(state, fresh, until_idle, _parse_settings(flink or []), metrics)
        summary = run(opened, options, run_options, stop=stop, log=output.note)
    if json:
        output.json_value(summary)
    else:
        output.line(summary_line(summary))


def summary_line(summary: StreamSummary) -> str:
    """Return the result of the job in one line."""
    if summary.from_position == summary.to_position:
        line = f"already reconciled up to position {summary.to_position}; nothing changed"
    else:
        changes = output.counted(summary.changes, "change")
        line = f"reconciled positions {summary.from_position + 1} to {summary.to_position}: {changes} of findings"
    scored = summary.scored
    if scored is None or scored.from_position == scored.to_position:
        return line
    return f"{line}; scored positions {scored.from_position + 1} to {scored.to_position}: {scored.suspicious} suspicious"


def metrics_address(port: int | None, host: str | None) -> MetricsAddress | None:
    """Return the address of the metrics, None without a port; raise `TrueupError` for a host without a port, or an empty host."""
    if host is None and port is None:
        return None
    if port is None:
        raise TrueupError("metrics are served only on a named port", where="--metrics-host", todo="add --metrics-port")
    from trueup.jobs.options import MetricsAddress

    return MetricsAddress(port) if host is None else MetricsAddress(port, host)


def duration(text: str, where: str) -> timedelta:
    """Parse a duration such as `5m`; raise `TrueupError` for zero or anything else."""
    from trueup.config import duration_us

    try:
        span = timedelta(microseconds=duration_us(text))
    except ValueError as error:
        raise TrueupError(str(error), where=where) from None
    if not span:
        raise TrueupError("the duration must be longer than 0", where=where, todo="write one such as '5m'")
    return span


def tick_interval(text: str, project: Project) -> timedelta:
    """Parse the interval of ticks; raise `TrueupError` beyond the longest clock jump, where each tick would be refused."""
    interval = duration(text, "--tick-every")
    if interval > timedelta(microseconds=project.config.project.max_clock_jump):
        raise TrueupError(
            f"{text} is longer than [project] max_clock_jump, beyond which a clock is refused", where="--tick-every",
            todo="write a shorter one, or raise max_clock_jump",
        )  # fmt: skip
    return interval


@contextmanager
def interrupted() -> Iterator[threading.Event]:
    """Give an event that the first interrupt or termination signal sets; a second signal ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, _: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    # `nohup` ignores SIGHUP, which must remain so.
    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM, *hangup)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parse_settings(arguments: list[str]) -> dict[str, str]:
    pairs = [argument.partition("=") for argument in arguments]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise TrueupError(f"invalid Flink setting {name!r}", where="--flink", todo="write KEY=VALUE")
    return {name: value for name, _, value in pairs}
