"""The commands `init`, `presets`, `schema` and `simulate`: create projects, and describe their settings."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import checked, output
from trueup.cli.options import HERE, Json, ProjectDir, Quiet
from trueup.cli.progress import steps
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.onboarding.proposal import ProposedSource

_SAMPLE_ENDINGS = (".csv", ".txt", ".tsv", ".json", ".ndjson", ".jsonl", ".parquet", ".gz", ".zst", ".zip", ".cdr", ".dat")


def register(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command()(init)
    app.command()(presets)
    app.command()(schema)
    app.command()(simulate)


def init(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[DIR] [FILE]...", help="The folder of the project, by default that of --project; more samples."),
    ] = None,
    samples: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="FILE", help="A sample of a delivered file, to propose its source; may be repeated."),
    ] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Write a commented trueup.toml: a template and an empty lake, or with --from a proposal from samples of your files."""
    from trueup.config import FILE_NAME

    folder, files_named = _divide_paths(paths or [], samples or [], project)
    path = folder / FILE_NAME
    if path.exists() or path.is_symlink():
        raise TrueupError("trueup.toml already exists", where=str(path), todo="name another folder, or edit that file")
    if files_named:
        _propose(folder, path, files_named, json=json)
    else:
        _write_template(folder, path, json=json)


def _divide_paths(paths: list[Path], samples: list[Path], project: Path) -> tuple[Path, list[Path]]:
    """Return the folder of a new project and its samples: with --from, files among the arguments are samples too."""
    further = [path for path in paths if samples and (path.is_file() or (not path.exists() and path.suffix in _SAMPLE_ENDINGS))]
    folders = [path for path in paths if path not in further]
    if len(folders) > 1:
        todo = "name one folder, and each sample with --from" if samples else "name one folder; samples follow --from"
        raise TrueupError(f"{', '.join(map(str, folders))} cannot all be the folder of the project", todo=todo)
    return (folders[0] if folders else project), [*samples, *further]


