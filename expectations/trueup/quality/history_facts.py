"""Compute the arguments of expectations that come from the log: known values, and statistics of earlier days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl

from trueup.quality.statements import statement
from trueup.quality.validation.validation_schedule import DayOf

HISTORY_DAYS = 28
LEAST_DAYS = 5
"""With fewer days of history, an expectation that needs them is not checked."""
_DEVIATIONS = 6.0
"""How many standard deviations from the median are still usual, estimated by the median absolute deviation."""
_SCALE = 1.4826
_LEAST_SHARE_SLACK, _LEAST_MEAN_SLACK = 0.02, 0.25
"""Additional slack: a share may always fall by this much, and a mean may always differ by this share of itself."""


class History:
    """The history of a feed before each of the days from `first` to `last`, as of a snapshot; the lake is read once."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, first: DayOf, last: DayOf, snapshot_id: int) -> None:
        self._days, self._nodes, self._codes = pl.DataFrame(), pl.DataFrame(), list[str]()
        if first.from_us is None or last.from_us is None:
            return
        earliest = _to_utc_day(first.from_us) - timedelta(days=HISTORY_DAYS)
        bounds = {"first": earliest, "before": _to_utc_day(last.from_us), "source": first.source, "snapshot_id": snapshot_id}
        self._days = connection.execute(statement(f"days_of_{first.stream}"), bounds).pl()
        if first.stream == "usage":
            self._nodes = connection.execute(statement("known_nodes"), bounds).pl()
        else:
            codes = connection.execute(statement("tariff_codes"), {"snapshot_id": snapshot_id}).fetchall()
            self._codes = [row[0] for row in codes]

    def facts_of(self, of: DayOf) -> dict[str, Any]:
        """Return the facts about the feed before a day by name; a fact without data is left out."""
        if of.from_us is None:
            return {}
        before = _to_utc_day(of.from_us)
        is_earlier = pl.col("day").is_between(before - timedelta(days=HISTORY_DAYS), before, closed="left")
        found = _compute_day_facts(self._days.filter(is_earlier))
        if of.stream == "usage":
            found["known_nodes"] = self._nodes.filter(is_earlier)["node"].unique(maintain_order=True).to_list()
        else:
            found["tariff_codes"] = self._codes
        return {name: value for name, value in found.items() if value not in (None, [])}


def _to_utc_day(us: int) -> date:
    return datetime.fromtimestamp(us // 1_000_000, UTC).date()


def _compute_day_facts(days: pl.DataFrame) -> dict[str, Any]:
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
