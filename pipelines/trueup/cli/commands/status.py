"""The commands `status` and `maintain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli import checked, output
from trueup.cli.exit_codes import EXCEEDED
from trueup.cli.options import HERE, AsOfOption, Json, ProjectDir, load
from trueup.errors import LogBusyError

if TYPE_CHECKING:
    from trueup.config import Project
    from trueup.proof.verify import Verification
    from trueup.warehouse.audit import AuditResult
    from trueup.warehouse.query import Warehouse
    from trueup.warehouse.status import Status

_COUNTS = ("source", "stream", "units", "records", "accepted", "duplicate", "filtered", "quarantined", "lost_digits")
_MOMENTS = ("frontier", "last_taken_at")


def register(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(status)
    app.command()(maintain)


def status(
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Run the audits and the quick half of `verify`; exit status 1 when one fails or the project has a problem.",
        ),
    ] = False,
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Show positions, sources, money and findings of the project."""
    from trueup.project_checks.check import project_problems
    from trueup.project_checks.log_summary import LogSummary, summarise_log
    from trueup.warehouse import audit as auditing
    from trueup.warehouse import status as state
    from trueup.warehouse.query import with_retries

    opened = load(project)

    def read_status(warehouse: Warehouse) -> tuple[Status, list[AuditResult] | None, Verification | None, LogSummary | None]:
        audits = auditing.audit(warehouse) if check else None
        proof = _verify_quickly(warehouse) if check else None
        # Problems of today's settings do not concern the log as of an earlier position.
        log = None if as_of else summarise_log(warehouse.lake, opened, most_records=checked.STATUS_SCANS)
        return state.status(warehouse), audits, proof, log

    current, audits, proof, log = with_retries(opened, read_status, as_of)
    problems = project_problems(opened, log=log)
    if json:
        value = _as_value(current, audits) | ({} if proof is None else {"proof": _proof_value(proof)})
        output.json_value(value | {"problems": checked.as_value(problems)})
    else:
        _show(current)
        show_audits(audits or [])
        if proof is not None:
            _show_proof(proof)
    checked.show(problems)
    checked.refuse(problems)
    passed = proof is None or (proof.sound and all(result.passed for result in audits or []))
    if check and (checked.fails(problems) or not passed):
        raise typer.Exit(EXCEEDED)


# `verify` imports Polars, which `status` without `--check` does not need.


def _verify_quickly(warehouse: Warehouse) -> Verification:
    from trueup.proof.verify import verify

    return verify(warehouse.lake, quick=True)


def _proof_value(proof: Verification) -> dict[str, Any]:
    from trueup.cli.commands.proof.verify import as_value

    return as_value(proof)


def _show_proof(proof: Verification) -> None:
    from trueup.cli.commands.proof.verify import show_checks

    show_checks(proof)


def _as_value(current: Status, audits: list[AuditResult] | None) -> dict[str, Any]:
    value: dict[str, Any] = {
        "position": current.position, "reconciled_position": current.reconciled_position, "lag": current.lag,
        "waiting_since": current.waiting_since, "changes": current.changes,
        "sources": current.sources, "money": current.money, "findings": current.findings,
        "superseded_ticks": current.superseded_ticks,
    }  # fmt: skip
    if audits is not None:
        value["audits"] = [{"name": a.name, "passed": a.passed, "offending": a.offending, "rows": a.rows} for a in audits]
    return value


def _show(current: Status) -> None:
    from trueup.warehouse.explain import plain

    since = "" if current.waiting_since is None else f" since {output.moment(current.waiting_since)}"
    behind = "" if current.lag == 0 else f", {output.counted(current.lag, 'position')} behind{since}: run `trueup reconcile`"
    output.line(f"position {current.position}, reconciled up to {current.reconciled_position}{behind}")
    if current.sources:
        rows = ([*(s[name] for name in _COUNTS), *(output.moment(s[name]) for name in _MOMENTS)] for s in current.sources)
        columns = [name.replace("_", " ") for name in (*_COUNTS, *_MOMENTS)]
        output.table(columns, rows)
    for sums in current.money:
        output.line(
            f"{sums['currency'] or '(no currency)'}: expected {plain(sums['expected'])}, billed {plain(sums['billed'])}, "
            f"findings explain {plain(sums['impact'])}, tolerated {plain(sums['tolerated'])}, pending {plain(sums['pending'])}"
        )
    if current.superseded_ticks:
        refused = output.counted(sum(tick["refused_records"] for tick in current.superseded_ticks), "record")
        ticks = output.counted(len(current.superseded_ticks), "tick")
        output.line(f"{ticks} of a wrong clock superseded; {refused} refused for their time while in force, see `trueup clock`")
    if current.findings:
        output.dictionaries(current.findings, ("kind", "status", "provisional", "findings", "impact", "currency"))


def show_audits(audits: list[AuditResult]) -> None:
    """Print each audit with its verdict, and the first rows that break its promise."""
    for result in audits:
        if result.passed:
            output.line(f"ok      {result.name}")
            continue
        output.fault(f"FAILED  {result.name}: {output.counted(result.offending, 'row')}; {result.promise}")
        output.table(tuple(result.rows[0]), (tuple(row.values()) for row in result.rows))


def maintain(
    every: Annotated[str | None, typer.Option(metavar="DURATION", help="Repeat at this interval, until interrupted.")] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Merge small files of the lake, and remove files merged a day ago or earlier; no result changes."""
    from trueup.cli.commands.stream import duration, interrupted

    opened = load(project)
    if every is None:
        _maintain(opened, json=json)
        return
    pause = duration(every, "--every").total_seconds()
    with interrupted() as stop:
        while not stop.is_set():
            try:
                _maintain(opened, json=json)
            except LogBusyError as busy:
                # Another process is writing; maintenance can wait.
                output.problem(str(busy))
            stop.wait(pause)


def _maintain(project: Project, *, json: bool) -> None:
    from trueup.warehouse.maintain import maintain as maintain_lake

    done = maintain_lake(project)
    if json:
        output.json_value(done)
    else:
        output.line(f"merged {output.counted(done.merged, 'file')} into {done.made}, removed {done.removed} merged earlier")
