"""A lake without its unreadable data files: the same tables from a copy of the catalog."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from trueup.config import Project
from trueup.log.catalog.catalog_file import copy_catalog
from trueup.log.catalog.catalogs import SqliteCatalog, catalog_of
from trueup.log.lake import Lake
from trueup.secret import Place


def without_files(lake: Lake, numbers: Collection[int]) -> AbstractContextManager[Lake] | None:
    """Return the lake without these data files, for reading; None for a catalog that is not a file."""
    catalog = catalog_of(lake.project)
    return _open_copy(lake, catalog.path, numbers) if isinstance(catalog, SqliteCatalog) else None


@contextmanager
def _open_copy(lake: Lake, original: Path, numbers: Collection[int]) -> Iterator[Lake]:
    with tempfile.TemporaryDirectory(prefix="trueup-verify-") as folder:
        copy = Path(folder, "catalog.sqlite")
        copy_catalog(original, copy)
        with closing(sqlite3.connect(copy)) as target, target:
            for table in ("ducklake_data_file", "ducklake_file_column_stats"):
                target.executemany(f"DELETE FROM {table} WHERE data_file_id = ?", [(number,) for number in numbers])
        config = lake.project.config
        lake_config = config.lake.model_copy(update={"catalog": Place(f"sqlite:{copy}")})
        project = Project(lake.project.directory, config.model_copy(update={"lake": lake_config}))
        with Lake.open(project, read_only=True, clock=lake.clock) as readable:
            yield readable
