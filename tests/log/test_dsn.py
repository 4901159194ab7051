"""Connection strings of PostgreSQL are taken apart; none of their credentials, nor a malformed one, is quoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueup.cli import main
from trueup.config import Project, parse
from trueup.errors import ConfigError
from trueup.log.catalog import PostgresCatalog, catalog_of
from trueup.log.dsn import dsn_of

COMMANDS = (
    ("status",), ("status", "--json"), ("ingest",), ("run",), ("run", "--json"), ("sql", "select 1"), ("findings",),
    ("explain", "00ff00ff"), ("digest",), ("digest", "--recompute", "plain"), ("verify",), ("verify", "00ff00ff"), ("reconcile",),
    ("close", "--source", "msc", "--through", "2024-03-01"), ("decide", "00ff00ff", "confirmed"), ("maintain",), ("publish", "x.duckdb"),
    ("quality",), ("score",), ("stream", "--until-idle"),
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


def project_with(folder: Path, catalog: str) -> Path:
    source = '[[source]]\nname = "msc"\nstream = "usage"\npath = "x.csv"\ncolumns = { record_key = "id" }\n'
    (folder / "trueup.toml").write_text(f'[lake]\ncatalog = "{catalog}"\n{source}', "utf-8")
    return folder


def test_both_forms_give_the_same_parts_and_none_shows_the_password() -> None:
    for text in ("host=h port=5 user=u password='pass word' dbname=d", "postgresql://u:pass%20word@h:5/d"):
        dsn = dsn_of(text)
        assert sorted(dsn.public.split()) == ["dbname=d", "host=h", "port=5", "user=u"]
        assert dsn.password is not None and dsn.password.get_secret_value() == "pass word"
        assert "pass word" not in repr(dsn) + str(dsn.credentials)
        catalog = PostgresCatalog(dsn)
        assert "pass" not in catalog.uri() + catalog.options()
        assert dsn.name in catalog.options()


def test_without_a_password_postgresql_finds_it_in_its_own_ways() -> None:
    assert PostgresCatalog(dsn_of("host=h user=u")).options() == ""


@pytest.mark.parametrize("text", ["hunter2-secret", "host=h password=hunter2 secret", "postgresql://u:hunter2@secret@h/d",
                                  "postgresql://u:hunter2/secret@h/d", "postgresql://h/d?pasword=hunter2-secret"])  # fmt: skip
def test_a_malformed_one_is_an_error_that_quotes_none_of_it(text: str) -> None:
    with pytest.raises(ConfigError, match=r"malformed \(\[lake\] catalog\); write host") as raised:
        dsn_of(text)
    assert "hunter2" not in str(raised.value) and "secret" not in str(raised.value)


@pytest.mark.parametrize("catalog", [*UNREACHABLE, *MALFORMED])
def test_no_command_that_fails_prints_the_password(catalog: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # That the planted secret is in no output is looked at by the capsys of all tests.
    folder = project_with(tmp_path, catalog)
    for command in COMMANDS if catalog == UNREACHABLE[0] else (("status",), ("sql", "select 1", "--json")):
        assert main([*command, "--project", str(folder)]) == 2, command
        told = capsys.readouterr()
        assert (told.err.startswith("trueup: ") and "catalog" in told.err.splitlines()[0]) or "NO_SUCH_VARIABLE" in told.err, (
            command
        )


def test_a_traceback_for_those_who_look_for_a_mistake_is_without_it_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    def broken(*_: object, **named: object) -> None:
        raise ZeroDivisionError(f"connecting with {named}")

    monkeypatch.setenv("TRUEUP_DEBUG", "1")
    monkeypatch.setattr(psycopg, "connect", broken)
    assert main(["status", "--project", str(project_with(tmp_path, UNREACHABLE[0]))]) == 2
    told = capsys.readouterr()
    assert "Traceback" in told.err and "connecting with {'autocommit': True, 'password': '***'}" in told.err.replace(
        "${TRUEUP_PLANTED_SECRET}", "***"
    )


def test_the_kind_of_catalog_decides_how_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no known kind"):
        catalog_of(Project(tmp_path, parse('[lake]\ncatalog = "mysql:x"')))
