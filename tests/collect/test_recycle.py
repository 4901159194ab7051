"""Recycling: rejected records are mapped again by the present mapping, and the results of both mappings can be proven."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trueup.cli import main
from trueup.collect.decode.decoded import Batch
from trueup.collect.recycle import recycle as recycling
from trueup.collect.recycle.recycle import recycle
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.proof.raw.records import verify_record
from trueup.proof.verify import verify
from trueup.warehouse.audit import audit
from trueup.warehouse.query import with_retries

NOW = "2024-05-10T00:00:00+00:00"
SETTINGS = """
[[source]]
name = "switch"
stream = "usage"
path = "landing/usage*.csv"
time_format = "%Y-%m-%d %H:%M:%S"
[source.columns]
record_key = "id"
session_key = "id"
subscriber = "caller"
started_at = "at"
quantity = "seconds"
[source.constants]
service = "voice"
[[source]]
name = "bill"
stream = "charge"
path = "landing/charges*.csv"
time_format = "%Y-%m-%d %H:%M:%S"
[source.columns]
record_key = "id"
session_key = "id"
subscriber = "caller"
started_at = "at"
quantity = "seconds"
amount = "amount"
[source.constants]
service = "voice"
[reconcile.voice]
price = "0.01"
grace = "1h"
"""
USAGE = "id,caller,at,seconds\na,491511000001,01.05.2024 10:00:00,60\nb,491511000001,01.05.2024 11:00:00,many\n"
CHARGES = "id,caller,at,seconds,amount\na,491511000001,2024-05-01 10:00:00,60,0.60\n"
GERMAN = ("%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S")
COUNTS = "SELECT source, records, accepted, duplicate, filtered, quarantined, recycles IS NOT NULL AS again FROM source_units ORDER BY last_position"

Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose calls have another time format than its settings declare."""
    monkeypatch.setenv("TRUEUP_NOW", NOW)
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing/usage.csv").write_text(USAGE)
    (tmp_path / "landing/charges.csv").write_text(CHARGES)
    (tmp_path / "trueup.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def invoke(project: Path, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Return a function that runs a command on the project and returns its exit status, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([*arguments, "--project", str(project)])
        return status, *capsys.readouterr()

    return run


def rows(invoke: Invoke, query: str) -> list[dict[str, Any]]:
    status, out, err = invoke("sql", query, "--json")
    assert status == 0, err
    found: list[dict[str, Any]] = json.loads(out, parse_float=Decimal)
    return found


def correct_times(project: Path, source: str = "usage") -> None:
    """Declare the time format that the calls have."""
    text = (project / "trueup.toml").read_text()
    before, after = text.split(f'stream = "{source}"')
    (project / "trueup.toml").write_text(before + f'stream = "{source}"' + after.replace(*GERMAN, 1))


def assert_sound(project: Path) -> None:
    opened = Project.load(project)
    with Lake.open(opened, read_only=True) as lake:
        result = verify(lake)
        assert result.sound, [fault for check in result.checks for fault in check.faults]
        for table in ("usage", "charge", "quarantine"):
            for event_id in lake.read(table, columns=["event_id"])["event_id"]:
                assert verify_record(lake, event_id).verdict in ("proven", "found")
    assert all(result.passed for result in with_retries(opened, audit))


def test_records_that_fit_a_corrected_mapping_become_events_and_the_others_stay_with_their_new_reason(
    project: Path, invoke: Invoke
) -> None:
    assert invoke("ingest")[0] == 0
    assert rows(invoke, "SELECT reason FROM quarantine") == [{"reason": "bad_time"}] * 2
    correct_times(project)
    status, _, err = invoke("ingest")
    notice = "source switch: its mapping has changed since 2 of its records were rejected; `trueup recycle --source switch` maps them again"
    assert status == 0 and notice in err
    status, out, _ = invoke("recycle", "--source", "switch")
    assert status == 0
    assert out.splitlines()[-1] == "mapped 2 records again, 1 accepted; 0 records left in quarantine as before"
    waiting = "SELECT reason, rule FROM quarantine WHERE recycled_position IS NULL"
    assert rows(invoke, waiting) == [{"reason": "unparsable", "rule": "quantity: is a decimal number"}]
    outcomes = rows(
        invoke, "SELECT recycled_outcome AS outcome FROM quarantine WHERE recycled_position IS NOT NULL ORDER BY source_row"
    )
    assert [row["outcome"] for row in outcomes] == ["accepted", "quarantined"]
    assert rows(invoke, COUNTS)[1:] == [
        {"source": "bill", "records": 1, "accepted": 1, "duplicate": 0, "filtered": 0, "quarantined": 0, "again": False},
        {"source": "switch", "records": 2, "accepted": 1, "duplicate": 0, "filtered": 0, "quarantined": 1, "again": True},
    ]
    assert_sound(project)


def test_a_record_mapped_again_is_reconciled_as_a_late_record(project: Path, invoke: Invoke) -> None:
    assert invoke("ingest")[0] == 0
    for source in ("switch", "bill"):
        assert invoke("close", "--source", source, "--through", "2024-05-09")[0] == 0
    assert invoke("reconcile")[0] == 0
    findings = "SELECT kind, status, provisional, cause FROM findings"
    assert rows(invoke, findings) == [{"kind": "charge_without_usage", "status": "open", "provisional": True, "cause": "frontier"}]
    correct_times(project)
    assert invoke("recycle")[0] == 0
    assert invoke("reconcile")[0] == 0
    assert rows(invoke, findings) == [
        {"kind": "charge_without_usage", "status": "retracted", "provisional": False, "cause": "late_usage"}
    ]
    plain = invoke("digest")[1]
    assert invoke("digest", "--recompute", "plain")[1] == plain


def test_a_second_recycling_changes_nothing(project: Path, invoke: Invoke) -> None:
    assert invoke("ingest")[0] == 0
    correct_times(project)
    assert invoke("recycle")[0] == 0
    before = rows(invoke, "SELECT max(position)::INT AS n FROM lake.events.position")
    status, out, _ = invoke("recycle")
    assert status == 0
    assert out == "nothing to recycle; 1 record left in quarantine as before\n"
    assert rows(invoke, "SELECT max(position)::INT AS n FROM lake.events.position") == before
    assert "its mapping has changed" not in invoke("ingest")[2]


def test_a_recycled_record_that_is_rejected_again_can_be_recycled_once_more(project: Path, invoke: Invoke) -> None:
    assert invoke("ingest")[0] == 0
    correct_times(project)
    assert invoke("recycle")[0] == 0
    text = (project / "trueup.toml").read_text()
    quantity = "quantity = { expression = \"REPLACE(seconds, 'many', '90')\" }"
    (project / "trueup.toml").write_text(text.replace('quantity = "seconds"', quantity, 1))
    status, out, err = invoke("recycle")
    assert status == 0, err
    assert "mapped 1 record again, 1 accepted" in out
    assert rows(invoke, "SELECT count(*)::INT AS n FROM quarantine WHERE recycled_position IS NULL") == [{"n": 0}]
    assert [row["records"] for row in rows(invoke, COUNTS)] == [2, 1, 2, 1]
    assert_sound(project)
    status, out, _ = invoke("status", "--json")
    switch = next(source for source in json.loads(out)["sources"] if source["source"] == "switch")
    assert [switch[n] for n in ("units", "records", "accepted", "duplicate", "filtered", "quarantined")] == [1, 2, 2, 0, 0, 0]


def test_only_records_of_the_named_source_and_reason_are_mapped_again(project: Path, invoke: Invoke) -> None:
    (project / "landing/charges.csv").write_text(CHARGES.replace("2024-05-01", "1.5.24"))
    assert invoke("ingest")[0] == 0
    correct_times(project)
    assert invoke("recycle", "--reason", "unparsable")[1] == "nothing to recycle; 0 records left in quarantine as before\n"
    assert rows(invoke, "SELECT count(*)::INT AS n FROM lake.events.recycling") == [{"n": 0}]
    assert "2 records again" in invoke("recycle", "--reason", "bad_time", "--source", "switch")[1]
    assert rows(invoke, "SELECT source FROM quarantine WHERE recycled_position IS NULL ORDER BY source") == [
        {"source": "bill"}, {"source": "switch"},
    ]  # fmt: skip


def test_a_condition_may_leave_a_record_out_and_a_known_event_is_a_duplicate(project: Path, invoke: Invoke) -> None:
    assert invoke("ingest")[0] == 0
    # The same call was delivered again, in the declared format.
    (project / "landing/usage2.csv").write_text("id,caller,at,seconds\na,491511000001,2024-05-01 10:00:00,60\n")
    assert invoke("ingest")[0] == 0
    correct_times(project)
    text = (project / "trueup.toml").read_text()
    (project / "trueup.toml").write_text(text.replace('stream = "usage"', 'stream = "usage"\nwhere = "seconds <> \'many\'"'))
    assert "2 records again, 0 accepted" in invoke("recycle")[1]
    outcomes = rows(invoke, "SELECT recycled_outcome AS outcome FROM quarantine ORDER BY source_row")
    assert [row["outcome"] for row in outcomes] == ["duplicate", "filtered"]
    assert_sound(project)


def test_a_record_refused_for_the_time_fits_once_the_clock_is_right(
    project: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "id,caller,at,seconds\na,491511000001,2024-05-12 10:00:00,60\n"
    (project / "landing/usage.csv").write_text(text)
    assert invoke("ingest")[0] == 0
    assert rows(invoke, "SELECT reason FROM quarantine") == [{"reason": "time_out_of_range"}]
    assert "nothing to recycle; 1 record left" in invoke("recycle")[1]
    monkeypatch.setenv("TRUEUP_NOW", "2024-05-12T12:00:00+00:00")
    status, out, err = invoke("recycle", "--accept-clock")
    assert status == 0, err
    assert "mapped 1 record again, 1 accepted" in out
    assert_sound(project)


def test_lines_that_are_skipped_now_do_not_change_which_record_is_mapped_again(project: Path, invoke: Invoke) -> None:
    # Without a header, the title counts as a record until the settings skip it. Then every record has another number.
    title = "exported by the switch\n"
    (project / "landing/usage.csv").write_text(title + USAGE.split("\n", 1)[1])
    text = SETTINGS.replace('stream = "usage"', 'stream = "usage"\nheader = false', 1)
    for number, name in enumerate(("id", "caller", "at", "seconds"), start=1):
        text = text.replace(f'= "{name}"', f'= "{number}"', 2 if name == "id" else 1)
    (project / "trueup.toml").write_text(text)
    assert invoke("ingest")[0] == 0
    assert rows(invoke, "SELECT source_row FROM quarantine ORDER BY 1") == [{"source_row": number} for number in (0, 1, 2)]
    correct_times(project)
    text = (project / "trueup.toml").read_text()
    text = text.replace("header = false", "header = false\nskip_lines = 1")
    (project / "trueup.toml").write_text(text)
    # The title belongs to no record now, so recycling decodes and rejects the title alone.
    assert "mapped 3 records again, 1 accepted" in invoke("recycle")[1]
    assert rows(invoke, "SELECT record_key, source_row FROM lake.events.usage") == [{"record_key": "a", "source_row": 1}]
    waiting = "SELECT source_row FROM quarantine WHERE recycled_position IS NULL ORDER BY 1"
    assert rows(invoke, waiting) == [{"source_row": 0}, {"source_row": 2}]
    assert_sound(project)


def test_many_records_are_mapped_again_in_several_passes_and_commits(
    project: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [{"id": str(number), "caller": "491511000001", "at": "01.05.2024 10:00:00", "seconds": 60} for number in range(7)]
    pq.write_table(pa.Table.from_pylist(records), project / "landing/usage.parquet", row_group_size=1)
    (project / "trueup.toml").write_text(
        SETTINGS.replace("usage*.csv", "usage.parquet").replace('stream = "usage"', 'stream = "usage"\nformat = "parquet"')
    )
    assert invoke("ingest", "switch")[0] == 0
    correct_times(project)
    monkeypatch.setattr("trueup.collect.recycle.recycle.RECORDS_PER_PASS", 4)
    monkeypatch.setattr("trueup.collect.recycle.recycle.PART_RECORDS", 3)
    assert "mapped 7 records again, 7 accepted" in invoke("recycle", "--source", "switch")[1]
    assert [row["records"] for row in rows(invoke, "SELECT records FROM lake.events.control ORDER BY snapshot_id")] == [7, 3, 1, 3]
    assert rows(invoke, "SELECT count(DISTINCT record_key)::INT AS n FROM lake.events.usage") == [{"n": 7}]
    assert_sound(project)


def test_records_that_another_process_maps_again_meanwhile_become_events_once(
    project: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("ingest")[0] == 0
    correct_times(project)
    read, begun = recycling.read_records, list[bool]()

    def read_slowly(*arguments: Any) -> Iterator[Batch]:
        if not begun:
            begun.append(True)
            assert recycle(Project.load(project)).units[0].accepted == 1
        return read(*arguments)

    monkeypatch.setattr(recycling, "read_records", read_slowly)
    assert recycle(Project.load(project)).units == []
    assert [row["accepted"] for row in rows(invoke, COUNTS)] == [0, 1, 1]
    assert_sound(project)


@pytest.mark.parametrize("form", ["gzip", "ndjson", "parquet"])
def test_records_of_other_formats_are_mapped_again(form: str, project: Path, invoke: Invoke) -> None:
    records = [
        {"id": "a", "caller": "491511000001", "at": "01.05.2024 10:00:00", "seconds": 60},
        {"id": "b", "caller": "491511000001", "at": "2024-05-01 10:00:00", "seconds": 60},
    ]
    (project / "landing/usage.csv").unlink()
    (project / "landing/charges.csv").unlink()
    name, settings = {
        "gzip": ("usage.csv.gz", ""), "ndjson": ("usage.ndjson", 'format = "ndjson"\n'), "parquet": ("usage.parquet", 'format = "parquet"\n'),
    }[form]  # fmt: skip
    path = project / "landing" / name
    if form == "gzip":
        lines = [",".join(map(str, record.values())) for record in records]
        path.write_bytes(gzip.compress("\n".join(["id,caller,at,seconds", *lines, ""]).encode()))
    elif form == "ndjson":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        pq.write_table(pa.Table.from_pylist(records), path, row_group_size=1)
    text = SETTINGS.replace("usage*.csv", name).replace('stream = "usage"\n', f'stream = "usage"\n{settings}')
    (project / "trueup.toml").write_text(text)
    assert invoke("ingest", "switch")[0] == 0
    correct_times(project)
    # The first record fits now. The second record was accepted before and is not mapped again.
    assert "mapped 1 record again, 1 accepted" in invoke("recycle")[1]
    assert rows(invoke, "SELECT record_key FROM lake.events.usage ORDER BY record_key") == [
        {"record_key": "a"},
        {"record_key": "b"},
    ]
    assert_sound(project)


def test_an_archived_file_is_found_by_its_content_and_a_missing_one_is_named(project: Path, invoke: Invoke) -> None:
    assert invoke("ingest")[0] == 0
    correct_times(project)
    (project.parent / "archive").mkdir(exist_ok=True)
    shutil.move(project / "landing/usage.csv", project.parent / "archive/20240501.csv")
    status, out, err = invoke("recycle")
    assert status == 2
    assert out == "nothing to recycle; 2 records left in quarantine as before\n"
    assert "was not found (landing/usage.csv); restore it from the archive, or name its folder by --raw DIR" in err
    status, out, _ = invoke("recycle", "--raw", str(project.parent / "archive"))
    assert status == 0
    assert "mapped 2 records again, 1 accepted" in out
    shutil.rmtree(project.parent / "archive")


def test_a_row_of_the_tariff_book_that_another_row_refused_is_left_in_quarantine(project: Path, invoke: Invoke) -> None:
    book = SETTINGS + "[[source]]\nname = 'book'\nstream = 'tariff'\npath = 'book*.csv'\n[source.columns]\n" + "".join(
        f'{name} = "{name}"\n' for name in ("record_key", "item", "service", "destination", "price", "currency", "valid_from")
    )  # fmt: skip
    (project / "trueup.toml").write_text(book.replace('price = "0.01"\n', ""))
    header = "record_key,item,service,destination,price,currency,valid_from\n"
    (project / "book.csv").write_text(
        header + "1,rate,voice,49,0.01,EUR,2024-01-01 00:00:00\n2,rate,voice,49,0.02,EUR,2024-01-01 00:00:00\n"
    )
    status, _, err = invoke("ingest", "book")
    assert status == 0, err
    assert rows(invoke, "SELECT reason FROM quarantine") == [{"reason": "repeated_key"}]
    assert "nothing to recycle; 1 record left" in invoke("recycle", "--source", "book")[1]
    assert rows(invoke, "SELECT count(*)::INT AS n FROM lake.events.recycling") == [{"n": 0}]


def test_a_changed_outcome_of_a_recycled_record_is_detected(project: Path, invoke: Invoke) -> None:
    assert invoke("ingest")[0] == 0
    correct_times(project)
    assert invoke("recycle")[0] == 0
    with Lake.open(Project.load(project)) as lake:
        lake.connection.execute("UPDATE lake.events.recycling SET outcome = 'filtered' WHERE outcome = 'accepted'")
    with Lake.open(Project.load(project), read_only=True) as lake:
        faults = [fault.detail for check in verify(lake).checks for fault in check.faults]
    assert any("recycling has" in fault for fault in faults)


def test_an_unknown_reason_or_source_is_refused(invoke: Invoke) -> None:
    assert invoke("ingest")[0] == 0
    status, _, err = invoke("recycle", "--reason", "bad_date")
    assert status == 2 and "unknown reason 'bad_date'" in err
    status, _, err = invoke("recycle", "--source", "switches")
    assert status == 2 and "there is no source 'switches'" in err
