"""The command `bill`: a subscriber's bill, explained line by line."""

from __future__ import annotations

from typing import Annotated

import typer

from trueup.cli import output
from trueup.cli.options import HERE, AsOfOption, Json, ProjectDir, load


def register(app: typer.Typer) -> None:
    """Register the command of this module."""
    app.command()(bill)


def bill(
    subscriber: Annotated[str, typer.Argument(metavar="SUBSCRIBER", help="The subscriber, as the log has it.")],
    period: Annotated[
        str, typer.Argument(metavar="PERIOD", help="A month 2024-03, a day 2024-03-31 or a span 2024-03-01..2024-03-15.")
    ],
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Explain the bill of a subscriber line by line: what each charge is for, and what is wrong with it."""
    from trueup.investigation.bill import explain_bill
    from trueup.warehouse.query import with_retries

    shown = with_retries(load(project), lambda warehouse: explain_bill(warehouse, subscriber, period), as_of)
    if json:
        output.json_value(shown)
        return
    output.line(f"bill of {shown.subscriber}, {shown.first_day} to {shown.last_day}")
    for line in shown.lines:
        output.line(f"{output.moment(line['at'])}  {line['sentence']}")
    for total in shown.totals:
        output.line(
            f"billed {total['billed']}, findings {total['findings']}, right would be {total['right']} {total['currency']}".rstrip()
        )
