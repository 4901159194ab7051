"""The command `anchor`: a small signed statement of the log's newest position and hashes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import output
from trueup.cli.options import HERE, Json, ProjectDir, load
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.config import Project
    from trueup.proof.anchors.check import AnchorCheck
    from trueup.proof.anchors.make import AnchorResult

AnchorPaths = Annotated[
    list[Path] | None,
    typer.Option("--anchor", metavar="PATH", help="Compare with an anchor, or with all anchors of a folder; may be repeated."),
]
PublicKeyPaths = Annotated[
    list[Path] | None,
    typer.Option("--public-key", metavar="FILE", help="A trusted public key; by default those of [anchor]; may be repeated."),
]


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(anchor)


def anchor(
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="PATH", help="A folder, or a file that ends in .json; by default [anchor] to."),
    ] = None,
    to_command: Annotated[
        str | None,
        typer.Option(
            "--to-command",
            metavar="COMMAND",
            help="A program that reads the anchor, run without a shell; {name} is replaced by the anchor's name.",
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The private key that signs; by default [anchor] key.")
    ] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Read all rows and files again, and compare them with the previous anchor.")
    ] = False,
    new_key: Annotated[
        Path | None, typer.Option("--new-key", metavar="FILE", help="Only create a private key, and FILE.pub next to it.")
    ] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Sign a statement of the log's newest position and hashes, with which `verify --anchor` later compares the lake."""
    if new_key is not None:
        if recompute or to is not None or to_command is not None or key is not None:
            raise TrueupError("--new-key only creates a key", where="--new-key", todo="leave out the other options")
        _make_key(new_key, json=json)
        return
    from trueup.proof.anchors.make import Request
    from trueup.proof.anchors.make import anchor as write_anchor

    anchored = write_anchor(load(project), Request(key, to, to_command, recompute))
    if json:
        output.json_value(anchored)
    else:
        output.line(summary_line(anchored))


def summary_line(anchored: AnchorResult) -> str:
    """Return the result in one line."""
    if not anchored.is_new:
        return f"nothing is new since position {anchored.position}: {anchored.path} is the latest anchor"
    sent = "" if anchored.sent_to is None else f" and sent to {anchored.sent_to}"
    return (
        f"anchored position {anchored.position}, number {anchored.sequence_no}: {output.counted(anchored.rows, 'row')}, "
        f"{output.counted(anchored.files, 'new file')}; written to {anchored.path}{sent}"
    )


def _make_key(path: Path, *, json: bool) -> None:
    from trueup.proof.anchors.keys import make_key

    made = make_key(path)
    if json:
        output.json_value(made)
        return
    output.line(f"private key  {made.private_key}: store it where no writer of the lake can read it")
    output.line(f"public key   {made.public_key}: `trueup verify --anchor` needs it")
    output.line(f"fingerprint  {made.fingerprint}")


def check_all(project: Project, paths: list[Path] | None, public_keys: list[Path] | None) -> AnchorCheck | None:
    """Compare the lake with anchors, None where none is named; raise `TrueupError` for a key without an anchor."""
    if not paths:
        if public_keys:
            raise TrueupError(
                "a public key checks anchors, but no anchor is named", where="--public-key", todo="name one with --anchor"
            )
        return None
    from trueup.proof.anchors.check import check_anchors
    from trueup.proof.anchors.make import trusted_keys
    from trueup.warehouse.query import with_retries

    keys = trusted_keys(project, public_keys or [])
    return with_retries(project, lambda warehouse: check_anchors(warehouse.lake, paths, keys))
