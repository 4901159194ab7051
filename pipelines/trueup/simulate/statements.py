"""Read the SQL files of this package, each of one statement."""

from __future__ import annotations

from trueup.sql_files import SqlFiles

statement = SqlFiles("trueup.simulate").statement
