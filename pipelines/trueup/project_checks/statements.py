"""SQL statements of this package, one per file."""

from __future__ import annotations

from trueup.sql_files import SqlFiles

statement = SqlFiles("trueup.project_checks").statement
