"""Tariff books and subscription states: ingested, refused, recognised and proven like records."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trueup.collect.commit.cross_row_checks import CHECKS, find_empty_validities
from trueup.collect.ingest import IngestSummary
from trueup.config import DECIMAL_COLUMNS, FLAG_COLUMNS, STREAM_COLUMNS, TIME_COLUMNS, WHOLE_COLUMNS, Project, parse
from trueup.errors import ConfigError
from trueup.events.schema import CORE, UTC_TIME
from trueup.log.lake import Lake
from trueup.proof.raw.records import verify_record
from trueup.proof.verify import verify

BOOK = """
[[source]]
name = "book"
stream = "tariff"
path = "landing/book*"
format = "{format}"
[source.columns]
record_key = "id"
{columns}
"""
NAMED = "\n".join(f'{name} = "{name}"' for name in STREAM_COLUMNS["tariff"] if name != "record_key")

STATES = """
[lake]
buckets = 4
bucket_by = "{bucket_by}"
[[source]]
name = "crm"
stream = "subscriber"
path = "landing/crm*"
format = "{format}"
identity = "content"
{settings}
[source.columns]
system = "system"
subscriber = "msisdn"
account = "account"
plan = "plan"
status = "status"
valid_from = "from"
valid_to = "to"
"""

RATE: dict[str, object] = {
    "id": "r1", "item": "rate", "tariff_code": "T1", "plan": "GOLD", "service": "voice", "direction": "out", "zone": "Z1",
    "trunk": "K7", "destination": "4930", "band": "peak", "valid_from": "2024-01-01T00:00:00", "valid_to": "2151-01-01T00:00:00",
    "currency": "EUR", "setup": "0.10", "price": "-0.079999", "price_per": "60", "first_increment": "0.5", "next_increment": "6",
    "minimum": "0.000001", "tier_from": "3600", "rounding": "half_up", "decimals": "4", "rounding_stage": "record",
    "tax": "0.19", "tax_included": "false", "unit": "s", "weekdays": "mon-fri", "from_time": "08:00", "to_time": "18:00",
    "timezone": "Europe/Berlin", "calendar": "DE", "name": "Tag der Arbeit", "services": "voice|sms", "shared": "account",
    "period": "month", "to_currency": "USD", "units": "100.25", "origin": "44", "maximum": "9.5", "chargeable_from": "5", "free_first": "2.5", "priced_at": "start", "rated_as": "49176",
    "due": "arrears", "proration": "30", "suspended": "charged", "event": "activation", "applies_to": "line", "discount": "0.25", "months": "3", "slots": "60: 0.05/1",
}  # fmt: skip
EXACT = {
    "record_key": "r1", "item": "rate", "tariff_code": "T1", "plan": "GOLD", "service": "voice", "direction": "out", "zone": "Z1",
    "trunk": "K7", "destination": "4930", "band": "peak", "valid_from": datetime(2024, 1, 1, tzinfo=UTC),
    "valid_to": datetime(2151, 1, 1, tzinfo=UTC), "currency": "EUR", "setup_micros": 100_000, "price_micros": -79_999,
    "price_per": 60, "first_increment_micros": 500_000, "next_increment_micros": 6_000_000, "minimum_micros": 1,
    "tier_from_micros": 3_600_000_000, "rounding": "half_up", "decimals": 4, "rounding_stage": "record", "tax_micros": 190_000,
    "tax_included": False, "unit": "s", "weekdays": "mon-fri", "from_time": "08:00", "to_time": "18:00",
    "timezone": "Europe/Berlin", "calendar": "DE", "name": "Tag der Arbeit", "services": "voice|sms", "shared": "account",
    "period": "month", "to_currency": "USD", "units_micros": 100_250_000, "origin": "44", "maximum_micros": 9_500_000, "chargeable_from_micros": 5_000_000, "free_first_micros": 2_500_000, "priced_at": "start", "rated_as": "49176",
    "due": "arrears", "proration": "30", "suspended": "charged", "event": "activation", "applies_to": "line", "discount_micros": 250_000, "months": 3, "slots": "60: 0.05/1",
}  # fmt: skip

ACTIVE = {"system": "network", "msisdn": "491", "account": "A1", "plan": "GOLD", "status": "active",
          "from": "2024-01-01T00:00:00", "to": None}  # fmt: skip

TakeIn = Callable[[Project], IngestSummary]


@pytest.fixture(autouse=True)
def rows_by_themselves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the checks across rows of a book, which have separate tests."""
    if "whole_book" not in request.keywords:
        monkeypatch.setitem(CHECKS, "tariff", lambda _, new: find_empty_validities(new))


