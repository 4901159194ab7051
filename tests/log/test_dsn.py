"""PostgreSQL connection strings: splitting them, and messages that quote neither credentials nor malformed strings."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest

from trueup.cli import main
from trueup.config import Project, parse
from trueup.errors import ConfigError
from trueup.log.catalog.catalogs import PostgresCatalog, catalog_of
from trueup.log.catalog.dsn import parse_dsn
from trueup.log.lake import Lake

COMMANDS = (
    ("status",), ("status", "--json"), ("ingest",), ("run",), ("run", "--json"), ("sql", "select 1"), ("findings",),
    ("explain", "00ff00ff"), ("digest",), ("digest", "--recompute", "plain"), ("verify",), ("verify", "00ff00ff"), ("reconcile",),
    ("close", "--source", "msc", "--through", "2024-03-01"), ("decide", "00ff00ff", "confirmed"), ("maintain",), ("publish", "x.duckdb"),
    ("quality",), ("score",), ("clock",), ("stream", "--until-idle"),
)  # fmt: skip
UNREACHABLE = (
    "postgres:host=127.0.0.1 port=1 user=nobody dbname=d password=${TRUEUP_PLANTED_SECRET}",
    "postgresql://nobody:${TRUEUP_PLANTED_SECRET}@127.0.0.1:1/d",
    "postgres:postgresql://127.0.0.1:1/d?password=${TRUEUP_PLANTED_SECRET}",
)
MALFORMED = (
    "postgres:garbage ${TRUEUP_PLANTED_SECRET}", "postgresql://u:a%zz${TRUEUP_PLANTED_SECRET}@h/d", "mysql:${TRUEUP_PLANTED_SECRET}",
    "postgresql://u:a@${TRUEUP_PLANTED_SECRET}@h/d", "postgresql://u:a/${TRUEUP_PLANTED_SECRET}@h/d",
    "postgres:host=${NO_SUCH_VARIABLE} password=${TRUEUP_PLANTED_SECRET}",
)  # fmt: skip


TOML = """
[lake]
catalog = "CATALOG"
[[source]]
name = "msc"
stream = "usage"
path = "usage.csv"
columns = { record_key = "id", subscriber = "caller", started_at = "start", quantity = "seconds" }
constants = { service = "voice" }
[[source]]
name = "billing"
stream = "charge"
path = "charges.csv"
columns = { record_key = "id", subscriber = "caller", started_at = "start", quantity = "seconds", amount = "amount" }
constants = { service = "voice" }
[reconcile.voice]
match = ["session_key"]
price = "10"
"""


def project_with(folder: Path, catalog: str) -> Path:
    (folder / "trueup.toml").write_text(TOML.replace("CATALOG", catalog), "utf-8")
    (folder / "usage.csv").write_text("id,caller,start,seconds\nu1,A1,2024-03-01 10:00:00,3\n", "utf-8")
    (folder / "charges.csv").write_text("id,caller,start,seconds,amount\nc1,A1,2024-03-01 10:00:00,3,30\n", "utf-8")
    return folder


def test_both_forms_have_the_same_parts_and_hide_the_password() -> None:
    for text in ("host=h port=5 user=u password='pass word' dbname=d", "postgresql://u:pass%20word@h:5/d"):
        dsn = parse_dsn(text)
        assert sorted(dsn.public.split()) == ["dbname=d", "host=h", "port=5", "user=u"]
        assert dsn.password is not None and dsn.password.get_secret_value() == "pass word"
        assert "pass word" not in repr(dsn) + str(dsn.credentials)
        catalog = PostgresCatalog(dsn)
        assert "pass" not in catalog.uri() + catalog.options()
        assert dsn.name in catalog.options()


def test_a_connection_string_without_password_sets_no_secret() -> None:
    assert PostgresCatalog(parse_dsn("host=h user=u")).options() == ""


@pytest.mark.parametrize("text", ["hunter2-secret", "host=h password=hunter2 secret", "postgresql://u:hunter2@secret@h/d",
                                  "postgresql://u:hunter2/secret@h/d", "postgresql://h/d?pasword=hunter2-secret"])  # fmt: skip
def test_the_error_of_a_malformed_connection_string_quotes_none_of_it(text: str) -> None:
    with pytest.raises(ConfigError, match=r"malformed \(\[lake\] catalog\); write host") as raised:
        parse_dsn(text)
    assert "hunter2" not in str(raised.value) and "secret" not in str(raised.value)


@pytest.mark.parametrize("catalog", [*UNREACHABLE, *MALFORMED])
def test_a_failing_command_never_prints_the_password(catalog: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The capsys of all tests checks that the planted secret is in no output.
    folder = project_with(tmp_path, catalog)
    for command in COMMANDS if catalog == UNREACHABLE[0] else (("status",), ("sql", "select 1", "--json")):
        assert main([*command, "--project", str(folder)]) == 2, command
        captured = capsys.readouterr()
        (error,) = [line for line in captured.err.splitlines() if line.startswith("trueup: ")]
        assert "[lake] catalog" in error or "NO_SUCH_VARIABLE" in error, command


def test_a_debug_traceback_hides_the_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    def broken(*_: object, **named: object) -> None:
        raise ZeroDivisionError(f"connecting with {named}")

    monkeypatch.setenv("TRUEUP_DEBUG", "1")
    monkeypatch.setattr(psycopg, "connect", broken)
    assert main(["status", "--project", str(project_with(tmp_path, UNREACHABLE[0]))]) == 2
    captured = capsys.readouterr()
    assert "Traceback" in captured.err and "connecting with {'autocommit': True, 'password': '***'}" in captured.err.replace(
        "${TRUEUP_PLANTED_SECRET}", "***"
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_commands_that_succeed_write_the_password_nowhere(
    postgres: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project_with(tmp_path, f"postgres:{postgres} password=${{TRUEUP_PLANTED_SECRET}}")
    planted = os.environ["TRUEUP_PLANTED_SECRET"]
    for command in (
        ("ingest",), ("run",), ("status", "--json"), ("sql", f"select '{planted}' as x", "--json"), ("sql", f"select '{planted}'"),
        ("sql", f"select '{planted}' as x", "--format", "csv"), ("findings", "--json"), ("digest", "--json"), ("verify", "--json"),
        ("publish", str(folder / "leakage.duckdb")), ("maintain",),
    ):  # fmt: skip
        assert main([*command, "--project", str(folder)]) == 0, command
        capsys.readouterr()
    with Lake.open(Project.load(folder), read_only=True) as lake:
        tables = lake.connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'events'").fetchall()
        texts = [str(lake.connection.execute(f"SELECT * FROM lake.events.{name}").fetchall()) for (name,) in tables]
        assert any("policy" in text for text in texts)
        assert planted not in "".join(texts)
    with duckdb.connect(str(folder / "leakage.duckdb"), read_only=True) as published:
        for name in published.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            assert planted not in str(published.execute(f"SELECT * FROM {name[0]}").fetchall())
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".html" for path in files)
    assert [path for path in files if planted.encode() in path.read_bytes()] == []


def test_a_catalog_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown kind"):
        catalog_of(Project(tmp_path, parse('[lake]\ncatalog = "mysql:x"')))
