"""Components: which records can influence each other's findings.

A *group* is a session with the charge group of the same key, or one record without a key. Groups are in one *component* if some
record belongs to both over time, if they could match, or if one period could sum both. Nothing in one component influences another,
so the kernel evaluates each at its own positions. Components are built from possible matches, so they are coarser than the matches
that the kernel makes.

Links 1–2 and 2–3 make one component, link 4–5 another. A component is numbered by the least of its group numbers:

>>> links = pl.DataFrame({"group_no": [1, 2, 2, 3, 4, 5], "link_id": [10, 10, 11, 11, 12, 12]})
>>> _connect_groups(links).sort("group_no").rows()
[(1, 1), (2, 1), (3, 1), (4, 4), (5, 4)]

Usage at 0 s and a charge at 2 s are within a tolerance of 3 s. Usage at 9 s is not, so it stays a component of its own:

>>> entries = pl.DataFrame({
...     "group_no": [1, 2, 3], "charge": [False, True, False], "time_us": [0, 2_000_000, 9_000_000],
...     "start_tolerance_us": [3_000_000] * 3, **dict.fromkeys(PARTY, "x"),
... })
>>> _find_tolerance_chains(entries).sort("group_no").rows()
[(1, 1), (2, 1)]
"""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.policies.policy import NEVER_POSITION, Policies
from trueup.reconcile.blocking.neighbourhood import with_party_time_pairs
from trueup.reconcile.blocking.sums import period_kinds, summed_as, with_calendars
from trueup.reconcile.domain.tariff_terms import FLAT, Terms
from trueup.reconcile.sessions.grouping import PARTY

CELL = ["scope", "currency", "service", "subscriber", "sum_period", "timezone", "index"]
_CELL_TYPES = dict.fromkeys(CELL[:4], pl.String()) | {"sum_period": pl.Int64(), "timezone": pl.String(), "index": pl.Int64()}
GROUP_NAME = ["own", "scope", "name", "name_scope", "currency"]


