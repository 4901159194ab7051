from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from trueup.collect import ingest as ingest_module
from trueup.collect.commit.commit_part import IngestedParts
from trueup.collect.decode.text import lines as lines_module
from trueup.collect.ingest import IngestSummary, ingest
from trueup.config import Project
from trueup.errors import ConfigError, SourceError
from trueup.log.lake import Lake
from trueup.proof.verify import verify
from trueup.warehouse.maintain import maintain

Write = Callable[..., Project]
TakeIn = Callable[[Project], IngestSummary]
Query = Callable[..., pl.DataFrame]

HEADER = "id,caller,at,seconds"


def call(number: int, *, seconds: object = 60, caller: object = "a") -> str:
    return f"{number},{caller},2024-05-{1 + number % 20:02} 10:00:{number % 60:02},{seconds}"


def file_of(*lines: str, header: str = HEADER, end: str = "\n") -> str:
    return end.join((header, *lines, ""))


def counts(summary: IngestSummary) -> list[tuple[str, str, int, int, int, int]]:
    return [(Path(u.path).name, u.outcome, u.records, u.accepted, u.duplicate, u.quarantined) for u in summary.units]


def ids(project: Project, query: Query) -> list[bytes]:
    return sorted(query(project, "SELECT event_id FROM lake.events.usage")["event_id"])


