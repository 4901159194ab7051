"""`run`: everything a scheduler wants, in one command."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli import checked, output
from trueup.cli.commands import anchor, fraud, reconcile, status
from trueup.cli.commands import ingest as ingesting
from trueup.cli.commands import quality as gate
from trueup.cli.options import HERE, AcceptClock, Json, ProjectDir, Verbose, load
from trueup.cli.progress import ingest_progress
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.collect.ingest import IngestSummary
    from trueup.config import Project
    from trueup.fraud.scoring.score_run import ScoreSummary
    from trueup.proof.anchors.make import AnchorResult
    from trueup.quality.run import QualitySummary
    from trueup.reconcile.run import ReconcileSummary
    from trueup.warehouse.audit import AuditResult
    from trueup.warehouse.publish import Published

PUBLISHED = "leakage.duckdb"
EXCEEDED, FAILED = 1, 2


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(run)


def run(
    file: Annotated[
        Path | None,
        typer.Option("--publish", metavar="FILE.duckdb", help=f"Where to publish; else {PUBLISHED} in the project's folder."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit status 1 when an audit fails, a day is blocked or the project has a problem.")
    ] = False,
    anchors: Annotated[
        bool | None, typer.Option("--anchor/--no-anchor", help="Write an anchor at the end; else as [anchor] run says.")
    ] = None,
    accept_clock: AcceptClock = False,
    project: ProjectDir = HERE,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Ingest, judge the feeds, reconcile, score, audit and publish, with one summary."""
    from trueup.collect.ingest import ingest
    from trueup.log.lake import Lake
    from trueup.quality.gate import blocked_from
    from trueup.quality.run import quality

    opened = load(project, accept_clock=accept_clock)
    target = file or opened.directory / PUBLISHED
    problems = checked.checked(opened, published=target, collects=True)
    with ingest_progress() as progress:
        taken = ingest(opened, progress=progress)
    # Open all the while, so that the lake is attached once for all steps.
    with Lake.open(opened):
        problems += checked.log_checked(opened)
        judged = quality(opened, say=output.note, say_day=output.note_each(verbose))
        blocked = blocked_from(judged.days)
        # Days before the first one blocked are reconciled all the same; the rest waits until its feeds are whole.
        reconciled = reconcile.reconciled(opened, to_day=None if blocked is None else blocked - timedelta(days=1))
        suspected = _scored(opened)
        published = _published(opened, target)
    anchored = _anchored(opened) if (opened.config.anchor.run if anchors is None else anchors) else None
    if json:
        value = _as_value(taken, judged, reconciled, suspected, published) | {"problems": checked.as_value(problems)}
        output.json_value(value | {"anchor": {"error": str(anchored)} if isinstance(anchored, TrueupError) else anchored})
    else:
        _show(taken, judged, reconciled, suspected, published)
        if anchored is not None and not isinstance(anchored, TrueupError):
            output.line(f"anchor     {anchor.summary_line(anchored)}")
    ingesting.tell_errors(taken)
    if isinstance(anchored, TrueupError):
        # All else is done and shown by now.
        raise anchored
    if taken.errors:
        raise typer.Exit(FAILED)
    if check and (checked.fails(problems) or blocked is not None or not all(result.passed for result in published.audits)):
        raise typer.Exit(EXCEEDED)


def _scored(project: Project) -> ScoreSummary | str:
    """What scoring did, or why it was skipped: no model is in force and no rule is set, or the extra is not installed."""
    if importlib.util.find_spec("xgboost") is None:
        return "comes with trueup[fraud]"
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
    fraud.watched(project)
    return summary.skipped or summary


@dataclass(frozen=True)
class _Shown:
    """What people see of the lake: the audits, the leakage, and the published file; `anew` where that was written."""

    audits: list[AuditResult]
    leakage: list[dict[str, Any]]
    file: Published
    anew: bool


def _published(project: Project, path: Path) -> _Shown:
    """Audits and publishes, unless the file is there, of the newest state, and every audit held of that."""
    from trueup.warehouse.audit import all_passed, audit
    from trueup.warehouse.publish import find_published, publish
    from trueup.warehouse.query import Warehouse, with_retries

    def looked(warehouse: Warehouse) -> tuple[Published | None, list[AuditResult], list[dict[str, Any]]]:
        there = find_published(warehouse, path)
        return there, all_passed() if there else audit(warehouse), warehouse.rows("queries/status/leakage_summary")

    there, audits, leakage = with_retries(project, looked)
    held = sum(result.passed for result in audits)
    return _Shown(audits, leakage, there or publish(project, path, audits_passed=held), there is None)


def _anchored(project: Project) -> AnchorResult | TrueupError:
    """The anchor that was written, or why it could not be."""
    from trueup.proof.anchors.make import Request
    from trueup.proof.anchors.make import anchor as write_anchor

    try:
        return write_anchor(project, Request())
    except TrueupError as error:
        return error


def _as_value(
    taken: IngestSummary,
    judged: QualitySummary,
    reconciled: ReconcileSummary,
    suspected: ScoreSummary | str,
    published: _Shown,
) -> dict[str, object]:
    return {
        "ingest": ingesting.as_value(taken),
        "quality": gate.as_value(judged),
        "reconcile": reconciled,
        "score": {"skipped": suspected} if isinstance(suspected, str) else suspected,
        "audits": [{"name": a.name, "passed": a.passed, "offending": a.offending} for a in published.audits],
        "leakage": published.leakage,
        "publish": published.file,
        "published_anew": published.anew,
    }


def _show(
    taken: IngestSummary,
    judged: QualitySummary,
    reconciled: ReconcileSummary,
    suspected: ScoreSummary | str,
    published: _Shown,
) -> None:
    failed = [result for result in published.audits if not result.passed]
    if published.leakage:
        columns = ("kind", "service", "currency", "findings", "leakage", "overcharge", "impact")
        output.dictionaries(published.leakage, columns, title="leakage: findings that are open or confirmed")
    output.line(f"ingest     {ingesting.summary_line(taken)}")
    output.line(f"quality    {gate.summary_line(judged)}")
    held = any(day.verdict == "block" for day in judged.days)
    output.line(
        f"reconcile  {reconcile.summary_line(reconciled)}" + ("; only the days before the first that is blocked" if held else "")
    )
    output.line(f"score      {f'skipped: {suspected}' if isinstance(suspected, str) else fraud.summary_line(suspected)}")
    total = len(published.audits)
    since = "" if published.anew else ", as the last run found of this state"
    output.line(f"audits     {total - len(failed)} of {total} hold{since}")
    file = published.file
    rows = f"{output.counted(sum(file.rows.values()), 'row')} as of position {file.position}"
    output.line(f"publish    {rows} to {file.path}" if published.anew else f"publish    nothing changed: {file.path} holds {rows}")
    status.show_audits(failed)
