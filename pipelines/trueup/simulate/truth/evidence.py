"""Read the findings of a lake for comparison with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from trueup.errors import LogError
from trueup.events.schema import UTC_TIME
from trueup.frames import query_frames
from trueup.log.lake import Lake
from trueup.reconcile.domain.consumer import CONSUMER
from trueup.simulate.item_key import item_key
from trueup.simulate.statements import statement


@dataclass(frozen=True)
class Evidence:
    """The findings as of a position of a log.

    `findings` has one row per finding ever raised, in its latest revision. Its columns are finding_id (hex), kind, status (open,
    resolved or retracted), service, day, currency, impact_micros and `raised_at`. `raised_at` is the greatest event time in the log
    at the position at which the finding was last raised. `members` has finding_id, stream (usage or charge) and record_key; a
    finding about an item has its `item_key` instead of a usage record. `position` is the reconciled position, `last_position` the
    end of the log, and `log_time` the greatest event time in the log.
    """

    findings: pl.DataFrame
    members: pl.DataFrame
    position: int
    last_position: int
    log_time: datetime | None


def evidence_of(lake: Lake) -> Evidence:
    """Read the findings of a lake; raise `LogError` where nothing has been reconciled."""
    position = lake.consumer_position(CONSUMER)
    if position == 0:
        raise LogError("nothing has been reconciled yet", where=str(lake.project.directory), todo="run `trueup reconcile` first")
    findings_read = query_frames(lake.connection, statement("findings"), {"position": position})
    seen = seen_times(lake, position)
    timed = findings_read.sort("raised_position").join_asof(
        seen.rename({"position": "raised_position", "seen": "raised_at"}), on="raised_position"
    )
    findings = timed.drop("item", "period_from").sort("finding_id").with_columns(pl.col("impact_micros").cast(pl.Int128))
    latest = seen["seen"].max()
    assert latest is None or isinstance(latest, datetime)
    public = findings.drop("usage_event_ids", "charge_event_ids", "raised_position")
    return Evidence(public, _read_members(lake, findings_read), position, lake.last_position(), latest)


def seen_times(lake: Lake, upto: int) -> pl.DataFrame:
    """Return `position` and `seen`, the greatest event time up to it, for each position with control rows."""
    control = lake.read("control", columns=["last_time"], upto=upto)
    return (
        control.group_by("position").agg(pl.col("last_time").max()).sort("position")
        .select("position", seen=pl.col("last_time").cast(UTC_TIME).cast(pl.Int64).cum_max().forward_fill().cast(UTC_TIME))
    )  # fmt: skip


def _read_members(lake: Lake, findings_read: pl.DataFrame) -> pl.DataFrame:
    sides = [
        findings_read.select("finding_id", event_id=column, charge=pl.lit(charge)).explode("event_id").drop_nulls()
        for column, charge in (("usage_event_ids", False), ("charge_event_ids", True))
    ]
    records = query_frames(lake.connection, statement("record_keys"), members=pl.concat(sides))
    items = findings_read.drop_nulls("item").select(
        "finding_id", stream=pl.lit("usage"), record_key=item_key("subscriber", "item", "period_from")
    )  # fmt: skip
    return pl.concat([records, items.select(records.columns)])