def write_rows(folder: Path, name: str, format_: str, rows: list[dict[str, Any]]) -> None:
    """Write rows as a file of a format; None is an empty field, a null or a missing member."""
    landing = folder / "project" / "landing"
    landing.mkdir(parents=True, exist_ok=True)
    path = landing / f"{name}.{format_}"
    if format_ == "ndjson":
        path.write_text("".join(json.dumps({k: v for k, v in row.items() if v is not None}) + "\n" for row in rows))
    elif format_ == "csv":
        pl.DataFrame(rows, infer_schema_length=None).write_csv(path)
    else:
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)


@pytest.fixture
def project_of(tmp_path: Path) -> Callable[[str], Project]:
    """Return a function that returns the project of a `trueup.toml`, in the folder of the written files."""

    def make(toml: str) -> Project:
        (tmp_path / "project").mkdir(exist_ok=True)
        (tmp_path / "project" / "trueup.toml").write_text(toml)
        return Project.load(tmp_path / "project")

    return make


def read(project: Project, table: str) -> pl.DataFrame:
    with Lake.open(project, read_only=True) as lake:
        return lake.read(table).sort("position", "source_row" if table != "control" else "sequence_no")


def test_the_columns_of_mapping_and_log_are_equal() -> None:
    kept = {stream: tuple(name.removesuffix("_micros") for name in core) for stream, core in CORE.items()}
    assert kept == STREAM_COLUMNS
    assert {name.removesuffix("_micros") for core in CORE.values() for name in core if name.endswith("_micros")} == DECIMAL_COLUMNS
    of_type = {
        dtype: {name for core in CORE.values() for name, column in core.items() if column == dtype and not name.endswith("_micros")}
        for core in CORE.values() for dtype in core.values()
    }  # fmt: skip
    assert of_type.keys() == {pl.String(), UTC_TIME, pl.Boolean(), pl.Int64()}
    assert (of_type[UTC_TIME], of_type[pl.Boolean()], of_type[pl.Int64()]) == (TIME_COLUMNS, FLAG_COLUMNS, WHOLE_COLUMNS)


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
def test_a_tariff_row_has_every_exact_value_in_any_format(tmp_path, project_of, take_in: TakeIn, format_: str) -> None:
    write_rows(tmp_path, "book", format_, [RATE, {**dict.fromkeys(RATE), "id": "b1", "item": "band", "valid_from": "1900-01-01"}])
    project = project_of(BOOK.format(format=format_, columns=NAMED))
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(2, 0)]
    rows = read(project, "tariff").to_dicts()
    assert {name: rows[0][name] for name in EXACT} == EXACT
    assert {name for name, value in rows[1].items() if value is not None} == {
        "event_id", "canonical_version", "source_id", "source_row", "source_offset", "bucket", "key_scope", "record_key", "item",
        "valid_from", "position", *(["source_length"] if format_ != "parquet" else []),
    }  # fmt: skip
    assert [row["bucket"] for row in rows] == [0, 0]
    with Lake.open(project, read_only=True) as lake:
        assert [verify_record(lake, row["event_id"]).verdict for row in rows] == ["proven", "proven"]


def test_booleans_and_numbers_may_have_native_types(tmp_path, project_of, take_in: TakeIn) -> None:
    write_rows(tmp_path, "book", "parquet", [{
        "id": "r", "item": "rate", "valid_from": datetime(2030, 1, 1, tzinfo=UTC), "price_per": 1, "tax_included": True,
    }])  # fmt: skip
    columns = 'item = "item"\nvalid_from = "valid_from"\nprice_per = "price_per"\ntax_included = "tax_included"'
    project = project_of(BOOK.format(format="parquet", columns=columns))
    assert not take_in(project).errors
    row = read(project, "tariff").select("valid_from", "price_per", "tax_included").row(0)
    assert row == (datetime(2030, 1, 1, tzinfo=UTC), 1, True)


