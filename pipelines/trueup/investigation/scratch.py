"""A scratch copy of the log: its own catalog over the same data files, so that a comparison never writes into the log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from trueup.config import Config, Project, SourceConfig
from trueup.errors import TrueupError
from trueup.log.catalog.catalogs import SqliteCatalog, catalog_of
from trueup.log.lake import Lake, data_path
from trueup.progress import LogFn
from trueup.reconcile.log_io.commit import CONSUMER
from trueup.reconcile.run import reconcile_little


def at_home(config: Config) -> Config:
    """Return settings with the lake in the project's own folder, and without sources that read files."""
    lake = type(config.lake)(buckets=config.lake.buckets, bucket_by=config.lake.bucket_by)
    return config.model_copy(update={"lake": lake})


def scratch_copy(project: Project, folder: Path) -> Project:
    """Return a project whose lake has the log's catalog and refers to its data files."""
    catalog, data = catalog_of(project), data_path(project)
    if not isinstance(catalog, SqliteCatalog) or "://" in data:
        raise TrueupError(
            "only a lake of local files can be copied for a comparison", where=data, todo="run it where the lake is local"
        )
    with Lake.open(project, read_only=True):
        pass  # Opening refuses a lake that does not exist or is of an earlier version, with a message.
    scratch = Project(folder.resolve(), at_home(project.config))
    own_catalog = catalog_of(scratch)
    assert isinstance(own_catalog, SqliteCatalog)
    own_catalog.path.parent.mkdir(parents=True, exist_ok=True)
    with (
        closing(sqlite3.connect(f"file:{catalog.path}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(own_catalog.path)) as copy,
    ):
        source.backup(copy)
    home = Path(data)
    for file in home.rglob("*"):
        if file.is_file():
            link = Path(data_path(scratch)) / file.relative_to(home)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.resolve())
    return scratch


def newest_moment(project: Project) -> datetime:
    """Return a clock that shows the time of the newest commit, so that no record becomes late only because time has passed."""
    with Lake.open(project, read_only=True) as lake:
        times = lake.read("position", columns=["committed_at"])["committed_at"]
    if times.is_empty():
        raise TrueupError("the log is empty", where=str(project.directory), todo="run `trueup ingest` first")
    newest: datetime = times.max()  # type: ignore[assignment]
    return newest


def reconcile_copy(project: Project, moment: datetime, log: LogFn | None) -> None:
    """Reconcile a copy up to its newest position."""
    if reconcile_little(project, clock=lambda: moment, log=log) is None:
        from trueup.jobs.reconcile_batch import reconcile

        reconcile(project, clock=lambda: moment, log=log)
    with Lake.open(project, read_only=True) as lake:
        assert lake.consumer_position(CONSUMER) == lake.last_position()


def with_path(project: Project, source: SourceConfig, path: Path) -> Project:
    """Return the project with one source set to deliver another file."""
    own = source.model_copy(update={"path": (str(path),)})
    sources = tuple(own if s is source else s for s in project.config.source)
    return Project(project.directory, project.config.model_copy(update={"source": sources}))
