"""`run`: everything a scheduler wants, in one command."""

from __future__ import annotations

import importlib.util
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli import fraud, intake, look, output, recompute
from trueup.cli import quality as gate
from trueup.cli.options import HERE, Json, ProjectDir, load
from trueup.cli.progress import taking_in

if TYPE_CHECKING:
    from trueup.collect.ingest import IngestSummary
    from trueup.config import Project
    from trueup.fraud.scoring import ScoreSummary
    from trueup.jobs.batch import ReconcileSummary
    from trueup.quality.run import QualitySummary
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
    check: Annotated[bool, typer.Option("--check", help="Exit status 1 when an audit fails or a day is blocked.")] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Ingest, judge the feeds, reconcile, score, audit and publish, with one summary."""
    from trueup.collect.ingest import ingest
    from trueup.jobs.batch import reconcile
    from trueup.quality.gate import blocked_from
    from trueup.quality.run import quality
    from trueup.warehouse.audit import audit
    from trueup.warehouse.publish import publish
    from trueup.warehouse.query import asked

    opened = load(project)
    with taking_in() as progress:
        taken = ingest(opened, progress=progress)
    judged = quality(opened, say=output.note)
    blocked = blocked_from(judged.days)
    # Days before the first one blocked are reconciled all the same; the rest waits until its feeds are whole.
    reconciled = reconcile(opened, say=output.note, to_day=None if blocked is None else blocked - timedelta(days=1))
    suspected = _scored(opened)
    audits, leakage = asked(opened, lambda warehouse: (audit(warehouse), warehouse.rows("queries/leakage")))
    published = publish(opened, file or opened.directory / PUBLISHED)
    if json:
        output.json_value(_as_value(taken, judged, reconciled, suspected, audits, leakage, published))
    else:
        _show(taken, judged, reconciled, suspected, audits, leakage, published)
    intake.tell_errors(taken)
    if taken.errors:
        raise typer.Exit(FAILED)
    if check and (blocked is not None or not all(result.passed for result in audits)):
        raise typer.Exit(EXCEEDED)


def _scored(project: Project) -> ScoreSummary | str:
    """What scoring did, or why it was skipped: no model is in force and no rule is set, or the extra is not installed."""
    if importlib.util.find_spec("xgboost") is None:
        return "comes with trueup[fraud]"
    from trueup.jobs.batch_scoring import score

    summary = score(project, say=output.note)
    fraud.watched(project)
    return summary.skipped or summary


def _as_value(
    taken: IngestSummary,
    judged: QualitySummary,
    reconciled: ReconcileSummary,
    suspected: ScoreSummary | str,
    audits: list[AuditResult],
    leakage: list[dict[str, Any]],
    published: Published,
) -> dict[str, object]:
    return {
        "ingest": intake.as_value(taken),
        "quality": gate.as_value(judged),
        "reconcile": reconciled,
        "score": {"skipped": suspected} if isinstance(suspected, str) else suspected,
        "audits": [{"name": a.name, "passed": a.passed, "offending": a.offending} for a in audits],
        "leakage": leakage,
        "publish": published,
    }


def _show(
    taken: IngestSummary,
    judged: QualitySummary,
    reconciled: ReconcileSummary,
    suspected: ScoreSummary | str,
    audits: list[AuditResult],
    leakage: list[dict[str, Any]],
    published: Published,
) -> None:
    failed = [result for result in audits if not result.passed]
    if leakage:
        columns = ("kind", "service", "currency", "findings", "leakage", "overcharge", "impact")
        output.dictionaries(leakage, columns, title="leakage: findings that are open or confirmed")
    output.line(f"ingest     {intake.told(taken)}")
    output.line(f"quality    {gate.told(judged)}")
    held = any(day.verdict == "block" for day in judged.days)
    output.line(f"reconcile  {recompute.told(reconciled)}" + ("; only the days before the first that is blocked" if held else ""))
    output.line(f"score      {f'skipped: {suspected}' if isinstance(suspected, str) else fraud.told(suspected)}")
    output.line(f"audits     {len(audits) - len(failed)} of {len(audits)} hold")
    output.line(
        f"publish    {output.counted(sum(published.rows.values()), 'row')} as of position {published.position} to {published.path}"
    )
    look.show_audits(failed)
