"""A tiny lake written row by row: four usage records, five charges, four findings, everything adding up."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from trueup.config import Project, parse
from trueup.events.schema import EVENT, QUARANTINE
from trueup.log.catalog.catalogs import SqliteCatalog, attach
from trueup.log.catalog.connection import connect
from trueup.log.lake import Lake, Transaction, data_path
from trueup.warehouse import install_views
from trueup.warehouse.asof import resolve
from trueup.warehouse.query import Warehouse

TOML = """
[quality]
quarantine_share = "1"
[project]
timezone = "Asia/Jakarta"
currency = "IDR"

[[source]]
name = "msc"
stream = "usage"
path = "landing/msc/*.csv"
columns = { record_key = "id" }

[[source]]
name = "billing"
stream = "charge"
path = "landing/billing/*.csv"
columns = { record_key = "id" }
frontier = "declared"
"""
POLICY = {
    "kernel": 1,
    "services": {"voice": {"price": 10_000_000, "price_per": 1, "currency": None}},
    "default": {"price": None, "price_per": 1, "currency": "USD"},
    "sources": {},
    "timezone": "Asia/Jakarta",
    "currency": "IDR",
    "horizon_us": 62 * 86_400_000_000,
}
LATE_EVENING = datetime(2024, 3, 1, 18, 0, tzinfo=UTC)
"""01:00 on 2 March in Jakarta."""
DAY = date(2024, 3, 2)
AFTER_THE_LOG = datetime(2024, 3, 3, 4, 0, tzinfo=UTC)
"""When the tiny log is written: a clock behind its last commit would be refused."""
MICROS = 1_000_000

Rows = Callable[..., None]


class TickingClock:
    """Return a clock that advances by one hour each time it is read."""

    def __init__(self, now: datetime = datetime(2024, 3, 3, 0, 0, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += timedelta(hours=1)
        return self.now


def event_id(name: str) -> bytes:
    """Sixteen bytes that begin with a name."""
    return name.encode().ljust(16, b"\0")


def events(stream: str, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Return rows of a stream's table, given only the columns of interest."""
    filled = [
        {
            "event_id": event_id(row["record_key"]), "bucket": 0, "day": LATE_EVENING.date(), "key_scope": "k",
            "started_at": LATE_EVENING, "source_row": number, "source_offset": 10 * number, "source_length": 10, **row,
        }
        for number, row in enumerate(rows)
    ]  # fmt: skip
    return pl.DataFrame(filled, schema=EVENT[stream])


def control(source: str, unit: str, stream: str, *, accepted: int, duplicate: int = 0, quarantined: int = 0) -> pl.DataFrame:
    """Return one control row of a source unit."""
    return pl.DataFrame(
        {
            "source_id": f"{source}@{unit}", "source": source, "stream": stream,
            "path": f"landing/{source}/{unit}.csv", "sha256": unit,
            "bytes": 100, "part_no": 0, "last_part": True, "records": accepted + duplicate + quarantined, "accepted": accepted,
            "duplicate": duplicate, "quarantined": quarantined, "lost_digits": 0, "first_time": LATE_EVENING,
            "last_time": LATE_EVENING, "last_started_at": LATE_EVENING, "taken_at": datetime(2024, 3, 3, tzinfo=UTC),
        }
    )  # fmt: skip


def finding(name: str, position: int, action: str, cause: str, kind: str, **values: Any) -> dict[str, Any]:
    """Return one change of a finding; money in whole units."""
    expected, billed = values.pop("expected", 0), values.pop("billed", 0)
    row = {
        "finding_id": event_id(name), "position": position, "action": action, "cause": cause, "kind": kind, "bucket": 0,
        "service": "voice", "subscriber": "s1", "peer": "p1", "node": "n1", "day": DAY,
        "started_at": LATE_EVENING, "currency": "IDR",
        "expected_micros": expected * MICROS, "billed_micros": billed * MICROS,
        "usage_event_ids": [event_id(n) for n in values.pop("usage", ())],
        "charge_event_ids": [event_id(n) for n in values.pop("charges", ())],
        "content_event_ids": [event_id(n) for n in values.pop("contents", ())],
    }  # fmt: skip
    return row | values


