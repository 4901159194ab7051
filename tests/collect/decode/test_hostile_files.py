from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from trueup.collect import ingest as ingest_module
from trueup.collect.decode.decoded import Batch
from trueup.collect.decode.json import readers as readers_module
from trueup.collect.decode.json.members import read_ndjson
from trueup.collect.decode.text import lines as lines_module
from trueup.collect.decode.text.lines import Lines
from trueup.collect.discover import unpack as unpack_module
from trueup.collect.ingest import IngestSummary
from trueup.collect.standalone import read_book, read_calls
from trueup.collect.watch import Watch
from trueup.config import Project, parse
from trueup.errors import ConfigError, SourceError, TrueupError
from trueup.log.lake import Lake
from trueup.proof.raw.records import verify_record
from trueup.proof.verify import verify
from trueup.rating.cgrates.folder import read_cgrates
from trueup.warehouse.publish import publish

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

HEADER = "id,caller,at,seconds\n"
GOOD = HEADER + "1,998,2024-05-01,1\n"
REJECTED = "SELECT source_row, source_offset, source_length, raw, reason, rule FROM lake.events.quarantine ORDER BY source_row"


def count_accepted(summary: IngestSummary) -> int:
    return sum(unit.accepted for unit in summary.units)


def count_quarantined(summary: IngestSummary) -> int:
    return sum(unit.quarantined for unit in summary.units)


def limits(**numbers: object) -> str:
    """Return the text of a source's own limits, to be placed above its columns."""
    return "[source.limits]\n" + "".join(f"{name} = {json.dumps(number)}\n" for name, number in numbers.items())


# --- paths that are not files -----------------------------------------------------------------------------------------


def named_pipe(path: Path) -> None:
    os.mkfifo(path)


