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
from trueup.cli.options import HERE, AcceptClock, Json, ProjectDir, Verbose, load
from trueup.cli.progress import ingest_progress
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.collect.ingest import IngestSummary
    from trueup.config import Project
    from trueup.fraud.scoring.score_run import ScoreSummary
    from trueup.investigation.root_causes import Investigated
    from trueup.proof.anchors.make import AnchorResult
    from trueup.quality.run import QualitySummary
    from trueup.reconcile.run import ReconcileSummary
    from trueup.warehouse.audit import AuditResult
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
        bool | None, typer.Option("--anchor/--no-anchor", help="Write an anchor at the end; by default as [anchor] run is set.")
    ] = None,
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    verbose: Verbose = False,
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
    with ingest_progress() as progress:
        ingested = ingest(opened, progress=progress)
    # Held open, so that the lake is attached once for all steps.
    with Lake.open(opened):
        problems += checked.check_log(opened)
        checked_feeds = quality(opened, log=output.note, log_day=output.note_each(verbose))
        blocked = blocked_from(checked_feeds.days)
        # Days before the first blocked day are reconciled; later days wait until their feeds are complete.
        reconciled = reconcile.reconcile_project(opened, ALL_DAYS if blocked is None else (None, blocked - timedelta(days=1)))
        scored = _score(opened)
        investigated = investigate(opened)
        published = _publish(opened, target)
    results = _Results(ingested, checked_feeds, reconciled, scored, investigated, published)
    anchored = _write_anchor(opened) if (opened.config.anchor.run if anchors is None else anchors) else None
    if json:
        value = _as_value(results) | {"problems": checked.as_value(problems)}
        output.json_value(value | {"anchor": {"error": str(anchored)} if isinstance(anchored, TrueupError) else anchored})
    else:
        _show(results)
        if anchored is not None and not isinstance(anchored, TrueupError):
            output.line(f"anchor     {anchor.summary_line(anchored)}")
    ingest_command.note_errors(ingested)
    if isinstance(anchored, TrueupError):
        # All other steps are done and shown by now.
        raise anchored
    if ingested.errors:
        raise typer.Exit(FAILED)
    if check and (checked.fails(problems) or blocked is not None or not all(result.passed for result in published.audits)):
        raise typer.Exit(EXCEEDED)


def _score(project: Project) -> ScoreSummary | str:
    """Score, and return the summary, or why it was skipped: no model and no rule, or the extra is not installed."""
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


def _publish(project: Project, path: Path) -> _Publication:
    """Audit and publish, unless the published file is up to date and all audits passed of its state."""
    from trueup.warehouse.audit import all_passed, audit
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
    return _Publication(audits, leakage, current or publish(project, path, audits_passed=passed), current is None)


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
    }


def _show(results: _Results) -> None:
    published, scored = results.published, results.scored
    failed = [result for result in published.audits if not result.passed]
    if published.leakage:
        columns = ("kind", "service", "currency", "findings", "leakage", "overcharge", "impact")
        output.dictionaries(published.leakage, columns, title="leakage: findings that are open or confirmed")
    output.line(f"ingest     {ingest_command.summary_line(results.ingested)}")
    output.line(f"quality    {quality_command.summary_line(results.feeds)}")
    is_blocked = any(day.verdict == "block" for day in results.feeds.days)
    limit = "only the days before the first blocked day" if is_blocked else ""
    output.line(f"reconcile  {reconcile.summary_line(results.reconciled, limit)}")
    output.line(f"score      {f'skipped: {scored}' if isinstance(scored, str) else fraud.summary_line(scored)}")
    output.line(f"cases      {cases.summary_line(results.investigated)}")
    total = len(published.audits)
    since = "" if published.is_new else ", unchanged since the last run"
    output.line(f"audits     {total - len(failed)} of {total} audits passed{since}")
    file = published.file
    rows = f"{output.counted(sum(file.rows.values()), 'row')} as of position {file.position}"
    output.line(
        f"publish    {rows} to {file.path}" if published.is_new else f"publish    nothing changed: {file.path} holds {rows}"
    )
    status.show_audits(failed)
