from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from trueup.collect.ingest import IngestSummary
from trueup.collect.verify import VerifyResult, verify_accounts, verify_chains, verify_quarantined, verify_record
from trueup.config import Project
from trueup.log.lake import Lake

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]

ROWS = [
    {"id": str(n), "caller": "Zoë", "at": f"2024-05-{n + 1:02} 10:00:00", "seconds": "60" if n % 4 else "sixty"} for n in range(12)
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


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.ndjson", "a.ndjson.gz", "a.parquet"])
def test_every_record_is_proven_by_its_own_bytes(calls: Write, take_in: TakeIn, name: str) -> None:
    kind = name.split(".")[1]
    content = {"csv": CSV, "ndjson": NDJSON, "parquet": b""}[kind]
    squeeze = {"gz": gzip.compress, "zst": zstandard.compress}.get(name.split(".")[-1], bytes)
    project = calls({name: squeeze(content)}, settings=f'format = "{kind}"')
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), project.directory / "landing" / name, row_group_size=5)
    (unit,) = take_in(project).units
    assert (unit.records, unit.accepted, unit.quarantined) == (12, 9, 3)
    results = all_results(project)
    assert {result.verdict for result in results} == {"proven"}
    assert {result.row: result.raw for result in results} == {n: raw_of(row, kind) for n, row in enumerate(ROWS)}
    with Lake.open(project, read_only=True) as lake:
        again = verify_quarantined(lake)
        assert [(result.row, result.verdict) for result in again] == [(0, "proven"), (4, "proven"), (8, "proven")]


def test_a_file_that_was_renamed_still_proves_its_records(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    landing = project.directory / "landing"
    shutil.move(landing / "a.csv", landing / "z.csv")
    assert {(result.verdict, result.path) for result in all_results(project)} == {("proven", "landing/z.csv")}


def test_a_file_that_is_gone_or_changed_proves_nothing(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    (project.directory / "landing" / "a.csv").write_bytes(CSV.replace(b"Zo", b"Jo"))
    assert {result.verdict for result in all_results(project)} == {"missing"}
    (project.directory / "landing" / "a.csv").unlink()
    with Lake.open(project, read_only=True) as lake:
        results = verify_quarantined(lake)
    assert {result.verdict for result in results} == {"missing"}
    assert "not there any more" in results[0].detail


def test_a_mapping_that_has_changed_finds_the_bytes_but_another_event(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    changed = calls(columns='session_key = "id"')
    found = {result.stream: result.verdict for result in all_results(changed)}
    assert found == {"usage": "found", "quarantine": "proven"}


def test_an_id_nobody_knows_is_unknown(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    with Lake.open(project, read_only=True) as lake:
        assert verify_record(lake, b"\0" * 16).verdict == "unknown"


def test_a_source_no_longer_configured_is_told(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    other = project.config.model_copy(update={"source": (project.config.source[0].model_copy(update={"name": "other"}),)})
    results = all_results(Project(project.directory, other))
    assert {result.verdict for result in results} == {"missing"}
    assert "no longer configured" in results[0].detail


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("UPDATE lake.events.control SET accepted = accepted + 1 WHERE sequence_no = 1", 1),
        ("UPDATE lake.events.control SET taken_at = taken_at + INTERVAL 1 SECOND WHERE sequence_no = 0", 0),
        ("DELETE FROM lake.events.control WHERE sequence_no = 1", 1),
    ],
)
def test_a_control_row_that_was_tampered_with_breaks_the_chain_there(
    calls: Write, take_in: TakeIn, statement: str, broken_at: int
) -> None:
    project = calls({f"{n}.csv": CSV + f"{n}x,a,2024-05-01,1\n".encode() for n in range(3)})
    take_in(project)
    with Lake.open(project) as lake:
        assert [replace(chain, rows=0) for chain in verify_chains(lake)] == [
            replace(verify_chains(lake)[0], rows=0, ok=True, broken_at=None)
        ]
        lake.connection.execute(statement)
        (chain,) = verify_chains(lake)
        assert (chain.source, chain.ok, chain.broken_at) == ("msc", False, broken_at)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM lake.events.usage WHERE record_key = '1'", "9 accepted, but 8 events"),
        ("DELETE FROM lake.events.quarantine WHERE source_row = 0", "3 quarantined, but 2 in quarantine"),
        ("UPDATE lake.events.control SET records = 13", "records are not accepted"),
        ("DELETE FROM lake.events.control", "rows without a control row"),
        ("INSERT INTO lake.events.control SELECT * FROM lake.events.control", "a part is missing or there twice"),
    ],
)
def test_an_account_that_does_not_add_up_is_told(calls: Write, take_in: TakeIn, statement: str, says: str) -> None:
    project = calls({"a.csv": CSV})
    take_in(project)
    with Lake.open(project) as lake:
        assert [account.ok for account in verify_accounts(lake)] == [True]
        lake.connection.execute(statement)
        (account,) = verify_accounts(lake)
        assert not account.ok
        assert says in account.detail
