"""The commands `rate` and `cgrates`: price records without reconciling them."""

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
    """Register the commands of this module."""
    app.command()(rate)
    app.command()(cgrates)


def rate(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Records in .csv, .ndjson or .parquet; without it, one record from the options."),
    ] = None,
    service: Annotated[str | None, typer.Option(help="The service, such as voice.")] = None,
    start: Annotated[str | None, typer.Option(metavar="TIME", help="Start time, such as 2024-03-31T12:00:00.")] = None,
    quantity: Annotated[str | None, typer.Option(help="Quantity in the unit of the tariff, such as seconds.")] = None,
    plan: Annotated[str | None, typer.Option(help="Plan of the tariff book; by default that of the subscription.")] = None,
    peer: Annotated[str | None, typer.Option(help="The other party's number.")] = None,
    direction: Annotated[str | None, typer.Option(help="The direction, such as out.")] = None,
    zone: Annotated[str | None, typer.Option(help="The roaming zone.")] = None,
    trunk: Annotated[str | None, typer.Option(help="The trunk group.")] = None,
    account: Annotated[str | None, typer.Option(help="The account, for allowances and tiers shared by account.")] = None,
    subscriber: Annotated[str | None, typer.Option(help="The subscriber, for plan, origin, allowances and tiers.")] = None,
    currency: Annotated[
        str | None, typer.Option(help="Currency to price in; with --cgrates, the currency of the folder's prices.")
    ] = None,
    book: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A tariff book file to use instead of the project's book.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--cgrates", metavar="FOLDER", help="A CGRateS tariff plan to use instead of the project's book.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Time zone of times without an offset, and of --cgrates.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the arithmetic of each record.")] = False,
    write: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Write the prices to a .csv or .parquet file.")] = None,
    spreadsheet: Spreadsheet = None,
    as_of: AsOfOption = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Price one record or a file of records, without reconciling."""
    defaults = {
        "service": service, "plan": plan, "peer": peer, "direction": direction, "zone": zone, "trunk": trunk,
        "account": account, "subscriber": subscriber, "currency": currency,
    }  # fmt: skip
    if write is not None and write.suffix not in (".csv", ".parquet"):
        raise TrueupError(f"{write} is neither .csv nor .parquet", where="--to", todo="name a file with one of these endings")
    if spreadsheet is not None and (write is None or write.suffix != ".csv"):
        raise TrueupError("the option applies to CSV only", where="--spreadsheet", todo="write --to FILE.csv, or leave it out")
    request = _PriceRequest(file, defaults, start, quantity, timezone)
    prices = _price_by_file(request, book, folder, project) if book or folder else _price_by_lake(request, project, as_of)
    if plan is not None and plan not in prices.book.rates["plan"]:
        plans = ", ".join(sorted(prices.book.rates["plan"].drop_nulls().unique())[:20]) or "none"
        raise TrueupError(f"there is no plan {plan!r}", where="--plan", todo=f"the book has {plans}")
    if write is not None:
        _write(prices, write, spreadsheet=spreadsheet is not False, json=json)
    else:
        _show(prices, explain=explain, json=json)


@dataclass(frozen=True)
class _PriceRequest:
    """The records to price, from the command line."""

    file: Path | None
    defaults: dict[str, str | None]
    start: str | None
    quantity: str | None
    timezone: str | None

    def calls(self, project: Project) -> pl.DataFrame:
        """Return the records in the form that rating takes."""
        from trueup.collect.standalone import one_call, read_calls
        from trueup.config import zone_of
        from trueup.currencies import check_currency

        zone = zone_of(self.timezone, "--timezone") if self.timezone else project.config.project.timezone
        if self.defaults["currency"] is not None:
            check_currency(self.defaults["currency"], project.config.project.further_currencies, where="--currency")
        if self.file is not None:
            for option, value in (("--start", self.start), ("--quantity", self.quantity)):
                if value is not None:
                    raise TrueupError("the file has a value for each record", where=option, todo="leave out the option")
            return read_calls(project, self.file, timezone=zone, usual=self.defaults)
        required = {"--service": self.defaults["service"], "--start": self.start, "--quantity": self.quantity}
        for option, value in required.items():
            if value is None:
                raise TrueupError(f"a record needs {option}", todo=f"write it, or name a file of records; {', '.join(required)}")
        return one_call(self.defaults, str(self.start), str(self.quantity), timezone=zone)


@dataclass(frozen=True)
class _Prices:
    """Priced records, and the book that priced them."""

    rated: RatingResult
    book: Book


def _price_by_file(request: _PriceRequest, book: Path | None, folder: Path | None, directory: Path) -> _Prices:
    """Price by a book outside the lake; the lake need not exist."""
    from trueup.collect.standalone import read_book
    from trueup.config import FILE_NAME, Config, Project, ProjectConfig
    from trueup.rating.book import Book
    from trueup.rating.rate import rate as rate_calls

    if book and folder:
        raise TrueupError("there are two tariff books", where="--book and --cgrates", todo="name one of them")
    further = load(directory).config.project.further_currencies if (directory / FILE_NAME).exists() else ()
    project = Project(directory.resolve(), Config(project=ProjectConfig(further_currencies=further)))
    tariffs = read_book(project, book) if book else Book.of(_read_cgrates(folder, request.defaults["currency"], request.timezone))
    return _Prices(rate_calls(request.calls(project), tariffs), tariffs)


def _price_by_lake(request: _PriceRequest, directory: Path, as_of: str | None) -> _Prices:
    """Price by the project's book as of a position; a record without a plan takes the plan of its subscription."""
    from trueup.rating.rate import rate as rate_calls
    from trueup.reconcile.log_io.load import book_at, with_plans
    from trueup.warehouse.query import Warehouse, with_retries

    project = load(directory)
    calls = request.calls(project)

    def prices(warehouse: Warehouse) -> _Prices:
        position = warehouse.as_of.position if warehouse.as_of else warehouse.lake.last_position()
        book = book_at(warehouse.lake, position)
        return _Prices(rate_calls(with_plans(warehouse.lake, calls, position), book), book)

    return with_retries(project, prices, as_of)