def test_good_records_are_accepted_despite_bad_files(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls(
        {
            "a.csv": file_of(call(1), "torn", call(2)),
            "b_empty.csv": b"",
            "c_binary.csv": bytes(range(256)) * 4,
            "d_cut.csv.gz": gzip.compress(file_of(call(3)).encode(), mtime=0)[:-4],
            "e_other.csv": file_of("1,2", header="x,y"),
            "f.csv.zst": zstandard.compress(file_of(call(4)).encode()),
            "g.csv.gz": gzip.compress(file_of(call(5)).encode(), mtime=0),
        }
    )
    (project.directory / "landing" / "h_folder").mkdir()
    summary = take_in(project)
    assert counts(summary) == [
        ("a.csv", "taken", 3, 2, 0, 1),
        ("f.csv.zst", "taken", 1, 1, 0, 0),
        ("g.csv.gz", "taken", 1, 1, 0, 0),
    ]
    messages = [str(error) for error in summary.errors]
    assert len(messages) == 5
    assert all("\n" not in line for line in messages)
    for line, says in zip(
        messages, ["is empty", "binary", "cut short", "'id', which does not exist; there are x, y", "directory"], strict=True
    ):
        assert says in line
    assert query(project, "SELECT record_key FROM lake.events.usage ORDER BY 1")["record_key"].to_list() == ["1", "2", "4", "5"]


def test_a_second_ingest_accepts_no_file_even_under_another_name(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": file_of(call(1), call(2))})
    take_in(project)
    before = query(project, "SELECT max(position) AS p FROM lake.events.position")["p"][0]
    calls({"b.csv": file_of(call(1), call(2))})
    assert counts(take_in(project)) == [("a.csv", "known", 0, 0, 0, 0), ("b.csv", "known", 0, 0, 0, 0)]
    assert query(project, "SELECT max(position) AS p FROM lake.events.position")["p"][0] == before


def test_a_changed_byte_is_a_new_unit_whose_unchanged_records_are_duplicates(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": file_of(call(1), call(2), call(3))})
    take_in(project)
    calls({"b.csv": file_of(call(1), call(2, seconds=61), call(3))})
    assert counts(take_in(project))[1] == ("b.csv", "taken", 3, 1, 2, 0)
    assert query(project, "SELECT count(*) AS n FROM lake.events.usage WHERE record_key = '2'")["n"][0] == 2


def test_a_repeated_record_of_a_unit_is_accepted_once_at_its_first_row(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": file_of(call(1), call(2), call(1), call(1))})
    assert counts(take_in(project)) == [("a.csv", "taken", 4, 2, 2, 0)]
    assert query(project, "SELECT source_row FROM lake.events.usage ORDER BY 1")["source_row"].to_list() == [0, 1]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_blank_lines_and_a_byte_order_mark_change_no_event(calls: Write, take_in: TakeIn, query: Query, end: str) -> None:
    plain = calls({"a.csv": file_of(call(1), call(2))})
    take_in(plain)
    wanted = ids(plain, query)
    other = calls({"b.csv": "\ufeff" + file_of(call(1), "", call(2), "", end=end)})
    assert counts(take_in(other))[1] == ("b.csv", "taken", 2, 0, 2, 0)
    assert ids(other, query) == wanted


def test_another_column_order_and_other_formats_yield_the_same_events(
    calls: Write, take_in: TakeIn, query: Query, tmp_path: Path
) -> None:
    project = calls({"a.csv": file_of(call(1), call(2))})
    take_in(project)
    calls({"b.csv": file_of(*(",".join(reversed(call(n).split(","))) for n in (1, 2)), header="seconds,at,caller,id")})
    assert counts(take_in(project))[1] == ("b.csv", "taken", 2, 0, 2, 0)
    names = HEADER.split(",")
    rows = [dict(zip(names, call(n).split(","), strict=True)) for n in (1, 2)]
    (tmp_path / "project" / "lines").mkdir()
    (tmp_path / "project" / "lines" / "x.ndjson").write_text("".join(json.dumps(row | {"seconds": 60}) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "project" / "lines" / "x.parquet")
    for kind in ("ndjson", "parquet"):
        text = (project.directory / "trueup.toml").read_text().replace('"landing/*"', f'"lines/x.{kind}"')
        (project.directory / "trueup.toml").write_text(text.replace('path = "lines', f'format = "{kind}"\npath = "lines'))
        assert counts(take_in(Project.load(project.directory))) == [(f"x.{kind}", "taken", 2, 0, 2, 0)]
        (project.directory / "trueup.toml").write_text(text.replace(f'"lines/x.{kind}"', '"landing/*"'))


def test_large_units_have_parts_of_which_one_is_marked_as_last(
    calls: Write, take_in: TakeIn, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_module, "PART_RECORDS", 10)
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 200)
    project = calls(
        {"a.csv": file_of(*(call(n) for n in range(25)), "torn"), "b.csv": file_of(*(call(n) for n in range(100, 120)))}
    )
    summary = take_in(project)
    assert counts(summary) == [("a.csv", "taken", 26, 25, 0, 1), ("b.csv", "taken", 20, 20, 0, 0)]
    assert [len(unit.positions) for unit in summary.units] == [3, 2]
    parts = query(project, "SELECT part_no, last_part, records FROM lake.events.control ORDER BY sequence_no")
    assert parts.rows() == [(0, False, 10), (1, False, 10), (2, True, 6), (0, False, 10), (1, True, 10)]
    with Lake.open(project) as lake:
        verified = verify(lake, only=("counts", "chains", "units"))
        assert verified.sound
        assert [(check.name, check.compared) for check in verified.checks] == [("chains", 5), ("counts", 2), ("units", 46)]


def test_a_half_ingested_unit_resumes_after_its_last_part(
    calls: Write, take_in: TakeIn, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_module, "PART_RECORDS", 10)
    project = calls({"a.csv": file_of(*(call(n) for n in range(25)), "torn", *(call(n) for n in range(25, 34)))})
    whole = ingest_module.Part.commit

    def dies(self: object, **how: object) -> object:
        if getattr(self, "number", 0) == 2:
            raise KeyboardInterrupt
        return whole(self, **how)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ingest_module.Part, "commit", dies)
        take_in(project)
    assert query(project, "SELECT count(*) AS n FROM lake.events.usage")["n"][0] == 20
    with Lake.open(project, read_only=True) as lake:
        verified = verify(lake, only=("counts", "units"))
    assert verified.sound
    assert [note for check in verified.checks for note in check.notes] == [
        f"unit {source_id} (landing/a.csv): its last part is not committed; only its first 20 records are compared; "
        "`trueup ingest` commits the others"
        for source_id in query(project, "SELECT DISTINCT source_id FROM lake.events.control")["source_id"]
    ]
    assert counts(take_in(project)) == [("a.csv", "taken", 15, 14, 0, 1)]
    assert counts(take_in(project)) == [("a.csv", "known", 0, 0, 0, 0)]
    assert query(project, "SELECT count(*) AS n FROM lake.events.usage")["n"][0] == 34


def test_event_ids_do_not_depend_on_order_cut_or_parts(calls: Write, take_in: TakeIn, query: Query, tmp_path: Path) -> None:
    lines = [call(n, caller=n % 3) for n in range(60)]
    project = calls({"all.csv": file_of(*lines)})
    take_in(project)
    wanted = ids(project, query)
    random.Random(1).shuffle(lines)
    other = Project(tmp_path / "other", project.config)
    (other.directory / "landing").mkdir(parents=True)
    for number, start in enumerate(range(0, 60, 7)):
        (other.directory / "landing" / f"{number}.csv").write_text(file_of(*lines[start : start + 7]))
    take_in(other)
    assert ids(other, query) == wanted
    same = "SELECT event_id, bucket, day FROM lake.events.usage ORDER BY 1"
    assert query(other, same).equals(query(project, same))


def test_a_header_without_records_is_ingested_with_zero_records(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": HEADER})
    assert counts(take_in(project)) == [("a.csv", "taken", 0, 0, 0, 0)]
    assert counts(take_in(project)) == [("a.csv", "known", 0, 0, 0, 0)]
    assert query(project, "SELECT last_part, records FROM lake.events.control").rows() == [(True, 0)]


def test_a_control_row_has_the_times_of_its_unit(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": file_of(call(3), call(1, seconds="0.0000005"), call(2, seconds=-1), call(3))})
    take_in(project)
    (row,) = query(project, "SELECT * FROM lake.events.control").iter_rows(named=True)
    assert {name: row[name] for name in ("records", "accepted", "duplicate", "quarantined", "lost_digits", "path")} == {
        "records": 4, "accepted": 2, "duplicate": 1, "quarantined": 1, "lost_digits": 1, "path": "landing/a.csv",
    }  # fmt: skip
    assert row["first_time"] == datetime(2024, 5, 2, 10, 0, 1, tzinfo=UTC)
    assert row["last_time"] == row["last_started_at"] == datetime(2024, 5, 4, 10, 0, 3, tzinfo=UTC)


CHARGES = """
[[source]]
name = "billing"
stream = "charge"
path = "landing/*"
identity = "{identity}"
[source.columns]
session_key = "key"
amount = "amount"
"""


@pytest.mark.parametrize(("identity", "accepted", "duplicate"), [("position", 3, 0), ("content", 2, 1)])
def test_equal_lines_without_a_key_are_one_by_content_and_several_by_position(
    calls: Write, take_in: TakeIn, query: Query, identity: str, accepted: int, duplicate: int
) -> None:
    project = calls({"a.csv": "key,amount\nx,1.5\nx,1.5\ny,1.5\n"}, toml=CHARGES.format(identity=identity))
    assert counts(take_in(project)) == [("a.csv", "taken", 3, accepted, duplicate, 0)]
    rows = query(project, "SELECT record_key, amount_micros, day, currency FROM lake.events.charge")
    assert rows["record_key"].n_unique() == accepted
    assert rows.select("amount_micros", "day", "currency").unique().rows() == [(1_500_000, None, "EUR")]


def test_charges_without_a_day_are_recognised_as_duplicates(calls: Write, take_in: TakeIn) -> None:
    project = calls({"a.csv": "key,amount\nx,1.5\n"}, toml=CHARGES.format(identity="content"))
    take_in(project)
    calls({"b.csv": "key,amount\nx,1.50\nz,1\n"}, toml=CHARGES.format(identity="content"))
    assert counts(take_in(project))[1] == ("b.csv", "taken", 2, 1, 1, 0)


def test_sources_that_share_a_scope_deliver_a_record_once(calls: Write, take_in: TakeIn, query: Query) -> None:
    one = calls({"a.csv": file_of(call(1))}, settings='key_scope = "all"')
    text = (one.directory / "trueup.toml").read_text()
    again = text[text.index("[[source]]") :].replace('"msc"', '"backup"').replace('"landing/*"', '"copies/*"')
    project = calls(toml=text + again)
    (project.directory / "copies").mkdir()
    (project.directory / "copies" / "b.csv").write_text(file_of(call(1), call(2)))
    assert counts(take_in(project)) == [("a.csv", "taken", 1, 1, 0, 0), ("b.csv", "taken", 2, 1, 1, 0)]


def test_a_quoted_line_end_is_part_of_its_record_if_so_configured(calls: Write, take_in: TakeIn, query: Query) -> None:
    line = '1,"two\nlines",2024-05-01 10:00:00,60'
    assert counts(take_in(calls({"a.csv": file_of(line)}))) == [("a.csv", "taken", 2, 0, 0, 2)]
    project = calls({"b.csv": file_of(line, call(2))}, settings="quoted_newlines = true")
    assert counts(take_in(project))[1] == ("b.csv", "taken", 2, 2, 0, 0)
    assert query(project, "SELECT subscriber FROM lake.events.usage ORDER BY record_key")["subscriber"][0] == "two\nlines"


def test_attributes_have_the_unmapped_columns_unless_switched_off(calls: Write, take_in: TakeIn, query: Query) -> None:
    content = file_of(call(1) + ",5g", header=f"{HEADER},slice")
    project = calls({"a.csv": content})
    take_in(project)
    assert query(project, "SELECT attributes FROM lake.events.usage")["attributes"].to_list() == ['{"slice":"5g"}']
    dropped = calls({"b.csv": content.replace("1,a", "2,a")}, settings="attributes = false")
    take_in(dropped)
    assert query(dropped, "SELECT attributes FROM lake.events.usage WHERE record_key = '2'")["attributes"].to_list() == [None]


def test_a_required_member_without_any_value_rejects_every_record(calls: Write, take_in: TakeIn) -> None:
    toml = (calls().directory / "trueup.toml").read_text().replace('path = "landing/*"', 'path = "landing/*"\nformat = "ndjson"')
    project = calls({"a.ndjson": '{"id": "1", "caller": "a", "when": "2024-05-01", "seconds": 1}\n'}, toml=toml)
    (error,) = take_in(project).errors
    assert isinstance(error, SourceError)
    assert "'at', which does not exist; there are caller, id, seconds, when" in str(error)


def test_a_file_that_grows_during_reading_is_left_and_the_others_are_ingested(
    calls: Write, take_in: TakeIn, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = calls({"a.csv": file_of(call(1)), "b.csv": file_of(call(2))})
    read = ingest_module.reader_of

    def grows(unit: object) -> object:
        path = project.directory / "landing" / "a.csv"
        if getattr(unit, "path", None) == path:
            with path.open("a") as more:
                more.write(call(9) + "\n")
        return read(unit)  # type: ignore[arg-type]

    monkeypatch.setattr(ingest_module, "reader_of", grows)
    summary = take_in(project)
    assert counts(summary) == [("b.csv", "taken", 1, 1, 0, 0)]
    assert "still growing" in str(summary.errors[0])
    monkeypatch.undo()
    assert counts(take_in(project))[0] == ("a.csv", "taken", 2, 2, 0, 0)


def test_a_source_with_an_idle_limit_causes_a_tick(calls: Write, take_in: TakeIn, query: Query) -> None:
    project = calls({"a.csv": file_of(call(1))}, settings='idle_after = "2d"')
    take_in(project)
    ticks = query(project, "SELECT through FROM lake.events.declaration WHERE kind = 'tick'")["through"].to_list()
    assert ticks == [datetime(2024, 6, 1, tzinfo=UTC)]


def test_only_the_named_sources_are_ingested(calls: Write) -> None:
    project = calls({"a.csv": file_of(call(1))})
    with pytest.raises(ConfigError, match="there is no source 'nope'; there are msc"):
        ingest(project, sources=["nope"])
    assert len(ingest(project, sources=["msc"], clock=lambda: datetime(2024, 6, 1, tzinfo=UTC)).units) == 1


def test_progress_is_reported_up_to_the_end_of_the_unit(calls: Write) -> None:
    messages: list[tuple[str, int, int]] = []

    class Listener:
        def update(self, unit: str, done_bytes: int, total_bytes: int) -> None:
            messages.append((unit, done_bytes, total_bytes))

    project = calls({"a.csv": file_of(call(1))})
    ingest(project, clock=lambda: datetime(2024, 6, 1, tzinfo=UTC), progress=Listener())
    size = (project.directory / "landing" / "a.csv").stat().st_size
    assert messages[-1] == ("landing/a.csv", size, size)
    assert all(0 <= done <= size for _, done, _ in messages)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ingest_module, "PART_RECORDS", 7)
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 64)
    yield


@pytest.mark.usefixtures("small_pieces")
def test_duplicates_are_found_across_parts_of_one_unit(calls: Write, take_in: TakeIn) -> None:
    lines = [call(n % 10) for n in range(40)]
    assert counts(take_in(calls({"a.csv": file_of(*lines)}))) == [("a.csv", "taken", 40, 10, 30, 0)]


def test_files_known_when_a_run_starts_are_looked_up_in_one_query(
    calls: Write, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = calls({name: f"id,caller,at,seconds\n{name},1,2024-05-01,1\n" for name in ("a.csv", "b.csv", "c.csv")})
    take_in(project)
    looked_up, ingested_units = list[str](), ingest_module.ingested_units

    def counted(lake: Lake, source: str) -> dict[str, IngestedParts]:
        looked_up.append(source)
        return ingested_units(lake, source)

    monkeypatch.setattr(ingest_module, "ingested_units", counted)
    assert [outcome[:2] for outcome in counts(take_in(project))] == [("a.csv", "known"), ("b.csv", "known"), ("c.csv", "known")]
    assert len(looked_up) == 1


def test_a_unit_is_complete_with_its_last_part_and_all_parts_before_it() -> None:
    assert IngestedParts({0: 5, 1: 3}, 1).is_complete
    assert not IngestedParts({0: 5, 2: 3}, 2).is_complete
    assert not IngestedParts({0: 5}).is_complete


@pytest.mark.parametrize("merges", [False, True])
def test_files_that_another_run_ingests_between_two_commits_are_known(merges: bool, calls: Write, query: Query) -> None:
    project = calls({f"{n}.csv": f"id,caller,at,seconds\n{n},c,2024-05-01 10:00:00,1\n" for n in range(4)})
    files, others = set[str](), list[IngestSummary]()

    def now() -> datetime:
        return datetime(2024, 6, 1, tzinfo=UTC)

    class OtherRun:
        """Ingests all files except the last, while the observed run reads its second file; afterwards the call may merge files."""

        def update(self, unit: str, done_bytes: int, total_bytes: int) -> None:
            files.add(unit)
            if len(files) == 2 and not others:
                others.append(ingest(project, clock=now, choose=lambda source, path: path.name != "3.csv"))
                assert not merges or maintain(project, clock=now).merged

    first = ingest(project, clock=now, progress=OtherRun())
    assert [unit.outcome for unit in first.units] == ["taken", "known", "known", "taken"]
    assert [unit.outcome for unit in others[0].units] == ["known", "taken", "taken"]
    assert query(project, "SELECT count(*) n FROM lake.events.usage").item() == 4
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake, only=("counts", "chains", "units", "positions")).sound
