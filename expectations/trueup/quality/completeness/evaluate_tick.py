"""What the controls say at one tick of the clock, given what they said at the tick before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from trueup.quality.completeness import gaps, profile, share_shift, volume
from trueup.quality.completeness.exposure import bounded
from trueup.quality.completeness.freshness import stale
from trueup.quality.completeness.inputs import FOUND, HOUR_US, WHOLE, CompletenessInputs, Rules, as_findings, complete_until

KEY = ["kind", "control", "stream", "source", "node", "service", "subject"]
BOUNDS: dict[str, pl.DataType] = {
    "records_low": pl.Int64(), "records_high": pl.Int64(), "money_low": pl.Int64(), "money_high": pl.Int64(),
    "currency": pl.String(),
}  # fmt: skip
STANDING: dict[str, pl.DataType] = {
    **{n: FOUND[n] for n in KEY}, "from_us": pl.Int64(), "to_us": pl.Int64(), "reason": pl.String(), **BOUNDS,
}  # fmt: skip
"""What stands after a tick. Money is in whole millionths of the currency."""
_NODE = ["stream", "source", "node"]
PROFILE_US = profile.WEEKS * profile.WEEK_HOURS * HOUR_US


@dataclass(frozen=True)
class Tick:
    """The injected clock at a position: a tick, or a superseding, where the clock is what the last tick in force says."""

    position: int
    at_us: int


@dataclass(frozen=True)
class Turn:
    """One judgement of the controls.

    `before` is the tick whose judgement it goes on from: what came since, and what was not complete then, is judged anew. `last`
    is the judgement before it, whose findings stand. They differ where a tick is `superseded`: what it decided is judged again.
    """

    tick: Tick
    before: Tick | None
    last: Tick | None
    superseded: bool = False


def nothing() -> pl.DataFrame:
    """What stands before the first tick."""
    return pl.DataFrame(schema=STANDING)


def evaluate_tick(seen: CompletenessInputs, rules: Rules, tick: Tick, before: Tick | None, told: pl.DataFrame) -> pl.DataFrame:
    """What stands at a tick (rows of `STANDING`); `told` is what stood at the tick `before`."""
    known = seen.upto(tick.position)
    floor_us = _floor(known, rules)
    known = replace(
        known,
        hours=known.hours.filter(pl.col("hour_us") >= floor_us),
        destinations=known.destinations.filter(pl.col("hour_us") >= floor_us),
        runs=known.runs.filter(pl.col("first_us") >= floor_us),
    )
    then = complete_until(seen.upto(before.position), rules) if before else complete_until(CompletenessInputs.of(), rules)
    complete = complete_until(known, rules)
    new = _arrivals(known, before)
    told_low = _told_cells(told.filter(pl.col("control") == "volume"), {})
    grid = profile.grid(profile.hourly(known.hours), complete, rules, told_low)
    holes = _sized(gaps.joined(gaps.missing_files(known), gaps.missing_numbers(known)), grid)
    rows = [
        holes, gaps.numbers_twice(known), gaps.delivered_twice(known), gaps.declared(known),
        _volume(grid, rules, told_low, _cells_to_reevaluate(grid.select(volume.CELL), new, then), holes),
        _mix(known, complete, rules, told, new, then), share_shift.jumped(known.hours, holes),
        _sized(stale(known, rules, tick.at_us), grid, whole_source=True),
    ]  # fmt: skip
    standing = bounded(pl.concat(rows), settled_money(known, complete, rules), known.hours, rules.currency)
    return _carry_over(standing.select(pl.col(n).cast(t) for n, t in STANDING.items()), told, floor_us)


def _floor(known: CompletenessInputs, rules: Rules) -> int:
    """The instant before which nothing is judged again: what was told of earlier times stays told."""
    latest = known.hours["hour_us"].max()
    return (int(latest) if isinstance(latest, int) else 0) - rules.lookback_us - PROFILE_US


def _arrivals(known: CompletenessInputs, before: Tick | None) -> pl.DataFrame:
    """The hours of nodes that got records since the tick before."""
    since = known.hours if before is None else known.hours.filter(pl.col("position") > before.position)
    return since.select(*_NODE, "hour_us").unique()


def _cells_to_reevaluate(cells: pl.DataFrame, new: pl.DataFrame, then: pl.DataFrame) -> pl.DataFrame:
    """The cells that are judged now: those of hours that were not complete at the tick before, or got records since."""
    reached = cells.join(then, on="source", how="left")
    fresh = reached.filter(pl.col("passed_us").is_null() | (pl.col("hour_us") + HOUR_US > pl.col("passed_us")))
    return pl.concat([fresh.drop("passed_us"), cells.join(new, on=[*_NODE, "hour_us"], how="semi")]).unique()


def _told_cells(told: pl.DataFrame, added: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """The hours of stretches that were told."""
    return told.with_columns(hour_us=pl.int_ranges("from_us", "to_us", HOUR_US, dtype=pl.Int64), **added).explode("hour_us")


def _outside(cells: pl.DataFrame, holes: pl.DataFrame) -> pl.DataFrame:
    """Cells that no hole in the numbers explains."""
    inside = cells.join(holes.select(*_NODE, "from_us", "to_us"), on=_NODE).filter(
        (pl.col("hour_us") < pl.col("to_us")) & (pl.col("hour_us") + HOUR_US > pl.col("from_us"))
    )
    return cells.join(inside.select(cells.columns).unique(), on=cells.columns, how="anti")


def _volume(grid: pl.DataFrame, rules: Rules, told: pl.DataFrame, again: pl.DataFrame, holes: pl.DataFrame) -> pl.DataFrame:
    low = volume.settled(volume.low_hours(grid, rules), grid, told, again)
    return volume.stretches(_outside(low, holes), grid)


def _mix(
    known: CompletenessInputs, complete: pl.DataFrame, rules: Rules, told: pl.DataFrame, new: pl.DataFrame, then: pl.DataFrame
) -> pl.DataFrame:
    cell = [*share_shift.NODE, "measure", "hour_us"]
    measure = {"measure": pl.col("subject").str.replace(r" \d+$", "")}
    stood = _told_cells(told.filter(pl.col("control") == "mix"), measure).select(cell)
    far = share_shift.shifted(known, complete, rules)
    hours = known.hours.select(*_NODE, "hour_us").unique()
    again = _cells_to_reevaluate(hours, new, then)
    kept = stood.join(again, on=[*_NODE, "hour_us"], how="anti")
    # A told hour may lie between two that shifted: it stays in their stretch.
    fresh = far.join(again, on=[*_NODE, "hour_us"], how="semi")
    return share_shift.stretches(pl.concat([kept, fresh.select(cell)]).unique(), known)


def _sized(rows: pl.DataFrame, grid: pl.DataFrame, *, whole_source: bool = False) -> pl.DataFrame:
    """Says how many records are missing in periods of which only the hours are known."""
    open_, exact = rows.filter(pl.col("records").is_null()), rows.filter(pl.col("records").is_not_null())
    if whole_source:
        sums = [pl.col("records", "mean", "variance").sum(), pl.col("spread").max()]
        grid = grid.filter(pl.col("service") == WHOLE).with_columns(node=pl.lit(WHOLE)).group_by(volume.CELL).agg(sums)
        # Nothing came, so the profile ends where the feed does; what the same hours brought a week before stands for it.
        week = grid.with_columns(pl.col("hour_us") + profile.WEEK_HOURS * HOUR_US, mean=pl.col("records").cast(pl.Float64))
        later = week.join(grid.select(volume.CELL), on=volume.CELL, how="anti").with_columns(
            records=pl.lit(0, pl.Int64), variance=pl.col("mean") * pl.col("spread") * 2
        )  # fmt: skip
        grid = pl.concat([grid, later.select(grid.columns)])
    told = profile.usually(grid, open_).with_columns(
        records=(pl.col("usual") - pl.col("came")).clip(lower_bound=0.0), records_variance=pl.col("usual_variance")
    )
    return pl.concat([exact, as_findings(told)])


def settled_money(known: CompletenessInputs, complete: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """What was charged on days that every source of charges has passed: later ones are still being billed."""
    charging = [f.name for f in rules.feeds.values() if f.stream == "charge"]
    reached = complete.filter(pl.col("source").is_in(charging))["passed_us"].min()
    if not isinstance(reached, int):
        return known.money
    return known.money.filter(pl.col("day") < pl.lit(reached).cast(pl.Datetime("us")).dt.date())


def keep_previous_bounds(standing: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """Keeps the bounds that were told of the same facts, so that a profile that moves on revises nothing by itself."""
    fact = [*KEY, "from_us", "to_us", "reason"]
    both = standing.join(told.select(*fact, **{f"told_{n}": pl.col(n) for n in BOUNDS}), on=fact, how="left", nulls_equal=True)
    return both.with_columns(pl.coalesce(f"told_{n}", n).alias(n) for n in BOUNDS).select(*STANDING)


def _carry_over(standing: pl.DataFrame, told: pl.DataFrame, floor_us: int) -> pl.DataFrame:
    """What stands, with the bounds that were told of it, and what was told and is too old to be judged again."""
    same = keep_previous_bounds(standing, told)
    old = told.filter(pl.col("from_us") < floor_us + profile.WEEK_HOURS * HOUR_US)
    return pl.concat([same, old.join(same.select(KEY), on=KEY, how="anti", nulls_equal=True)]).unique(KEY, maintain_order=True)
