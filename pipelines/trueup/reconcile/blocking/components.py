"""Dividing the work: which records can ever touch one another.

A *group* is a session and the bill of the same key (or one record without a key, alone on its side). Groups that could share
a record over time, a nearest edge or an aggregate period are in one *component*; nothing that happens in one component shows
in another, so each is evaluated at its own positions. The division is by what could touch, hence coarser than what does.
"""

from __future__ import annotations

import polars as pl

from trueup.localtime import period_index
from trueup.reconcile.domain.policies import NEVER_POSITION, Policies

_PARTY = ["scope", "currency", "service", "subscriber", "peer"]
CELL = ["scope", "currency", "service", "subscriber", "period_us", "timezone", "index"]
_CELL_TYPES = dict.fromkeys(CELL[:4], pl.String()) | {"period_us": pl.Int64(), "timezone": pl.String(), "index": pl.Int64()}
GROUP_NAME = ["own", "scope", "name", "name_scope", "currency"]


def assign_groups(versions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Gives each version its group; returns (versions with `group_no` and `keyed`, groups by `group_no` with their names).

    `group_no` ascends as (keyed before unkeyed, scope, key) do. A record behind the horizon is a group of its own.
    """
    alone = pl.col("session_key").is_null() | pl.col("beyond_horizon")
    named = versions.with_columns(
        own=alone,
        name=pl.when(alone).then("record_key").otherwise("session_key"),
        # Record keys are unique within their scope of keys, session keys across the sources that share them.
        name_scope=pl.when(alone).then(pl.concat_str(pl.col("beyond_horizon").cast(pl.Int8), "key_scope")).otherwise(pl.lit("")),
    )
    groups = (
        named.select(GROUP_NAME)
        .unique()
        .sort(GROUP_NAME)
        .with_row_index("group_no")
        .with_columns(pl.col("group_no").cast(pl.Int64))
    )
    rows = named.join(groups, on=GROUP_NAME, how="left", maintain_order="left")
    return rows.drop("own", "name", "name_scope").with_columns(grouped_by_key=~alone), groups


def assign_components(
    versions: pl.DataFrame, policies: Policies, pooled: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Adds `component`, the least `group_no` of the component of each version; also returns the periods (`CELL` and `cell`).

    `pooled` (`group_no`, `link_id`) are sessions that are judged together with others of their pool.
    """
    usable = versions.filter(~pl.col("beyond_horizon"))
    flags = policies.frame.group_by("rule").agg(pl.col("by_nearest", "by_aggregate").any(), pl.col("start_tolerance_us").max())
    entries = _entries(usable).join(flags, on="rule", how="left")
    in_cells = _aggregation_periods(entries.filter("by_aggregate"), policies)
    cells = in_cells.select(*CELL, "cell").unique()
    hubs = [
        _regrouped_records(versions),
        _tolerance_chains(entries.filter("by_nearest")),
        in_cells.select("group_no", link_id="cell").unique(),
    ]
    hubs += [] if pooled is None else [pooled.unique()]
    links, base = [], 0
    for hub in hubs:
        shared = hub.filter(hub.select(pl.col("link_id").is_duplicated()).to_series())
        if not shared.is_empty():
            links.append(shared.select("group_no", pl.col("link_id") + base))
            base += int(shared["link_id"].max()) + 1  # type: ignore[arg-type]
    if not links:
        return versions.with_columns(component=pl.col("group_no")), cells
    labels = _connected(pl.concat(links))
    labelled = versions.join(labels, on="group_no", how="left", maintain_order="left")
    return labelled.with_columns(component=pl.coalesce("component", "group_no")), cells


def schedule_of(versions: pl.DataFrame) -> pl.DataFrame:
    """The positions (`component`, `at`), told by the records alone, at which each component changes."""
    arrivals = versions.select("component", at="since")
    replaced = versions.filter(pl.col("until") != NEVER_POSITION).select("component", at="until")
    due = versions.filter(pl.col("assigned_at") != NEVER_POSITION).select("component", at="assigned_at")
    return pl.concat([arrivals, replaced, due]).unique()


def _regrouped_records(versions: pl.DataFrame) -> pl.DataFrame:
    """Groups that a record belonged to one after the other."""
    changed = versions.filter((pl.col("until") != NEVER_POSITION) | (pl.col("since") != pl.col("position").min().over("record_no")))
    rids = changed.select("record_no").unique()
    return versions.join(rids, on="record_no", how="semi").select("group_no", link_id="record_no").unique()


def _entries(versions: pl.DataFrame) -> pl.DataFrame:
    """Where each group could stand: every party of one of its records with every time of one of its records.

    A unit takes its party from its first record and its start from its least main time, which may be two records.
    """
    side = ["group_no", "charge"]
    due = pl.when(pl.col("assigned_at") != NEVER_POSITION).then("assigned_time_us")
    rows = versions.select(*side, *_PARTY, "rule", "time_us", aggregation_time_us=pl.coalesce("time_us", due))
    party = pl.struct(*_PARTY, "rule")
    mixed = rows.filter(party.n_unique().over(side) > 1)
    if mixed.is_empty():
        return rows
    crossed = (
        mixed.drop("time_us", "aggregation_time_us")
        .unique()
        .join(mixed.select(*side, "time_us", "aggregation_time_us").unique(), on=side)
    )
    return pl.concat([rows, crossed.select(rows.columns)])


def _tolerance_chains(entries: pl.DataFrame) -> pl.DataFrame:
    """Runs of entries of one party in which each is within the start tolerance of the next, with both streams in them."""
    if entries.is_empty():
        return pl.DataFrame(schema={"group_no": pl.Int64, "link_id": pl.Int64})
    rows = entries.drop_nulls("time_us").sort(*_PARTY, "time_us")
    same = pl.all_horizontal(pl.col(n).eq_missing(pl.col(n).shift(1)) for n in _PARTY)
    near = pl.col("time_us") - pl.col("time_us").shift(1) <= pl.col("start_tolerance_us")
    rows = rows.with_columns(link_id=(~(same & near).fill_null(False)).cum_sum().cast(pl.Int64))
    both = rows.group_by("link_id").agg(pl.col("charge").n_unique() == 2).filter("charge")
    return rows.join(both, on="link_id", how="semi").select("group_no", "link_id").unique()


def _aggregation_periods(entries: pl.DataFrame, policies: Policies) -> pl.DataFrame:
    """The periods of one service and subscriber that groups could be summed in: rows (`group_no`, *CELL, `cell`).

    Records without any time wait in a period without a number until a closing tells theirs.
    """
    waiting = entries.filter(pl.col("time_us").is_null()).with_columns(aggregation_time_us=pl.lit(None, pl.Int64))
    told = pl.concat([entries, waiting])
    found: list[pl.DataFrame] = []
    for (period, zone), _ in policies.frame.filter("by_aggregate").group_by("period_us", "timezone", maintain_order=True):
        assert isinstance(period, int) and isinstance(zone, str)
        rows = told.select("group_no", *CELL[:4], "aggregation_time_us").with_columns(
            period_us=pl.lit(period, pl.Int64), timezone=pl.lit(zone)
        )
        found.append(
            rows.with_columns(index=period_index(pl.col("aggregation_time_us"), period, zone)).select("group_no", *CELL).unique()
        )
    if not found:
        return pl.DataFrame(schema={"group_no": pl.Int64, **_CELL_TYPES, "cell": pl.Int64})
    rows = pl.concat(found)
    cells = rows.select(CELL).unique().sort(CELL).with_row_index("cell").with_columns(pl.col("cell").cast(pl.Int64))
    return rows.join(cells, on=CELL, nulls_equal=True, how="left")


def _connected(links: pl.DataFrame) -> pl.DataFrame:
    """The least gid reachable from each gid over links (gid, hub)."""
    labels = links.select("group_no").unique().with_columns(component=pl.col("group_no"))
    while True:
        of_hub = links.join(labels, on="group_no").group_by("link_id").agg(pl.col("component").min())
        least = links.join(of_hub, on="link_id").group_by("group_no").agg(reached=pl.col("component").min())
        # Jumping to the label of one's label halves the distance to go, so that long chains take few rounds.
        ahead = least.join(labels.select(reached="group_no", further="component"), on="reached", how="left")
        new = ahead.select("group_no", component=pl.min_horizontal("reached", "further"))
        merged = labels.join(new, on="group_no", suffix="_new", how="left")
        if merged.select((pl.col("component") == pl.col("component_new")).all()).item():
            return labels
        labels = merged.select("group_no", component="component_new")