def _write_template(folder: Path, path: Path, *, json: bool) -> None:
    from trueup.config import Project, parse
    from trueup.config.json_schema import SCHEMA_LINE
    from trueup.log.lake import Lake

    text = f"{SCHEMA_LINE}\n" + files("trueup.cli").joinpath("template.toml").read_text("utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    Lake.create(Project(folder.resolve(), parse(text)))
    # Write the file last, so that the lake exists wherever the file does.
    _write(path, text)
    if json:
        output.json_value({"project": str(folder.resolve()), "config": str(path.resolve())})
    else:
        output.line(f"created {path} and an empty lake; describe your sources in it, then run `trueup run --project {folder}`")


def _propose(folder: Path, path: Path, samples: list[Path], *, json: bool) -> None:
    """Write the project proposed from samples; a person checks the fixed settings before the first ingestion creates the lake."""
    from trueup.clock import system_clock
    from trueup.config import Project, parse
    from trueup.config.json_schema import SCHEMA_LINE
    from trueup.log.catalog.connection import spare_pandas
    from trueup.onboarding.document import document_of
    from trueup.onboarding.proposal import propose
    from trueup.project_checks.check import project_problems

    spare_pandas()
    proposal = propose(_refuse_repeated_samples(samples), folder.resolve(), system_clock())
    document = document_of(proposal, head=[SCHEMA_LINE])
    config = parse(document.text, where=str(path))
    folder.mkdir(parents=True, exist_ok=True)
    _write(path, document.text)
    problems = project_problems(Project(folder.resolve(), config))
    if json:
        check = [{"line": doubt.line, "setting": doubt.setting, "reason": doubt.reason} for doubt in document.doubts]
        places = {"project": str(folder.resolve()), "config": str(path.resolve())}
        sources = [_source_value(source) for source in proposal.sources]
        output.json_value(places | {"sources": sources, "check": check, "problems": checked.as_value(problems)})
        return
    checked.show(problems)
    for source in proposal.sources:
        left_out = f", {source.outcome.filtered:,} left out" if source.outcome.filtered else ""
        output.line(
            f"{source.path}: {source.stream} records, {source.outcome.accepted:,} of {source.outcome.records:,} "
            f"become events{left_out} (source {source.name})"
        )
    output.line(f"created {path}; check {output.counted(len(document.doubts), 'line')} of it:")
    output.table(("line", "setting", "reason"), [(d.line, d.setting, d.reason) for d in document.doubts])
    output.line(f"next: trueup run --project {folder}")


def _refuse_repeated_samples(samples: list[Path]) -> list[Path]:
    """Return the samples; raise `TrueupError` for one that is named twice, because it would give two sources of one file."""
    seen: dict[Path, Path] = {}
    for sample in samples:
        real = sample.resolve()
        if real in seen:
            raise TrueupError(f"{sample} and {seen[real]} are one file", where="--from", todo="name each sample once")
        seen[real] = sample
    return samples


def _write(path: Path, text: str) -> None:
    """Write a new trueup.toml, and in the same folder the JSON Schema that its first line names."""
    from trueup.config.json_schema import SCHEMA_NAME

    beside = path.with_name(SCHEMA_NAME)
    if not beside.exists():
        beside.write_text(_build_schema_text(), "utf-8")
    with path.open("x", encoding="utf-8") as file:
        file.write(text)


def presets(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The preset to print; without it, all are listed.")] = None,
    json: Json = False,
) -> None:
    """List the presets of [[source]], or print the TOML of one preset to read and copy."""
    from trueup.config import preset_names, preset_source, preset_text, preset_title

    if name is not None:
        if json:
            output.json_value({"name": name, "title": preset_title(name), "source": preset_source(name)})
        else:
            for line in preset_text(name).splitlines():
                output.line(line)
        return
    rows = [{"name": each, "stream": preset_source(each)["stream"], "reads": preset_title(each)} for each in preset_names()]
    if json:
        output.json_value(rows)
    else:
        output.table(("preset", "stream", "reads"), [tuple(row.values()) for row in rows])


def schema() -> None:
    """Print the JSON Schema of trueup.toml, by which editors complete and check the file."""
    from trueup.config.json_schema import config_schema

    output.json_value(config_schema())


def _build_schema_text() -> str:
    from json import dumps

    from trueup.config.json_schema import config_schema

    return dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


def _source_value(source: ProposedSource) -> dict[str, object]:
    outcome = source.outcome
    counts = {
        "records": outcome.records,
        "accepted": outcome.accepted,
        "filtered": outcome.filtered,
        "quarantined": outcome.rejected,
    }
    return {"name": source.name, "stream": source.stream, "sample": str(source.path), **counts}


def simulate(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The folder to write; by default that of --project.")
    ] = None,
    subscribers: Annotated[int, typer.Option(min=1, help="Number of subscribers of the operator.")] = 200,
    days: Annotated[int, typer.Option(min=1, help="Number of days to simulate.")] = 3,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 1,
    profile: Annotated[str, typer.Option(help="The profile of the operator: services, tariffs and systems.")] = "small",
    form: Annotated[str, typer.Option("--format", help="The format of the raw files.")] = "csv",
    months: Annotated[int, typer.Option(min=0, help="Months of contracts with rentals, fees and discounts to add; 0: none.")] = 0,
    invoices: Annotated[
        bool, typer.Option("--invoices", help="With --months: add usage that one line bills, invoices and credit notes.")
    ] = False,
    chain: Annotated[
        bool, typer.Option("--chain", help="Add a service whose records pass four systems, with losses at each hop.")
    ] = False,
    project: ProjectDir = HERE,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Simulate an operator: write its raw files, a trueup.toml and truth.parquet."""
    from trueup.simulate import SimulationRequest
    from trueup.simulate import simulate as simulate_operator

    folder = directory or project
    with steps("day") as on_day:
        request = SimulationRequest(subscribers, days, seed, profile, form, months=months, chain=chain, invoices=invoices)
        summary = simulate_operator(folder, request, on_day=on_day)
    if json:
        output.json_value(summary.as_json())
    else:
        charges = summary.charge_records + summary.item_charges + summary.bundle_lines
        usage = summary.usage_records + summary.bundle_usage
        output.line(
            f"wrote {output.counted(usage, 'usage record')} and {output.counted(charges, 'charge')} "
            f"of {output.counted(summary.subscribers, 'subscriber')}, {summary.first_day} to {summary.tail_day}, to {folder}"
        )
        output.line(f"next: trueup run --project {folder}")
