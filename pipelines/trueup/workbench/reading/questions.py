"""Queries of pages: run a query file on the copy of the views, in another thread, and return its rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from trueup.config import Project
from trueup.warehouse.query import Warehouse, with_retries
from trueup.workbench.reading.statements import statement_text
from trueup.workbench.reading.view_copy import ViewCopy

T = TypeVar("T")
Row = dict[str, Any]


@dataclass(frozen=True)
class Questions:
    """Runs queries on the copy of the views or, for a single record or case, on the lake itself."""

    project: Project
    copy: ViewCopy

    async def rows(self, path: str, /, **values: object) -> list[Row]:
        """Return the rows of a file in `queries/`; values that its text does not name are left out."""
        return await asyncio.to_thread(self._read_rows, path, values)

    async def of_lake(self, question: Callable[[Warehouse], T]) -> T:
        """Query the lake itself, for data that no page shows in bulk: records, history, explanations."""
        return await asyncio.to_thread(with_retries, self.project, question)

    async def lake_rows(self, path: str, /, **values: object) -> list[Row]:
        """Return the rows of a file in `queries/`, run on the views of the lake."""

        def ask(warehouse: Warehouse) -> list[Row]:
            text = statement_text(path)
            result = warehouse.connection.execute(text, _select_named(text, values))
            columns = [column[0] for column in result.description or ()]
            return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]

        return await self.of_lake(ask)

    def _read_rows(self, path: str, values: Mapping[str, object]) -> list[Row]:
        text = statement_text(path)
        with self.copy.reading() as (_, connection):
            result = connection.execute(text, _select_named(text, values))
            columns = [column[0] for column in result.description or ()]
            return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]


def _select_named(text: str, values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if f"${name}" in text}