FINDING_SCHEMA: dict[str, pl.DataType] = {
    "finding_id": pl.Binary(), "position": pl.Int64(), "action": pl.String(), "cause": pl.String(), "kind": pl.String(),
    "bucket": pl.Int16(), "service": pl.String(), "subscriber": pl.String(), "peer": pl.String(), "node": pl.String(),
    "day": pl.Date(), "started_at": pl.Datetime("us", "UTC"), "currency": pl.String(),
    "expected_micros": pl.Decimal(38, 0), "billed_micros": pl.Decimal(38, 0),
    "usage_event_ids": pl.List(pl.Binary()), "charge_event_ids": pl.List(pl.Binary()), "content_event_ids": pl.List(pl.Binary()),
}  # fmt: skip


def ledger(position: int, service: str, day: date | None, **micros: int) -> dict[str, Any]:
    """Return one change of the conservation sums, in whole units."""
    names = ("expected", "billed", "impact", "tolerated", "pending")
    sums = {f"{name}_micros": micros.get(name, 0) * MICROS for name in names}
    return {
        "position": position,
        "service": service,
        "day": day,
        "currency": "IDR",
        **sums,
        "unrated_records": micros.get("unrated", 0),
    }


def placed(position: int, stream: str, source: str, records: int, quantity: int, amount: int = 0) -> dict[str, Any]:
    """Return the amounts that the kernel booked for a source, in whole units."""
    return {
        "position": position, "stream": stream, "source": source, "currency": "IDR" if stream == "charge" else "",
        "placed_records": records, "outdone_records": 0, "quantity_micros": quantity * MICROS, "amount_micros": amount * MICROS,
    }  # fmt: skip


def append(lake: Lake, table: str, rows: Sequence[dict[str, Any]], schema: dict[str, pl.DataType] | None = None) -> None:
    """Commit rows that have no position of their own."""
    lake.commit(lambda transaction: transaction.append(table, pl.DataFrame(rows, schema=schema)))


def _commit_unit(
    lake: Lake, stream: str, rows: Sequence[dict[str, Any]], control_row: pl.DataFrame, rejected: pl.DataFrame | None = None
) -> None:
    def write(transaction: Transaction) -> None:
        transaction.next_position("unit")
        transaction.append(stream, events(stream, rows))
        transaction.append("control", control_row)
        if rejected is not None:
            transaction.append("quarantine", rejected)

    lake.commit(write)


def _commit_results(
    lake: Lake, position: int, findings: list[dict[str, Any]], moved: list[dict[str, Any]], counted: list[dict[str, Any]]
) -> None:
    def write(transaction: Transaction) -> None:
        transaction.append("finding", pl.DataFrame(findings, schema=FINDING_SCHEMA))
        transaction.append("ledger", pl.DataFrame(moved))
        transaction.append("placement", pl.DataFrame(counted))
        transaction.set_consumer_position("reconcile", position)

    lake.commit(write)


def _build_usage(name: str, quantity: int, **values: Any) -> dict[str, Any]:
    return {
        "record_key": name, "source_id": "msc@a", "service": "voice", "subscriber": "s1", "peer": "p1", "node": "n1",
        "quantity_micros": quantity * MICROS, **values,
    }  # fmt: skip


def _build_charge(name: str, unit: str, quantity: int, amount: int, **values: Any) -> dict[str, Any]:
    return {
        "record_key": name, "source_id": f"billing@{unit}", "service": "voice", "subscriber": "s1", "peer": "p1",
        "quantity_micros": quantity * MICROS, "amount_micros": amount * MICROS, "currency": "IDR", **values,
    }  # fmt: skip


