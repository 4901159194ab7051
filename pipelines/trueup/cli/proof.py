"""`verify`: the raw bytes, the accounts and the hash chains, looked at again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import output
from trueup.cli.options import HERE, Json, ProjectDir, load

if TYPE_CHECKING:
    from trueup.collect.verify import AccountResult, ChainResult, VerifyResult
    from trueup.warehouse.query import Warehouse

EXCEEDED = 1
SOUND = ("proven", "found")
_SHOWN_FAULTS = 20


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command()(verify)


def verify(
    told: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="An event, or a finding: its records; else everything that can be proven at once."),
    ] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Read raw bytes again, add the accounts up again, walk the hash chains; exit status 1 when something is not as it was."""
    from trueup.warehouse.query import asked

    opened = load(project)
    if told is None:
        sound = _everything(*asked(opened, _all_results), json=json)
    else:
        sound = _records(asked(opened, lambda warehouse: _results(warehouse, told)), json=json)
    if not sound:
        raise typer.Exit(EXCEEDED)


def _results(warehouse: Warehouse, told: str) -> list[VerifyResult]:
    from trueup.collect.verify import verify_record
    from trueup.warehouse.explain import event_ids_of

    return [verify_record(warehouse.lake, bytes.fromhex(event_id)) for event_id in event_ids_of(warehouse, told)]


def _all_results(warehouse: Warehouse) -> tuple[list[ChainResult], list[AccountResult], list[VerifyResult]]:
    from trueup.collect.verify import verify_accounts, verify_chains, verify_quarantined

    return verify_chains(warehouse.lake), verify_accounts(warehouse.lake), verify_quarantined(warehouse.lake)


def _records(results: list[VerifyResult], *, json: bool) -> bool:
    if json:
        output.json_value(results)
    else:
        for result in results:
            output.line(f"{result.verdict:<8} {result.stream} {result.event_id.hex()}: {result.detail}")
            extent = "" if result.length is None else f", bytes {result.offset} to {result.offset + result.length}"
            output.line(f"         {result.path}, record {result.row}{extent}")
            if result.raw is not None:
                output.line(f"         {result.raw.decode('utf-8', 'backslashreplace')}")
    return all(result.verdict in SOUND for result in results)


def _everything(chains: list[ChainResult], accounts: list[AccountResult], rejected: list[VerifyResult], *, json: bool) -> bool:
    faults = [
        *(f"chain of {c.source}: broken at control row {c.broken_at} of {c.rows}" for c in chains if not c.ok),
        *(f"account of {a.source_id}: {a.detail}" for a in accounts if not a.ok),
        *(f"rejected record {r.row} of {r.path}: {r.verdict}; {r.detail}" for r in rejected if r.verdict not in SOUND),
    ]
    if json:
        output.json_value(
            {"chains": chains, "accounts": accounts, "quarantined": len(rejected), "faults": faults, "sound": not faults}
        )
        return not faults
    links = output.counted(sum(c.rows for c in chains), "control row")
    output.line(f"{sum(c.ok for c in chains)} of {output.counted(len(chains), 'hash chain')} whole, {links}")
    output.line(f"{sum(a.ok for a in accounts)} of {output.counted(len(accounts), 'account')} sound")
    proven = sum(r.verdict in SOUND for r in rejected)
    output.line(f"{proven} of {output.counted(len(rejected), 'rejected record')} found in their files")
    for fault in faults[:_SHOWN_FAULTS]:
        output.line(f"FAILED  {fault}")
    if len(faults) > _SHOWN_FAULTS:
        output.line(f"… and {len(faults) - _SHOWN_FAULTS} more")
    return not faults
