"""Resolution of contents: decide which content of a record counts from which position on, and which conflicts remain.

A *record* is (stream, scope, key scope, record key). Among the contents in the commit that first delivered it, the content with the
greatest (version, quantity, amount, content) counts. A content without a version has the least. A greater content of the same
version in a later commit replaces it only while neither of the two is late.

A content of a greater version is a *correction*. A correction replaces the other content whenever the correction arrives, with two
exceptions. A record beyond the horizon is not corrected. And where neighbours are matched, the record may already be settled.
There, a late correction that changes scope, session key, currency or corrected record is not applied.

Two contents of one version are a conflict, and so is a correction that is not applied.

If sources have record versions, a record may have contents in several scopes, and each scope is resolved separately. So each scope
also holds the contents of the others, as *moved* rows with a `delivered_scope`. All scopes resolve the same contents, so they agree
which one counts. The content that counts becomes a version only in its own scope; in the other scopes the record is *withdrawn*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.policies.policy import NEVER_POSITION, UNKNOWN_TIME_US, Policies
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
    "record_version": pl.Int64(),
    "currency": pl.String(),  # of a charge; NULL means the project's currency
    "direction": pl.String(),
    "zone": pl.String(),  # roaming zone and trunk group: attributes that a price may depend on
    "trunk": pl.String(),
    "corrected_key": pl.String(),  # of a charge: the key of the record whose booking it joins; otherwise NULL
    "corrected_charge": pl.Boolean(),  # whether that record is a charge; NULL: a usage record, or a charge if there is none
    "line": pl.UInt64(),  # of a charge where sums are compared: a hash of the core columns that are missing here; otherwise NULL
    "delivered_scope": pl.String(),  # of a moved row: the scope of its content; otherwise NULL, as below
    "delivered_at": pl.Int64(),  # the position of its content; `position` is that of the moved row in this scope
}
"""The input of the kernel: one row for each accepted usage record and charge, and one for each moved content in another scope."""

RECORD = ["charge", "scope", "key_scope", "record_key"]
_RANK = ["rank_quantity", "amount_micros", "event_id"]
_NO_VERSION = -(2**63)
_GROUPED_BY = ["delivered_scope", "session_key", "currency", "corrected_key"]
_COMPARED = ["rank_version", *_RANK, "time_us", "frozen_at", *_GROUPED_BY]
"""Columns of the content that counts with which a further content is compared."""


@dataclass(frozen=True)
class ResolvedRecords:
    """Record versions and conflicts.

    `versions` are the rows of `EVENTS` that count, each at positions [since, until). The rows have `record_no`, in the order of the
    records' names. The rows have `late`, `beyond_horizon` (both on arrival) and `corrected`, which is true of a content that
    replaced one of a lesser version. `late` is False for a content that replaced another. For a version that a moved content ends
    at `until`, `withdrawn` states whether that content is a correction; otherwise it is NULL.

    `conflicts` has one row for each position at which the contents of a record in conflict grew: `record_no`, `position`, the
    `counted` event id after it, `first` (raised rather than revised) and `contents`, all event ids so far, ascending.

    `superseded` are the rows of `EVENTS` that do not count at the end, moved rows included.
    """

    versions: pl.DataFrame
    conflicts: pl.DataFrame
    superseded: pl.DataFrame


def resolve_contents(events: pl.DataFrame, frontier: Frontier) -> ResolvedRecords:
    """Resolve which rows of `events` (`EVENTS` and further columns) count; a second delivery of a row has no effect."""
    names = events.select(RECORD).unique().sort(RECORD).with_row_index("record_no").with_columns(pl.col("record_no").cast(pl.Int64))
    rows = events.join(names, on=RECORD, how="left", maintain_order="left")
    if rows["delivered_at"].null_count() < rows.height:
        rows = rows.with_columns(position=pl.coalesce("delivered_at", "position"))
    rows = _with_lateness(rows, frontier)
    is_single = rows["record_no"].is_unique()
    repeated = rows.filter(~is_single)
    single = rows.filter(is_single & rows["delivered_scope"].is_null()).with_columns(
        since=pl.col("position"), until=pl.lit(NEVER_POSITION, pl.Int64), late=pl.col("arrived_late"), corrected=pl.lit(False),
        withdrawn=pl.lit(None, pl.Boolean),
    )  # fmt: skip
    if repeated.is_empty():
        return ResolvedRecords(_compact_rows(single), _build_empty_conflicts(), events.clear())
    contents = repeated.sort("position", "source").unique(["record_no", "event_id"], keep="first", maintain_order=True)
    contents = contents.with_columns(
        rank_version=pl.col("record_version").fill_null(_NO_VERSION), rank_quantity=pl.col("quantity_micros").fill_null(0),
        step=pl.col("position").rank("dense").over("record_no"), frozen_at=pl.Series(_find_frozen_positions(contents, frontier)),
    )  # fmt: skip
    counted, refused = _derive_version_contents(contents, frontier)
    # In all other scopes, the row of the content that counts does not count.
    counted = counted.filter(pl.col("delivered_scope").is_null())
    last = counted.filter(pl.col("until") == NEVER_POSITION).select("record_no", "event_id")
    superseded = contents.join(last, on=["record_no", "event_id"], how="anti").select(events.columns)
    versions = pl.concat([_compact_rows(single), _compact_rows(counted)])
    return ResolvedRecords(versions, _find_conflicts(contents, counted, refused), superseded)


def _with_lateness(rows: pl.DataFrame, frontier: Frontier) -> pl.DataFrame:
    """Add `arrived_late` (its stream had passed its time before) and `beyond_horizon`, by the policy on arrival."""
    position = rows["position"].to_numpy()
    policy = frontier.policies.number_at(position)
    charge = rows["charge"].to_numpy()
    time = rows["time_us"].fill_null(UNKNOWN_TIME_US).to_numpy()
    none = 0 * time
    watermark_position = frontier.passed_at(charge, time, none, none, policy)
    # A correcting charge joins the booking of the record that it names, regardless of the age of both.
    beyond = _is_behind_horizon(charge, time, position, frontier) & rows["corrected_key"].is_null().to_numpy()
    return rows.hstack([pl.Series("arrived_late", watermark_position < position), pl.Series("beyond_horizon", beyond)])


def _is_behind_horizon(
    charge: NDArray[np.bool_], time_us: NDArray[np.int64], position: NDArray[np.int64], frontier: Frontier
) -> NDArray[np.bool_]:
    """Return whether the stream had passed each time by the horizon before a position, by the policy at that position."""
    policy = frontier.policies.number_at(position)
    horizon = np.array([p.horizon_us for p in frontier.policies.all], dtype=np.int64)[policy]
    beyond: NDArray[np.bool_] = frontier.passed_at(charge, time_us, horizon, horizon, policy) < position
    return beyond


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


def _find_frozen_positions(contents: pl.DataFrame, frontier: Frontier) -> NDArray[np.int64]:
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


def _derive_version_contents(contents: pl.DataFrame, frontier: Frontier) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the counted contents of records with several, as versions, and (`record_no`, `position`) of refused corrections.

    There is one step per commit with contents of a record.
    """
    best = contents.sort(["rank_version", *_RANK], descending=True)
    current = best.filter(pl.col("step") == 1).unique("record_no", keep="first", maintain_order=True)
    current = current.with_columns(
        since=pl.col("position"), late=pl.col("arrived_late"), corrected=pl.lit(False), withdrawn=pl.lit(None, pl.Boolean)
    )
    ended, refused = list[pl.DataFrame](), [contents.clear().select("record_no", "position")]
    for step in range(2, contents.select(pl.col("step").max()).item() + 1):
        counted = current.select("record_no", *(pl.col(name).alias(f"{name}_counted") for name in _COMPARED))
        compared = best.filter(pl.col("step") == step).join(counted, on="record_no", how="inner", maintain_order="left")
        compared = compared.with_columns(corrected=pl.col("rank_version") > pl.col("rank_version_counted"))
        is_applied = pl.Series(_may_be_corrected(compared, frontier))
        refused.append(compared.filter(pl.col("corrected") & ~is_applied).select("record_no", "position"))
        replacing = compared.filter(pl.when("corrected").then(is_applied).otherwise(_is_greater_in_time()))
        if replacing.is_empty():
            continue
        replacing = replacing.unique("record_no", keep="first", maintain_order=True)
        is_withdrawal = pl.when(pl.col("delivered_scope").is_not_null()).then("corrected")
        replaced = replacing.select("record_no", until="position", withdrawn=is_withdrawal)
        # A record that the stream had passed may be settled, so it stays unchanged, wherever a correction moves it.
        is_frozen = pl.col("frozen_at_counted") < pl.col("position")
        frozen_at = pl.when(is_frozen).then(pl.min_horizontal("frozen_at", "frozen_at_counted")).otherwise("frozen_at")
        ended.append(current.drop("withdrawn").join(replaced, on="record_no"))
        new = replacing.with_columns(
            since=pl.col("position"), late=pl.lit(False), frozen_at=frozen_at, withdrawn=pl.lit(None, pl.Boolean)
        )
        current = pl.concat([current.join(replaced, on="record_no", how="anti"), new.select(current.columns)])
    current = current.with_columns(until=pl.lit(NEVER_POSITION, pl.Int64))
    return pl.concat([*(d.select(current.columns) for d in ended), current]), pl.concat(refused)