def _write(prices: _Prices, path: Path, *, spreadsheet: bool, json: bool) -> None:
    """Write the prices to a file; with `spreadsheet`, CSV text that a spreadsheet would run gets an apostrophe."""
    import polars as pl

    from trueup.warehouse.text import FORMULA_START

    rows = _build_amount_rows(prices.rated)
    if path.suffix == ".csv":
        text = pl.col(pl.String)
        shown = pl.when(text.str.contains(FORMULA_START)).then(pl.lit("'") + text).otherwise(text)
        (rows.with_columns(shown.name.keep()) if spreadsheet else rows).write_csv(path)
    else:
        rows.write_parquet(path)
    unpriced = rows["amount"].null_count()
    note = f", {unpriced} of them without a price" if unpriced else ""
    if json:
        output.json_value({"records": rows.height, "unpriced": unpriced, "path": str(path)})
    else:
        output.line(f"priced {output.counted(rows.height, 'record')}{note}, written to {path}")


def _show(prices: _Prices, *, explain: bool, json: bool) -> None:
    """Print the prices as a table or JSON; with `explain`, the arithmetic of each record."""
    from trueup.rating.trace import steps

    rows = _build_amount_rows(prices.rated).to_dicts()
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


def _build_amount_rows(rated: RatingResult) -> pl.DataFrame:
    """Return the records with their amounts as decimals."""
    import polars as pl

    from trueup.events.schema import UTC_TIME
    from trueup.rating.book_csv import as_decimal

    priced_calls = rated.calls.drop("currency", "order").join(rated.amounts, on="call", how="left", maintain_order="left")
    return priced_calls.with_columns(
        start=pl.col("start_us").cast(UTC_TIME), quantity=as_decimal(pl.col("quantity_micros")),
        amount=as_decimal(pl.col("amount_micros")),
    ).select(*_SHOWN[:4], "direction", "zone", "trunk", "account", "subscriber", *_SHOWN[4:])  # fmt: skip


def cgrates(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the tariff plan's CSV files.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="The tariff book to write.")],
    currency: Annotated[str, typer.Option(help="Currency of the prices, which the files do not contain.")],
    timezone: Annotated[str, typer.Option(help="Time zone of the timings, which the files do not contain.")] = "UTC",
    tenant: Annotated[str | None, typer.Option(help="The tenant to convert, where there are several.")] = None,
    services: Annotated[
        list[str] | None, typer.Option("--service", metavar="CATEGORY=SERVICE", help="The service of a category; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Convert a CGRateS tariff plan to a tariff book that a source can read."""
    from trueup.rating.book_csv import in_units

    rows = _read_cgrates(folder, currency, timezone, tenant=tenant, services=_parse_services(services or []))
    in_units(rows).write_csv(file)
    if json:
        output.json_value({"rows": rows.height, "path": str(file)})
    else:
        output.line(f"wrote {output.counted(rows.height, 'row')} to {file}; a source that ingests them:")
        output.lines(_SNIPPET.format(path=file))


def _parse_services(pairs: list[str]) -> dict[str, str]:
    for text in pairs:
        if not all(text.partition("=")):
            raise TrueupError(f"invalid category and service {text!r}", where="--service", todo="write it like call=voice")
    return {text.partition("=")[0]: text.partition("=")[2] for text in pairs}


def _read_cgrates(
    folder: Path | None,
    currency: str | None,
    timezone: str | None,
    *,
    tenant: str | None = None,
    services: dict[str, str] | None = None,
) -> pl.DataFrame:
    from trueup.config import zone_of
    from trueup.rating.cgrates.folder import read_cgrates

    assert folder is not None
    if currency is None:
        raise TrueupError("the files of a CGRateS tariff plan contain no currency", todo="name it with --currency")
    zone = zone_of(timezone or "UTC", "--timezone")
    return read_cgrates(folder, currency=currency, timezone=zone, tenant=tenant, services=services)