@pytest.mark.parametrize(
    ("wrong", "reason", "rule"),
    [
        ({"item": None}, "missing_required", "item: is there"),
        ({"id": None}, "missing_required", "record_key: is there"),
        ({"valid_from": None}, "missing_required", "valid_from: is there"),
        (
            {"item": "price"},
            "value_out_of_range",
            "item: is rate, band, holiday, allowance, exchange, ported, recurring, one_off or discount",
        ),
        ({"valid_from": "yesterday"}, "bad_time", "valid_from: is a time"),
        ({"valid_from": "1899-12-31T23:59:59"}, "time_out_of_range", "valid_from: lies within the years 1900 to 2200"),
        ({"valid_to": "2201-01-01T00:00:00"}, "time_out_of_range", "valid_to: lies within the years 1900 to 2200"),
        ({"valid_to": "2024-01-01T00:00:00"}, "value_out_of_range", "valid_to: is after valid_from"),
        ({"price": "cheap"}, "unparsable", "price: is a decimal number"),
        ({"price_per": "0"}, "value_out_of_range", "price_per: is at least 1"),
        ({"price_per": "1.5"}, "unparsable", "price_per: is a whole number"),
        ({"decimals": "-1"}, "value_out_of_range", "decimals: is at least 0"),
        ({"units": "-1"}, "value_out_of_range", "units: lies in its range"),
        ({"tax_included": "perhaps"}, "unparsable", "tax_included: is true or false"),
    ],
)
def test_a_tariff_row_that_breaks_a_rule_is_quarantined(
    tmp_path, project_of, take_in: TakeIn, wrong: dict[str, object], reason: str, rule: str
) -> None:
    write_rows(tmp_path, "book", "csv", [{**RATE, **wrong}, {**RATE, "id": "r2"}])
    project = project_of(BOOK.format(format="csv", columns=NAMED))
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(1, 1)]
    assert read(project, "quarantine").select("source_row", "reason", "rule").rows() == [(0, reason, rule)]


@pytest.mark.parametrize("format_", ["csv", "ndjson", "parquet"])
def test_states_are_ingested_refused_and_recognised_in_any_format(tmp_path, project_of, take_in: TakeIn, format_: str) -> None:
    ceased = {**ACTIVE, "status": "ceased", "from": "2024-03-01T00:00:00", "to": "2199-01-01T00:00:00"}
    ends_first = {**ceased, "to": "2024-02-01T00:00:00"}
    write_rows(tmp_path, "crm", format_, [
        ACTIVE, ceased, ends_first, ACTIVE, {**ACTIVE, "system": "crm"}, {**ACTIVE, "status": "lost"}, ends_first,
        {**ACTIVE, "msisdn": None},
    ])  # fmt: skip
    project = project_of(STATES.format(format=format_, bucket_by="subscriber", settings=""))
    (unit,) = take_in(project).units
    assert (unit.records, unit.accepted, unit.duplicate, unit.quarantined) == (8, 2, 1, 5)
    states = read(project, "subscriber")
    assert states.select("source_row", "system", "subscriber", "account", "imsi", "plan", "segment", "status").rows() == [
        (0, "network", "491", "A1", None, "GOLD", None, "active"), (1, "network", "491", "A1", None, "GOLD", None, "ceased"),
    ]  # fmt: skip
    assert states.select("valid_from", "valid_to").rows() == [
        (datetime(2024, 1, 1, tzinfo=UTC), None), (datetime(2024, 3, 1, tzinfo=UTC), datetime(2199, 1, 1, tzinfo=UTC)),
    ]  # fmt: skip
    assert read(project, "quarantine").select("source_row", "reason", "rule").rows() == [
        (2, "value_out_of_range", "valid_to: is after valid_from"),
        (4, "value_out_of_range", "system: is network or billing"),
        (5, "value_out_of_range", "status: is active, suspended or ceased"),
        (6, "value_out_of_range", "valid_to: is after valid_from"),
        (7, "missing_required", "subscriber: is there"),
    ]
    with Lake.open(project, read_only=True) as lake:
        assert {verify_record(lake, event_id).verdict for event_id in states["event_id"]} == {"proven"}
        assert verify(lake, only=("counts", "chains", "event_ids", "units")).sound


def test_a_control_row_of_states_has_their_begin_and_no_frontier(tmp_path, project_of, take_in: TakeIn) -> None:
    later = {**ACTIVE, "from": "2024-03-01T00:00:00"}
    never = {**ACTIVE, "from": "2024-09-01T00:00:00", "to": "2024-08-01T00:00:00"}
    write_rows(tmp_path, "crm", "csv", [ACTIVE, later, never])
    project = project_of(STATES.format(format="csv", bucket_by="subscriber", settings=""))
    take_in(project)
    (control,) = read(project, "control").to_dicts()
    assert (control["stream"], control["first_time"], control["last_time"], control["last_started_at"]) == (
        "subscriber", datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC), None,
    )  # fmt: skip


