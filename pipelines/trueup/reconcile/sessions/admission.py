"""Resolution of contents: which content of a record counts, from which position on, and which conflicts remain.

A *record* is (stream, scope, key scope, record key). Of the contents in the commit that first delivered it, the greatest
(quantity, amount, content) counts. A greater content of a later commit replaces it only while neither of the two is late.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.policies.policy import NEVER_POSITION, UNKNOWN_TIME_US
from trueup.reconcile.domain.frontier import Frontier

EVENTS: dict[str, pl.DataType] = {
    "charge": pl.Boolean(),  # a charge; else a usage record
    "event_id": pl.Binary(),
    "position": pl.Int64(),
    "source": pl.String(),
    "bucket": pl.Int16(),
    "scope": pl.String(),  # the bucket key's value, never NULL
    "key_scope": pl.String(),
    "record_key": pl.String(),
    "session_key": pl.String(),
    "service": pl.String(),
    "subscriber": pl.String(),
    "peer": pl.String(),
    "node": pl.String(),
    "time_us": pl.Int64(),  # started_at, else billed_at, in µs since 1970 UTC; NULL without either
    "started": pl.Boolean(),  # `time_us` is `started_at`
    "quantity_micros": pl.Int64(),
    "amount_micros": pl.Int64(),
    "partial_no": pl.Int64(),
    "currency": pl.String(),  # of a charge; NULL is the project's
    "direction": pl.String(),
    "zone": pl.String(),  # roaming zone and trunk group: attributes that a price may depend on
    "trunk": pl.String(),
}
"""The input of the kernel: one row for each accepted usage record and charge."""

RECORD = ["charge", "scope", "key_scope", "record_key"]
_RANK = ["rank_quantity", "amount_micros", "event_id"]


@dataclass(frozen=True)
class ResolvedRecords:
    """Record versions and conflicts.

    `versions` are the rows of `EVENTS` that count, each at positions [since, until). They have `record_no`, ascending as the
    records' names do. They have `late` (late on arrival; False for a content that replaced another) and `beyond_horizon`
    (on arrival).

    `conflicts` has one row for each record and position at which its set of contents grew beyond one: `record_no`, `position`, the
    `counted` event id after it, `first` (raised rather than revised) and `contents`, all event ids so far, ascending.

    `superseded` are the rows of `EVENTS` that do not count at the end.
    """

    versions: pl.DataFrame
    conflicts: pl.DataFrame
    superseded: pl.DataFrame


def resolve_contents(events: pl.DataFrame, frontier: Frontier) -> ResolvedRecords:
    """Resolve which rows of `events` (`EVENTS` and further columns) count; a second delivery of a row has no effect."""
    names = events.select(RECORD).unique().sort(RECORD).with_row_index("record_no").with_columns(pl.col("record_no").cast(pl.Int64))
    rows = events.join(names, on=RECORD, how="left", maintain_order="left")
    rows = _with_lateness(rows, frontier)
    is_single = rows["record_no"].is_unique()
    repeated = rows.filter(~is_single)
    single = rows.filter(is_single).with_columns(
        since=pl.col("position"), until=pl.lit(NEVER_POSITION, pl.Int64), late=pl.col("arrived_late")
    )
    if repeated.is_empty():
        return ResolvedRecords(_compact(single), _no_conflicts(), events.clear())
    contents = repeated.sort("position", "source").unique(["record_no", "event_id"], keep="first", maintain_order=True)
    contents = contents.with_columns(
        rank_quantity=pl.col("quantity_micros").fill_null(0), step=pl.col("position").rank("dense").over("record_no")
    )
    counted = _content_versions(contents.with_columns(frozen_at=pl.Series(_frozen_positions(contents, frontier))))
    last = counted.filter(pl.col("until") == NEVER_POSITION).select("record_no", "event_id")
    superseded = contents.join(last, on=["record_no", "event_id"], how="anti").select(events.columns)
    versions = pl.concat([_compact(single), _compact(counted)])
    return ResolvedRecords(versions, _conflicts(contents, counted), superseded)


def _with_lateness(rows: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Add `arrived_late` (its stream had passed its time before) and `beyond_horizon`, by the policy on arrival."""
    position = rows["position"].to_numpy()
    policy = frontier.policies.number_at(position)
    charge = rows["charge"].to_numpy()
    time = rows["time_us"].fill_null(UNKNOWN_TIME_US).to_numpy()
    none = 0 * time
    watermark_position = frontier.passed_at(charge, time, none, none, policy)
    horizon = np.array([p.horizon_us for p in frontier.policies.all], dtype=np.int64)[policy]
    horizon_passed = frontier.passed_at(charge, time, horizon, horizon, policy)
    return rows.hstack(
        [pl.Series("arrived_late", watermark_position < position), pl.Series("beyond_horizon", horizon_passed < position)]
    )