def assign_groups(versions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give each version its group; return the versions and the groups.

    Versions get `group_no` and `grouped_by_key`, which is false for records that are a group of their own. Groups have their names,
    by `group_no`. Numbers are in the order of (grouped by key before others, scope, key). A record beyond the horizon is a group of
    its own, and so is a charge that corrects another record.
    """
    own_group = pl.col("session_key").is_null() | pl.col("beyond_horizon") | pl.col("corrected_key").is_not_null()
    named = versions.with_columns(own=own_group, **group_name(own_group, pl.col("beyond_horizon")))
    groups = (
        named.select(GROUP_NAME)
        .unique()
        .sort(GROUP_NAME)
        .with_row_index("group_no")
        .with_columns(pl.col("group_no").cast(pl.Int64))
    )
    rows = named.join(groups, on=GROUP_NAME, how="left", maintain_order="left")
    return rows.drop("own", "name", "name_scope").with_columns(grouped_by_key=~own_group), groups


def group_name(own: pl.Expr, beyond_horizon: pl.Expr) -> dict[str, pl.Expr]:
    """Return `name` and `name_scope` of a record's group: the record's name if it is a group of its `own`, else the session's."""
    # Record keys are unique within their key scope, session keys across the sources that share them.
    of_record = pl.concat_str(beyond_horizon.cast(pl.Int8), "key_scope")
    return {
        "name": pl.when(own).then("record_key").otherwise("session_key"),
        "name_scope": pl.when(own).then(of_record).otherwise(pl.lit("")),
    }


def assign_components(
    versions: pl.DataFrame, policies: Policies, pooled: pl.DataFrame | None = None, terms: Terms = FLAT
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Add `component`, the least `group_no` of each version's component; return the versions and the periods (`CELL` and `cell`).

    `pooled` (`group_no`, `link_id`) are sessions that are judged together with others of their allowance pool.
    """
    matchable = versions.filter(~pl.col("beyond_horizon") & pl.col("corrected_key").is_null())
    flags = policies.frame.group_by("rule").agg(pl.col("by_nearest", "by_aggregate").any(), pl.col("start_tolerance_us").max())
    entries = _list_candidate_entries(matchable, has_own_calendars=policies.has_own_calendars).join(flags, on="rule", how="left")
    in_cells = _find_aggregation_periods(entries.filter("by_aggregate"), policies, terms)
    cells = in_cells.select(*CELL, "cell").unique()
    link_sets = [
        _find_regrouped_records(versions),
        _link_corrected_records(versions),
        _find_tolerance_chains(entries.filter("by_nearest")),
        in_cells.select("group_no", link_id="cell").unique(),
    ]
    link_sets += [] if pooled is None else [pooled.unique()]
    links, base = [], 0
    for link_set in link_sets:
        shared = link_set.filter(link_set.select(pl.col("link_id").is_duplicated()).to_series())
        if not shared.is_empty():
            links.append(shared.select("group_no", pl.col("link_id") + base))
            base += int(shared["link_id"].max()) + 1  # type: ignore[arg-type]
    if not links:
        return versions.with_columns(component=pl.col("group_no")), cells
    connected = _connect_groups(pl.concat(links))
    with_component = versions.join(connected, on="group_no", how="left", maintain_order="left")
    return with_component.with_columns(component=pl.coalesce("component", "group_no")), cells


def schedule_of(versions: pl.DataFrame) -> pl.DataFrame:
    """Return the positions (`component`, `at`) at which components change by their own records."""
    arrivals = versions.select("component", at="since")
    replaced = versions.filter(pl.col("until") != NEVER_POSITION).select("component", at="until")
    due = versions.filter(pl.col("assigned_at") != NEVER_POSITION).select("component", at="assigned_at")
    return pl.concat([arrivals, replaced, due]).unique()


def spans_of(scheduled: pl.DataFrame, policies: Policies, upto: int) -> pl.DataFrame:
    """Return the spans (`component`, `at`, `next_at`, `policy`) of scheduled positions (`component`, `at`) up to a position.

    A span is a range of positions [at, next_at) in which a component's records, prices and policy stay the same. A component is
    scheduled at each start of a policy after its first position as well. Spans ascend by component and position.
    """
    if len(policies.starts) > 1:
        first = scheduled.group_by("component").agg(first=pl.col("at").min())
        starts = first.join(pl.DataFrame({"at": policies.starts}), how="cross").filter(pl.col("at") > pl.col("first"))
        scheduled = pl.concat([scheduled, starts.select("component", "at")])
    spans = scheduled.filter(pl.col("at") <= upto).unique().sort("component", "at")
    next_at = pl.when(pl.col("component") == pl.col("component").shift(-1)).then(pl.col("at").shift(-1)).fill_null(NEVER_POSITION)
    return spans.with_columns(next_at=next_at, policy=pl.Series(policies.number_at(spans["at"].to_numpy())))


def _find_regrouped_records(versions: pl.DataFrame) -> pl.DataFrame:
    """Return the groups of records that have belonged to several groups over time."""
    changed = versions.filter((pl.col("until") != NEVER_POSITION) | (pl.col("since") != pl.col("position").min().over("record_no")))
    if changed.is_empty():
        return changed.select("group_no", link_id="record_no")
    numbers = changed.select("record_no").unique()
    return versions.join(numbers, on="record_no", how="semi").select("group_no", link_id="record_no").unique()


def _link_corrected_records(versions: pl.DataFrame) -> pl.DataFrame:
    """Return the groups of correcting charges, linked with the groups of the records that they name."""
    correcting = versions.filter(pl.col("corrected_key").is_not_null())
    names = correcting.select("scope", name="corrected_key").unique(maintain_order=True).with_row_index("link_id")
    names = names.with_columns(pl.col("link_id").cast(pl.Int64))
    named = versions.filter(pl.col("corrected_key").is_null()).join(
        names, left_on=["scope", "record_key"], right_on=["scope", "name"]
    )
    linked = correcting.join(names, left_on=["scope", "corrected_key"], right_on=["scope", "name"])
    return pl.concat([frame.select("group_no", "link_id") for frame in (linked, named)]).unique()


def _list_candidate_entries(versions: pl.DataFrame, *, has_own_calendars: bool) -> pl.DataFrame:
    """Return every party and time at which each group could be matched (see `neighbourhood`)."""
    side = ["group_no", "charge"]
    due = pl.when(pl.col("assigned_at") != NEVER_POSITION).then("assigned_time_us")
    known = pl.col("since").min().over("group_no") if has_own_calendars else pl.lit(0, pl.Int64)
    rows = versions.select(*side, *PARTY, "rule", "time_us", aggregation_time_us=pl.coalesce("time_us", due), known=known)
    return with_party_time_pairs(rows, unit=side, party=[*PARTY, "rule"], times=["time_us", "aggregation_time_us"])


def _find_tolerance_chains(entries: pl.DataFrame) -> pl.DataFrame:
    """Return runs of entries of one party, each within the start tolerance of the next, that have both streams."""
    if entries.is_empty():
        return pl.DataFrame(schema={"group_no": pl.Int64, "link_id": pl.Int64})
    rows = entries.drop_nulls("time_us").sort(*PARTY, "time_us")
    same_party = pl.all_horizontal(pl.col(n).eq_missing(pl.col(n).shift(1)) for n in PARTY)
    within_tolerance = pl.col("time_us") - pl.col("time_us").shift(1) <= pl.col("start_tolerance_us")
    rows = rows.with_columns(link_id=(~(same_party & within_tolerance).fill_null(False)).cum_sum().cast(pl.Int64))
    two_streams = rows.group_by("link_id").agg(pl.col("charge").n_unique() == 2).filter("charge")
    return rows.join(two_streams, on="link_id", how="semi").select("group_no", "link_id").unique()


def _find_aggregation_periods(entries: pl.DataFrame, policies: Policies, terms: Terms) -> pl.DataFrame:
    """Return the periods of one service and subscriber in which groups could be summed: rows (`group_no`, *CELL, `cell`).

    Records without any time are in a period without a number until a closing assigns their time.
    """
    if entries.is_empty():
        return pl.DataFrame(schema={"group_no": pl.Int64, **_CELL_TYPES, "cell": pl.Int64})
    undated = entries.filter(pl.col("time_us").is_null()).with_columns(aggregation_time_us=pl.lit(None, pl.Int64))
    candidates = summed_as(pl.concat([entries, undated]), policies)
    candidates = with_calendars(candidates, terms, has_own_calendars=policies.has_own_calendars)
    periods: list[pl.DataFrame] = []
    for kind in period_kinds(policies, candidates):
        rows = candidates.select(
            "group_no", *CELL[:4], sum_period=pl.lit(kind.period, pl.Int64), timezone=kind.timezone(),
            index=kind.index("aggregation_time_us"),
        )  # fmt: skip
        periods.append(rows.select("group_no", *CELL).unique())
    rows = pl.concat(periods)
    cells = rows.select(CELL).unique().sort(CELL).with_row_index("cell").with_columns(pl.col("cell").cast(pl.Int64))
    return rows.join(cells, on=CELL, nulls_equal=True, how="left")


def _connect_groups(links: pl.DataFrame) -> pl.DataFrame:
    """Return the least `group_no` reachable from each `group_no` over links (`group_no`, `link_id`)."""
    group_no, link_id = links["group_no"].to_numpy(), links["link_id"].to_numpy()
    component = np.arange(group_no.max() + 1)
    while True:
        of_link = np.full(link_id.max() + 1, NEVER_POSITION)
        np.minimum.at(of_link, link_id, component[group_no])
        reached = component.copy()
        np.minimum.at(reached, group_no, of_link[link_id])
        # Replacing a component by the component of that component halves the distance, so long chains take few rounds.
        least = np.minimum(reached, reached[reached])
        if np.array_equal(least, component):
            linked = np.unique(group_no)
            return pl.DataFrame({"group_no": linked, "component": component[linked]})
        component = least
