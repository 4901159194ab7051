"""The commands `reconcile` and `digest`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import checked, output
from trueup.cli.options import HERE, AcceptClock, AsOfOption, Json, ProjectDir, Quiet, day, load, only_options
from trueup.errors import TrueupError

if TYPE_CHECKING:
    import polars as pl

    from trueup.config import Project
    from trueup.log.lake import Days
    from trueup.reconcile.run import ReconcileSummary

HOW = ("plain", "batch", "stream")


def register(app: typer.Typer) -> None:
    """Register the commands of this module."""
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
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Bring the findings up to the newest position."""
    from trueup.log.lake import ALL_DAYS

    options = only_options(runner_options)
    opened, days = load(project, accept_clock=accept_clock), (day(from_day, "--from"), day(to_day, "--to"))
    problems = checked.check_settings(opened) + checked.check_log(opened)
    summary = reconcile_project(opened, days, runner_options=options)
    if json:
        output.json_value(asdict(summary) | {"problems": checked.as_value(problems)})
    else:
        output.line(summary_line(summary, "" if days == ALL_DAYS else "only these days, the next run reconciles the others"))


def reconcile_project(project: Project, days: Days, *, runner_options: Sequence[str] = ()) -> ReconcileSummary:
    """Reconcile the positions that are not reconciled yet; import Beam only where there is enough work for it."""
    from trueup.reconcile.run import reconcile_little

    if not runner_options:
        done = reconcile_little(project, days=days, log=output.note)
        if done is not None:
            return done
    from trueup.jobs.reconcile_batch import reconcile

    return reconcile(project, days=days, runner_options=runner_options, log=output.note)


def summary_line(summary: ReconcileSummary, limit: str = "") -> str:
    """Return the result in one line; `limit` states which days it is about, where there was anything to reconcile."""
    if summary.from_position == summary.to_position:
        return f"already reconciled up to position {summary.to_position}; nothing changed"
    return (
        f"reconciled positions {summary.from_position + 1} to {summary.to_position}: {output.counted(summary.records, 'record')}, "
        f"{summary.raised} raised, {summary.revised} revised, {summary.retracted} retracted" + (f"; {limit}" if limit else "")
    )


def digest(
    as_of: AsOfOption = None,
    recompute: Annotated[
        str | None,
        typer.Option(
            metavar="plain|batch|stream",
            help="Derive the findings again from the input streams, instead of reading the stored ones.",
        ),
    ] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Print digests of the present findings, of their history and, if any, of the scores."""
    if recompute is not None and recompute not in HOW:
        raise TrueupError(
            f"unknown way to recompute {recompute!r}", where="--recompute", todo=f"write {', '.join(HOW[:-1])} or {HOW[-1]}"
        )
    from trueup.reconcile.results.digest import digests

    opened = load(project)
    position, history = _read_history(opened, as_of, recompute)
    values = digests(history)
    if recompute is None and (scores := _digest_scores(opened, as_of)) is not None:
        values["scores"] = scores
    if json:
        output.json_value({"position": position, "recomputed": recompute, **values})
    else:
        for name, value in values.items():
            output.line(f"{name:<8}{value}")


def _digest_scores(project: Project, as_of: str | None) -> str | None:
    """Return the digest of the scores up to a position; None where there are none."""
    import polars as pl

    from trueup.fraud.scoring.digest import score_digest
    from trueup.warehouse.query import with_retries

    rows = with_retries(project, lambda warehouse: pl.DataFrame(warehouse.table("queries/fraud/scores")), as_of)
    return score_digest(rows) if rows.height else None


def _read_history(project: Project, as_of: str | None, recompute: str | None) -> tuple[int, pl.DataFrame]:
    """Return the history of findings up to a position, stored or derived again."""
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
        from trueup.jobs.flink_client import derive as derive_by_stream

        return position, derive_by_stream(project, upto=position)
    from trueup.jobs.reconcile_batch import derive

    return position, derive(project, how=recompute, upto=position)
