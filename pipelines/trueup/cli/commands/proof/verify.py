"""The command `verify`: compare the log with its raw bytes and with findings derived again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli import output
from trueup.cli.commands.proof.anchor import AnchorPaths, PublicKeyPaths, check_all
from trueup.cli.exit_codes import EXCEEDED
from trueup.cli.options import HERE, Json, ProjectDir, Quiet, load
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.proof.anchors.check import AnchorCheck
    from trueup.proof.evidence import Check
    from trueup.proof.raw.records import VerifyResult
    from trueup.proof.verify import Verification
    from trueup.warehouse.query import Warehouse

_SHOWN_FAULTS = 50

RawFolders = Annotated[
    list[Path] | None,
    typer.Option(
        "--raw", metavar="DIR", help="A folder of archived raw files, found by their sha256 under any name; may be repeated."
    ),
]


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(verify)


def verify(
    id_prefix: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="The id of an event, or of a finding for its records; by default the whole log."),
    ] = None,
    raw: RawFolders = None,
    anchors: AnchorPaths = None,
    public_keys: PublicKeyPaths = None,
    project: ProjectDir = HERE,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Recompute ids, counts, hash chains, findings, scores and decisions from the raw bytes, and compare them with the log.

    Exit status 1 when content was changed (tampered) or evidence is missing (unavailable).
    """
    from trueup.proof.raw.records import SOUND
    from trueup.warehouse.query import with_retries

    opened, archives = load(project), archive_folders(raw or [])
    if id_prefix is None:
        checked = check_all(opened, anchors, public_keys)
        result = with_retries(opened, lambda warehouse: _verify_lake(warehouse, archives))
        result = result if checked is None else with_anchors(result, checked)
        _show(result, checked, json=json)
        sound = result.sound
    elif anchors or public_keys:
        raise TrueupError("anchors are checked for the whole log, not for one record", where="--anchor", todo="leave out the ID")
    else:
        records = with_retries(opened, lambda warehouse: _verify_records(warehouse, id_prefix, archives))
        _show_records(records, json=json)
        sound = all(record.verdict in SOUND for record in records)
    if not sound:
        raise typer.Exit(EXCEEDED)


def archive_folders(folders: list[Path]) -> tuple[Path, ...]:
    """Return the folders of archived raw files; raise `TrueupError` for one that does not exist."""
    for folder in folders:
        if not folder.is_dir():
            raise TrueupError("there is no such folder", where=f"--raw {folder}", todo="name a folder of raw files")
    return tuple(folder.resolve() for folder in folders)


def _verify_lake(warehouse: Warehouse, archives: tuple[Path, ...]) -> Verification:
    from trueup.proof.verify import verify as verified

    return verified(warehouse.lake, archives=archives, log=output.note)


def _verify_records(warehouse: Warehouse, id_prefix: str, archives: tuple[Path, ...]) -> list[VerifyResult]:
    from trueup.proof.raw.records import verify_record
    from trueup.warehouse.explain import event_ids_of

    ids = event_ids_of(warehouse, id_prefix)
    return [verify_record(warehouse.lake, bytes.fromhex(event_id), archives=archives) for event_id in ids]


def as_value(result: Verification) -> dict[str, Any]:
    """Return a result as values of JSON."""
    return {
        "checks": [
            {
                "name": check.name, "compared": check.compared, "unit": check.unit, "faults": len(check.faults),
                "notes": check.notes, "not_made": check.not_made,
            }
            for check in result.checks
        ],
        "faults": result.faults, "tampered": result.tampered, "unavailable": result.unavailable, "sound": result.sound,
    }  # fmt: skip


def with_anchors(result: Verification, checked: AnchorCheck) -> Verification:
    """Return the result with the comparison with anchors as a further check.

    `since` of other checks' faults stays empty: these faults may be older than an anchor that agrees, or lie in raw files.
    """
    from trueup.proof.evidence import Check
    from trueup.proof.verify import Verification

    newest = "" if checked.newest_agreeing is None else f", the newest {checked.newest_agreeing}"
    note = f"{len(checked.agreeing)} of {output.counted(checked.anchors, 'anchor')} agree{newest}"
    return Verification.of([*result.checks, Check("anchors", checked.anchors, "anchor", checked.faults, (note,))])


def _show(result: Verification, checked: AnchorCheck | None, *, json: bool) -> None:
    if json:
        anchors = None if checked is None else {"given": checked.anchors, "agreeing": checked.agreeing}
        output.json_value(as_value(result) | {"anchors": anchors})
        return
    show_checks(result)
    if result.sound:
        output.line("verified: the log agrees with everything that was recomputed")
    else:
        output.fault(f"{output.counted(len(result.faults), 'fault')}: {result.tampered} tampered, {result.unavailable} unavailable")


def show_checks(result: Verification) -> None:
    """Print each check with its count, then the faults."""
    for check in result.checks:
        output.line(f"{_format_verdict(check):<8}{check.name.replace('_', ' ')}: {_describe_comparison(check)}")
        for note in check.notes:
            output.line(f"        note: {note}")
    for fault in result.faults[:_SHOWN_FAULTS]:
        since = "" if fault.since is None else f" (since {fault.since})"
        output.fault(f"{fault.kind.upper():<12}{fault.where}: {fault.detail}{since}")
    if len(result.faults) > _SHOWN_FAULTS:
        output.fault(f"… and {len(result.faults) - _SHOWN_FAULTS} more; --json lists all")


def _format_verdict(check: Check) -> str:
    return "SKIPPED" if check.not_made else "FAILED" if check.faults else "ok"


def _describe_comparison(check: Check) -> str:
    if check.not_made:
        return f"not made, {check.not_made}"
    plural = f"changes of {check.unit.removeprefix('change of a ')}s" if check.unit.startswith("change of a ") else f"{check.unit}s"
    what = check.unit if check.compared == 1 else plural
    return f"{check.compared} {what}" + (f", {output.counted(len(check.faults), 'fault')}" if check.faults else "")


def _show_records(results: list[VerifyResult], *, json: bool) -> None:
    if json:
        output.json_value(results)
        return
    from trueup.proof.raw.records import SOUND

    for result in results:
        show = output.line if result.verdict in SOUND else output.fault
        show(f"{result.verdict:<8} {result.stream} {result.event_id.hex()}: {result.detail}")
        extent = "" if result.length is None else f", bytes {result.offset} to {result.offset + result.length}"
        output.line(f"         {result.path}, record {result.row}{extent}")
        if result.mapping:
            output.line(f"         {result.mapping}")
        if result.raw is not None:
            output.line(f"         {result.raw.decode('utf-8', 'backslashreplace')}")
        if result.differences:
            from trueup.proof.evidence import format_value

            rows = [(d.column, format_value(d.stored), format_value(d.raw)) for d in result.differences]
            output.table(("column", "stored", "from the raw bytes"), rows)
