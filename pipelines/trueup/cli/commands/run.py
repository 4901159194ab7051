"""The command `run`: all regular steps, for a scheduler."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli import checked, output
from trueup.cli.commands import fraud, reconcile, status
from trueup.cli.commands import ingest as ingest_command
from trueup.cli.commands import quality as quality_command
from trueup.cli.commands.investigation import cases
from trueup.cli.commands.proof import anchor
from trueup.cli.exit_codes import EXCEEDED, FAILED
from trueup.cli.options import HERE, AcceptClock, Json, ProjectDir, Quiet, Verbose, load
from trueup.cli.progress import Durations, ingest_progress
from trueup.cli.summary import show_first_look
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.collect.ingest import IngestSummary
    from trueup.config import Project
    from trueup.fraud.scoring.score_run import ScoreSummary
    from trueup.investigation.notify import Notified
    from trueup.investigation.root_causes import Investigated
    from trueup.progress import LogFn
    from trueup.proof.anchors.make import AnchorResult
    from trueup.quality.run import QualitySummary
    from trueup.reconcile.run import ReconcileSummary
    from trueup.warehouse.audit import AuditResult
    from trueup.warehouse.first_look import FirstLook
    from trueup.warehouse.publish import Published

PUBLISHED = "leakage.duckdb"
_LEAKAGE = "queries/status/leakage_summary"


def register(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(run)


def run(
    file: Annotated[
        Path | None,
        typer.Option(
            "--publish", metavar="FILE.duckdb", help=f"The file to publish; by default {PUBLISHED} in the project's folder."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit status 1 when an audit fails, a day is blocked or the project has a problem.")
    ] = False,
    anchors: Annotated[
        bool | None, typer.Option("--anchor/--no-anchor", help="Write an anchor at the end; by default, `run` of [anchor] decides.")
    ] = None,
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    verbose: Verbose = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Ingest, check the feeds, reconcile, score, open cases, audit and publish, with one summary."""
    from trueup.collect.ingest import ingest
    from trueup.investigation.root_causes import investigate
    from trueup.log.lake import ALL_DAYS, Lake
    from trueup.quality.gate import blocked_from
    from trueup.quality.run import quality

    opened = load(project, accept_clock=accept_clock)
    target = file or opened.directory / PUBLISHED
    problems = checked.check_settings(opened, published=target, collects=True)
    took = Durations()
    with took.step("ingest", drawn=False), ingest_progress() as progress:
        ingested = ingest(opened, progress=progress)
    # Keep a connection open, so that the lake is attached once for all steps.
    with Lake.open(opened):
        problems += checked.check_log(opened)
        with took.step("quality"):
            checked_feeds = quality(opened, log=output.note, log_day=output.note_each(verbose))
        blocked = blocked_from(checked_feeds.days)
        # Days before the first blocked day are reconciled; later days wait until their feeds are complete.
        with took.step("reconcile"):
            reconciled = reconcile.reconcile_project(opened, ALL_DAYS if blocked is None else (None, blocked - timedelta(days=1)))
        with took.step("score"):
            scored = _score(opened)
        with took.step("cases"):
            investigated = investigate(opened)
        with took.step("publish"):
            published = _publish(opened, target, log=output.note if verbose else None)
    results = _Results(ingested, checked_feeds, reconciled, scored, investigated, published, took)
    notified = _notify(opened) if opened.config.notify.run else None
    anchored = _write_anchor(opened) if (opened.config.anchor.run if anchors is None else anchors) else None
    if json:
        value = _as_value(results) | {"problems": checked.as_value(problems)}
        value["notify"] = notified
        output.json_value(value | {"anchor": {"error": str(anchored)} if isinstance(anchored, TrueupError) else anchored})
    else:
        _show_steps(results)
        if anchored is not None and not isinstance(anchored, TrueupError):
            output.line(f"anchor     {anchor.summary_line(anchored)}")
        if notified is not None:
            output.line(f"notify     {output.counted(notified.sent, 'message')} sent, {notified.known} sent before")
        show_first_look(published.look, "" if project == HERE else f" --project {project}")
    for error in () if notified is None else notified.errors:
        output.problem(f"trueup: {error}")
    ingest_command.note_errors(ingested)
    if isinstance(anchored, TrueupError):
        # All other steps are done and shown by now.
        raise anchored
    if ingested.errors or (notified is not None and notified.errors):
        raise typer.Exit(FAILED)
    if check and blocked is not None:
        quality_command.note_blocked(checked_feeds)
    if check and (checked.fails(problems) or blocked is not None or not all(result.passed for result in published.audits)):
        raise typer.Exit(EXCEEDED)


