"""Bounds of one question, the message of each exceeded bound, and answers larger than memory."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from trueup.cli import main
from trueup.config import Project, SqlConfig, parse
from trueup.errors import ConfigError, QueryError
from trueup.warehouse.access import bounds as bounding
from trueup.warehouse.access.bounds import PART_WEIGHT, TimeLimit, bounds_of, naming_limits, parts, size_text, time_text
from trueup.warehouse.query import run
from trueup.workbench.pages.sql import ask

SHORT = SqlConfig(timeout="300ms")
SMALL = SqlConfig(memory="64MiB")
ENDLESS = "select count(*) from range(10_000_000) a, range(10_000_000) b"


def failure(project: Project, query: str, bounds: SqlConfig | None = None) -> str:
    """Return the one line about a query that fails."""
    with pytest.raises(QueryError) as raised, run(project, query, bounds=bounds) as answer:
        for _ in answer.rows():
            pass
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    "query",
    [ENDLESS, "select * from range(10_000_000_000_000)", "select * from range(10_000_000_000_000) t(i) where i + 1 < 0"],
    ids=["before the first row", "while rows are read", "in search of a row"],
)
def test_a_query_is_interrupted_at_its_time_limit(project: Project, query: str) -> None:
    assert failure(project, query, SHORT) == (
        "the query takes longer than its time limit of 300ms; ask for less, or raise --timeout, or `timeout` of [sql] in trueup.toml"
    )


def test_rows_read_too_slowly_end_at_the_time_limit_too(project: Project) -> None:
    with run(project, "select * from range(1_000_000)", bounds=SHORT) as answer:
        rows = answer.rows()
        assert next(rows) == (0,)
        assert answer.time_limit is not None
        while not answer.time_limit.is_over:
            threading.Event().wait(0.01)
        with pytest.raises(QueryError, match="time limit of 300ms"):
            next(rows)


def test_a_query_within_its_time_limit_succeeds_and_leaves_no_thread(project: Project) -> None:
    with run(project, "select sum(i) from range(1000) t(i)") as answer:
        assert list(answer.rows()) == [(499_500,)]
        assert "time limit" in {thread.name for thread in threading.enumerate()}
    assert "time limit" not in {thread.name for thread in threading.enumerate()}


def test_a_query_that_no_interrupt_reaches_is_reported_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounding, "OVERDUE_AFTER_S", -1)
    called: list[QueryError] = []
    with pytest.raises(QueryError), run(project, ENDLESS, bounds=SHORT, overdue=called.append):
        pass
    assert ["time limit of 300ms" in str(error) for error in called] == [True]


@pytest.mark.slow
def test_the_command_ends_even_within_a_function_that_no_interrupt_reaches(project: Project) -> None:
    query = "select levenshtein(repeat('a', 1_000_000), repeat('b', 1_000_000))"
    command = [sys.executable, "-m", "trueup.cli", "sql", query, "--timeout", "200ms", "--project", str(project.directory)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("trueup: the query takes longer than its time limit of 200ms;") and ended.stderr.count("\n") == 1


def test_memory_and_temporary_files_have_limits_of_their_own(project: Project) -> None:
    assert failure(project, "select list(i) from range(100_000_000) t(i)", SMALL) == (
        "the query needs more than its memory limit of 64MiB; ask for less, or raise --memory, or `memory` of [sql] in trueup.toml"
    )
    spilling = SMALL.model_copy(update={"temp": 1 << 20})
    assert failure(project, "select i from range(3_000_000) t(i) order by hash(i) limit 2_500_000", spilling) == (
        "the query needs more than its limit of 1MiB for temporary files; "
        "ask for less, raise --memory so that less is spilled, or raise `temp` of [sql] in trueup.toml"
    )


def test_a_query_that_spills_within_the_limits_is_answered(project: Project) -> None:
    with run(project, "select i from range(3_000_000) t(i) order by hash(i) limit 2_500_000", bounds=SMALL) as answer:
        assert next(answer.rows())


def test_a_full_disk_is_reported_as_such() -> None:
    error = duckdb.IOException('IO Error: Could not write file "/tmp/x": No space left on device')
    time_limit = TimeLimit(duckdb.connect(), SMALL)
    message = "no space left on the disk for the query's temporary files; set TMPDIR"
    with pytest.raises(QueryError, match=message), naming_limits(SMALL, time_limit):
        raise error


def test_an_error_unrelated_to_limits_is_reported_unchanged(project: Project) -> None:
    assert failure(project, "select case when i = 9_000 then error('Out of Memory Error') else i end from range(10_000) t(i)") == (
        "Invalid Input Error: Out of Memory Error; correct the query"
    )


def test_an_answer_larger_than_any_memory_is_read_row_by_row(project: Project) -> None:
    with run(project, "select i, i::varchar from range(10_000_000_000) t(i)", bounds=SMALL) as answer:
        rows = answer.rows()
        assert [next(rows) for _ in range(5_000)][-1] == (4_999, "4999")


def test_one_row_larger_than_the_memory_is_refused(project: Project) -> None:
    assert failure(project, "select range(500_000) as numbers", SMALL).startswith(
        "one row takes some 80.5MiB, more than the memory limit of 64MiB; select less of it, or raise --memory"
    )


def test_rows_that_the_page_holds_at_once_fit_into_the_memory(project: Project) -> None:
    small = Project(project.directory, project.config.model_copy(update={"sql": SMALL}))
    for rows in (5_000, 3_000):
        answered = ask(small, f"SELECT n FROM range({rows}) t(n) ORDER BY n", 3_000)
        assert (answered.rows, answered.has_more) == ([(number,) for number in range(3_000)], rows > 3_000)
    with pytest.raises(QueryError, match=r"the first 1,000 rows take some .*, more than the memory limit of 64MiB"):
        ask(small, "SELECT repeat('x', 100_000) FROM range(1_000)", 1_000)


def test_memory_that_duckdb_does_not_count_is_bounded_in_the_command(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    query = "select length(repeat('x' || i, 1_900_000_000)) from range(2) t(i)"
    assert main(["sql", query, "--memory", "64MiB", "--project", str(project.directory)]) == 2
    assert "memory limit of 64MiB" in capsys.readouterr().err
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_batch_is_turned_into_values_in_parts_that_lose_nothing() -> None:
    batch = pa.RecordBatch.from_pydict({
        "text": pa.array(["ä" * 100_000] * 40 + [None] * 60),
        "list": pa.array([[n] * 2_000 for n in range(100)]),
        "map": pa.array([[("k", n)] for n in range(100)], pa.map_(pa.string(), pa.int64())),
        "struct": pa.array([{"a": [n, None]} for n in range(100)]),
        "enum": pa.array(["voice", "sms"] * 50).dictionary_encode(),
    })  # fmt: skip
    split = list(parts(batch, SqlConfig()))
    assert pa.Table.from_batches(split).equals(pa.Table.from_batches([batch]))
    assert len(split) > 2
    assert all(bounding._estimate_bytes(column) <= PART_WEIGHT for part in split for column in part.columns)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--timeout", "0", "invalid duration '0'; write a number and a unit"),
        ("--timeout", "0s", "a time limit of '0s' would stop every query; write one such as '30s' or '5m'"),
        ("--timeout", "-5s", "invalid duration '-5s'"),
        ("--timeout", "soon", "invalid duration 'soon'"),
        ("--memory", "5x", "invalid size '5x'; write a number and a unit, such as '512MiB' or '2GiB'"),
        ("--memory", "", "invalid size ''"),
        ("--memory", "0", "'0' is not between 64MiB and 1PiB"),
        ("--memory", "-2GiB", "invalid size '-2GiB'"),
        ("--memory", "9e9GiB", "invalid size '9e9GiB'"),
        ("--memory", "9999999PiB", "'9999999PiB' is not between 64MiB and 1PiB"),
    ],
)
def test_an_invalid_limit_is_refused_with_its_option(
    project: Project, capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:
    assert main(["sql", "select 1", option, value, "--project", str(project.directory)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"trueup: {message}") and printed.err.endswith(f"({option})\n")


def test_an_option_overrides_the_limits_of_the_project() -> None:
    config = parse('[sql]\ntimeout = "30s"\nmemory = "512MB"\ntemp = "1GiB"\nthreads = 2\n').sql
    assert (config.timeout, config.memory, config.temp, config.threads) == (30_000_000, 512_000_000, 1 << 30, 2)
    overridden = bounds_of(config, timeout="2h", memory="4GiB")
    assert (overridden.timeout, overridden.memory, overridden.temp, overridden.threads) == (7_200_000_000, 4 << 30, 1 << 30, 2)
    assert bounds_of(config) == config
    with pytest.raises(
        ConfigError, match=r"sql\.timeout: a time limit of '0s' would stop.*sql\.memory: invalid size '5x'.*sql\.threads"
    ):
        parse('[sql]\ntimeout = "0s"\nmemory = "5x"\nthreads = 0\n')


def test_the_limits_of_the_project_apply_without_an_option(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(project.directory, "trueup.toml")
    path.write_text(path.read_text("utf-8") + '\n[sql]\ntimeout = "200ms"\n', "utf-8")
    assert main(["sql", ENDLESS, "--project", str(project.directory)]) == 2
    printed = capsys.readouterr()
    assert "time limit of 200ms" in printed.err and printed.err.count("\n") == 1


@pytest.mark.parametrize(("limit_us", "text"), [(300_000_000, "5m"), (90_000_000, "90s"), (1, "1us"), (172_800_000_000, "2d")])
def test_a_time_limit_and_a_size_are_written_in_their_largest_unit(limit_us: int, text: str) -> None:
    assert time_text(limit_us) == text
    assert [size_text(size) for size in (2 << 30, 64 << 20, 5 * 10**8, 123)] == ["2GiB", "64MiB", "500MB", "123B"]


def test_a_table_shows_a_thousand_rows_with_a_notice_and_other_formats_write_all(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(query: str, *options: str) -> list[str]:
        assert main(["sql", query, *options, "--project", str(project.directory)]) == 0
        return capsys.readouterr().out.splitlines()

    cut = "only the first 1000 rows are shown; --format csv or json writes all"
    assert printed("from range(1001)")[-2:] == ["  999", cut]
    assert printed("from range(1000)")[-1] == "  999"
    assert printed("select repeat('x', 1_500_000) from range(3)")[-1] == cut.replace("1000 rows", "1 row")
    assert len(printed("from range(1001)", "--format", "csv")) == 1002
    assert len(json.loads("".join(printed("from range(1001)", "--json")))) == 1001