def write_log(lake: Lake) -> None:
    """Write the complete log, position by position.

    u1 is billed by c1. u2 (100) is unbilled at position 3, until c2 arrives late at position 4. u3 (50) is underbilled: 20, then
    25. u4 (70) is still pending. c5 (70) has no usage; c6 (5) has neither usage nor service nor time.
    """
    lake.commit(lambda transaction: transaction.declare("policy", content=POLICY))
    rejected = {
        "event_id": event_id("q1"), "source_id": "msc@a", "source": "msc", "stream": "usage", "source_row": 5, "source_offset": 50,
        "source_length": 7, "raw": b"x,\xff\x1b[2", "reason": "bad_encoding", "rule": "line",
    }  # fmt: skip
    usage = [_build_usage("u1", 3), _build_usage("u2", 10), _build_usage("u3", 5), _build_usage("u4", 7)]
    control_row = control("msc", "a", "usage", accepted=4, duplicate=1, quarantined=1)
    _commit_unit(lake, "usage", usage, control_row, pl.DataFrame([rejected], schema=QUARANTINE))
    timeless = {"service": None, "subscriber": None, "peer": None, "started_at": None, "day": None, "quantity_micros": None}
    charges = [
        _build_charge("c1", "b", 3, 30),
        _build_charge("c3", "b", 2, 20),
        _build_charge("c5", "b", 7, 70),
        _build_charge("c6", "b", 0, 5, **timeless),
    ]
    _commit_unit(lake, "charge", charges, control("billing", "b", "charge", accepted=4))
    _commit_results(
        lake, 3,
        [
            finding("f1", 3, "raised", "frontier", "unbilled", expected=100, usage=["u2"]),
            finding("f2", 3, "raised", "arrival", "underbilled", expected=50, billed=20, usage=["u3"], charges=["c3"]),
            finding("f3", 3, "raised", "frontier", "charge_without_usage", billed=70, charges=["c5"]),
            finding(
                "f4", 3, "raised", "frontier", "charge_without_usage", billed=5, charges=["c6"], service="", day=None,
                started_at=None,
            ),
        ],
        [
            ledger(3, "voice", DAY, expected=250, billed=120, impact=60, pending=70),
            ledger(3, "", None, billed=5, impact=-5),
        ],
        [placed(3, "usage", "msc", 4, 25), placed(3, "charge", "billing", 4, 12, 125)],
    )  # fmt: skip
    late = [_build_charge("c2", "d", 10, 100), _build_charge("c4", "d", 1, 5)]
    _commit_unit(lake, "charge", late, control("billing", "d", "charge", accepted=2))
    _commit_results(
        lake, 4,
        [
            finding("f1", 4, "resolved", "late_charge", "unbilled", expected=100, usage=["u2"]),
            finding("f2", 4, "revised", "late_charge", "underbilled", expected=50, billed=25, usage=["u3"], charges=["c3", "c4"]),
        ],
        [ledger(4, "voice", DAY, billed=105, impact=-105)],
        [placed(4, "charge", "billing", 2, 11, 105)],
    )  # fmt: skip


@pytest.fixture(scope="session")
def _written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    (folder / "trueup.toml").write_text(TOML, "utf-8")
    project = Project(folder, parse(TOML))
    Lake.create(project)
    with Lake.open(project, clock=TickingClock()) as lake:
        write_log(lake)
    return folder


@pytest.fixture
def project(_written: Path, tmp_path: Path) -> Project:
    """Return a project for one test, with the tiny log in its lake."""
    folder = tmp_path / "project"
    shutil.copytree(_written, folder)
    return Project.load(folder)


@pytest.fixture(scope="session")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """Load the extensions once: checking their signatures takes longer than a test."""
    connection = connect()
    yield connection
    connection.close()


@pytest.fixture
def lake(project: Project, engine: duckdb.DuckDBPyConnection) -> Iterator[Lake]:
    """Yield the project's lake, open for writing, with the views installed."""
    attach(engine, SqliteCatalog(project.directory / "lake/catalog.sqlite"), data_path(project), read_only=False)
    install_views.install(engine, project)
    yield Lake(project, lambda: engine, TickingClock(AFTER_THE_LOG))
    engine.execute("DETACH lake")


@pytest.fixture
def warehouse(lake: Lake) -> Warehouse:
    """Return the project's warehouse at the newest position, on the connection of `lake`."""
    return Warehouse(lake, None)


@pytest.fixture
def ask(lake: Lake) -> Callable[..., list[dict[str, Any]]]:
    """Rows of any query against the views, as of a position or time."""

    def rows(query: str, as_of: str | None = None) -> list[dict[str, Any]]:
        install_views.install(lake.connection, lake.project, None if as_of is None else resolve(lake, as_of))
        rows: list[dict[str, Any]] = lake.connection.execute(query).to_arrow_table().to_pylist()
        return rows

    return rows


@pytest.fixture
def make() -> type[Make]:
    """Builders of rows, for tests that add to the log."""
    return Make


class Make:
    """Return the builders above under one name, for use as a fixture."""

    append = staticmethod(append)
    control = staticmethod(control)
    event_id = staticmethod(event_id)
    events = staticmethod(events)
    finding = staticmethod(finding)
    ledger = staticmethod(ledger)
    FINDING_SCHEMA = FINDING_SCHEMA
