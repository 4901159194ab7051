"""Fixtures: projects with call records, ingested at a fixed time."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import settings

from trueup.collect.ingest import IngestSummary, ingest
from trueup.config import FILE_NAME, Project
from trueup.log.lake import Lake

# The duration of a test depends on the machine; only its result counts.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

NOW = datetime(2024, 6, 1, tzinfo=UTC)

CALLS = """
[lake]
buckets = 4
[[source]]
name = "msc"
stream = "usage"
path = "landing/*"
{settings}
[source.columns]
record_key = "id"
subscriber = "caller"
started_at = "at"
quantity = "seconds"
{columns}
[source.constants]
service = "voice"
"""

Write = Callable[..., Project]


@pytest.fixture
def calls(tmp_path: Path) -> Write:
    """Return a function that writes files into a project of call records (id, caller, at, seconds) and returns the project."""

    def write(files: dict[str, bytes | str] | None = None, *, settings: str = "", columns: str = "", toml: str = "") -> Project:
        folder = tmp_path / "project"
        (folder / "landing").mkdir(parents=True, exist_ok=True)
        (folder / FILE_NAME).write_text(toml or CALLS.format(settings=settings, columns=columns))
        for name, content in (files or {}).items():
            (folder / "landing" / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return Project.load(folder)

    return write


@pytest.fixture
def take_in() -> Callable[[Project], IngestSummary]:
    """Return a function that ingests a project at the fixed time."""
    return lambda project: ingest(project, clock=lambda: NOW)


@pytest.fixture
def query() -> Callable[..., pl.DataFrame]:
    """Return a function that runs a query on the lake of a project."""

    def run_query(project: Project, sql: str) -> pl.DataFrame:
        with Lake.open(project, read_only=True) as lake:
            return lake.connection.execute(sql).pl()

    return run_query


@pytest.fixture
def shared_data() -> Path:
    """Return the folder of third-party inputs; skip the test without it."""
    configured = os.environ.get("TRUEUP_SHARED_DATA")
    folder = Path(configured) if configured else Path(__file__).parents[2].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}; set TRUEUP_SHARED_DATA to the folder of third-party inputs")
    return folder
