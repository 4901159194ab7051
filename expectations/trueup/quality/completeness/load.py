"""Load the inputs of the controls from the log: aggregates computed in DuckDB, each with its position."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import polars as pl

from trueup.events.schema import OWN_TIME_SQL
from trueup.log.lake import Lake
from trueup.quality.completeness.evaluate_tick import PROFILE_US
from trueup.quality.completeness.inputs import DESTINATION, HOUR, MONEY, RUN, CompletenessInputs, Rules
from trueup.quality.statements import statement

_NOTHING = "^$"
_MOST_NUMBER = 2**63 - 1
_SPARE_DAYS = 8
"""Days read before the evaluated period, so that its first hours have their full history."""


def load_inputs(lake: Lake, rules: Rules, *, after: int, upto: int) -> CompletenessInputs:
    """Load the inputs for evaluating the ticks in (after, upto]."""
    units = lake.connection.execute(statement("completeness/units"), {"upto": upto}).pl()
    declared = lake.connection.execute(statement("completeness/ticks"), {"upto": upto}).pl()
    first_day = _find_first_day(units, rules, after)
    last = min(upto, lake.last_position())
    bounds = {"reached": lake.snapshot_of(last), "first_day": first_day}

    def read(name: str, parameters: dict[str, object], **names: str) -> pl.DataFrame:
        # The lake caches the positions of commits. A join in every query would read them again from many files.
        return lake.with_positions(lake.connection.execute(statement(f"completeness/{name}", **names), parameters).pl(), upto=last)

    hours, runs, destinations = ([pl.DataFrame(schema=schema)] for schema in (HOUR, RUN, DESTINATION))
    for feed in rules.feeds.values():
        parameters = {**bounds, "source": feed.name, **_find_group(feed.feed.record, "sequence")}
        names = {"stream": feed.stream, "own_time": OWN_TIME_SQL[feed.stream]}
        hours.append(read("hours", parameters, **names))
        if feed.feed.record is not None:
            runs.append(read("runs", parameters, **names))
        if feed.feed.destination is not None:
            parameters |= _find_group(feed.feed.destination, "destination")
            destinations.append(read("destinations", parameters, **names))
    return CompletenessInputs.of(
        units=_add_names(units, rules), hours=_concat_frames(hours), destinations=_concat_frames(destinations),
        runs=_concat_frames(runs), money=_concat_frames([pl.DataFrame(schema=MONEY), read("money", bounds)]),
        ticks=declared.filter(pl.col("kind") == "tick").rename({"through_us": "at_us"}),
        closed=declared.filter(pl.col("kind") == "close"),
        states=lake.connection.execute(statement("completeness/states"), {"upto": upto}).pl(),
    )  # fmt: skip


def _concat_frames(frames: list[pl.DataFrame]) -> pl.DataFrame:
    schema = frames[0].schema
    return pl.concat([f.select(pl.col(n).cast(t) for n, t in schema.items()) for f in frames])


def _find_first_day(units: pl.DataFrame, rules: Rules, after: int) -> date:
    """Return the first UTC day that the evaluation of a tick after a position may read, and some days more."""
    known = units.filter(pl.col("position") <= max(after, 1))["last_us"].max()
    latest = known if isinstance(known, int) else units["first_us"].min()
    if not isinstance(latest, int):
        return date.min
    reach = timedelta(microseconds=rules.lookback_us + PROFILE_US, days=_SPARE_DAYS)
    return (datetime.fromtimestamp(latest // 1_000_000, UTC) - reach).date()


def _find_group(pattern: str | None, name: str) -> dict[str, object]:
    """Return a pattern and the number of one of its groups; without a configured pattern, return one that matches no record."""
    if pattern is None:
        return {"pattern": _NOTHING, "group": 0}
    return {"pattern": pattern, "group": re.compile(pattern).groupindex[name]}


def _add_names(units: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Add `node` and `number`, read from the name of each unit by the pattern of its feed."""
    found = [_parse_node_and_number(source, path, rules) for source, path in units.select("source", "path").iter_rows()]
    return units.with_columns(
        node=pl.Series([node for node, _ in found], dtype=pl.String), number=pl.Series([n for _, n in found], dtype=pl.Int64)
    )


def _parse_node_and_number(source: str, path: str, rules: Rules) -> tuple[str | None, int | None]:
    pattern = rules.feeds[source].feed.file if source in rules.feeds else None
    match = re.search(pattern, path) if pattern else None
    if match is None:
        return None, None
    return match.groupdict().get("node") or "", _parse_number(match["sequence"])


def _parse_number(text: str | None) -> int | None:
    """Return the number in a file name, as DuckDB reads the number in a record key: None without digits, or beyond 64 bits."""
    number = int(text) if text is not None and text.isascii() and text.isdigit() else None
    return number if number is not None and number <= _MOST_NUMBER else None