def listening_socket(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, socket.socket(socket.AF_UNIX) as listener:
        # The whole path may be longer than a socket's address.
        patch.chdir(path.parent)
        listener.bind(path.name)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def directory(path: Path) -> None:
    path.mkdir()


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


NO_FILES = {
    named_pipe: r"named pipe \(FIFO\)", listening_socket: "socket", device: "character device", directory: "directory",
    circle: "link that leads to itself", dangling: "link to nowhere, which is not there",
}  # fmt: skip


def errors_by_name(summary: IngestSummary) -> dict[str, str]:
    return {Path(error.where).name: str(error) for error in summary.errors}


def test_a_path_that_is_not_a_file_is_refused_by_its_kind_and_other_files_are_ingested(calls: Write, take_in: TakeIn) -> None:
    project = calls({"good.csv": GOOD})
    for make in NO_FILES:
        make(project.directory / "landing" / f"{make.__name__}.csv")
    summary = take_in(project)
    errors = errors_by_name(summary)
    assert len(errors) == len(NO_FILES) and count_accepted(summary) == 1
    for make, says in NO_FILES.items():
        assert re.search(says, errors[f"{make.__name__}.csv"])


@pytest.mark.parametrize("complete", ["rename", "quiet"])
def test_a_watch_reports_a_path_that_is_not_a_file_once_and_continues(calls: Write, complete: str) -> None:
    project = calls({}, settings=f'complete = "{complete}"\nquiet = "0s"')
    for make in NO_FILES:
        make(project.directory / "landing" / f"{make.__name__}.csv")
    watch = Watch(project)
    first = watch.look()
    assert first is not None and len(first.errors) == len(NO_FILES)
    assert watch.look() is None
    (project.directory / "landing" / "good.csv").write_text(GOOD)
    second = watch.look()
    assert second is not None and count_accepted(second) == 1 and not second.errors


def test_a_manifest_that_is_not_a_file_is_refused_with_its_unit(calls: Write, take_in: TakeIn) -> None:
    manifest = "[source.manifest]\npath = '{name}.ctl'\npattern = '(?P<records>[0-9]+)'"
    project = calls({f"{make.__name__}.csv": GOOD for make in NO_FILES}, settings=manifest)
    for make in NO_FILES:
        make(project.directory / "landing" / f"{make.__name__}.csv.ctl")
    errors = errors_by_name(take_in(project))
    for make, says in NO_FILES.items():
        assert re.search(f"its manifest {make.__name__}.csv.ctl cannot be read: this is a.*{says}", errors[f"{make.__name__}.csv"])


def test_a_marker_that_is_not_a_file_is_refused_with_its_unit(calls: Write, take_in: TakeIn) -> None:
    kinds = {make: says for make, says in NO_FILES.items() if make not in (circle, dangling)}
    project = calls({f"{make.__name__}.csv": GOOD for make in kinds}, settings='complete = "marker"')
    for make in kinds:
        make(project.directory / "landing" / f"{make.__name__}.csv.done")
    errors = errors_by_name(take_in(project))
    for make, says in kinds.items():
        assert re.search(f"invalid marker {make.__name__}.csv.done: this is a.*{says}", errors[f"{make.__name__}.csv"])


def test_a_manifest_of_any_length_costs_no_more_than_its_limit(calls: Write, take_in: TakeIn) -> None:
    manifest = "[source.manifest]\npath = '{name}.ctl'\npattern = '(?P<records>[0-9]+)'\n"
    project = calls({"a.csv": GOOD, "a.csv.ctl": "1" * 101}, settings=manifest + limits(manifest_bytes=100))
    (error,) = take_in(project).errors
    assert "longer than 100 bytes" in str(error) and "raise `manifest_bytes` in [limits]" in str(error)
    (project.directory / "landing" / "a.csv.ctl").write_text("9" * 90)
    assert "invalid number of records" in str(take_in(project).errors[0])
    (project.directory / "landing" / "a.csv.ctl").write_text("1")
    assert count_accepted(take_in(project)) == 1


@pytest.mark.parametrize("make", [named_pipe, device, directory], ids=lambda make: make.__name__)
def test_every_other_input_is_opened_only_if_it_is_a_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    says = NO_FILES[make]
    project = Project(tmp_path, parse(""))
    make(tmp_path / "odd.csv")
    for read in (
        lambda: read_book(project, tmp_path / "odd.csv"),
        lambda: read_calls(project, tmp_path / "odd.csv", timezone="UTC", usual={}),
    ):
        with pytest.raises(SourceError, match=says):
            read()
    make(tmp_path / "RatingPlans.csv")
    with pytest.raises(TrueupError, match=says):
        read_cgrates(tmp_path, currency="EUR")
    make(tmp_path / "trueup.toml")
    with pytest.raises(ConfigError, match=says):
        Project.load(tmp_path)
    if make is not directory:
        make(tmp_path / "leakage.duckdb")
        with pytest.raises(TrueupError, match=says):
            publish(project, tmp_path / "leakage.duckdb")


def test_a_link_that_leaves_the_folder_of_its_pattern_is_refused_unless_the_source_follows_links(
    calls: Write, take_in: TakeIn
) -> None:
    project = calls({"inside.csv": GOOD})
    landing = project.directory / "landing"
    (project.directory / "secret.csv").write_text(GOOD.replace("1,998", "2,998"))
    (landing / "out.csv").symlink_to("../secret.csv")
    (landing / "renamed.csv").symlink_to("inside.csv")
    summary = take_in(project)
    (error,) = summary.errors
    assert "symbolic link to" in str(error) and "outside of" in str(error) and "follow_links = true" in str(error)
    assert count_accepted(summary) == 1
    assert count_accepted(take_in(calls({}, settings="follow_links = true"))) == 1


def test_a_linked_folder_and_a_literally_named_file_may_be_anywhere(calls: Write, take_in: TakeIn, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.csv").write_text(GOOD)
    project = calls()
    (project.directory / "landing").rmdir()
    (project.directory / "landing").symlink_to(tmp_path / "elsewhere")
    assert count_accepted(take_in(project)) == 1
    (project.directory / "b.csv").symlink_to(tmp_path / "elsewhere" / "b.csv")
    (tmp_path / "elsewhere" / "b.csv").write_text(GOOD.replace("1,998", "2,998"))
    text = (project.directory / "trueup.toml").read_text().replace('"landing/*"', '"b.csv"')
    (project.directory / "trueup.toml").write_text(text)
    assert count_accepted(take_in(Project.load(project.directory))) == 1


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_file_of_any_name_is_ingested(calls: Write, take_in: TakeIn, query: Query) -> None:
    names = ["-rf.csv", "a\nb.csv", 'it\'s "ü".csv', " .csv", "[a].csv", "a*?.csv", "${HOME}.csv", "{}%s.csv"]
    project = calls({name: GOOD.replace("1,998", f"{number},998") for number, name in enumerate(names)})
    # A name that is not text is escaped.
    (project.directory / "landing" / os.fsdecode(b"\xff.csv")).write_text(GOOD.replace("1,998", "99,998"))
    assert count_accepted(take_in(project)) == len(names) + 1
    paths = query(project, "SELECT path FROM lake.events.control")["path"].to_list()
    assert sorted(paths) == sorted(f"landing/{name}" for name in [*names, "\\xff.csv"])
    ids = query(project, "SELECT event_id FROM lake.events.usage")["event_id"].to_list()
    with Lake.open(project, read_only=True) as lake:
        assert {verify_record(lake, event_id).verdict for event_id in ids} == {"proven"}


NASTY = "a[b]c*? 'd\" ü"


def test_the_folder_of_a_project_is_literal(tmp_path: Path, take_in: TakeIn, query: Query, calls: Write) -> None:
    toml = (calls().directory / "trueup.toml").read_text()
    for name, key in (("abc", 1), ("a[b]c", 2), (NASTY, 3)):
        (tmp_path / name / "landing").mkdir(parents=True)
        (tmp_path / name / "trueup.toml").write_text(toml)
        (tmp_path / name / "landing" / "a.csv").write_text(GOOD.replace("1,998", f"{key},998"))
    for name, key in (("a[b]c", "2"), (NASTY, "3")):
        project = Project.load(tmp_path / name)
        assert count_accepted(take_in(project)) == 1
        # The lake's data files are read again from a folder with such a name, and the published file lies next to them.
        assert query(project, "SELECT record_key FROM lake.events.usage")["record_key"].to_list() == [key]
        if "?" not in name:
            assert publish(project, tmp_path / name / "x[1].duckdb").rows["tariffs"] == 0
            continue
        with pytest.raises(TrueupError, match="DuckDB cannot write"):
            publish(project, tmp_path / name / "x[1].duckdb")


def test_the_value_of_a_variable_is_literal(tmp_path: Path, take_in: TakeIn, calls: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("in[1]", "in1", "in*"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text(GOOD.replace("998", name))
    toml = (calls().directory / "trueup.toml").read_text()
    for written in ("${WHERE}/*.csv", "${WHERE}/a.csv", "${WHERE}/[a].*"):
        for name in ("in[1]", "in*"):
            monkeypatch.setenv("WHERE", str(tmp_path / name))
            folder = tmp_path / f"{written.count('*')}{written.count('[')}{name}"
            folder.mkdir()
            (folder / "trueup.toml").write_text(toml.replace("landing/*", written))
            summary = take_in(Project.load(folder))
            assert [unit.path for unit in summary.units] == [str(tmp_path / name / "a.csv")]


def test_brackets_written_in_the_configuration_are_a_pattern_and_can_be_escaped(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a[1].csv": GOOD, "a1.csv": GOOD.replace("1,998", "2,998")})
    text = (project.directory / "trueup.toml").read_text()
    for written, names in (("landing/a[1].csv", ["a1.csv"]), ("landing/a[[]1].csv", ["a[1].csv"]), ("landing/a[[]*", ["a[1].csv"])):
        (project.directory / "trueup.toml").write_text(text.replace("landing/*", written))
        assert [Path(unit.path).name for unit in take_in(Project.load(project.directory)).units] == names


def test_folders_in_a_cycle_are_visited_once(calls: Write, take_in: TakeIn) -> None:
    project = calls({}, settings="")
    landing = project.directory / "landing"
    for name in "abcdefgh":
        (landing / name).mkdir()
        (landing / name / "up").symlink_to("..")
        (landing / name / "x.csv").write_text(GOOD.replace("1,998", f"{name},998"))
    text = (project.directory / "trueup.toml").read_text().replace("landing/*", "landing/**/*.csv")
    (project.directory / "trueup.toml").write_text(text)
    summary = take_in(Project.load(project.directory))
    assert [unit.path for unit in summary.units] == [f"landing/{name}/x.csv" for name in "abcdefgh"]


def test_more_files_than_a_pattern_may_match_are_refused_with_the_limits_name(calls: Write, take_in: TakeIn) -> None:
    project = calls({f"{n}.csv": GOOD.replace("1,998", f"{n},998") for n in range(4)}, settings=limits(files=3))
    (error,) = take_in(project).errors
    assert "more than 3 files" in str(error) and "`files` in [limits]" in str(error)
    looked = Watch(project).look()
    assert looked is not None and "more than 3 files" in str(looked.errors[0])
    assert count_accepted(take_in(calls({}, settings=limits(files=4)))) == 4


# --- long records -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", pytest.param("\n", marks=pytest.mark.slow), "\r\n2,998,2024-05-01,1"])
@pytest.mark.parametrize("settings", ["", "quoted_newlines = true\n"])
@pytest.mark.parametrize("block", [16, pytest.param(1 << 20, marks=pytest.mark.slow)])
def test_a_long_line_goes_to_quarantine_with_its_beginning_and_provenance(
    calls: Write, take_in: TakeIn, query: Query, monkeypatch: pytest.MonkeyPatch, end: str, settings: str, block: int
) -> None:
    monkeypatch.setattr("trueup.collect.decode.text.lines.BLOCK_BYTES", block)
    monkeypatch.setattr("trueup.collect.decode.text.multiline_csv._BLOCK_BYTES", block)
    monkeypatch.setattr("trueup.collect.discover.units._CHUNK_BYTES", block)
    long = "3," + "x" * 5_000
    project = calls({"a.csv": GOOD + long + end}, settings=settings + limits(record_bytes=100, kept_bytes=40))
    summary = take_in(project)
    assert not summary.errors and count_accepted(summary) == 1 + end.count("998")
    ((row, offset, length, raw, reason, rule),) = query(project, REJECTED).rows()
    assert (row, offset, length, raw, reason) == (1, len(GOOD), len(long), long[:40].encode(), "over_limit")
    assert rule == "line: has at most 100 bytes (record_bytes in [limits])"
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake, only=("units",)).sound
        event_id = query(project, "SELECT event_id FROM lake.events.quarantine")["event_id"][0]
        assert verify_record(lake, event_id).verdict == "proven"
        assert verify(lake, only=("counts",)).sound


def test_limits_apply_to_all_sources_and_a_source_may_set_its_own() -> None:
    source = '[[source]]\nname = "{}"\nstream = "usage"\npath = "x"\nidentity = "content"\n'
    config = parse('[limits]\nrecord_bytes = "2MiB"\ncolumns = 9\n' + source.format("a") + source.format("b") + limits(columns=7))
    assert [(s.limits.record_bytes, s.limits.columns) for s in config.source] == [(2 << 20, 9), (2 << 20, 7)]
    for wrong in ("record_bytes = 0", 'record_bytes = "1 league"', "record_bytes = '1TiB'", "columns = -1", "lines = 3"):
        with pytest.raises(ConfigError, match=r"limits\.\w+"):
            parse(f"[limits]\n{wrong}")


def test_the_stored_bytes_of_a_files_rejected_records_are_bounded(
    calls: Write, take_in: TakeIn, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_module, "PART_RECORDS", 4)
    project = calls({"a.csv": HEADER + "no record\n" * 10}, settings=limits(quarantine_bytes=50))
    summary = take_in(project)
    assert count_quarantined(summary) == 10
    found = query(project, REJECTED)
    assert found["raw"].to_list() == [b"no record"] * 5 + [b""] * 5
    assert found["source_length"].to_list() == [9] * 10
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake, only=("units",)).sound


@pytest.mark.parametrize(
    ("content", "settings", "says"),
    [
        ("x" * 101 + "\n1,2", "record_bytes = 100", "header line has 101 bytes, more than 100.*`record_bytes`"),
        (HEADER.strip() + ",a,b\n1", "columns = 5", "has 6 columns, more than 5.*`columns`"),
        ("\n" * 200, "columns = 5", "only empty lines"),
    ],
    ids=["header", "columns", "empty lines"],
)
def test_a_header_beyond_a_limit_refuses_the_file(calls: Write, take_in: TakeIn, content: str, settings: str, says: str) -> None:
    project = calls({"a.csv": content, "good.csv": GOOD}, settings=f"[source.limits]\n{settings}\n")
    summary = take_in(project)
    assert re.search(says, str(summary.errors[0])) and count_accepted(summary) == 1


def test_columns_without_a_header_have_the_same_limit(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": "1,2,3\n1,2,3\n"}, settings="header = false\n" + limits(columns=2))
    assert "has 3 columns, more than 2" in str(take_in(project).errors[0])


def test_a_part_also_ends_by_its_bytes_and_a_unit_resumes_after_parts_of_an_earlier_rule(
    calls: Write, take_in: TakeIn, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = calls({"a.csv": HEADER + "".join(f"{n},{'9' * 50},2024-05-01,1\n" for n in range(20))})
    whole = ingest_module.Part.commit

    def dies(self: object, **how: object) -> object:
        if getattr(self, "number", 0) == 1:
            raise KeyboardInterrupt
        return whole(self, **how)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ingest_module, "PART_RECORDS", 7)
        patch.setattr(ingest_module.Part, "commit", dies)
        take_in(project)
    with monkeypatch.context() as patch:
        patch.setattr(ingest_module, "PART_BYTES", 300)
        assert count_accepted(take_in(project)) == 13
    parts = query(project, "SELECT part_no, records, last_part FROM lake.events.control ORDER BY part_no").rows()
    assert parts == [(0, 7, False), (1, 5, False), (2, 5, False), (3, 3, True)]


# --- quotes, encodings ------------------------------------------------------------------------------------------------


def test_a_quote_that_never_closes_costs_its_own_line(
    calls: Write, take_in: TakeIn, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trueup.collect.decode.text.multiline_csv._BLOCK_BYTES", 64)
    monkeypatch.setattr("trueup.collect.discover.units._CHUNK_BYTES", 64)
    lines = "".join(f"{n},998,2024-05-01,1\n" for n in range(200))
    project = calls({"a.csv": HEADER + 'x,"\n' + lines}, settings="quoted_newlines = true\n" + limits(record_bytes=300))
    summary = take_in(project)
    assert (count_accepted(summary), count_quarantined(summary)) == (200, 1)
    assert query(project, REJECTED).rows()[0][3:5] == (b'x,"', "unparsable")


def test_a_long_field_in_odd_quotes_does_not_count_as_damaged(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": HEADER.strip() + ",note\n" + f'1,998,2024-05-01,1,a"b"{"x" * 200_000}\n'})
    assert count_accepted(take_in(project)) == 1


# --- compressed -------------------------------------------------------------------------------------------------------

LINES = (HEADER + "".join(f"{n},998,2024-05-01,1\n" for n in range(1_000))).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bomb.gz", gzip.compress(b"0" * 1_000_000, mtime=0)),
        ("bomb.zst", zstandard.compress(b"0" * 1_000_000)),
        ("members.gz", gzip.compress(LINES[:21], mtime=0) + gzip.compress(b"1" * 5_000, mtime=0) * 100),
    ],
)
def test_a_file_that_unpacks_beyond_its_limit_is_refused_before_any_record_is_ingested(
    calls: Write, take_in: TakeIn, query: Query, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    monkeypatch.setattr(unpack_module, "LEAST_BYTES", 10_000)
    monkeypatch.setattr("trueup.collect.discover.units.LEAST_BYTES", 10_000)
    project = calls({name: content, "good.csv": GOOD}, settings=limits(expansion=20))
    summary = take_in(project)
    (error,) = summary.errors
    assert "unpacks to more than" in str(error) and "raise `expansion` in [limits]" in str(error)
    assert count_accepted(summary) == 1 and query(project, "SELECT count(*) n FROM lake.events.control")["n"][0] == 1


def test_no_chunk_of_a_bomb_is_large() -> None:
    for bomb, compression in ((gzip.compress(b"0" * (64 << 20), mtime=0), "gzip"), (zstandard.compress(b"0" * (64 << 20)), "zstd")):
        sizes = [len(chunk) for chunk in unpack_module.decompress([bomb], compression, "x")]  # type: ignore[arg-type]
        assert sum(sizes) == 64 << 20 and max(sizes) <= 32 << 20


# --- NDJSON -----------------------------------------------------------------------------------------------------------

OBJECT = '{"id":"1","caller":"998","at":"2024-05-01","seconds":1'


BEYOND = [
    (OBJECT + ',"x":' + "[" * 9 + "]" * 9 + "}", "over_limit", "line: is nested 8 deep at most (depth in [limits])"),
    (OBJECT + "".join(f',"{n}":1' for n in range(20)) + "}", "over_limit", "line: has at most 20 members (columns in [limits])"),
    (OBJECT + ',"x":"' + "x" * 900 + '"}', "over_limit", "line: has at most 500 bytes (record_bytes in [limits])"),
    (OBJECT.replace(":1", ":" + "9" * 300) + "}", "value_out_of_range", None),
    (OBJECT.replace(":1", ":1e400") + "}", "value_out_of_range", None),
    (OBJECT.replace(":1", ":1e99999999999999999999") + "}", "value_out_of_range", None),
    (OBJECT.replace(":1", ":NaN") + "}", "unparsable", None),
    (OBJECT + ',"id":"2"}', "unparsable", "line: has each member once"),
]


def test_a_json_record_beyond_a_limit_is_rejected_alone(calls: Write, take_in: TakeIn, query: Query) -> None:
    settings = 'format = "ndjson"\n' + limits(depth=8, columns=20, record_bytes=500)
    lines = "".join(f"{line}\n" for line, *_ in BEYOND)
    project = calls({"a.ndjson": f"{OBJECT}}}\n{lines}"}, settings=settings)
    summary = take_in(project)
    assert (count_accepted(summary), count_quarantined(summary)) == (1, len(BEYOND)), summary.errors
    for found, (line, reason, rule) in zip(query(project, REJECTED).iter_rows(named=True), BEYOND, strict=True):
        assert (found["reason"], found["raw"]) == (reason, line.encode()) and rule in (None, found["rule"])
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake, only=("units",)).sound


def test_brackets_in_a_string_are_not_nesting(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.ndjson": OBJECT + ',"x":"' + "[" * 50 + '","y":[[1]]}'}, settings='format = "ndjson"\n' + limits(depth=3))
    assert count_accepted(take_in(project)) == 1


@pytest.mark.parametrize("value", ['"x":1,' * 50, '"x":' + "[" * 50 + "]" * 50 + ",", '"x":' + '{"a":' * 50 + "1" + "}" * 50 + ","])
def test_nested_json_is_decoded_in_small_pieces(calls: Write, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    sizes: list[int] = []

    def read(lines: Lines, *args: object, **how: object) -> Batch:
        sizes.append(len(lines))
        return read_ndjson(lines, *args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(lines_module, "MOST_MARKS", 200)
    monkeypatch.setattr(readers_module, "read_ndjson", read)
    records = [f"{{{value}{OBJECT[1:].replace('1', str(n), 1)}}}" for n in range(40)]
    summary = take_in(calls({"a.ndjson": "\n".join(records)}, settings='format = "ndjson"'))
    assert count_accepted(summary) + count_quarantined(summary) == sum(sizes) == 40
    assert max(sizes) <= 4


def test_runs_of_blanks_and_backslashes_of_any_length_are_skipped(calls: Write, take_in: TakeIn, query: Query) -> None:
    many = (1, 15, 16, 17, 40)
    lines = [
        f'{{"id":{" " * n}"{n}"{chr(9) * n},"caller":"{chr(92) * 2 * n}","at":"2024-05-01","seconds":1{" " * n}}}{" " * n}'
        for n in many
    ]
    project = calls({"a.ndjson": "\n".join(lines)}, settings='format = "ndjson"')
    assert count_accepted(take_in(project)) == len(many)
    rows = query(project, "SELECT record_key::INT, subscriber FROM lake.events.usage ORDER BY 1").rows()
    assert rows == [(n, "\\" * n) for n in many]


# --- Parquet ----------------------------------------------------------------------------------------------------------

PARQUET = 'format = "parquet"\n'


def rows_of(count: int, **more: object) -> pa.Table:
    same = {"caller": ["998"] * count, "at": ["2024-05-01"] * count, "seconds": [1] * count}
    return pa.table({"id": [str(n) for n in range(count)], **same, **more})


def parquet_of(table: pa.Table, **how: object) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **how)
    return bytes(sink.getvalue())


def with_footer(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    (length,) = struct.unpack("<I", data[-8:-4])
    footer = change(data[-8 - length : -8])
    return data[: -8 - length] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def varint(number: int) -> bytes:
    number = number << 1 ^ number >> 63
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


SOUND = parquet_of(rows_of(12_345), compression="none")


LIES = [
    (with_footer(SOUND, lambda f: f.replace(varint(12_345), varint(10**12), 1)), "declares 1000000000000 rows, but 12345"),
    (with_footer(SOUND, lambda f: f.replace(varint(12_345), varint(10**12))), "rows unpack to more than"),
    (with_footer(SOUND, lambda f: f.replace(varint(12_345), varint(24_690))), "declares 24690 rows and has 12345"),
    (with_footer(SOUND, lambda f: f.replace(varint(12_345), varint(-12_345))), "declares -12345 rows"),
    (SOUND[:-100], "not Parquet, or is cut short"),
    (SOUND[:-4] + b"PARE", "footer is encrypted"),
    (b"PAR1" + b"\0" * 100 + struct.pack("<I", 2**31) + b"PAR1", "not Parquet, or is cut short"),
    (b"PAR1" + b"\0" * 100 + struct.pack("<I", 100) + b"PAR1", "footer is damaged"),
    (b"PAR1", "not Parquet, or is cut short"),
    (with_footer(SOUND, lambda f: f[: len(f) // 2]), "damaged"),
]


def test_parquet_files_with_false_metadata_are_refused_and_others_are_ingested(calls: Write, take_in: TakeIn) -> None:
    files = {f"{number}.parquet": data for number, (data, _) in enumerate(LIES)}
    summary = take_in(calls(files | {"good.parquet": parquet_of(rows_of(3))}, settings=PARQUET))
    errors = errors_by_name(summary)
    assert count_accepted(summary) == 3 and len(errors) == len(LIES)
    for number, (_, says) in enumerate(LIES):
        assert re.search(says, errors[f"{number}.parquet"])


def of_pages(table: pa.Table, **how: object) -> bytes:
    return parquet_of(table, **{"compression": "zstd", "write_statistics": False, **how})


LISTS = pa.ListArray.from_arrays(pa.array([0, 100_000], pa.int32()), pa.array([0] * 100_000, pa.int8()))
DEEP = pa.array([[[[[1]]]]])


@pytest.mark.parametrize(
    ("data", "limit", "says"),
    [
        (of_pages(rows_of(1, x=[b"x" * 200_000]), use_dictionary=False), {"page_bytes": 100_000}, "more than 100000.*`page_bytes`"),
        (of_pages(rows_of(1, x=LISTS)), {"page_bytes": 100_000}, "more than 100000.*`page_bytes`"),
        (parquet_of(pa.table({f"c{n}": [1] for n in range(20)})), {"columns": 19}, "at least 20 columns, more than 19.*`columns`"),
        (parquet_of(rows_of(1, x=DEEP)), {"depth": 5}, "deep, more than 5.*`depth`"),
        (SOUND, {"footer_bytes": 100}, "footer has [0-9]+ bytes, more than 100.*`footer_bytes`"),
    ],
    ids=["page", "list", "columns", "depth", "footer"],
)
def test_a_parquet_file_beyond_a_limit_is_refused_with_the_limits_name(
    calls: Write, take_in: TakeIn, data: bytes, limit: dict[str, int], says: str
) -> None:
    project = calls({"a.parquet": data}, settings=PARQUET + limits(**limit))
    (error,) = take_in(project).errors
    assert re.search(says, str(error))


def repeated_value(count: int, value: object) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([value]))


@pytest.mark.parametrize("value", ["x" * 20_000, b"x" * 20_000], ids=["text", "bytes"])
def test_a_dictionary_is_decoded_piece_by_piece_up_to_its_limit(
    calls: Write, take_in: TakeIn, query: Query, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    monkeypatch.setattr("trueup.collect.decode.parquet.parquet_file._PIECE_BYTES", 100_000)
    data = of_pages(rows_of(200, x=repeated_value(200, value)), store_schema=False)
    project = calls({"a.parquet": data}, settings=PARQUET)
    assert count_accepted(take_in(project)) == 200
    lengths = query(project, "SELECT DISTINCT len(attributes) AS n FROM lake.events.usage")["n"].to_list()
    assert lengths == [20_000 + len('{"x":""}')]
    monkeypatch.setattr("trueup.collect.decode.parquet.parquet_file.LEAST_BYTES", 1_000_000)
    more = calls(
        {"b.parquet": of_pages(rows_of(200, x=repeated_value(200, value)), store_schema=False, row_group_size=100)},
        settings=PARQUET,
    )
    assert "raise `expansion`" in str(take_in(more).errors[0])


def test_a_long_row_is_rejected_with_the_beginning_of_its_text(calls: Write, take_in: TakeIn, query: Query) -> None:
    table = rows_of(3, x=["a", "b" * 1_000, "c"])
    project = calls({"a.parquet": parquet_of(table)}, settings=PARQUET + limits(record_bytes=500, kept_bytes=60))
    summary = take_in(project)
    assert (count_accepted(summary), count_quarantined(summary)) == (2, 1)
    found = query(project, REJECTED).row(0, named=True)
    assert (found["source_row"], found["reason"]) == (1, "over_limit") and found["raw"].startswith(b'{"id":"1","caller"')
    assert len(found["raw"]) == 60 and "record_bytes in [limits]" in found["rule"]
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake, only=("units",)).sound


PAGES: list[dict[str, object]] = [
    {"use_dictionary": False, "column_encoding": {"id": "DELTA_BYTE_ARRAY"}},
    {"data_page_version": "2.0", "data_page_size": 64},
    {"compression": "gzip", "data_page_size": 64, "row_group_size": 7},
    {"use_dictionary": True, "dictionary_pagesize_limit": 50},
]


def test_rows_do_not_depend_on_the_layout_of_their_pages(calls: Write, take_in: TakeIn, query: Query) -> None:
    table = rows_of(100, x=[None if n % 3 else [n, None] for n in range(100)], y=[None if n % 2 else f"é{n}" for n in range(100)])
    project = calls(
        {f"{n}.parquet": parquet_of(table, **how) for n, how in enumerate(PAGES)}, settings=PARQUET + 'identity = "position"\n'
    )
    assert count_accepted(take_in(project)) == 100 * len(PAGES)
    rows = query(
        project, "SELECT source_row, count(*), list(DISTINCT attributes) FROM lake.events.usage GROUP BY ALL ORDER BY 1"
    ).rows()
    wanted = {
        # Nested values become JSON text.
        n: {k: v for k, v in (("x", None if n % 3 else f"[{n},null]"), ("y", None if n % 2 else f"é{n}")) if v}
        for n in range(100)
    }
    for number, files, texts in rows:
        assert files == len(PAGES)
        assert [json.loads(text) for text in texts or () if text] == ([wanted[number]] if wanted[number] else [])


# --- other streams and presets ----------------------------------------------------------------------------------------


def test_the_limits_apply_to_the_asterisk_preset_and_to_states(calls: Write, take_in: TakeIn, query: Query) -> None:
    toml = """
        [limits]
        record_bytes = 400
        [[source]]
        name = "pbx"
        stream = "usage"
        path = "landing/*.csv"
        format = "asterisk"
        [[source]]
        name = "book"
        stream = "tariff"
        path = "landing/*.book"
        identity = "content"
        """
    book = "item,valid_from,service,price,currency\nrate,2024-01-01,voice,1,EUR\n" + "rate,2024-01-01,voice," + "1" * 500 + ",EUR\n"
    summary = take_in(calls({"Master.csv": '"","' + "1" * 500 + '"\n', "a.book": book}, toml=toml))
    assert not summary.errors and (count_accepted(summary), count_quarantined(summary)) == (1, 2)
    project = calls(toml=toml)
    assert query(project, REJECTED)["reason"].to_list() == ["over_limit", "over_limit"]


# --- real size, real processes ----------------------------------------------------------------------------------------

MEASURED = """
import sys
from pathlib import Path
from trueup.collect.ingest import ingest
from trueup.config import Project
summary = ingest(Project.load(sys.argv[1]))
# The peak that the kernel reports of a child includes the memory of its parent before `exec`; this one does not.
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(peak, sum(u.accepted for u in summary.units), len(summary.errors))
"""


def measured(project: Project) -> tuple[float, int, int]:
    """Return peak memory in MB of ingesting a project in a separate process, accepted records, and errors."""
    done = subprocess.run([sys.executable, "-c", MEASURED, str(project.directory)], capture_output=True, text=True, check=True)
    peak, taken, errors = map(int, done.stdout.split())
    return peak / 1024, taken, errors


def different_texts(*, use_dictionary: bool) -> bytes:
    """Return a Parquet file of one row group with 300 MB of texts, all different."""
    rng = random.Random(7)
    columns = {name: [f"{number}"] * 300_000 for number, name in enumerate(("id", "caller", "seconds"))}
    rows = pa.table({**columns, "at": ["2024-05-01 00:00:00"] * 300_000, "x": [rng.randbytes(500).hex() for _ in range(300_000)]})
    file = io.BytesIO()
    pq.write_table(rows, file, row_group_size=10**9, use_dictionary=use_dictionary, compression="none")
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "content"),
    [
        ("", lambda: b"\n" * 100_000_000),
        ("", lambda: HEADER.encode() + b"x" * 300_000_000),
        ("", lambda: HEADER.encode() + b",,,\n" * 10_000_000),
        ("quoted_newlines = true", lambda: HEADER.encode() + b'1,"' + b"2,998,2024-05-01,1\n" * 5_000_000),
        ('format = "ndjson"', lambda: (OBJECT + "}\n").encode() + b'{"id":"' + b"x" * 300_000_000),
        ('format = "parquet"', lambda: different_texts(use_dictionary=False)),
        ('format = "parquet"', lambda: different_texts(use_dictionary=True)),
    ],
    ids=["line ends", "one line", "separators", "open quote", "one string", "row group", "row group beyond its dictionary"],
)
def test_real_sizes_take_no_more_than_600_mb_beyond_a_small_file(calls: Write, settings: str, content: Callable[[], bytes]) -> None:
    good = (OBJECT + "}\n") if "ndjson" in settings else GOOD
    project = calls({"good.csv": good}, settings=settings)
    usual, *_ = measured(project)
    peak, *_ = measured(calls({"odd.csv": content()}, settings=settings))
    assert peak - usual <= 600
