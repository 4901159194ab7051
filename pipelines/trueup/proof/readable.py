"""A lake without the data files that cannot be read: the same tables from a copy of its catalog."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from trueup.config import Project
from trueup.log.catalog import SqliteCatalog, catalog_of
from trueup.log.catalog_file import copy_catalog
from trueup.log.lake import Lake
from trueup.secret import Place


def without_files(lake: Lake, numbers: Collection[int]) -> AbstractContextManager[Lake] | None:
    """The lake as a catalog without these data files lists it, to be read; None for a catalog that is no file."""
    catalog = catalog_of(lake.project)
    return _opened(lake, catalog.path, numbers) if isinstance(catalog, SqliteCatalog) else None


@contextmanager
def _opened(lake: Lake, original: Path, numbers: Collection[int]) -> Iterator[Lake]:
    with tempfile.TemporaryDirectory(prefix="trueup-verify-") as folder:
        copy = Path(folder, "catalog.sqlite")
        copy_catalog(original, copy)
        with closing(sqlite3.connect(copy)) as target, target:
            for table in ("ducklake_data_file", "ducklake_file_column_stats"):
                target.executemany(f"DELETE FROM {table} WHERE data_file_id = ?", [(number,) for number in numbers])
        config = lake.project.config
        place = config.lake.model_copy(update={"catalog": Place(f"sqlite:{copy}")})
        project = Project(lake.project.directory, config.model_copy(update={"lake": place}))
        with Lake.open(project, read_only=True, clock=lake.clock) as readable:
            yield readable