def _is_greater_in_time() -> pl.Expr:
    """Return whether a content ranks before the counted one of the same version, and neither of the two is late."""
    greater = pl.any_horizontal(
        pl.all_horizontal(pl.col(n) == pl.col(f"{n}_counted") for n in _RANK[:i]) & (pl.col(name) > pl.col(f"{name}_counted"))
        if i else pl.col(name) > pl.col(f"{name}_counted")
        for i, name in enumerate(_RANK)
    )  # fmt: skip
    same_version = pl.col("rank_version") == pl.col("rank_version_counted")
    return same_version & ~pl.col("arrived_late") & (pl.col("frozen_at_counted") >= pl.col("position")) & greater


def _may_be_corrected(compared: pl.DataFrame, frontier: Frontier) -> NDArray[np.bool_]:
    """Return whether a correction of each row would be applied, by the exceptions in the description of this module."""
    if not compared["corrected"].any():
        return np.zeros(compared.height, dtype=np.bool_)
    position, charge = compared["position"].to_numpy(), compared["charge"].to_numpy()
    counted_us = compared["time_us_counted"].fill_null(UNKNOWN_TIME_US).to_numpy()
    behind = compared["beyond_horizon"].to_numpy() | _is_behind_horizon(charge, counted_us, position, frontier)
    is_regrouped = compared.select(
        ~pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_counted")) for name in _GROUPED_BY)
    ).to_series().to_numpy()  # fmt: skip
    may_be_settled = (compared["frozen_at_counted"].to_numpy() < position) & (position >= _find_first_nearest(frontier.policies))
    applied: NDArray[np.bool_] = ~behind & ~(is_regrouped & may_be_settled)
    return applied


