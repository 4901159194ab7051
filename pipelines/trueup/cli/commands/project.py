"""The commands `init` and `simulate`: create projects."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from trueup.cli import output
from trueup.cli.options import HERE, Json, ProjectDir
from trueup.cli.progress import steps
from trueup.errors import TrueupError


def register(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(init)
    app.command()(simulate)


def init(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The folder of the new project; by default that of --project.")
    ] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Write a commented trueup.toml and create the lake."""
    from trueup.config import FILE_NAME, Project, parse
    from trueup.log.lake import Lake

    folder = directory or project
    path = folder / FILE_NAME
    if path.exists():
        raise TrueupError("trueup.toml already exists", where=str(path), todo="name another folder, or edit that file")
    text = files("trueup.cli").joinpath("template.toml").read_text("utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    Lake.create(Project(folder.resolve(), parse(text)))
    # The file is written last: where it exists, the lake exists too.
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    if json:
        output.json_value({"project": str(folder.resolve()), "config": str(path.resolve())})
    else:
        output.line(f"created {path} and an empty lake; describe your sources in it, then run `trueup run --project {folder}`")


def simulate(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The folder to write; by default that of --project.")
    ] = None,
    subscribers: Annotated[int, typer.Option(min=1, help="Number of subscribers of the operator.")] = 200,
    days: Annotated[int, typer.Option(min=1, help="Number of days to simulate.")] = 3,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 1,
    profile: Annotated[str, typer.Option(help="The profile of the operator: services, tariffs and systems.")] = "small",
    form: Annotated[str, typer.Option("--format", help="The format of the raw files.")] = "csv",
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Simulate an operator: write its raw files, a trueup.toml and truth.parquet."""
    from trueup.simulate import SimulationRequest
    from trueup.simulate import simulate as simulate_operator

    folder = directory or project
    with steps("day") as on_day:
        summary = simulate_operator(folder, SimulationRequest(subscribers, days, seed, profile, form), on_day=on_day)
    if json:
        output.json_value(summary.as_json())
    else:
        output.line(
            f"wrote {output.counted(summary.usage_records, 'usage record')} and {output.counted(summary.charge_records, 'charge')} "
            f"of {output.counted(summary.subscribers, 'subscriber')}, {summary.first_day} to {summary.tail_day}, to {folder}"
        )
        output.line(f"next: trueup run --project {folder}")
