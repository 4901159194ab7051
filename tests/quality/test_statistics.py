"""Statistics of the controls: the rate of false alarms, and how often the bounds contain the true values."""

from __future__ import annotations

import polars as pl
import pytest
import simulated_operator as op

FEW, FEW_LOSSES, MANY = 8, 4, 200
"""Seeds of operators without losses and with one; four of these have each kind of loss once."""
HOURS_PER_YEAR = 8_766
JUDGED_WEEKS = op.WEEKS - 3
SERIES = 2 * 3
"""The compared parts: two switches, each as a whole and by its two services."""


def alarms(seeds: range) -> tuple[int, int]:
    """Count the findings of volume and of mix of operators without losses."""
    volume = mix = 0
    for seed in seeds:
        made = op.made(seed)
        open_rows = op.open_rows(made, made, numbered=bool(seed % 2))
        volume += open_rows.filter(pl.col("control") == "volume").height
        mix += open_rows.filter(pl.col("control") == "mix").height
        assert open_rows.filter(~pl.col("control").is_in(["volume", "mix"])).is_empty()
    return volume, mix


def within_the_stated_rate(seeds: range) -> None:
    volume, mix = alarms(seeds)
    stated = op.rules().false_alarms_per_year
    years = len(seeds) * JUDGED_WEEKS * 168 / HOURS_PER_YEAR
    print(
        f"{len(seeds)} clean seeds: {volume} volume findings in {SERIES * years:.1f} series-years, {mix} of mix in {2 * years:.1f} node-years"
    )
    assert volume <= stated * SERIES * years
    assert mix <= stated * 2 * years


def lost(seed: int, made: pl.DataFrame) -> pl.Series:
    """Draw one of four losses: two files, a busy hour or two, three silent hours, half a day."""
    hour = 4 * 168 + 24 * (seed % 11) + 9 + seed % 5
    node = op.NODES[seed % 2]
    if seed % 4 == 0:
        file = hour // op.FILE_HOURS
        return made.select((pl.col("node") == node) & pl.col("file").is_in([file, file + 1])).to_series()
    hours = {1: 2, 2: 3, 3: 12}[seed % 4]
    return made.select(op.between(hour, hours, node)).to_series()


def bound(seed: int, *, numbered: bool) -> tuple[bool, bool]:
    """Return whether the bounds of a loss contain the true number of records, and the true money."""
    made = op.made(1_000 + seed)
    missing = lost(seed, made)
    what = op.Operator(made, missing)
    records, worth = what.worth()
    open_rows = op.open_rows(made.filter(~missing), made, numbered=numbered)
    of_source = open_rows.filter(
        pl.col("kind").is_in(["missing_records", "volume_drop"]) & (pl.col("node") == op.NODES[seed % 2])
        & (pl.col("from_us") < made.filter(missing)["at_us"].max()) & (pl.col("to_us") > made.filter(missing)["at_us"].min())
    )  # fmt: skip
    assert of_source.height == 1, (seed, numbered, open_rows)
    (found,) = of_source.to_dicts()
    return found["records_low"] <= records <= found["records_high"], found["money_low"] <= worth <= found["money_high"]


def holds_the_truth(seeds: range) -> None:
    for numbered in (True, False):
        both = [bound(seed, numbered=numbered) for seed in seeds]
        of_records, of_money = sum(b[0] for b in both), sum(b[1] for b in both)
        print(
            f"{len(seeds)} losses, {'numbered' if numbered else 'profiled'}: {of_records} bounds hold the records, {of_money} the money"
        )
        assert of_money >= 0.95 * len(seeds)
        assert of_records >= (1.0 if numbered else 0.95) * len(seeds)


def bound_of_stale(seed: int) -> tuple[bool, bool]:
    """Return the same for a feed that stopped half a day to five days before the tick."""
    made = op.made(3_000 + seed)
    missing = made.select(pl.col("at_us") >= op.END_US - (12 + (seed * 7) % 108) * op.HOUR_US).to_series()
    records, worth = op.Operator(made, missing).worth()
    (found,) = (
        op.open_rows(made.filter(~missing), made, numbered=False, feed=op.SCHEDULED)
        .filter(pl.col("kind") == "stale_feed")
        .to_dicts()
    )
    return found["records_low"] <= records <= found["records_high"], found["money_low"] <= worth <= found["money_high"]


def stale_holds_the_truth(seeds: range) -> None:
    both = [bound_of_stale(seed) for seed in seeds]
    of_records, of_money = sum(b[0] for b in both), sum(b[1] for b in both)
    print(f"{len(seeds)} stale feeds: {of_records} bounds hold the records, {of_money} the money")
    assert of_money >= 0.95 * len(seeds)
    assert of_records >= 0.95 * len(seeds)


def test_clean_feeds_raise_no_more_alarms_than_stated() -> None:
    within_the_stated_rate(range(FEW))


def test_the_bounds_of_a_loss_hold_the_truth() -> None:
    holds_the_truth(range(FEW_LOSSES))


def test_the_bounds_of_a_stale_feed_hold_the_truth() -> None:
    stale_holds_the_truth(range(FEW_LOSSES))


@pytest.mark.slow
def test_the_bounds_of_two_hundred_stale_feeds_hold_the_truth() -> None:
    stale_holds_the_truth(range(MANY))


@pytest.mark.slow
def test_two_hundred_clean_feeds_raise_no_more_alarms_than_stated() -> None:
    within_the_stated_rate(range(MANY))


@pytest.mark.slow
def test_the_bounds_of_two_hundred_losses_hold_the_truth() -> None:
    holds_the_truth(range(MANY))
