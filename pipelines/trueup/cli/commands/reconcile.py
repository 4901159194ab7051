"""Findings anew: `reconcile` and `digest`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import checked, output
from trueup.cli.options import HERE, AcceptClock, AsOfOption, Json, ProjectDir, day, load, only_options
from trueup.errors import TrueupError

if TYPE_CHECKING:
    import polars as pl

    from trueup.config import Project
    from trueup.reconcile.run import ReconcileSummary

HOW = ("plain", "batch", "stream")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(reconcile)
    app.command()(digest)


def reconcile(
    runner_options: Annotated[
        list[str] | None, typer.Argument(metavar="[-- RUNNER OPTIONS]", help="Beam options, such as -- --direct_num_workers=2.")
    ] = None,
    from_day: Annotated[str | None, typer.Option("--from", metavar="DAY", help="Recompute from this day on.")] = None,
    to_day: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Recompute up to this day.")] = None,
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Bring the findings up to the newest position."""
    options = only_options(runner_options)
    opened, first, last = load(project, accept_clock=accept_clock), day(from_day, "--from"), day(to_day, "--to")
    problems = checked.checked(opened) + checked.log_checked(opened)
    summary = reconciled(opened, from_day=first, to_day=last, runner_options=options)
    if json:
        output.json_value(asdict(summary) | {"problems": checked.as_value(problems)})
    else:
        limited = from_day is not None or to_day is not None
        output.line(summary_line(summary) + ("; only the days asked for, the next run does the rest" if limited else ""))


def reconciled(
    project: Project, *, from_day: date | None = None, to_day: date | None = None, runner_options: Sequence[str] = ()
) -> ReconcileSummary:
    """Reconciles what the log holds beyond what was reconciled before; imports Beam only where there is work for it."""
    from trueup.reconcile.run import reconcile_little

    if not runner_options:
        done = reconcile_little(project, from_day=from_day, to_day=to_day, log=output.note)
        if done is not None:
            return done
    from trueup.jobs.reconcile_batch import reconcile

    return reconcile(project, from_day=from_day, to_day=to_day, runner_options=runner_options, log=output.note)


def summary_line(summary: ReconcileSummary) -> str:
    """What a reconciliation did, in one line."""
    if summary.from_position == summary.to_position:
        return f"reconciled already up to position {summary.to_position}; nothing changed"
    return (
        f"reconciled positions {summary.from_position + 1} to {summary.to_position}: {output.counted(summary.records, 'record')}, "
        f"{summary.raised} raised, {summary.revised} revised, {summary.retracted} retracted"
    )


def digest(
    as_of: AsOfOption = None,
    recompute: Annotated[
        str | None,
        typer.Option(
            metavar="plain|batch|stream", help="Derive the findings anew from the input streams, instead of those stored."
        ),
    ] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Print the fingerprints of the findings, what stands and how it came about, and of the scores."""
    if recompute is not None and recompute not in HOW:
        raise TrueupError(
            f"{recompute!r} is no way to recompute", where="--recompute", todo=f"write {', '.join(HOW[:-1])} or {HOW[-1]}"
        )
    from trueup.reconcile.results.digest import digests

    opened = load(project)
    position, history = _history(opened, as_of, recompute)
    found = digests(history)
    if recompute is None and (scores := _scores(opened, as_of)) is not None:
        found["scores"] = scores
    if json:
        output.json_value({"position": position, "recomputed": recompute, **found})
    else:
        for name, value in found.items():
            output.line(f"{name:<8}{value}")


def _scores(project: Project, as_of: str | None) -> str | None:
    """The fingerprint of what was scored up to a position; None where nothing was."""
    import polars as pl

    from trueup.fraud.scoring.digest import score_digest
    from trueup.warehouse.query import with_retries

    found = with_retries(project, lambda warehouse: pl.DataFrame(warehouse.table("queries/fraud/scores")), as_of)
    return score_digest(found) if found.height else None


def _history(project: Project, as_of: str | None, recompute: str | None) -> tuple[int, pl.DataFrame]:
    """The findings' history up to a position: stored, or derived anew."""
    import polars as pl

    from trueup.warehouse.query import Warehouse, with_retries

    def stored(warehouse: Warehouse) -> tuple[int, pl.DataFrame | None]:
        reconciled = warehouse.lake.consumer_position("reconcile")
        position = min(warehouse.as_of.position, reconciled) if warehouse.as_of else reconciled
        if recompute is not None:
            return position, None
        return position, pl.DataFrame(warehouse.table("queries/findings/stored_changes", {"position": position}))

    position, history = with_retries(project, stored, as_of)
    if recompute is None or history is not None:
        assert history is not None
        return position, history
    if recompute == "stream":
        from trueup.jobs.flink_client import derive as streamed

        return position, streamed(project, upto=position)
    from trueup.jobs.reconcile_batch import derive

    return position, derive(project, how=recompute, upto=position)
