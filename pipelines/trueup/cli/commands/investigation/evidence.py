"""The command `evidence`: files about a case for people without access to the lake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup.cli import output
from trueup.cli.commands.proof.verify import RawFolders, archive_folders
from trueup.cli.options import HERE, AsOfOption, Json, ProjectDir, load


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(evidence)


def evidence(
    id_prefix: Annotated[str, typer.Argument(metavar="CASE", help="The id of a case or finding, or the beginning of it.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write, new or empty.")],
    most: Annotated[int, typer.Option("--limit", min=1, help="Largest number of findings, those with the most money.")] = 20,
    raw: RawFolders = None,
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Write a page and a PDF of a case: records side by side, arithmetic, history, hashes and raw bytes."""
    from trueup.investigation.evidence.compose import write_evidence
    from trueup.warehouse.query import with_retries

    archives = archive_folders(raw or [])
    done = with_retries(
        load(project), lambda warehouse: write_evidence(warehouse, id_prefix, out, most=most, archives=archives), as_of
    )
    if json:
        output.json_value(done)
        return
    output.line(
        f"evidence of {output.counted(done.findings, 'finding')} and {output.counted(done.records, 'record')} in {done.folder}"
    )
    for name, digest in done.files.items():
        output.line(f"{digest}  {name}")
