"""What reconciliation has told so far, read from a lake for comparison with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from trueup.errors import LogError
from trueup.events.schema import UTC_TIME
from trueup.frames import query_frames
from trueup.log.lake import Lake
from trueup.simulate.statements import statement

_CONSUMER = "reconcile"


@dataclass(frozen=True)
class Evidence:
    """Findings as of a position of a log.

    `findings`: one row per finding ever raised, as it last stood: finding_id (hex), kind, status (open, resolved or retracted),
    service, day, currency, impact_micros, `raised_at`: the greatest own time of any record the log had seen at the position the
    finding's last life began. `members`: finding_id, stream (usage or charge), record_key. `position` is how far the log has
    been reconciled, `last_position` how far it goes, `log_time` the greatest own time it has seen.
    """

    findings: pl.DataFrame
    members: pl.DataFrame
    position: int
    last_position: int
    log_time: datetime | None


def evidence_of(lake: Lake) -> Evidence:
    """Reads the findings of a lake; raises `LogError` where nothing has been reconciled."""
    position = lake.consumer_position(_CONSUMER)
    if position == 0:
        raise LogError("nothing has been reconciled yet", where=str(lake.project.directory), todo="run `trueup reconcile` first")
    found = query_frames(lake.connection, statement("findings"), {"position": position})
    seen = seen_times(lake, position)
    timed = found.sort("raised_position").join_asof(
        seen.rename({"position": "raised_position", "seen": "raised_at"}), on="raised_position"
    )
    findings = timed.sort("finding_id").with_columns(pl.col("impact_micros").cast(pl.Int128))
    latest = seen["seen"].max()
    assert latest is None or isinstance(latest, datetime)
    kept = findings.drop("usage_event_ids", "charge_event_ids", "raised_position")
    return Evidence(kept, _members(lake, found), position, lake.last_position(), latest)


def seen_times(lake: Lake, upto: int) -> pl.DataFrame:
    """The log's own clock: `position`, and the greatest own time `seen` up to it, at each position that brought records."""
    control = lake.read("control", columns=["last_time"], upto=upto)
    return (
        control.group_by("position").agg(pl.col("last_time").max()).sort("position")
        .select("position", seen=pl.col("last_time").cast(UTC_TIME).cast(pl.Int64).cum_max().forward_fill().cast(UTC_TIME))
    )  # fmt: skip


def _members(lake: Lake, found: pl.DataFrame) -> pl.DataFrame:
    sides = [
        found.select("finding_id", event_id=column, charge=pl.lit(charge)).explode("event_id").drop_nulls()
        for column, charge in (("usage_event_ids", False), ("charge_event_ids", True))
    ]
    return query_frames(lake.connection, statement("record_keys"), members=pl.concat(sides))
