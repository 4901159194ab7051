"""Running for months: `stream`."""

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


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(stream)


def stream(
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Process what is there, then end.")] = False,
    parallelism: Annotated[int, typer.Option(min=1, metavar="N", help="Workers that reconcile.")] = 1,
    groups: Annotated[
        int, typer.Option(min=1, metavar="N", help="Groups of buckets to divide the work by; changing it rebuilds the state.")
    ] = 8,
    epoch_rows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Records an epoch holds at most, unless one commit has more.")
    ] = 1_000_000,
    epoch_commits: Annotated[int, typer.Option(min=1, metavar="N", help="Commits an epoch holds at most.")] = 1_000,
    polls: Annotated[int, typer.Option(min=1, metavar="N", help="How often a second to look for what is new.")] = 10,
    tick_every: Annotated[
        str, typer.Option(metavar="DURATION", help="How often to declare the time, so that silence is seen.")
    ] = "5m",
    checkpoint_every: Annotated[str, typer.Option(metavar="DURATION", help="How often to keep the state.")] = "10s",
    keys_in_memory: Annotated[
        int, typer.Option(min=1, metavar="N", help="Keys of settled records a group keeps in its state, not in files.")
    ] = 65_536,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the state lies; else in the project, under stream.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the state and make it of the log again.")] = False,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, metavar="PORT", help="Serve metrics for Prometheus on this port.")
    ] = None,
    metrics_host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Listen for Prometheus on this address; else on loopback only.")
    ] = None,
    scoring: Annotated[
        bool, typer.Option("--score/--no-score", help="Score usage records beside, by the model and the rules in force.")
    ] = True,
    flink: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A setting of Flink; may be repeated.")] = None,
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Keep the findings up to the newest position, until interrupted."""
    if metrics_host is not None and metrics_port is None:
        raise TrueupError("no metrics are served without a port", where="--metrics-host", todo="add --metrics-port")
    opened = load(project, accept_clock=accept_clock)
    checked.checked(opened)
    from trueup.jobs.flink_client import prepare_java, run
    from trueup.jobs.loopback import LOOPBACK
    from trueup.jobs.options import StreamOptions
    from trueup.reconcile.incremental.epoch_ranges import Bounds

    prepare_java()
    options = StreamOptions(
        str(opened.directory), parallelism=parallelism, groups=groups, bounds=Bounds(epoch_rows, epoch_commits),
        polls_per_second=polls, tick_every=None if until_idle else tick_interval(tick_every, opened),
        checkpoint_every=duration(checkpoint_every, "--checkpoint-every"), keys_in_memory=keys_in_memory,
        score=scoring and importlib.util.find_spec("xgboost") is not None,
    )  # fmt: skip
    with interrupted() as stop:
        summary = run(
            opened,
            options,
            state=state,
            fresh=fresh,
            until_idle=until_idle,
            settings=_settings(flink or []),
            stop=stop,
            metrics_port=metrics_port,
            metrics_host=LOOPBACK if metrics_host is None else metrics_host,
            log=output.note,
        )
    if json:
        output.json_value(summary)
    else:
        output.line(summary_line(summary))


def summary_line(summary: StreamSummary) -> str:
    """What a run of the job did, in one line."""
    if summary.from_position == summary.to_position:
        found = f"reconciled already up to position {summary.to_position}; nothing changed"
    else:
        changes = output.counted(summary.changes, "change")
        found = f"reconciled positions {summary.from_position + 1} to {summary.to_position}: {changes} of findings"
    scored = summary.scored
    if scored is None or scored.from_position == scored.to_position:
        return found
    return f"{found}; scored positions {scored.from_position + 1} to {scored.to_position}: {scored.suspicious} suspicious"


def duration(text: str, where: str) -> timedelta:
    """A duration such as `5m`; raises `TrueupError` for anything else."""
    from trueup.config import duration_us

    try:
        found = timedelta(microseconds=duration_us(text))
    except ValueError as error:
        raise TrueupError(str(error), where=where) from None
    if not found:
        raise TrueupError("a duration of nothing is none", where=where, todo="write one such as '5m'")
    return found


def tick_interval(text: str, project: Project) -> timedelta:
    """How often to declare the time; raises `TrueupError` for longer than a clock may jump, for then each tick would be refused."""
    interval = duration(text, "--tick-every")
    if interval > timedelta(microseconds=project.config.project.max_clock_jump):
        raise TrueupError(
            f"{text} is longer than [project] max_clock_jump, beyond which a clock is refused", where="--tick-every",
            todo="write a shorter one, or raise max_clock_jump",
        )  # fmt: skip
    return interval


@contextmanager
def interrupted() -> Iterator[threading.Event]:
    """An event that an interrupt or a request to end sets, the first time; a second interrupt ends at once."""
    stop = threading.Event()

    def asked(number: int, _: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _settings(told: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in told]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise TrueupError(f"{name!r} is no setting of Flink", where="--flink", todo="write KEY=VALUE")
    return {name: value for name, _, value in pairs}