def _score(project: Project) -> ScoreSummary | str:
    """Score, and return the summary or the reason for skipping: no model and no rule, or the extra is not installed."""
    if importlib.util.find_spec("xgboost") is None:
        return "trueup[fraud] is not installed"
    from trueup.fraud.scoring.score_run import ScoreSummary, pending
    from trueup.log.lake import Lake
    from trueup.reconcile.run import partitions_needed

    with Lake.open(project) as lake:
        summary, is_little = pending(lake), partitions_needed(lake) == 1
    if not isinstance(summary, ScoreSummary):
        if is_little:
            from trueup.fraud.scoring.score_run import score
        else:
            from trueup.jobs.score_batch import score
        summary = score(project, log=output.note)
    fraud.monitor_scores(project)
    return summary.skipped or summary


@dataclass(frozen=True)
class _Publication:
    """The audits, the leakage and the published file; `is_new` where the file was written by this run."""

    audits: list[AuditResult]
    leakage: list[dict[str, Any]]
    look: FirstLook
    file: Published
    is_new: bool


@dataclass(frozen=True)
class _Results:
    """The results of the steps of a run."""

    ingested: IngestSummary
    feeds: QualitySummary
    reconciled: ReconcileSummary
    scored: ScoreSummary | str
    investigated: Investigated
    published: _Publication
    took: Durations


def _publish(project: Project, path: Path, *, log: LogFn | None) -> _Publication:
    """Audit and publish, unless the published file is up to date and all audits passed of its state."""
    from trueup.warehouse.audit import all_passed, audit
    from trueup.warehouse.first_look import first_look
    from trueup.warehouse.publish import find_published, publish
    from trueup.warehouse.query import Warehouse, with_retries

    def find_or_audit(warehouse: Warehouse) -> tuple[Published | None, list[AuditResult], list[dict[str, Any]]]:
        # The tables of a file that is up to date need no computation, unlike the views.
        found = find_published(warehouse, path, _LEAKAGE)
        if found is not None:
            return found[0], all_passed(), found[1]
        return None, audit(warehouse), warehouse.rows(_LEAKAGE)

    current, audits, leakage = with_retries(project, find_or_audit)
    passed = sum(result.passed for result in audits)
    file = current or publish(project, path, audits_passed=passed, log=log)
    return _Publication(audits, leakage, first_look(path, leakage), file, current is None)


def _notify(project: Project) -> Notified:
    from trueup.investigation.notify import notify

    return notify(project)


def _write_anchor(project: Project) -> AnchorResult | TrueupError:
    """Write an anchor, and return it or the error that prevented it."""
    from trueup.proof.anchors.make import Request
    from trueup.proof.anchors.make import anchor as write_anchor

    try:
        return write_anchor(project, Request())
    except TrueupError as error:
        return error


def _as_value(results: _Results) -> dict[str, object]:
    return {
        "ingest": ingest_command.as_value(results.ingested),
        "quality": quality_command.as_value(results.feeds),
        "reconcile": results.reconciled,
        "score": {"skipped": results.scored} if isinstance(results.scored, str) else results.scored,
        "cases": results.investigated,
        "audits": [{"name": a.name, "passed": a.passed, "offending": a.offending} for a in results.published.audits],
        "leakage": results.published.leakage,
        "publish": results.published.file,
        "published_anew": results.published.is_new,
        "look_first": results.published.look,
        "durations_s": {name: round(seconds, 3) for name, seconds in results.took.by_step.items()},
    }


def _show_steps(results: _Results) -> None:
    """Print a line for each step, with its duration."""
    published, scored, took = results.published, results.scored, results.took
    failed = [result for result in published.audits if not result.passed]
    is_blocked = any(day.verdict == "block" for day in results.feeds.days)
    limit = "only the days before the first blocked day" if is_blocked else ""
    total, file = len(published.audits), published.file
    rows = f"{output.counted(sum(file.rows.values()), 'row')} as of position {file.position}"
    shown = {
        "ingest": ingest_command.summary_line(results.ingested),
        "quality": quality_command.summary_line(results.feeds),
        "reconcile": reconcile.summary_line(results.reconciled, limit),
        "score": f"skipped: {scored}" if isinstance(scored, str) else fraud.summary_line(scored),
        "cases": cases.summary_line(results.investigated),
        "publish": f"{rows} to {output.short(file.path)}"
        if published.is_new
        else f"nothing changed: {output.short(file.path)} holds {rows}",
    }
    for name, text in shown.items():
        if name == "publish":
            since = "" if published.is_new else ", unchanged since the last run"
            output.line(f"audits     {total - len(failed)} of {total} audits passed{since}")
        output.line(f"{name:<10} {text} ({took.text(name)})")
    status.show_audits(failed)
