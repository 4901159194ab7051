"""The command `picture`: write a chart as SVG."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueup.cli import output
from trueup.cli.options import HERE, AsOfOption, Json, ProjectDir, load
from trueup.errors import TrueupError
from trueup.regular import read_regular

if TYPE_CHECKING:
    from trueup.config import Project

_MOST_CARD_BYTES = 1 << 30
SUBJECTS = ("leakage", "finding", "model")


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(picture)


def picture(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help=f"What to draw: {', '.join(SUBJECTS)}.")],
    identity: Annotated[str, typer.Argument(metavar="[ID]", help="The id of the finding or model, or its beginning.")] = "",
    out: Annotated[Path, typer.Option(metavar="FILE.svg", help="The file to write.")] = Path("picture.svg"),
    currency: Annotated[str | None, typer.Option(help="Of leakage: its currency; by default the one with most money.")] = None,
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Write a chart as SVG: leakage by day, a finding from expected to billed, or the calibration of a model."""
    if subject not in SUBJECTS:
        raise TrueupError(f"unknown subject {subject!r}", todo=f"write one of {', '.join(SUBJECTS)}")
    if subject != "leakage" and not identity:
        raise TrueupError(f"a picture of a {subject} needs its id", todo=f"write trueup picture {subject} ID")
    unused = {"ID": subject == "leakage" and identity, "--currency": subject != "leakage" and currency}
    unused["--as-of"] = subject == "model" and as_of
    for name in (name for name, is_given in unused.items() if is_given):
        raise TrueupError(f"a picture of {subject} has no {name}", todo="leave it out")
    if out.suffix != ".svg":
        raise TrueupError("the file must end in .svg", where=str(out), todo="name another file")
    opened = load(project)
    if subject == "leakage":
        text = _draw_leakage(opened, currency, as_of)
    else:
        text = _draw_finding(opened, identity, as_of) if subject == "finding" else _draw_calibration(opened, identity)
    out.write_text(text, "utf-8")
    if json:
        output.json_value({"path": str(out), "bytes": len(text.encode())})
    else:
        output.line(f"wrote {out}")


def _draw_leakage(project: Project, currency: str | None, as_of: str | None) -> str:
    from trueup.pictures.svg import leakage_svg
    from trueup.warehouse.query import with_retries

    path = "queries/findings/leakage_days"
    rows = with_retries(project, lambda warehouse: warehouse.rows(path, {"currency": currency}), as_of)
    if not rows:
        raise TrueupError(
            "no money leaks" + (f" in {currency}" if currency else ""), todo="reconcile first, or name another currency"
        )
    return leakage_svg(rows, str(rows[0]["currency"]))


def _draw_finding(project: Project, identity: str, as_of: str | None) -> str:
    from trueup.pictures.svg import waterfall_svg
    from trueup.warehouse.explain import finding_id_of
    from trueup.warehouse.query import Warehouse, with_retries

    def ask(warehouse: Warehouse) -> dict[str, Any]:
        return warehouse.rows("queries/findings/finding", {"finding_id": finding_id_of(warehouse, identity)})[0]

    finding = with_retries(project, ask, as_of)
    return waterfall_svg(finding["expected"], finding["billed"], finding["impact"], finding["currency"] or "")


def _draw_calibration(project: Project, identity: str) -> str:
    from trueup.pictures.svg import calibration_svg

    folder = project.directory / "models"
    cards = [path for path in sorted(folder.glob("*/card.json")) if path.parent.name.startswith(identity)]
    if len(cards) != 1:
        found = "no model" if not cards else f"{len(cards)} models"
        raise TrueupError(f"{found} begin with {identity}", where=str(folder), todo="write the id of one model")
    try:
        card = json_text.loads(read_regular(cards[0], max_bytes=_MOST_CARD_BYTES))
    except (OSError, ValueError) as error:
        raise TrueupError(f"the card cannot be read: {error}", where=str(cards[0]), todo="train the model again") from None
    if not card.get("reliability"):
        raise TrueupError("the card has no calibration", where=str(cards[0]), todo="train the model again")
    return calibration_svg(card["reliability"], f"Calibration of model {card['model_id'][:12]}")
