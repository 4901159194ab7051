"""The command `links`: suspected parties that share handsets, SIMs, cells or peers."""

from __future__ import annotations

from typing import Annotated

import typer

from trueup.cli import output
from trueup.cli.options import HERE, AsOfOption, Json, ProjectDir, load


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(links)


def links(
    party: Annotated[str | None, typer.Argument(metavar="[PARTY]", help="A party; by default all suspected ones.")] = None,
    most: Annotated[int, typer.Option("--limit", min=1, help="Largest number of pairs, groups and offenders.")] = 20,
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Show what suspected parties share, and new parties that behave as confirmed fraudsters did."""
    from trueup.investigation.links import links as find
    from trueup.warehouse.query import with_retries

    found = with_retries(load(project), lambda warehouse: find(warehouse, party=party, most=most), as_of)
    if json:
        output.json_value(found)
        return
    titles = {
        "pairs": "what suspected parties share",
        "groups": "parties that links connect",
        "offenders": "most like confirmed fraudsters",
    }
    for name, title in titles.items():
        rows = getattr(found, name)
        if rows:
            output.dictionaries(rows, tuple(rows[0]), title=title)
    if not (found.pairs or found.offenders):
        output.line("no links")