def with_due_date(rows: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Add `assigned_time_us` and `assigned_at` to rows of `EVENTS`: the time that a closing assigns to a record without any.

    A record without any time belongs to the period that the first closing of its source, at or after its arrival, declares
    complete. From `assigned_at`, the position of that closing, it counts at the period's last instant and in the sums of that day.
    """
    due_position = np.full(rows.height, NEVER_POSITION, dtype=np.int64)
    due_us = np.zeros(rows.height, dtype=np.int64)
    untimed = rows["time_us"].is_null()
    if untimed.any():
        arrival, source = rows["position"].to_numpy(), rows["source"]
        for name, marks in frontier.closed.items():
            of_source = (untimed & (source == name)).to_numpy()
            index = np.searchsorted(marks.positions, arrival[of_source], side="left")
            due_position[of_source] = np.append(marks.positions, NEVER_POSITION)[index]
            due_us[of_source] = np.append(marks.values, 0)[index] - 1
    return rows.hstack([pl.Series("assigned_at", due_position), pl.Series("assigned_time_us", due_us)])


def _frozen_positions(contents: pl.DataFrame, frontier: Frontier) -> NDArray[np.int64]:
    """Return the first position, from its arrival on, at which the stream of each content had passed its time.

    Each position is judged by its own policy: a content frozen under one policy stays frozen under the next.
    """
    charge, time = contents["charge"].to_numpy(), contents["time_us"].fill_null(UNKNOWN_TIME_US).to_numpy()
    arrival_policy = frontier.policies.number_at(contents["position"].to_numpy())
    starts, none = frontier.policies.starts, 0 * time
    frozen = np.full(len(time), NEVER_POSITION, dtype=np.int64)
    for number, end in enumerate(np.append(starts[1:], NEVER_POSITION)):
        watermark_position = frontier.passed_at(charge, time, none, none, none + number)
        first = np.maximum(watermark_position, starts[number]) if number else watermark_position
        frozen = np.where((arrival_policy <= number) & (first < end), np.minimum(frozen, first), frozen)
    return frozen


def _content_versions(contents: pl.DataFrame) -> pl.DataFrame:
    """Return the counted contents of records with several, as versions; one step per commit with contents of a record."""
    best = contents.sort(_RANK, descending=True)
    current = best.filter(pl.col("step") == 1).unique("record_no", keep="first", maintain_order=True)
    current = current.with_columns(since=pl.col("position"), late=pl.col("arrived_late"))
    ended: list[pl.DataFrame] = []
    for step in range(2, contents.select(pl.col("step").max()).item() + 1):
        rivals = best.filter((pl.col("step") == step) & ~pl.col("arrived_late")).unique(
            "record_no", keep="first", maintain_order=True
        )
        compared = current.join(rivals, on="record_no", suffix="_new", how="inner")
        greater = pl.any_horizontal(
            pl.all_horizontal(pl.col(n) == pl.col(f"{n}_new") for n in _RANK[:i]) & (pl.col(f"{name}_new") > pl.col(name))
            if i else pl.col(f"{name}_new") > pl.col(name)
            for i, name in enumerate(_RANK)
        )  # fmt: skip
        open_still = pl.col("frozen_at") >= pl.col("position_new")
        replaced = compared.filter(greater & open_still).select("record_no", ended="position_new")
        if replaced.is_empty():
            continue
        ended.append(current.join(replaced, on="record_no").with_columns(until=pl.col("ended")).drop("ended"))
        replacing = rivals.join(replaced, on="record_no", how="semi").with_columns(since=pl.col("position"), late=pl.lit(False))
        current = pl.concat([current.join(replaced, on="record_no", how="anti"), replacing.select(current.columns)])
    current = current.with_columns(until=pl.lit(NEVER_POSITION, pl.Int64))
    return pl.concat([*(d.select(current.columns) for d in ended), current])


def _conflicts(contents: pl.DataFrame, counted: pl.DataFrame) -> pl.DataFrame:
    steps = contents.select("record_no", "position").unique()
    grown = (
        steps.join(contents.select("record_no", "event_id", arrived="position"), on="record_no")
        .filter(pl.col("arrived") <= pl.col("position"))
        .group_by("record_no", "position").agg(contents=pl.col("event_id").sort())
        .filter(pl.col("contents").list.len() > 1)
    )  # fmt: skip
    in_force = counted.select("record_no", counted="event_id", since="since", until="until")
    return (
        grown.join(in_force, on="record_no")
        .filter((pl.col("since") <= pl.col("position")) & (pl.col("position") < pl.col("until")))
        .sort("record_no", "position").with_columns(first=pl.col("record_no").is_first_distinct())
        .select("record_no", "position", "counted", "first", "contents")
    )  # fmt: skip


def _no_conflicts() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "record_no": pl.Int64,
            "position": pl.Int64,
            "counted": pl.Binary,
            "first": pl.Boolean,
            "contents": pl.List(pl.Binary),
        }
    )


def _compact(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.drop("arrived_late", "rank_quantity", "step", "frozen_at", strict=False).select(
        pl.exclude("record_no", "since", "until", "late", "beyond_horizon"), "record_no", "since", "until", "late", "beyond_horizon"
    )
