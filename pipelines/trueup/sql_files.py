"""The SQL of a package: one statement per file in its folder `sql`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class SqlFiles:
    """Reader of the SQL files of one package."""

    package: str

    def text(self, name: str) -> str:
        """Return `sql/NAME.sql` as it is."""
        return files(self.package).joinpath("sql", f"{name}.sql").read_text("utf-8")

    def statement(self, name: str, **identifiers: str) -> str:
        """Return `sql/NAME.sql` with identifiers and expressions filled in; values are bound as parameters, never filled in."""
        return self.text(name).format(**identifiers)
