"""Compute the arguments of expectations that come from the log: known values, and statistics of earlier days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import polars as pl

from trueup.quality.statements import statement
from trueup.quality.validation.validation_schedule import DayOf

HISTORY_DAYS = 28
LEAST_DAYS = 5
"""With fewer days of history, an expectation that needs them is not checked."""
_DEVIATIONS = 6.0
"""How many deviations from the median are still usual, by the median absolute deviation scaled to a normal one."""
_SCALE = 1.4826
_LEAST_SHARE_SLACK, _LEAST_MEAN_SLACK = 0.02, 0.25
"""Slack on top: a share may always fall by this much, a mean always differ by this share of it."""


def facts_of(connection: duckdb.DuckDBPyConnection, of: DayOf, snapshot_id: int) -> dict[str, Any]:
    """Return the facts about a feed before a day by name, as known at a snapshot; a fact without data is left out."""
    if of.from_us is None:
        return {}
    before = datetime.fromtimestamp(of.from_us // 1_000_000, UTC).date()
    bounds = {"first": before - timedelta(days=HISTORY_DAYS), "before": before, "source": of.source, "snapshot_id": snapshot_id}
    found = _of_days(connection.execute(statement(f"days_of_{of.stream}"), bounds).pl())
    if of.stream == "usage":
        found["known_nodes"] = [row[0] for row in connection.execute(statement("known_nodes"), bounds).fetchall()]
    else:
        codes = connection.execute(statement("tariff_codes"), {"snapshot_id": snapshot_id}).fetchall()
        found["tariff_codes"] = [row[0] for row in codes]
    return {name: value for name, value in found.items() if value not in (None, [])}


def _of_days(days: pl.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if days.height < LEAST_DAYS:
        return found
    for name in days.columns:
        median = days[name].median() if name.startswith(("share", "mean")) else None
        if not isinstance(median, float):
            continue
        spread = (days[name] - median).abs().median()
        usual = _DEVIATIONS * _SCALE * float(spread if isinstance(spread, float) else 0.0)
        if name.startswith("share"):
            found[f"least_{name}"] = max(0.0, median - usual - _LEAST_SHARE_SLACK)
        else:
            slack = usual + abs(median) * _LEAST_MEAN_SLACK
            found |= {f"least_{name}": median - slack, f"greatest_{name}": median + slack}
    return found
