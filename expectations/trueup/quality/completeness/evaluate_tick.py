"""Evaluate the controls at one tick of the clock, given the findings that were open at the tick before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from trueup.quality.completeness import declarations, gaps, profile, share_shift, volume
from trueup.quality.completeness.exposure import with_bounds
from trueup.quality.completeness.freshness import stale
from trueup.quality.completeness.inputs import FOUND, HOUR_US, WHOLE, CompletenessInputs, Rules, as_findings, complete_until

KEY = ["kind", "control", "stream", "source", "node", "service", "subject"]
BOUNDS: dict[str, pl.DataType] = {
    "records_low": pl.Int64(), "records_high": pl.Int64(), "money_low": pl.Int64(), "money_high": pl.Int64(),
    "currency": pl.String(),
}  # fmt: skip
OPEN_FINDING: dict[str, pl.DataType] = {
    **{n: FOUND[n] for n in KEY}, "from_us": pl.Int64(), "to_us": pl.Int64(), "reason": pl.String(), **BOUNDS,
}  # fmt: skip
"""A finding that is open after a tick. Money is in whole millionths of the currency."""
_NODE = ["stream", "source", "node"]
PROFILE_US = profile.WEEKS * profile.WEEK_HOURS * HOUR_US


@dataclass(frozen=True)
class Tick:
    """The injected clock at a position: a tick or, where ticks are superseded, the clock of the last tick still in force."""

    position: int
    at_us: int


@dataclass(frozen=True)
class Turn:
    """One evaluation of the controls.

    `before` is the tick from which it continues: it evaluates records that arrived since, and hours that were not complete then.
    `last` is the previous evaluation, whose findings are open. The two differ where a tick is `superseded`, because its decisions
    are evaluated again.
    """

    tick: Tick
    before: Tick | None
    last: Tick | None
    superseded: bool = False


def no_findings() -> pl.DataFrame:
    """Return the open findings before the first tick: none."""
    return pl.DataFrame(schema=OPEN_FINDING)


def evaluate_tick(
    inputs: CompletenessInputs, rules: Rules, tick: Tick, before: Tick | None, previous: pl.DataFrame
) -> pl.DataFrame:
    """Return the open findings at a tick (rows of `OPEN_FINDING`); `previous` are those at the tick `before`."""
    known = inputs.upto(tick.position)
    floor_us = _find_floor(known, rules)
    known = replace(
        known,
        hours=known.hours.filter(pl.col("hour_us") >= floor_us),
        destinations=known.destinations.filter(pl.col("hour_us") >= floor_us),
        runs=known.runs.filter(pl.col("first_us") >= floor_us),
        # Inputs of repeated runs begin later than those of one run. Bounds may not depend on this.
        money=known.money.filter(pl.col("day") >= pl.lit(floor_us).cast(pl.Datetime("us")).dt.date()),
    )
    then = complete_until(inputs.upto(before.position), rules) if before else complete_until(CompletenessInputs.of(), rules)
    complete = complete_until(known, rules)
    new = _find_arrivals(known, before)
    previous_low = _expand_to_hours(previous.filter(pl.col("control") == "volume"), {})
    grid = profile.grid(profile.count_by_hour(known.hours), complete, rules, previous_low)
    holes = _estimate_missing_records(gaps.joined(gaps.missing_files(known), gaps.missing_numbers(known)), grid)
    rows = [
        holes, gaps.numbers_twice(known), gaps.delivered_twice(known), declarations.declared(known),
        _find_low_volume(grid, rules, previous_low, _select_cells(grid.select(volume.CELL), new, then), holes),
        _find_shifted_shares(known, complete, rules, previous, new, then), share_shift.find_clock_jumps(known.hours, holes),
        _estimate_missing_records(stale(known, rules, tick.at_us), grid, whole_source=True),
    ]  # fmt: skip
    current = with_bounds(pl.concat(rows), billed_charges(known, complete, rules), known.hours, rules.currency)
    return _carry_over(current.select(pl.col(n).cast(t) for n, t in OPEN_FINDING.items()), previous, floor_us)


def _find_floor(known: CompletenessInputs, rules: Rules) -> int:
    """Return the instant before which no hour is evaluated again; findings of earlier hours are carried over."""
    latest = known.hours["hour_us"].max()
    return (int(latest) if isinstance(latest, int) else 0) - rules.lookback_us - PROFILE_US


def _find_arrivals(known: CompletenessInputs, before: Tick | None) -> pl.DataFrame:
    """Return the hours of nodes that received records since the tick before."""
    since = known.hours if before is None else known.hours.filter(pl.col("position") > before.position)
    return since.select(*_NODE, "hour_us").unique()


def _select_cells(cells: pl.DataFrame, new: pl.DataFrame, then: pl.DataFrame) -> pl.DataFrame:
    """Return the cells to evaluate: hours that were not complete at the tick before, or received records since."""
    reached = cells.join(then, on="source", how="left")
    fresh = reached.filter(pl.col("passed_us").is_null() | (pl.col("hour_us") + HOUR_US > pl.col("passed_us")))
    return pl.concat([fresh.drop("passed_us"), cells.join(new, on=[*_NODE, "hour_us"], how="semi")]).unique()


def _expand_to_hours(findings: pl.DataFrame, added: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """Return one row per hour of the period of each finding."""
    return findings.with_columns(hour_us=pl.int_ranges("from_us", "to_us", HOUR_US, dtype=pl.Int64), **added).explode("hour_us")


def _drop_explained_cells(cells: pl.DataFrame, holes: pl.DataFrame) -> pl.DataFrame:
    """Return the cells that no gap in the numbers explains."""
    inside = cells.join(holes.select(*_NODE, "from_us", "to_us"), on=_NODE).filter(
        (pl.col("hour_us") < pl.col("to_us")) & (pl.col("hour_us") + HOUR_US > pl.col("from_us"))
    )
    return cells.join(inside.select(cells.columns).unique(), on=cells.columns, how="anti")


def _find_low_volume(
    grid: pl.DataFrame, rules: Rules, previous: pl.DataFrame, reevaluated: pl.DataFrame, holes: pl.DataFrame
) -> pl.DataFrame:
    low = volume.settled(volume.low_hours(grid, rules), grid, previous, reevaluated)
    return volume.low_periods(_drop_explained_cells(low, holes), grid)


def _find_shifted_shares(
    known: CompletenessInputs, complete: pl.DataFrame, rules: Rules, previous: pl.DataFrame, new: pl.DataFrame, then: pl.DataFrame
) -> pl.DataFrame:
    cell = [*share_shift.NODE, "measure", "hour_us"]
    measure = {"measure": pl.col("subject").str.replace(r" \d+$", "")}
    previous_cells = _expand_to_hours(previous.filter(pl.col("control") == "mix"), measure).select(cell)
    far = share_shift.find_shifted_shares(known, complete, rules)
    hours = known.hours.select(*_NODE, "hour_us").unique()
    reevaluated = _select_cells(hours, new, then)
    retained = previous_cells.join(reevaluated, on=[*_NODE, "hour_us"], how="anti")
    # An hour of an earlier finding may lie between two shifted hours; it stays in their period.
    fresh = far.join(reevaluated, on=[*_NODE, "hour_us"], how="semi")
    return share_shift.shifted_periods(pl.concat([retained, fresh.select(cell)]).unique(), known)


def _estimate_missing_records(rows: pl.DataFrame, grid: pl.DataFrame, *, whole_source: bool = False) -> pl.DataFrame:
    """Add an estimate of the missing records to periods of which only the hours are known."""
    open_, exact = rows.filter(pl.col("records").is_null()), rows.filter(pl.col("records").is_not_null())
    if whole_source:
        sums = [pl.col("records", "mean", "variance").sum(), pl.col("spread").max()]
        grid = grid.filter(pl.col("service") == WHOLE).with_columns(node=pl.lit(WHOLE)).group_by(volume.CELL).agg(sums)
        # The profile ends where the feed stopped; for the hours after, take the same hours of the week before.
        week = grid.with_columns(pl.col("hour_us") + profile.WEEK_HOURS * HOUR_US, mean=pl.col("records").cast(pl.Float64))
        later = week.join(grid.select(volume.CELL), on=volume.CELL, how="anti").with_columns(
            records=pl.lit(0, pl.Int64), variance=pl.col("mean") * pl.col("spread") * 2
        )  # fmt: skip
        grid = pl.concat([grid, later.select(grid.columns)])
    sized = profile.add_usual_records(grid, open_).with_columns(
        records=(pl.col("usual") - pl.col("came")).clip(lower_bound=0.0), records_variance=pl.col("usual_variance")
    )
    return pl.concat([exact, as_findings(sized)])


def billed_charges(known: CompletenessInputs, complete: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Return the charges of days up to which every source of charges is complete; later days are still being billed."""
    charging = [f.name for f in rules.feeds.values() if f.stream == "charge"]
    reached = complete.filter(pl.col("source").is_in(charging))["passed_us"].min()
    if not isinstance(reached, int):
        return known.money
    return known.money.filter(pl.col("day") < pl.lit(reached).cast(pl.Datetime("us")).dt.date())


def keep_previous_bounds(current: pl.DataFrame, previous: pl.DataFrame) -> pl.DataFrame:
    """Keep the previous bounds of unchanged findings, so that no finding is revised only because the profile changes."""
    fact = [*KEY, "from_us", "to_us", "reason"]
    compared = current.join(
        previous.select(*fact, **{f"previous_{n}": pl.col(n) for n in BOUNDS}), on=fact, how="left", nulls_equal=True
    )
    return compared.with_columns(pl.coalesce(f"previous_{n}", n).alias(n) for n in BOUNDS).select(*OPEN_FINDING)


def _carry_over(current: pl.DataFrame, previous: pl.DataFrame, floor_us: int) -> pl.DataFrame:
    """Return the open findings with their previous bounds, and previous findings too old to be evaluated again."""
    same = keep_previous_bounds(current, previous)
    old = previous.filter(pl.col("from_us") < floor_us + profile.WEEK_HOURS * HOUR_US)
    return pl.concat([same, old.join(same.select(KEY), on=KEY, how="anti", nulls_equal=True)]).unique(KEY, maintain_order=True)
