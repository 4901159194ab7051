from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from trueup.collect.ingest import IngestSummary
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.proof.raw.records import Difference, VerifyResult, verify_record
from trueup.proof.verify import Verification, verify

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]

ROWS = [
    {"id": str(n), "caller": "Zoë", "at": f"2024-05-{n + 1:02} 10:00:00", "seconds": "60" if n % 4 else "sixty"} for n in range(8)
]
CSV = ("id,caller,at,seconds\r\n" + "".join(",".join(row.values()) + "\r\n" for row in ROWS)).encode()
NDJSON = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def raw_of(row: dict[str, str], kind: str) -> bytes:
    if kind == "csv":
        return ",".join(row.values()).encode()
    return json.dumps(row, ensure_ascii=False, separators=None if kind == "ndjson" else (",", ":")).encode()


def all_results(project: Project) -> list[VerifyResult]:
    with Lake.open(project, read_only=True) as lake:
        ids = lake.connection.execute(
            "SELECT event_id FROM lake.events.usage UNION ALL SELECT event_id FROM lake.events.quarantine"
        )
        return [verify_record(lake, event_id) for (event_id,) in ids.fetchall()]


def verified(project: Project, *only: str) -> Verification:
    with Lake.open(project, read_only=True) as lake:
        return verify(lake, only=only)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.ndjson", "a.ndjson.gz", "a.parquet"])
def test_every_record_is_proven_by_its_own_bytes(calls: Write, take_in: TakeIn, name: str) -> None:
    kind = name.split(".")[1]
    content = {"csv": CSV, "ndjson": NDJSON, "parquet": b""}[kind]
    squeeze = {"gz": gzip.compress, "zst": zstandard.compress}.get(name.split(".")[-1], bytes)
    project = calls({name: squeeze(content)}, settings=f'format = "{kind}"')
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), project.directory / "landing" / name, row_group_size=5)
    (unit,) = take_in(project).units
    assert (unit.records, unit.accepted, unit.quarantined) == (8, 6, 2)
    results = all_results(project)
    assert {result.verdict for result in results} == {"proven"}
    assert {result.row: result.raw for result in results} == {n: raw_of(row, kind) for n, row in enumerate(ROWS)}
    assert verified(project).sound


