"""Prices by themselves: `rate` and `cgrates`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trueup.cli import output
from trueup.cli.options import HERE, AsOfOption, Json, ProjectDir, Spreadsheet, load
from trueup.errors import TrueupError

if TYPE_CHECKING:
    import polars as pl

    from trueup.config import Project
    from trueup.rating.book import Book
    from trueup.rating.rate import RatingResult

_SHOWN = ("call", "service", "plan", "peer", "start", "quantity", "amount", "currency", "tariff_code", "reason")
_SNIPPET = """[[source]]
name = "book"
stream = "tariff"
path = "{path}"
identity = "content\""""


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(rate)
    app.command()(cgrates)


def rate(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Records: .csv, .ndjson or .parquet; else one told by the options.")
    ] = None,
    service: Annotated[str | None, typer.Option(help="Such as voice.")] = None,
    start: Annotated[str | None, typer.Option(metavar="TIME", help="When it begins, such as 2024-03-31T12:00:00.")] = None,
    quantity: Annotated[str | None, typer.Option(help="Seconds, or whatever the tariff is for.")] = None,
    plan: Annotated[str | None, typer.Option(help="Of the tariff book; by default that of the subscription.")] = None,
    peer: Annotated[str | None, typer.Option(help="The other party's number.")] = None,
    direction: Annotated[str | None, typer.Option(help="Such as out.")] = None,
    zone: Annotated[str | None, typer.Option(help="Where it roams.")] = None,
    trunk: Annotated[str | None, typer.Option(help="The group of lines it came by.")] = None,
    account: Annotated[str | None, typer.Option(help="Whose allowances and tiers are shared by account.")] = None,
    subscriber: Annotated[str | None, typer.Option(help="Whose subscription it is, and whose allowances and tiers.")] = None,
    currency: Annotated[str | None, typer.Option(help="To price in; with --cgrates, that of the folder's prices.")] = None,
    book: Annotated[Path | None, typer.Option(metavar="FILE", help="A tariff book, instead of the project's.")] = None,
    folder: Annotated[Path | None, typer.Option("--cgrates", metavar="FOLDER", help="A CGRateS tariff plan, likewise.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Of times without an offset, and of --cgrates.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Tell the arithmetic of each record.")] = False,
    write: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Write the prices to .csv or .parquet.")] = None,
    spreadsheet: Spreadsheet = None,
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Price one record or a file of them, without reconciling."""
    usual = {
        "service": service, "plan": plan, "peer": peer, "direction": direction, "zone": zone, "trunk": trunk,
        "account": account, "subscriber": subscriber, "currency": currency,
    }  # fmt: skip
    if write is not None and write.suffix not in (".csv", ".parquet"):
        raise TrueupError(f"{write} is neither .csv nor .parquet", where="--to", todo="name a file that ends so")
    if spreadsheet is not None and (write is None or write.suffix != ".csv"):
        raise TrueupError("only CSV is opened by spreadsheets", where="--spreadsheet", todo="write --to FILE.csv, or leave it out")
    asked = _Asked(file, usual, start, quantity, timezone)
    prices = _by_file(asked, book, folder, project) if book or folder else _by_lake(asked, project, as_of)
    if plan is not None and plan not in prices.book.rates["plan"]:
        plans = ", ".join(sorted(prices.book.rates["plan"].drop_nulls().unique())[:20]) or "none"
        raise TrueupError(f"there is no plan {plan!r}", where="--plan", todo=f"the book has {plans}")
    if write is not None:
        _write(prices, write, spreadsheet=spreadsheet is not False, json=json)
    else:
        _show(prices, explain=explain, json=json)


@dataclass(frozen=True)
class _Asked:
    """Records to be priced, as they were told."""

    file: Path | None
    usual: dict[str, str | None]
    start: str | None
    quantity: str | None
    timezone: str | None

    def calls(self, project: Project) -> pl.DataFrame:
        """The records as the rater takes them."""
        from trueup.collect.standalone import one_call, read_calls
        from trueup.config import zone_of
        from trueup.currencies import check_currency

        zone = zone_of(self.timezone, "--timezone") if self.timezone else project.config.project.timezone
        if self.usual["currency"] is not None:
            check_currency(self.usual["currency"], project.config.project.further_currencies, where="--currency")
        if self.file is not None:
            for option, value in (("--start", self.start), ("--quantity", self.quantity)):
                if value is not None:
                    raise TrueupError("a file tells this of each record", where=option, todo="leave it away")
            return read_calls(project, self.file, timezone=zone, usual=self.usual)
        told = {"--service": self.usual["service"], "--start": self.start, "--quantity": self.quantity}
        for option, value in told.items():
            if value is None:
                raise TrueupError(f"a record needs {option}", todo=f"write it, or name a file of records; {', '.join(told)}")
        return one_call(self.usual, str(self.start), str(self.quantity), timezone=zone)


@dataclass(frozen=True)
class _Prices:
    """Records priced, and the book they were priced by."""

    rated: RatingResult
    book: Book


def _by_file(asked: _Asked, book: Path | None, folder: Path | None, directory: Path) -> _Prices:
    """Prices by a book outside the lake, which need not be there."""
    from trueup.collect.standalone import read_book
    from trueup.config import FILE_NAME, Config, Project, ProjectConfig
    from trueup.rating.book import Book
    from trueup.rating.rate import rate as rated

    if book and folder:
        raise TrueupError("there are two tariff books", where="--book and --cgrates", todo="name one of them")
    further = load(directory).config.project.further_currencies if (directory / FILE_NAME).exists() else ()
    project = Project(directory.resolve(), Config(project=ProjectConfig(further_currencies=further)))
    made = read_book(project, book) if book else Book.of(_read_cgrates(folder, asked.usual["currency"], asked.timezone))
    return _Prices(rated(asked.calls(project), made), made)


def _by_lake(asked: _Asked, directory: Path, as_of: str | None) -> _Prices:
    """Prices by the project's book as of a position; records without a plan have that of their subscription then."""
    from trueup.rating.rate import rate as rated
    from trueup.reconcile.log_io.load import book_at, with_plans
    from trueup.warehouse.query import Warehouse
    from trueup.warehouse.query import with_retries as answered

    project = load(directory)
    calls = asked.calls(project)

    def prices(warehouse: Warehouse) -> _Prices:
        position = warehouse.as_of.position if warehouse.as_of else warehouse.lake.last_position()
        book = book_at(warehouse.lake, position)
        return _Prices(rated(with_plans(warehouse.lake, calls, position), book), book)

    return answered(project, prices, as_of)


