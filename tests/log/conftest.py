"""A real PostgreSQL for the tests that need one: an installed one, or one that apt installs."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from trueup.config import Project, parse


def _find_programs() -> Path | None:
    places = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((p for p in places if (p / "pg_ctl").exists()), None)


def _install_programs() -> Path | None:
    if not _find_programs() and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
            "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        }
        subprocess.run(["apt-get", "update", "-q"], check=False, **quiet)  # type: ignore[call-overload]
        subprocess.run(["apt-get", "install", "-qy", "postgresql"], check=False, **quiet)  # type: ignore[call-overload]
    return _find_programs()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Return the connection string of a temporary PostgreSQL server, on a socket in its own folder."""
    programs = _install_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed and cannot be installed")
    # The server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()
    as_user = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    if as_user:
        shutil.chown(folder, user)

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/tmp")

    run(str(programs / "initdb"), "-D", str(folder / "data"), "-U", "trueup", "--auth=trust")
    options = f"-c listen_addresses='' -k {folder}"
    run(str(programs / "pg_ctl"), "-D", str(folder / "data"), "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"host={folder} user=trueup dbname=postgres"
    finally:
        run(str(programs / "pg_ctl"), "-D", str(folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    """Return an empty project, once with each kind of catalog."""
    if request.param == "sqlite":
        return Project(tmp_path, parse(""))
    import psycopg

    conninfo = request.getfixturevalue("postgres")
    name = f"t{abs(hash(str(tmp_path))) % 10**9}"
    with psycopg.connect(conninfo, autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name}")
    # The server needs no password; the planted one reaches every place a password reaches.
    catalog = conninfo.replace("dbname=postgres", f"dbname={name}") + " password=${TRUEUP_PLANTED_SECRET}"
    return Project(tmp_path, parse(f'[lake]\ncatalog = "postgres:{catalog}"\n'))
