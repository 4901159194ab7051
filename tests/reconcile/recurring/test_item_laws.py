"""Laws of items on random logs: money is conserved, and any division into epochs and buckets gives the history of one call."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import lake_fixture
import polars as pl
import pytest
from item_lake import item_lake, random_item_log, with_moved_bills
from run_epochs import process_epochs

from trueup.reconcile.recurring import item_partition
from trueup.reconcile.results.outcome import merge_outcomes


@pytest.fixture(autouse=True)
def few_subscriptions_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_partition, "MOST_SUBSCRIPTIONS", 2)


def check(seed: str, folder: Path, *, moved: bool = False) -> Counter[str]:
    """Check the laws on one log; return how often each cause occurs."""
    r = random.Random(seed)
    log = random_item_log(r)
    log = with_moved_bills(r, log) if moved else log
    with item_lake(folder, log) as lake:
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


def test_a_random_log_of_items_is_conserved_and_may_be_divided(tmp_path: Path) -> None:
    check("item law 0", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("n", range(8))
def test_random_logs_of_items_are_conserved_and_may_be_divided(n: int, tmp_path: Path) -> None:
    check(f"item law {n}", tmp_path)


@pytest.mark.slow
def test_charges_of_items_that_move_to_another_subscription_are_conserved_and_may_be_divided(tmp_path: Path) -> None:
    assert check("moved items 0", tmp_path, moved=True)["correction"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("n", range(1, 7))
def test_random_logs_of_moved_charges_of_items_are_conserved_and_may_be_divided(n: int, tmp_path: Path) -> None:
    check(f"moved items {n}", tmp_path, moved=True)
