"""Commands on projects with problems."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trueup.cli import main
from trueup.collect.ingest import ingest
from trueup.collect.watch import Watch
from trueup.config import Project
from trueup.errors import ConfigError
from trueup.log.lake import Lake
from trueup.project_checks.check import project_problems
from trueup.project_checks.log_summary import LogSummary, OtherZones, SameContent, summarise_log

NOW = "2024-03-05T00:00:00+00:00"
TOML = """
[project]
timezone = "UTC"
currency = "EUR"

[[source]]
name = "msc"
stream = "usage"
path = "landing/msc/*.csv"
columns = { record_key = "id", session_key = "id", subscriber = "caller", started_at = "start", quantity = "seconds", service = "service" }

[[source]]
name = "billing"
stream = "charge"
path = "landing/billing/*.csv"
[source.columns]
record_key = "line"
session_key = "id"
subscriber = "caller"
service = "service"
started_at = "start"
amount = "amount"
currency = "currency"

[reconcile.voice]
price = "1"
[reconcile.incoming]
price = "0"
"""
USAGE = "id,caller,start,seconds,service\nu1,A,2024-03-01T10:00:00Z,3,voice\nu2,A,2024-03-01T10:05:00Z,5,incoming\n"
CHARGES = "line,id,caller,service,start,amount,currency\nc1,u1,A,voice,2024-03-01T10:00:00Z,3,EUR\n"


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_NOW", NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project")


def write_project(folder: Path, toml: str = TOML) -> Path:
    for name, text in {"msc/a.csv": USAGE, "billing/b.csv": CHARGES}.items():
        (folder / "landing" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "landing" / name).write_text(text, "utf-8")
    (folder / "trueup.toml").write_text(toml, "utf-8")
    return folder


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return command


def test_nothing_is_collected_while_two_sources_read_one_file(run: Run, folder: Path) -> None:
    write_project(folder, TOML.replace("landing/billing/*.csv", "landing/*/*.csv"))
    for command in (["run"], ["ingest"], ["ingest", "billing"], ["ingest", "--watch"], ["reconcile"]):
        status, out, err = run(*command, "--project", folder)
        assert (status, out, err.count("\n")) == (2, "", 1), (command, err)
        assert err.startswith("trueup: sources msc and billing read the same file (landing/msc/a.csv); give each source")
    assert not (folder / "lake").exists()


def test_a_watch_ends_when_a_file_of_two_sources_lands(folder: Path) -> None:
    write_project(folder, TOML.replace("landing/billing/*.csv", "landing/*/b*.csv"))
    project = Project.load(folder)
    watch = Watch(project, clock=lambda: datetime(2024, 3, 5, tzinfo=UTC))
    assert watch.look() is not None
    (folder / "landing/msc/b2.csv").write_text(USAGE.replace("u1", "u9"), "utf-8")
    with pytest.raises(ConfigError, match="msc and billing read the same file"):
        watch.look()
    with Lake.open(project, read_only=True) as lake:
        assert lake.count("usage") == 2


def test_a_shared_path_of_a_source_that_is_not_collected_needs_no_variable(run: Run, folder: Path) -> None:
    write_project(folder, TOML.replace("landing/billing/*.csv", "${TRUEUP_NOT_SET}/*.csv"))
    assert run("ingest", "msc", "--project", folder)[0] == 0
    status, _, err = run("ingest", "--project", folder)
    assert (status, err.count("\n")) == (2, 1)
    assert "TRUEUP_NOT_SET is not set" in err


def test_a_pattern_without_a_file_is_a_notice_and_fails_a_check(run: Run, folder: Path) -> None:
    assert run("ingest", "--project", folder)[0] == 0
    write_project(folder, TOML.replace("landing/billing/*.csv", "landing/bills/*.csv"))
    line = "notice: no file matches landing/bills/*.csv ([[source]] billing); correct `path` of source billing, or have the files delivered\n"
    assert run("ingest", "--project", folder)[2] == line
    status, _, err = run("status", "--project", folder)
    assert (status, err) == (0, line)
    status, out, err = run("status", "--check", "--json", "--project", folder)
    assert (status, err) == (1, line)
    assert [(p["rule"], p["severity"], p["where"]) for p in json.loads(out)["problems"]] == [
        ("empty-pattern", "notice", "[[source]] billing")
    ]
    assert run("status", "--as-of", "1", "--check", "--project", folder)[0] == 0


def test_a_folder_that_vanished_is_an_error_until_it_is_back(run: Run, folder: Path) -> None:
    assert run("ingest", "--project", folder)[0] == 0
    (folder / "landing/msc").rename(folder / "unmounted")
    (folder / "landing/billing/b2.csv").write_text(CHARGES.replace("c1", "c2"), "utf-8")
    said = "the folder of source msc does not exist any more, although files of it were ingested (landing/msc); mount it again"
    status, out, err = run("ingest", "--project", folder)
    assert (status, err.count("\n")) == (2, 1) and err.startswith(f"trueup: {said}")
    assert "ingested 1 file, 1 record: 1 accepted" in out
    status, out, err = run("status", "--check", "--json", "--project", folder)
    assert (status, err.startswith(f"warning: {said}")) == (1, True)
    assert [(p["rule"], p["severity"], p["where"]) for p in json.loads(out)["problems"]] == [
        ("vanished-folder", "warning", "landing/msc")
    ]
    status, out, _ = run("doctor", "--project", folder)
    assert (status, "does not exist any more" in out) == (1, True)
    (folder / "unmounted").rename(folder / "landing/msc")
    assert run("ingest", "--project", folder)[::2] == (0, "")


def test_a_folder_that_cannot_be_read_is_an_error_and_other_files_are_ingested(run: Run, folder: Path) -> None:
    (folder / "landing/msc").rename(folder / "landing/old")
    (folder / "landing/msc").symlink_to("msc")
    said = (
        "a path of source msc cannot be read: Too many levels of symbolic links, so files in it may be missing (landing/msc); give"
    )
    status, out, err = run("ingest", "--project", folder)
    assert (status, err.count("\n")) == (2, 1) and err.startswith(f"trueup: {said}")
    assert "ingested 1 file, 1 record: 1 accepted" in out
    status, out, err = run("status", "--check", "--json", "--project", folder)
    assert (status, err.startswith(f"warning: {said}")) == (1, True)
    assert [p["rule"] for p in json.loads(out)["problems"] if p["severity"] == "warning"] == ["unreadable-path"]
    status, out, _ = run("doctor", "--project", folder)
    assert (status, said in out) == (1, True)


def test_a_folder_that_does_not_exist_yet_is_no_error(run: Run, folder: Path) -> None:
    (folder / "landing/msc").rename(folder / "landing/later")
    assert run("ingest", "--project", folder)[0] == 0


def test_status_shows_the_state_of_a_project_with_an_error(run: Run, folder: Path) -> None:
    assert run("ingest", "--project", folder)[0] == 0
    write_project(folder, TOML.replace('currency = "EUR"', 'currency = "EURO"', 1))
    status, out, err = run("status", "--json", "--project", folder)
    assert (status, err.count("\n")) == (2, 1)
    assert json.loads(out)["position"] > 0
    assert "'EURO' is not a currency of ISO 4217 ([project] currency)" in err


def test_a_sound_project_prints_no_problem_and_passes_its_checks(run: Run, folder: Path) -> None:
    status, out, err = run("ingest", "--json", "--project", folder)
    assert (status, json.loads(out)["problems"], err) == (0, [], "")
    reconcile_all(folder)
    status, out, err = run("status", "--check", "--json", "--project", folder)
    assert (status, json.loads(out)["problems"], err) == (0, [], "")


def test_a_tariff_in_another_currency_than_all_charges_is_reported_before_reconciliation(run: Run, folder: Path) -> None:
    (folder / "landing/billing/b.csv").write_text(CHARGES.replace("EUR", "USD"), "utf-8")
    assert run("ingest", "--project", folder)[0] == 0
    status, _, err = run("status", "--project", folder)
    assert (status, err.count("\n")) == (0, 1)
    assert "service voice is priced in EUR, but all its charges in the log are in USD" in err


# --- the summary of the log -------------------------------------------------------------------------------------------


def summary(folder: Path, most_records: int | None = None) -> LogSummary:
    project = Project.load(folder)
    with Lake.open(project, read_only=True) as lake:
        return summarise_log(lake, project, most_records=most_records)


def reconcile_all(folder: Path) -> None:
    from trueup.reconcile.log_io.commit import commit_outcome
    from trueup.reconcile.log_io.load import frontier_of
    from trueup.reconcile.run_partition import bucket_ranges, reconcile_partition

    project = Project.load(folder)
    with Lake.open(project) as lake:
        after, upto = lake.consumer_position("reconcile"), lake.last_position()
        (buckets,) = bucket_ranges(project.config.lake.buckets, 1)
        outcome = reconcile_partition(lake, frontier_of(lake, upto), buckets, after=after, upto=upto)
        commit_outcome(lake, outcome, after=after, upto=upto, all_days=True)


def test_the_summary_is_the_same_before_and_after_reconciliation(folder: Path) -> None:
    write_project(folder, TOML + "[reconcile.sms]\nprice = '1'\n")
    ingest(Project.load(folder))
    waiting = summary(folder)
    assert waiting.used == {"voice", "incoming"}
    assert waiting.billed == {"voice": {"EUR"}}
    assert waiting.unseen == ("sms",)
    assert {name: (b.stream, b.accepted, b.closed) for name, b in waiting.sources.items()} == {
        "msc": ("usage", 2, False), "billing": ("charge", 1, False),
    }  # fmt: skip
    assert summary(folder, most_records=2).used == frozenset()
    assert summary(folder, most_records=2).unseen == ("sms",)
    reconcile_all(folder)
    # Free usage leaves no sum in the ledger. The records show that the service has usage.
    assert summary(folder, most_records=0).used == {"voice"}
    assert (summary(folder).billed, summary(folder).unseen) == (waiting.billed, waiting.unseen)


STATES = """
[[source]]
name = "crm"
stream = "subscriber"
path = "landing/crm/*.csv"
identity = "content"
[source.columns]
subscriber = "caller"
status = "status"
valid_from = "since"
timezone = "zone"
[source.constants]
system = "billing"
"""


def test_the_summary_counts_subscriptions_of_another_zone_than_the_project(folder: Path) -> None:
    write_project(folder, TOML + STATES)
    rows = [f"{caller},active,2024-01-01,{zone}" for caller, zone in (("A", "UTC"), ("B", ""), ("C", "Asia/Makassar"))]
    (folder / "landing/crm").mkdir()
    (folder / "landing/crm/states.csv").write_text("\n".join(["caller,status,since,zone", *rows, ""]), "utf-8")
    ingest(Project.load(folder))
    assert summary(folder).other_zones == OtherZones(1, "Asia/Makassar")


def test_the_summary_includes_records_after_reconciliation(folder: Path) -> None:
    ingest(Project.load(folder))
    reconcile_all(folder)
    (folder / "landing/msc/late.csv").write_text(USAGE.replace("u1", "u5").replace("voice", "Voice"), "utf-8")
    (folder / "landing/billing/late.csv").write_text(CHARGES.replace("c1", "c5").replace("EUR", "USD"), "utf-8")
    ingest(Project.load(folder))
    assert summary(folder).used == {"voice", "Voice"}
    assert summary(folder).billed == {"voice": {"EUR", "USD"}}


def test_the_same_bytes_from_two_sources_are_reported(run: Run, folder: Path) -> None:
    toml = TOML + TOML[TOML.index("[[source]]") : TOML.index('[[source]]\nname = "billing"')].replace("msc", "copy")
    write_project(folder, toml)
    (folder / "landing/copy").mkdir()
    shutil.copy(folder / "landing/msc/a.csv", folder / "landing/copy/z.csv")
    status, _, err = run("ingest", "--project", folder)
    assert (status, err.count("\n")) == (0, 1)
    assert "sources copy and msc have each collected a file of the same content (landing/copy/z.csv)" in err
    assert summary(folder).same_content == (SameContent("copy", "msc", 1, "landing/copy/z.csv"),)


# --- currencies of records --------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    "csv": lambda path, rows: path.write_text(
        "\n".join([",".join(rows[0]), *(",".join(str(v) for v in row.values()) for row in rows)]) + "\n", "utf-8"
    ),
    "ndjson": lambda path, rows: path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8"),
    "parquet": lambda path, rows: __import__("polars").DataFrame(rows).write_parquet(path),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("further", [(), ("points",)])
def test_a_charge_in_an_unknown_currency_goes_to_quarantine_alone(folder: Path, form: str, further: tuple[str, ...]) -> None:
    toml = TOML.replace('path = "landing/billing/*.csv"', f'path = "landing/billing/b.{form}"\nformat = "{form}"')
    write_project(folder, toml.replace('currency = "EUR"\n', f'currency = "EUR"\nfurther_currencies = {list(further)}\n', 1))
    names = CHARGES.splitlines()[0].split(",")
    rows = [
        dict(zip(names, [f"c{n}", "u1", "A", "voice", "2024-03-01T10:00:00Z", "3", code], strict=True))
        for n, code in enumerate(["EUR", "euro", "HRK", "XXX", "points", ""])
    ]
    FORMS[form](folder / f"landing/billing/b.{form}", rows)
    billing = ingest(Project.load(folder), sources=["billing"])
    assert billing.errors == []
    with Lake.open(Project.load(folder), read_only=True) as lake:
        refused = lake.connection.execute("SELECT reason, rule FROM lake.events.quarantine ORDER BY source_row").fetchall()
        taken = lake.connection.execute("SELECT currency FROM lake.events.charge ORDER BY record_key").fetchall()
    bad = 3 - len(further)
    assert refused == [("unknown_currency", "currency: is a currency of ISO 4217")] * bad
    assert taken == [("EUR",), ("HRK",), *((code,) for code in further), ("EUR",)]


def test_a_tariff_row_in_an_unknown_currency_goes_to_quarantine(folder: Path) -> None:
    write_project(folder, TOML + '[[source]]\nname = "book"\nstream = "tariff"\npath = "book.csv"\nidentity = "content"\n')
    (folder / "book.csv").write_text(
        "item,service,valid_from,currency,to_currency,price\n"
        "rate,voice,2024-01-01,EUR,,1\nrate,sms,2024-01-01,EURO,,1\nexchange,,2024-01-01,EUR,US$,2\n", "utf-8"
    )  # fmt: skip
    (unit,) = ingest(Project.load(folder), sources=["book"]).units
    assert (unit.accepted, unit.quarantined) == (1, 2)


def test_rate_refuses_an_unknown_currency(run: Run, folder: Path) -> None:
    book = folder / "book.csv"
    book.write_text("item,service,valid_from,currency,price\nrate,voice,2024-01-01,SDR,1\n", "utf-8")
    ask = ["rate", "--book", book, "--service", "voice", "--start", "2024-03-01", "--quantity", "1", "--project", folder]
    assert "unknown_currency" in run(*ask)[2]
    write_project(folder, TOML.replace('currency = "EUR"\n', 'currency = "EUR"\nfurther_currencies = ["SDR"]\n', 1))
    assert run(*ask, "--currency", "SDR")[0] == 0
    status, _, err = run(*ask, "--currency", "sdr")
    assert (status, err.count("\n")) == (2, 1)
    assert "'sdr' is not a currency of ISO 4217 (--currency); write SDR" in err


# --- sound projects ---------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]


def test_the_template_has_no_error(run: Run, tmp_path: Path) -> None:
    assert run("init", tmp_path / "new")[0] == 0
    status, _, err = run("status", "--project", tmp_path / "new")
    assert (status, err) == (0, "warning: the project has no source (trueup.toml); describe each feed in a [[source]] table\n")


def test_a_simulated_project_has_no_problem(run: Run, tmp_path: Path) -> None:
    assert run("simulate", tmp_path, "--subscribers", 3, "--days", 1)[0] == 0
    assert project_problems(Project.load(tmp_path), collects=True) == []


@pytest.mark.parametrize(
    ("example", "file", "rules"),
    [("asterisk", "cdr.csv", ["one-sided"]), ("wholesale", "network_usage_raw.csv", [])],
)
def test_the_examples_have_only_their_known_problems(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: str, file: str, rules: list[str]
) -> None:
    (tmp_path / file).write_text("", "utf-8")
    monkeypatch.setenv(f"{example.upper()}_DATA", str(tmp_path))
    project = Project.load(ROOT / "examples" / example)
    assert [p.rule for p in project_problems(project, log=LogSummary(), collects=True)] == rules


def test_the_checks_import_no_engine() -> None:
    import subprocess
    import sys

    code = (
        "import sys; import trueup.project_checks.check;"
        "heavy = {'apache_beam', 'pyflink', 'great_expectations', 'xgboost'} & set(sys.modules); assert not heavy, heavy"
    )
    path = ":".join(str(ROOT / folder) for folder in ("pipelines", "models", "expectations", "sql"))
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": path})
