"""Laws of items on random logs: money is conserved, and any division into epochs and buckets gives the history of one call."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import lake_fixture
import polars as pl
import pytest
from item_lake import item_lake, random_item_log, random_policy, with_moved_bills
from item_logs import POLICY, Bill, Closed, Price, State
from run_epochs import process_epochs

from trueup.config import BucketBy, ServiceConfig
from trueup.reconcile.recurring import item_partition
from trueup.reconcile.results.outcome import merge_outcomes


@pytest.fixture(autouse=True)
def few_subscriptions_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_partition, "MOST_SUBSCRIPTIONS", 2)


def check(seed: str, folder: Path, *, moved: bool = False, bucket_by: BucketBy = "subscriber") -> Counter[str]:
    """Check the laws on one log; return how often each cause occurs."""
    r = random.Random(seed)
    log = random_item_log(r)
    log = with_moved_bills(r, log) if moved else log
    with item_lake(folder, log, random_policy(r), bucket_by) as lake:
        last = lake.last_position()
        whole = lake_fixture.outcome_of(lake, 0, last, 1)
        rest = pl.sum_horizontal("impact_micros", "tolerated_micros", "pending_micros")
        assert whole.ledger.filter(pl.col("expected_micros") - pl.col("billed_micros") != rest).is_empty(), seed
        billed = sum(int(v) for v in whole.ledger["billed_micros"])
        bills = lake.read("charge", upto=last)
        counted = {n: int(whole.placement[n].sum() or 0) for n in ("placed_records", "outdone_records", "amount_micros")}
        assert counted["placed_records"] + counted["outdone_records"] == bills.height, seed
        assert counted["amount_micros"] == int(bills["amount_micros"].sum() or 0), seed
        if not counted["outdone_records"]:
            assert billed == counted["amount_micros"], seed
        full = lake_fixture.totals(whole)
        cuts = sorted(r.sample(range(1, last), r.randint(0, last - 1)))
        for ends in ([*cuts, last], list(range(1, last + 1))):
            outcomes = [t.outcome for b in lake_fixture.ranges(2) for t in process_epochs(lake, ends, b)]
            assert lake_fixture.totals(merge_outcomes(outcomes)) == full, f"{seed}: {ends}"
    return Counter(whole.history["cause"].to_list())


RENTAL = Price("31", at=2, more={"period": "cycle"})
EARLY = Bill("0", time="2026-03-01T05:00", item="x", subscriber="other", at=3)
OFF_MIDNIGHT: dict[str, tuple[list[State | Price], str, str]] = {
    "a rental that begins at noon": ([State("2026-03-10T12:00", at=4)], "2026-03-09T20:00", "2026-03-10T05:00"),
    "a rental of a subscription whose days begin in New York": (
        [State("2026-03-10T12:00", at=4, more={"timezone": "America/New_York"})], "2026-03-10T02:00", "2026-03-10T06:00",
    ),
    "a change of cycle at noon": (
        [State("2026-02-01", at=4), State("2026-03-10T12:00", at=4, more={"cycle_day": 20})], "2026-03-09T20:00", "2026-03-10T05:00",
    ),
    "a cycle of an earlier state, in the zone of a later one": (
        [State("2026-02-01", at=4, more={"cycle_day": 10}),
         State("2026-06-01T12:00", at=4, more={"timezone": "America/New_York", "cycle_day": 20})],
        "2026-03-10T02:00", "2026-03-10T06:00",
    ),
    "a price that the plan's own price hides until noon of the day before": (
        [Price("0", "2026-01-01", "2026-03-09T12:00", plan="A", at=2, more={"period": "month"}), State("2026-02-01", at=4)],
        "2026-03-09T20:00", "2026-03-10T05:00",
    ),
}  # fmt: skip
"""Logs with two closings. Between both a day begins on which a rental is due; no state or price begins or ends between them."""


@pytest.mark.parametrize("case", OFF_MIDNIGHT, ids=lambda name: name.replace(" ", "_"))
def test_repeated_runs_find_rentals_that_are_due_at_midnight(case: str, tmp_path: Path) -> None:
    items, before, behind = OFF_MIDNIGHT[case]
    closings = [Closed(before, 5), Closed(behind, 6), Closed("2026-03-15", 7)]
    policy = replace(POLICY, default=ServiceConfig.model_validate({"grace": "0s"}))
    with item_lake(tmp_path, [RENTAL, EARLY, *items, *closings], policy) as lake:
        whole = lake_fixture.outcome_of(lake, 0, 7, 1)
        assert 6 in whole.history["position"].to_list()
        assert lake_fixture.totals(lake_fixture.outcome_in_steps(lake, range(1, 8), 1)) == lake_fixture.totals(whole)


@pytest.mark.parametrize("closed_before", [True, False])
def test_a_correction_moves_an_unexplained_charge_to_another_period_from_its_own_position_on(
    closed_before: bool, tmp_path: Path
) -> None:
    charge = Bill("5", ("2026-01-01", "2026-02-01"), item="x", key="k", version=1, at=3)
    moved = replace(charge, period=("2026-03-01", "2026-04-01"), version=2, at=5)
    closings = [Closed("2026-02-20", 4)] if closed_before else []
    with item_lake(tmp_path, [RENTAL, charge, *closings, moved, Closed("2026-05-20", 6)]) as lake:
        whole = lake_fixture.outcome_of(lake, 0, 6, 1)
        changes = whole.history.select("position", "action", pl.col("day").dt.month()).rows()
        before = [(4, "raised", 1), (5, "retracted", 1)] if closed_before else []
        assert changes == [*before, (6, "raised", 3)]
        billed = whole.ledger.group_by(pl.col("day").dt.month()).agg(pl.col("billed_micros").sum()).sort("day").rows()
        assert billed == [(1, 0), (3, 5_000_000)]
        assert lake_fixture.totals(lake_fixture.outcome_in_steps(lake, range(1, 7), 1)) == lake_fixture.totals(whole)


def test_charges_that_move_between_subscriptions_of_one_account_may_be_divided(tmp_path: Path) -> None:
    assert check("account 0", tmp_path, moved=True, bucket_by="account")["correction"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("n", range(1, 7))
def test_random_logs_of_one_account_whose_charges_move_may_be_divided(n: int, tmp_path: Path) -> None:
    check(f"account {n}", tmp_path, moved=True, bucket_by="account")


@pytest.mark.parametrize("n", range(2))
def test_a_random_log_of_items_is_conserved_and_may_be_divided(n: int, tmp_path: Path) -> None:
    check(f"item law {n}", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("n", range(2, 10))
def test_random_logs_of_items_are_conserved_and_may_be_divided(n: int, tmp_path: Path) -> None:
    check(f"item law {n}", tmp_path)


@pytest.mark.slow
def test_charges_of_items_that_move_to_another_subscription_are_conserved_and_may_be_divided(tmp_path: Path) -> None:
    assert check("moved items 0", tmp_path, moved=True)["correction"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("n", range(1, 7))
def test_random_logs_of_moved_charges_of_items_are_conserved_and_may_be_divided(n: int, tmp_path: Path) -> None:
    check(f"moved items {n}", tmp_path, moved=True)