def test_a_renamed_file_still_proves_its_records(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    landing = project.directory / "landing"
    shutil.move(landing / "a.csv", landing / "z.csv")
    assert {(result.verdict, result.path) for result in all_results(project)} == {("proven", "landing/z.csv")}


def test_a_changed_file_is_tampered_with_and_a_missing_one_is_unavailable(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    (project.directory / "landing" / "a.csv").write_bytes(CSV.replace(b"Zo", b"Jo"))
    assert {result.verdict for result in all_results(project)} == {"differs"}
    (fault,) = verified(project, "units").faults
    assert (fault.kind, "landing/a.csv" in fault.where) == ("tampered", True)
    (project.directory / "landing" / "a.csv").unlink()
    assert {result.verdict for result in all_results(project)} == {"missing"}
    (fault,) = verified(project, "units").faults
    assert (fault.kind, "was not found" in fault.detail) == ("unavailable", True)


def test_a_file_that_a_later_unit_replaced_is_missing_not_changed(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    calls({"a.csv": CSV.replace(b"\r\n1,", b"\r\n21,")})
    take_in(project)
    assert [fault.kind for fault in verified(project, "units").faults] == ["unavailable"]


def test_archived_units_are_found_by_their_sha256_under_any_name(calls: Write, take_in: TakeIn, tmp_path: Path) -> None:
    project = calls({"a.csv": CSV, "b.csv": CSV.replace(b"\r\n1,", b"\r\n21,")})
    take_in(project)
    archive, packed = tmp_path / "archive", tmp_path / "packed/deep"
    archive.mkdir()
    packed.mkdir(parents=True)
    shutil.move(project.directory / "landing/a.csv", archive / "0001")
    (packed / "0002.zst").write_bytes(zstandard.compress((project.directory / "landing/b.csv").read_bytes()))
    (project.directory / "landing/b.csv").unlink()
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake, only=("units",)).unavailable == 2
        assert verify(lake, only=("units",), archives=(archive,)).unavailable == 1
        assert verify(lake, only=("units",), archives=(archive, packed.parent)).sound


def test_the_recorded_mapping_proves_a_record_after_a_configuration_change(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    changed = calls(columns='session_key = "id"')
    results = all_results(changed)
    assert {(result.stream, result.verdict) for result in results} == {("usage", "found"), ("quarantine", "proven")}
    usage = next(result for result in results if result.stream == "usage" and result.row == 1)
    assert "not the present one" in usage.mapping
    assert Difference("session_key", None, "1") in usage.differences
    assert verified(changed, "units").sound


def test_a_unit_without_recorded_mapping_is_proven_only_by_an_unchanged_configuration(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    with Lake.open(project) as lake:
        lake.connection.execute("UPDATE lake.events.control SET mapping = NULL")
    assert verified(project, "units").sound
    (fault,) = verified(calls(columns='session_key = "id"'), "units").faults
    assert (fault.kind, "recorded no mapping" in fault.detail) == ("unavailable", True)


def test_an_id_that_the_log_lacks_is_unknown(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    with Lake.open(project, read_only=True) as lake:
        assert verify_record(lake, b"\0" * 16).verdict == "unknown"


def test_a_source_no_longer_configured_is_proven_by_its_recorded_mapping(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    other = project.config.model_copy(update={"source": (project.config.source[0].model_copy(update={"name": "other"}),)})
    assert {result.verdict for result in all_results(Project(project.directory, other))} == {"proven"}


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        ("UPDATE lake.events.control SET accepted = accepted + 1 WHERE sequence_no = 1", "control row 1"),
        ("UPDATE lake.events.control SET taken_at = taken_at + INTERVAL 1 SECOND WHERE sequence_no = 0", "control row 0"),
        ("DELETE FROM lake.events.control WHERE sequence_no = 1", "control row 1"),
    ],
)
def test_the_chain_check_names_the_changed_control_row(calls: Write, take_in: TakeIn, statement: str, where: str) -> None:
    project = calls({f"{n}.csv": CSV + f"{n}x,a,2024-05-01,1\n".encode() for n in range(3)})
    take_in(project)
    assert verified(project, "chains").sound
    with Lake.open(project) as lake:
        lake.connection.execute(statement)
    (fault,) = verified(project, "chains").faults
    assert fault.where.startswith(f"source msc, {where} ")


def test_rows_deleted_or_changed_through_the_lake_are_marked_and_have_no_position(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    with Lake.open(project) as lake:
        lake.connection.execute("UPDATE lake.events.usage SET node = 'x' WHERE record_key = '1'")
    result = verified(project, "files", "positions")
    assert [(fault.check, fault.where.split(",")[0].split("@")[0]) for fault in result.faults] == [
        ("files", "table usage"),
        ("positions", "usage"),
        ("positions", "unit msc"),
    ]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM lake.events.usage WHERE record_key = '1'", "6 accepted, but 5 events"),
        ("DELETE FROM lake.events.quarantine WHERE source_row = 0", "2 quarantined, but 1 in quarantine"),
        ("UPDATE lake.events.control SET records = 13", "records are not accepted"),
        ("DELETE FROM lake.events.control", "rows without a control row"),
        ("INSERT INTO lake.events.control SELECT * FROM lake.events.control", "a part is missing or repeated"),
    ],
)
def test_contradictory_counts_are_named(calls: Write, take_in: TakeIn, statement: str, says: str) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    assert verified(project, "counts").sound
    with Lake.open(project) as lake:
        lake.connection.execute(statement)
    (fault,) = verified(project, "counts").faults
    assert says in fault.detail
