"""The commands on a tiny project, from ingestion to publication."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from typer.main import get_command

from trueup.config import Project
from trueup.log.lake import Lake

Invoke = Callable[..., Any]
NOW = "2024-03-05T00:00:00+00:00"

# Beam and its imports use deprecated functions.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def test_usage_without_a_charge_is_found_with_its_money(invoke: Invoke, done: Path) -> None:
    query = "select kind, impact, usage_event_id is not null as member from findings where status = 'open' order by kind"
    result = invoke("sql", query, "--format", "json", "--project", done)
    assert parsed(result.out) == [
        {"kind": "unbilled", "impact": Decimal("100.000000"), "member": True},
        {"kind": "underbilled", "impact": Decimal("34.750000"), "member": True},
    ]
    assert (result.status, result.err) == (0, "")


def test_formats_of_sql_are_exact(invoke: Invoke, done: Path) -> None:
    query = "select 1.50::decimal(38,6) as x, null as n, date '2024-03-01' as d, [1, 2] as l"
    assert invoke("sql", query, "--format", "csv", "--project", done).out == 'x,n,d,l\n1.500000,,2024-03-01,"[1, 2]"\n'
    as_json = invoke("sql", query, "--json", "--project", done).out
    assert as_json == '[\n{"x": 1.500000, "n": null, "d": "2024-03-01", "l": [1, 2]}\n]\n'
    assert "1.500000" in invoke("sql", query, "--project", done).out
    assert invoke("sql", "select 1 where false", "--json", "--project", done).out == "[]\n"


def test_a_query_plan_is_printed_unchanged(invoke: Invoke, done: Path) -> None:
    result = invoke("sql", "explain select count(*) from findings", "--project", done)
    assert result.status == 0
    assert "DUCKLAKE_SCAN" in result.out


def test_sql_refuses_anything_but_one_select_in_one_line(invoke: Invoke, done: Path, tmp_path: Path) -> None:
    for query in (f"copy (select 1) to '{tmp_path}/x'", "select 1; select 2", "from read_text('/etc/hostname')"):
        result = invoke("sql", query, "--project", done)
        assert (result.status, result.out, result.err.count("\n")) == (2, "", 1), query
    assert not (tmp_path / "x").exists()


def test_as_of_before_the_closing_no_usage_was_unbilled(invoke: Invoke, done: Path) -> None:
    result = invoke(
        "sql", "select count(*) as n from findings where kind = 'unbilled'", "--as-of", "3", "--json", "--project", done
    )
    assert result.out == '[\n{"n": 0}\n]\n'


def test_findings_are_listed_by_money_and_filtered(invoke: Invoke, done: Path) -> None:
    result = invoke("findings", "--status", "open", "--from", "2024-03-01", "--to", "2024-03-01", "--project", done)
    assert result.status == 0
    assert result.out.index("unbilled") < result.out.index("underbilled")
    assert "2 findings open or confirmed, impact 134.75 IDR" in result.out
    rows = parsed(invoke("findings", "--kind", "unbilled", "--limit", "1", "--json", "--project", done).out)
    assert [(row["kind"], row["billed"]) for row in rows] == [("unbilled", Decimal(0))]
    assert "no findings" in invoke("findings", "--service", "sms", "--project", done).out


def test_a_finding_is_explained_down_to_the_bytes_of_its_records(invoke: Invoke, done: Path) -> None:
    finding = parsed(invoke("findings", "--kind", "underbilled", "--json", "--project", done).out)[0]
    result = invoke("explain", finding["finding_id"][:12], "--project", done).out
    assert "expected = 55: 1 usage record of 5.5 units in all x 10 per 1" in result
    assert "billed   = 20.25: one charge" in result
    assert "landing/msc/a.csv, record 2, bytes 81 to" in result
    event = parsed(invoke("explain", finding["charge_event_id"], "--json", "--project", done).out)
    assert (event["event"]["record_key"], event["findings"][0]["finding_id"]) == ("c3", finding["finding_id"])


def test_status_balances_and_every_audit_passes(invoke: Invoke, done: Path) -> None:
    result = invoke("status", "--check", "--json", "--project", done)
    found = parsed(result.out)
    assert result.status == 0
    assert found["lag"] == 0
    assert {s["source"]: (s["accepted"], s["quarantined"]) for s in found["sources"]} == {"msc": (3, 1), "billing": (2, 0)}
    assert [m["difference"] for m in found["money"]] == [Decimal(0)]
    assert all(audit["passed"] for audit in found["audits"])


def test_the_records_of_a_finding_are_proven_from_the_raw_files(invoke: Invoke, done: Path) -> None:
    finding = parsed(invoke("findings", "--kind", "underbilled", "--json", "--project", done).out)[0]
    result = invoke("verify", finding["finding_id"], "--json", "--project", done)
    assert result.status == 0
    results = parsed(result.out)
    assert {(r["stream"], r["verdict"]) for r in results} == {("usage", "proven"), ("charge", "proven")}
    assert b"u3,A2,2024-03-01 10:10:00,5.5" in {bytes.fromhex(r["raw"]).rstrip() for r in results}


def test_a_changed_byte_in_a_raw_file_is_noticed(invoke: Invoke, copied: Path) -> None:
    result = invoke("verify", "--project", copied)
    assert (result.status, result.out.splitlines()[-1]) == (0, "verified: the log agrees with everything that was recomputed")
    file = copied / "landing/msc/a.csv"
    file.write_text(file.read_text("utf-8").replace("yesterday", "yesterdax"), "utf-8")
    result = invoke("verify", "--project", copied)
    assert result.status == 1
    assert "(landing/msc/a.csv): the file's bytes are not those that were ingested" in result.out
    assert result.out.splitlines()[-1] == "1 fault: 1 tampered, 0 unavailable"


def test_raw_names_an_archive_of_files_that_left_the_landing_folder(invoke: Invoke, copied: Path, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (copied / "landing/msc/a.csv").rename(tmp_path / "archive/0001")
    result = invoke("verify", "--json", "--project", copied)
    assert (result.status, parsed(result.out)["unavailable"], parsed(result.out)["tampered"]) == (1, 1, 0)
    assert invoke("verify", "--raw", tmp_path / "archive", "--project", copied).status == 0
    assert invoke("verify", "--raw", tmp_path / "nowhere", "--project", copied).status == 2


def test_digests_of_stored_and_recomputed_findings_agree(invoke: Invoke, done: Path) -> None:
    stored = parsed(invoke("digest", "--json", "--project", done).out)
    derived = parsed(invoke("digest", "--recompute", "plain", "--json", "--project", done).out)
    assert (stored["state"], stored["history"]) == (derived["state"], derived["history"])
    assert len(stored["state"]) == 64
    earlier = parsed(invoke("digest", "--as-of", "3", "--json", "--project", done).out)
    assert earlier["state"] != stored["state"]


def test_repeating_every_command_adds_nothing(invoke: Invoke, copied: Path) -> None:
    before = invoke("digest", "--project", copied).out
    assert "nothing new; 2 files already ingested" in invoke("ingest", "--project", copied).out
    assert "nothing changed" in invoke("reconcile", "--project", copied).out
    again = invoke("close", "--source", "msc", "--through", "2024-03-01", "--project", copied)
    assert (again.status, "nothing changed" in again.out) == (0, True)
    assert invoke("digest", "--project", copied).out == before


def test_a_run_limited_to_days_announces_the_other_days_only_where_it_leaves_some(invoke: Invoke, copied: Path) -> None:
    days = ("--from", "2024-03-01", "--to", "2024-03-01", "--project", copied)
    assert invoke("reconcile", *days).out == "already reconciled up to position 7; nothing changed\n"
    assert invoke("close", "--source", "msc", "--through", "2024-03-02", "--project", copied).status == 0
    limited = invoke("reconcile", *days).out
    assert limited.startswith("reconciled positions 8 to 8: ")
    assert limited.endswith("; only these days, the next run reconciles the others\n")
    assert "days" not in invoke("reconcile", "--project", copied).out


def test_the_published_file_holds_the_views(done: Path) -> None:
    with duckdb.connect(str(done / "leakage.duckdb"), read_only=True) as file:
        assert file.execute("SELECT sum(impact) FROM leakage_by_day").fetchone() == (Decimal("134.750000"),)


def test_a_decision_is_recorded_without_a_change_of_the_digest(invoke: Invoke, copied: Path) -> None:
    before = invoke("digest", "--project", copied).out
    finding = parsed(invoke("findings", "--kind", "unbilled", "--json", "--project", copied).out)[0]
    decision = ("dismissed", "--note", "a test call", "--by", "ann")
    result = invoke("decide", finding["finding_id"], *decision, "--json", "--project", copied)
    assert parsed(result.out)["decision"] == "dismissed"
    assert "dismissed by ann: a test call" in invoke("explain", finding["finding_id"], "--project", copied).out
    assert invoke("digest", "--project", copied).out == before


def test_maintain_merges_and_changes_no_digest(invoke: Invoke, copied: Path) -> None:
    before = invoke("digest", "--project", copied).out
    result = parsed(invoke("maintain", "--json", "--project", copied).out)
    assert result["merged"] > result["made"] > 0
    assert invoke("digest", "--project", copied).out == before
    assert invoke("verify", "--project", copied).status == 0


def test_maintain_repeats_until_it_is_interrupted(invoke: Invoke, copied: Path) -> None:
    before = invoke("digest", "--project", copied).out
    command = [sys.executable, "-m", "trueup.cli", "maintain", "--every", "100ms", "--json", "--project", str(copied)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        result: list[str] = []
        # All files are merged in the first round; later rounds find none.
        while sum('"made": 0' in line for line in result) < 2:
            result.append(process.stdout.readline())
            assert result[-1], "it ended by itself"
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(timeout=60) == 0
    assert invoke("digest", "--project", copied).out == before


def test_a_check_that_fails_is_exit_status_1(invoke: Invoke, copied: Path) -> None:
    row = pl.DataFrame({"position": [1], "service": ["voice"], "currency": ["IDR"], "expected_micros": [1]})
    with Lake.open(Project.load(copied)) as lake:
        lake.commit(lambda transaction: transaction.append("ledger", row))
    result = invoke("status", "--check", "--project", copied)
    assert result.status == 1
    assert "FAILED  conservation" in result.out


def test_status_check_runs_the_quick_half_of_verify(invoke: Invoke, copied: Path) -> None:
    assert parsed(invoke("status", "--check", "--json", "--project", copied).out)["proof"]["sound"] is True
    with Lake.open(Project.load(copied)) as lake:
        lake.connection.execute("UPDATE lake.events.declaration SET through = through + INTERVAL 1 DAY WHERE source = 'msc'")
    result = invoke("status", "--check", "--project", copied)
    assert result.status == 1
    assert "TAMPERED    table declaration: 1 rows are marked as deleted" in result.out


def test_init_makes_a_project_that_runs_and_refuses_to_make_it_twice(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("init", tmp_path / "new").status == 0
    result = invoke("status", "--json", "--project", tmp_path / "new")
    assert parsed(result.out)["position"] == 0
    again = invoke("init", tmp_path / "new")
    assert (again.status, again.err.count("\n")) == (2, 1)


def test_simulate_writes_a_project(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("simulate", tmp_path / "op", "--subscribers", 3, "--days", 1, "--seed", 7, "--json")
    assert result.status == 0
    assert parsed(result.out)["seed"] == 7
    assert (tmp_path / "op/trueup.toml").exists()
    assert (tmp_path / "op/truth.parquet").exists()


def test_a_reader_that_closes_the_pipe_early_causes_no_error(done: Path) -> None:
    command = [sys.executable, "-m", "trueup.cli", "sql", "select * from range(2000000)", "--format", "csv", "--project", str(done)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_build_environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"range\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def _build_environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())}


@pytest.mark.parametrize("command", ["run", "ingest"])
def test_help_of_a_command_imports_no_engine(invoke: Invoke, command: str) -> None:
    before = set(sys.modules)
    assert invoke(command, "--help").status == 0
    assert not any(name.split(".")[0] in ("apache_beam", "polars") for name in set(sys.modules) - before)


def test_a_run_without_changes_reports_it_and_writes_nothing(invoke: Invoke, copied: Path) -> None:
    file = copied / "leakage.duckdb"
    before = file.stat().st_ino, file.read_bytes()
    with Lake.open(Project.load(copied), read_only=True) as lake:
        commit = lake.newest_snapshot()
    result = invoke("run", "--project", copied)
    assert "publish    nothing changed: " in result.out and "unchanged since the last run" in result.out
    again = invoke("run", "--json", "--check", "--project", copied)
    with Lake.open(Project.load(copied), read_only=True) as lake:
        assert lake.newest_snapshot() == commit
    assert (file.stat().st_ino, file.read_bytes()) == before
    assert (again.status, parsed(again.out)["published_anew"]) == (0, False)
    assert {audit["passed"] for audit in parsed(again.out)["audits"]} == {True}
    assert parsed(again.out)["publish"]["rows"]["findings"] == 2


def _runs_anew(invoke: Invoke, folder: Path) -> bool:
    result = invoke("run", "--json", "--project", folder)
    assert result.status == 0
    return bool(parsed(result.out)["published_anew"])


def test_a_run_publishes_again_after_any_change(invoke: Invoke, copied: Path) -> None:
    finding = parsed(invoke("findings", "--kind", "unbilled", "--json", "--project", copied).out)[0]
    invoke("decide", finding["finding_id"], "dismissed", "--note", "seen", "--by", "ann", "--project", copied)
    assert _runs_anew(invoke, copied)
    (copied / "leakage.duckdb").unlink()
    assert _runs_anew(invoke, copied)
    toml = copied / "trueup.toml"
    toml.write_text(toml.read_text("utf-8").replace('price = "10"', 'price = "11"'), "utf-8")
    assert _runs_anew(invoke, copied)
    (copied / "landing/msc/b.csv").write_text("id,caller,start,seconds\nu9,A1,2024-03-01 11:00:00,3\n", "utf-8")
    assert _runs_anew(invoke, copied)


def test_a_command_is_built_without_the_others_and_shows_its_own_help(invoke: Invoke) -> None:
    application = importlib.import_module("trueup.cli.main")
    names = get_command(application.app).commands
    assert len(names) > 20
    for name in names:
        assert list(get_command(application.app_of([name])).commands) == [name]
        assert f"trueup {name} [OPTIONS]" in invoke(name, "--help").out


def _list_imported(*arguments: object) -> set[str]:
    """Return the packages that a command has imported by its end, in a process of its own."""
    code = "import sys; from trueup.cli import main; s = main(sys.argv[1:]); sys.stderr.write(' '.join(sys.modules)); sys.exit(s)"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=_build_environment() | {"TRUEUP_NOW": NOW})
    return {name.split(".")[0] for name in done.stderr.split()}


def test_read_only_commands_import_no_engine_and_polars_only_where_needed(done: Path) -> None:
    engines = {"pandas", "apache_beam", "great_expectations", "xgboost"}
    assert not (engines | {"polars", "pyarrow", "numpy"}) & _list_imported("findings", "--project", done)
    assert not (engines | {"polars", "pyarrow", "numpy"}) & _list_imported("status", "--project", done)
    assert not (engines | {"polars"}) & _list_imported("sql", "select 1", "--project", done)


def test_a_run_without_changes_imports_no_engine(copied: Path) -> None:
    assert not {"pandas", "apache_beam", "great_expectations", "xgboost"} & _list_imported("run", "--project", copied)