def test_the_same_content_again_is_a_duplicate_and_another_one_of_the_key_a_later_row(
    tmp_path, project_of, take_in: TakeIn
) -> None:
    columns = 'item = "item"\nprice = "price"\nvalid_from = "from"'
    row = {"id": "r1", "item": "rate", "price": "0.10", "from": "2024-01-01"}
    write_rows(tmp_path, "book1", "csv", [row])
    write_rows(tmp_path, "book2", "csv", [row, {**row, "price": "0.20"}])
    project = project_of(BOOK.format(format="csv", columns=columns))
    assert [(u.accepted, u.duplicate) for u in take_in(project).units] == [(1, 0), (1, 1)]
    assert read(project, "tariff").select("record_key", "price_micros").rows() == [("r1", 100_000), ("r1", 200_000)]
    with Lake.open(project, read_only=True) as lake:
        first, second = lake.read("tariff")["position"].sort()
        assert lake.read("tariff", upto=first)["price_micros"].to_list() == [100_000]
        assert lake.read("tariff", after=first, upto=second)["price_micros"].to_list() == [200_000]


@pytest.mark.parametrize(("bucket_by", "same"), [("subscriber", False), ("account", True), ("session_key", True)])
def test_states_are_in_the_bucket_of_their_key_or_in_the_first(
    tmp_path, project_of, take_in: TakeIn, bucket_by: str, same: bool
) -> None:
    write_rows(tmp_path, "crm", "csv", [{**ACTIVE, "msisdn": f"49{n}"} for n in range(20)])
    project = project_of(STATES.format(format="csv", bucket_by=bucket_by, settings=""))
    take_in(project)
    buckets = set(read(project, "subscriber")["bucket"])
    assert (len(buckets) == 1) == same
    assert bucket_by != "session_key" or buckets == {0}


def test_a_row_refused_against_the_log_is_refused_with_its_bytes(
    tmp_path, project_of, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_row_for_each_code(known: Callable[[], pl.DataFrame], new: pl.DataFrame) -> pl.DataFrame:
        again = new.join(known(), on="tariff_code", how="semi")
        return again.select("source_row", reason=pl.lit("repeated_key"), rule=pl.lit("tariff_code: is new"))

    monkeypatch.setitem(CHECKS, "tariff", one_row_for_each_code)
    columns = 'item = "item"\ntariff_code = "code"\nvalid_from = "from"'
    row = {"id": "r1", "item": "rate", "code": "T1", "from": "2024-01-01"}
    write_rows(tmp_path, "book1", "csv", [row])
    write_rows(tmp_path, "book2", "csv", [{**row, "id": "r2"}, {**row, "id": "r3", "code": "T2"}])
    project = project_of(BOOK.format(format="csv", columns=columns))
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(1, 0), (1, 1)]
    assert read(project, "quarantine").select("raw", "reason", "rule").rows() == [
        (b"r2,rate,T1,2024-01-01", "repeated_key", "tariff_code: is new")
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ('price = "p"\nprices = "q"', "unknown column 'prices' of stream tariff"),
        ('price = "p"\n[source.range]\namount = ["0", "1"]', "`range` takes a decimal column, not 'amount'"),
    ],
)
def test_contradictory_settings_are_refused_by_name(columns: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(BOOK.format(format="csv", columns=columns))


@pytest.mark.whole_book
def test_rows_of_an_unsound_book_are_quarantined_with_their_rule(tmp_path, project_of, take_in: TakeIn) -> None:
    sound = {**dict.fromkeys(RATE), "id": "r1", "item": "rate", "service": "voice", "currency": "EUR", "price": "0.1",
             "price_per": "60", "unit": "s", "valid_from": "2024-01-01"}  # fmt: skip
    rows = [
        sound, {**sound, "id": "r2"}, {**sound, "id": "r3", "destination": "49", "first_increment": "0"},
        {**sound, "id": "r4", "destination": "44", "band": "night"},
    ]  # fmt: skip
    write_rows(tmp_path, "book", "csv", rows)
    project = project_of(BOOK.format(format="csv", columns=NAMED))
    assert [(u.accepted, u.quarantined) for u in take_in(project).units] == [(1, 3)]
    reasons = read(project, "quarantine")["reason"].to_list()
    assert sorted(reasons) == ["repeated_key", "unknown_reference", "value_out_of_range"]