def _find_first_nearest(policies: Policies) -> int:
    """Return the first position at which neighbours are matched; `NEVER_POSITION` where they never are."""
    nearest = policies.frame.filter("by_nearest")["policy"].unique().to_list()
    # The first policy is in force from the first position on. A policy that another replaces at once never is.
    starts, ends = [1, *policies.starts[1:].tolist()], [*policies.starts[1:].tolist(), NEVER_POSITION]
    return min((starts[number] for number in nearest if starts[number] < ends[number]), default=NEVER_POSITION)


def _find_conflicts(contents: pl.DataFrame, counted: pl.DataFrame, refused: pl.DataFrame) -> pl.DataFrame:
    second = contents.sort("position").with_columns(nth=pl.int_range(1, pl.len() + 1).over("record_no", "rank_version"))
    in_conflict = pl.concat([second.filter(pl.col("nth") == 2).select("record_no", "position"), refused])
    since = in_conflict.group_by("record_no").agg(conflict_at=pl.col("position").min())
    steps = contents.select("record_no", "position").unique().join(since, on="record_no")
    grown = (
        steps.filter(pl.col("position") >= pl.col("conflict_at"))
        .join(contents.select("record_no", "event_id", arrived="position"), on="record_no")
        .filter(pl.col("arrived") <= pl.col("position"))
        .group_by("record_no", "position").agg(contents=pl.col("event_id").sort())
    )  # fmt: skip
    in_force = counted.select("record_no", counted="event_id", since="since", until="until")
    return (
        grown.join(in_force, on="record_no")
        .filter((pl.col("since") <= pl.col("position")) & (pl.col("position") < pl.col("until")))
        .sort("record_no", "position").with_columns(first=pl.col("record_no").is_first_distinct())
        .select("record_no", "position", "counted", "first", "contents")
    )  # fmt: skip


def _build_empty_conflicts() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "record_no": pl.Int64,
            "position": pl.Int64,
            "counted": pl.Binary,
            "first": pl.Boolean,
            "contents": pl.List(pl.Binary),
        }
    )


def _compact_rows(rows: pl.DataFrame) -> pl.DataFrame:
    added = ["record_no", "since", "until", "late", "beyond_horizon", "corrected", "withdrawn"]
    dropped = ["arrived_late", "rank_version", "rank_quantity", "step", "frozen_at"]
    return rows.drop(dropped, strict=False).select(pl.exclude(added), *added)
