"""The SQL of this package, one statement a file."""

from __future__ import annotations

from trueup.sql_files import SqlFiles

statement = SqlFiles("trueup.quality").statement