def _write(prices: _Prices, path: Path, *, spreadsheet: bool, json: bool) -> None:
    """Writes the prices to a file; in CSV, text that a spreadsheet would run is kept from it where `spreadsheet` says so."""
    import polars as pl

    from trueup.warehouse.text import FORMULA_START

    rows = _told(prices.rated)
    if path.suffix == ".csv":
        text = pl.col(pl.String)
        shown = pl.when(text.str.contains(FORMULA_START)).then(pl.lit("'") + text).otherwise(text)
        (rows.with_columns(shown.name.keep()) if spreadsheet else rows).write_csv(path)
    else:
        rows.write_parquet(path)
    unpriced = rows["amount"].null_count()
    said = f", {unpriced} of them without a price" if unpriced else ""
    if json:
        output.json_value({"records": rows.height, "unpriced": unpriced, "path": str(path)})
    else:
        output.line(f"priced {output.counted(rows.height, 'record')}{said}, written to {path}")


def _show(prices: _Prices, *, explain: bool, json: bool) -> None:
    """The prices as a table or JSON; with the arithmetic of each record if wanted."""
    from trueup.rating.trace import steps

    rows = _told(prices.rated).to_dicts()
    if json:
        more = {r["call"]: {"steps": steps(prices.rated, r["call"], prices.book)} for r in rows} if explain else {}
        output.json_value([row | more.get(row["call"], {}) for row in rows])
    elif explain:
        for row in rows:
            output.line(f"record {row['call']}: {row['service']}, {row['quantity']} at {row['start']}")
            for step in steps(prices.rated, row["call"], prices.book):
                output.line(f"  {step}")
    else:
        output.dictionaries(rows, _SHOWN)


def _told(rated: RatingResult) -> pl.DataFrame:
    """The records with their amounts, in units."""
    import polars as pl

    from trueup.events.schema import UTC_TIME
    from trueup.rating.book_csv import as_decimal

    both = rated.calls.drop("currency", "order").join(rated.amounts, on="call", how="left", maintain_order="left")
    return both.with_columns(
        start=pl.col("start_us").cast(UTC_TIME), quantity=as_decimal(pl.col("quantity_micros")),
        amount=as_decimal(pl.col("amount_micros")),
    ).select(*_SHOWN[:4], "direction", "zone", "trunk", "account", "subscriber", *_SHOWN[4:])  # fmt: skip


def cgrates(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of the tariff plan's CSV files.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="The tariff book to write.")],
    currency: Annotated[str, typer.Option(help="Of the prices: the files do not tell.")],
    timezone: Annotated[str, typer.Option(help="Of the timings: the files do not tell.")] = "UTC",
    tenant: Annotated[str | None, typer.Option(help="The one to convert, where there are several.")] = None,
    services: Annotated[
        list[str] | None, typer.Option("--service", metavar="CATEGORY=SERVICE", help="A category of another name.")
    ] = None,
    json: Json = False,
) -> None:
    """Convert a CGRateS tariff plan to a tariff book that a source can read."""
    from trueup.rating.book_csv import in_units

    rows = _read_cgrates(folder, currency, timezone, tenant=tenant, services=_named(services or []))
    in_units(rows).write_csv(file)
    if json:
        output.json_value({"rows": rows.height, "path": str(file)})
    else:
        output.line(f"wrote {output.counted(rows.height, 'row')} to {file}; a source that takes them in:")
        output.lines(_SNIPPET.format(path=file))


def _named(told: list[str]) -> dict[str, str]:
    for text in told:
        if not all(text.partition("=")):
            raise TrueupError(f"{text!r} names no category and service", where="--service", todo="write it like call=voice")
    return {text.partition("=")[0]: text.partition("=")[2] for text in told}


def _read_cgrates(
    folder: Path | None,
    currency: str | None,
    timezone: str | None,
    *,
    tenant: str | None = None,
    services: dict[str, str] | None = None,
) -> pl.DataFrame:
    from trueup.config import zone_of
    from trueup.rating.cgrates import read_cgrates

    assert folder is not None
    if currency is None:
        raise TrueupError("the files of a CGRateS tariff plan tell no currency", todo="tell it by --currency")
    zone = zone_of(timezone or "UTC", "--timezone")
    return read_cgrates(folder, currency=currency, timezone=zone, tenant=tenant, services=services)
