"""The commands `train-table` and `score-table`: fraud models of any table of entities, without a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import output
from trueup.cli.options import Json
from trueup.errors import TrueupError

if TYPE_CHECKING:
    from trueup.fraud.tables.table_run import ScoredTable

_SHOWN = 20
_File = Annotated[Path, typer.Argument(metavar="FILE", help="The table, in .parquet or .csv.")]


def register(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command("train-table")(train_table)
    app.command("score-table")(score_table)


def train_table(
    file: _File,
    identity: Annotated[str, typer.Option("--id", metavar="COLUMN", help="Identifies a row, together with its time.")],
    time: Annotated[str, typer.Option("--time", metavar="COLUMN", help="The time of a row; UTC where it has no zone.")],
    label: Annotated[
        str, typer.Option("--label", metavar="COLUMN", help="1 for fraud, 0 for honest, nothing where it is not known.")
    ],
    party: Annotated[
        str | None, typer.Option("--party", metavar="COLUMN", help="The one that a case is about; by default the id.")
    ] = None,
    known: Annotated[
        str | None,
        typer.Option("--known", metavar="COLUMN", help="When the label was known; by default the label delay after the row."),
    ] = None,
    money: Annotated[
        str | None, typer.Option("--money", metavar="COLUMN", help="What is lost if the row is fraud; it is a feature too.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", metavar="COLUMN", help="A column of categories; may be repeated.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="COLUMN", help="A column that is not a feature; may be repeated.")
    ] = None,
    label_delay: Annotated[
        str, typer.Option("--label-delay", metavar="DURATION", help="The age at which a row without a label counts as honest.")
    ] = "7d",
    alerts_per_day: Annotated[
        int, typer.Option("--alerts-per-day", metavar="N", min=1, help="How many cases can be reviewed a day.")
    ] = 100,
    review_cost: Annotated[
        str | None, typer.Option("--review-cost", metavar="AMOUNT", help="What the review of a case costs; needs --money.")
    ] = None,
    trials: Annotated[int, typer.Option("--trials", metavar="N", min=1, max=200, help="Sets of parameters to try.")] = 6,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="The seed of training.")] = 0,
    models: Annotated[
        Path, typer.Option("--models", metavar="DIR", help="The folder that the model's folder is written to.")
    ] = Path("models"),
    json: Json = False,
) -> None:
    """Train a fraud model on a table of entities; all columns that are not declared are features."""
    from trueup.fraud.tables.declaration import TableColumns
    from trueup.fraud.tables.table_run import train_table as trained
    from trueup.fraud.training.cost import ReviewCost
    from trueup.fraud.training.train import Settings

    columns = TableColumns(identity, time, label, party, known, money, tuple(category or ()), tuple(ignore or ()))
    if review_cost is not None and money is None:
        raise TrueupError("a cost needs the money that reviews save", where="--review-cost", todo="name its column with --money")
    # A fraud in a table is stopped at once, with its own row.
    cost = None if review_cost is None else ReviewCost(_parse_micros(review_cost), reaction_us=0)
    settings = Settings(alerts_per_day, _parse_duration_us(label_delay), trials=trials, seed=seed, review_cost=cost)
    done = trained(file, columns, settings, models=models)
    metrics = done.model.card["metrics"]
    for name, how in done.leaking.items():
        output.problem(f"{name} {how}: if it is known only afterwards, train again with --ignore '{name}'")
    if json:
        shown = {"model_id": done.model.model_id, "folder": str(done.folder), "leaking": done.leaking, **metrics}
        output.json_value(shown)
        return
    output.line(f"trained {done.model.model_id}: on later days {_format_measures(metrics)}")
    output.line(f"its model card is {done.folder / 'card.md'}; next: trueup score-table FILE --model {done.folder}")


def score_table(
    file: _File,
    model: Annotated[Path, typer.Option("--model", metavar="DIR", help="The folder of the model that `train-table` wrote.")],
    write: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write all rows with score and reasons to a .csv or .parquet file.")
    ] = None,
    json: Json = False,
) -> None:
    """Score a table by a model of `train-table`; show the most suspicious rows with their reasons."""
    from trueup.fraud.tables.table_run import score_table as scored

    if write is not None and write.suffix not in (".csv", ".parquet"):
        raise TrueupError(f"{write} is neither .csv nor .parquet", where="--to", todo="name a file with one of these endings")
    done = scored(file, model)
    if write is not None:
        _write(done, write)
    if json:
        output.json_value({
            "rows": done.rows.height, "suspicious": done.suspicious, "drifted": list(done.drifted), "metrics": done.metrics,
            "first": done.rows.filter("suspicious").sort("probability", descending=True).head(_SHOWN).to_dicts(),
        })  # fmt: skip
        return
    _show(done)
    if write is not None:
        output.line(f"all rows are in {write}")


def _show(done: ScoredTable) -> None:
    first = done.rows.filter("suspicious").sort("probability", descending=True, maintain_order=True).head(_SHOWN)
    if first.height:
        shown = first.drop("margin", "suspicious")
        output.table([name.replace("_", " ") for name in shown.columns], shown.iter_rows())
    output.line(f"{output.counted(done.rows.height, 'row')} scored, {done.suspicious} suspicious")
    if done.metrics:
        output.line(f"on the labelled rows after training: {_format_measures(done.metrics)}")
    if done.drifted:
        output.line(f"features that differ from training: {', '.join(done.drifted)}; train again if they stay so")


def _format_measures(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in metrics.items())


def _write(done: ScoredTable, path: Path) -> None:
    try:
        if path.suffix == ".csv":
            done.rows.write_csv(path)
        else:
            done.rows.write_parquet(path)
    except OSError as error:
        raise TrueupError(f"the file cannot be written: {error.strerror}", where=str(path)) from None


def _parse_duration_us(text: str) -> int:
    from trueup.config.values import duration_us

    try:
        return duration_us(text)
    except ValueError as error:
        raise TrueupError(str(error), where="--label-delay") from None


def _parse_micros(text: str) -> int:
    from trueup.config.values import decimal_micros

    try:
        micros = decimal_micros(text)
    except ValueError as error:
        raise TrueupError(str(error), where="--review-cost") from None
    if micros < 0:
        raise TrueupError("the cost of a review is negative", where="--review-cost", todo="write an amount from 0 on")
    return micros
