from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from trueup.fraud.monitoring.drift import counts, psi, reference
from trueup.fraud.training.folds import WEAK_WEIGHT, Table, folds, known_at
from trueup.fraud.training.labels import contradictions, labels_of_decisions, labels_of_truth, latest_decision, targets


def at(day: int) -> datetime:
    return datetime(2024, 3, day, tzinfo=UTC)


def us(day: int) -> int:
    return int(at(day).timestamp() * 1_000_000)


DECISIONS = pl.DataFrame({
    "event_id": [b"a", b"a", b"b", b"c", b"d"], "decision": ["confirmed", "dismissed", "dismissed", "reopened", "recovered"],
    "decided_at": [at(5), at(9), at(6), at(6), at(7)], "decided_snapshot": [1, 5, 2, 3, 4], "side": ["subscriber", "subscriber", "peer", "peer", "subscriber"],
})  # fmt: skip


def test_a_feature_uses_the_first_decision_from_its_time_on() -> None:
    labels = labels_of_decisions(DECISIONS)
    assert list(labels.iter_rows()) == [(b"a", us(5), 1, "subscriber"), (b"b", us(6), 0, "peer"), (b"d", us(7), 1, "subscriber")]


def test_training_uses_the_last_decision_known_at_its_instant() -> None:
    assert list(latest_decision(DECISIONS, upto_us=us(8)).iter_rows()) == [(b"a", us(5), 1), (b"b", us(6), 0), (b"d", us(7), 1)]
    assert next(latest_decision(DECISIONS, upto_us=us(9)).iter_rows()) == (b"a", us(9), 0)
    assert contradictions(DECISIONS) == 1


def test_a_transaction_is_fraud_where_one_of_its_ends_is_confirmed_and_the_other_dismissed() -> None:
    of_both = pl.DataFrame({
        "event_id": [b"a", b"a"], "decision": ["dismissed", "confirmed"], "decided_at": [at(5), at(6)],
        "decided_snapshot": [1, 2], "side": ["subscriber", "peer"],
    })  # fmt: skip
    assert list(latest_decision(of_both).iter_rows()) == [(b"a", us(6), 1)]
    assert contradictions(of_both) == 0


def decided(*rows: tuple[str, int, str]) -> pl.DataFrame:
    """Return decisions (decision, day, side) on one transaction in the order of commit."""
    return pl.DataFrame({
        "event_id": [b"a"] * len(rows), "decision": [row[0] for row in rows], "decided_at": [at(row[1]) for row in rows],
        "decided_snapshot": range(len(rows)), "side": [row[2] for row in rows],
    })  # fmt: skip


def test_a_reopening_withdraws_the_label_for_training_and_not_from_features() -> None:
    reopened = decided(("confirmed", 5, "peer"), ("reopened", 6, "peer"))
    assert latest_decision(reopened).is_empty()
    assert list(latest_decision(reopened, upto_us=us(5)).iter_rows()) == [(b"a", us(5), 1)]
    assert list(labels_of_decisions(reopened).iter_rows()) == [(b"a", us(5), 1, "peer")]


def test_after_a_reopening_only_later_decisions_label_and_contradict() -> None:
    again = decided(("confirmed", 5, "peer"), ("reopened", 6, "peer"), ("commented", 7, "peer"), ("dismissed", 8, "peer"))
    assert list(latest_decision(again).iter_rows()) == [(b"a", us(8), 0)]
    assert contradictions(again) == 0
    same = decided(("confirmed", 5, "peer"), ("reopened", 6, "peer"), ("confirmed", 8, "peer"))
    assert list(latest_decision(same).iter_rows()) == [(b"a", us(8), 1)]


def test_a_reopening_of_one_end_leaves_the_label_of_the_other() -> None:
    ends = decided(("confirmed", 5, "peer"), ("dismissed", 6, "subscriber"), ("reopened", 7, "peer"))
    assert list(latest_decision(ends).iter_rows()) == [(b"a", us(6), 0)]


def test_of_two_decisions_the_one_committed_last_counts_whatever_the_clocks_said() -> None:
    assert list(latest_decision(decided(("confirmed", 9, "peer"), ("dismissed", 5, "peer"))).iter_rows()) == [(b"a", us(5), 0)]
    assert latest_decision(decided(("confirmed", 9, "peer"), ("reopened", 5, "peer"))).is_empty()


def test_a_truth_labels_every_record_of_its_fraud_cases_from_when_they_can_be_known() -> None:
    truth = pl.DataFrame({
        "kind": ["irsf", "traveller", "wangiri"], "category": ["fraud", "lookalike", "fraud"], "knowable_at": [at(9), at(1), at(3)],
        "usage_record_keys": [["r1", "r2", "missing"], ["r3"], ["r2"]],
    })  # fmt: skip
    keys = pl.DataFrame({"record_key": ["r1", "r2", "r3"], "event_id": [b"1", b"2", b"3"]})
    assert list(labels_of_truth(truth, keys).iter_rows()) == [(b"2", us(3), 1, "peer"), (b"1", us(9), 1, "subscriber")]


def table(*rows: tuple[int, bool, int | None]) -> Table:
    """Return transactions (day, fraud, day of a decision on it) with a label delay of three days."""
    events = pl.DataFrame({
        "event_id": [bytes([n]) for n in range(len(rows))], "at_us": [us(day) for day, _, _ in rows], "is_label": [False] * len(rows),
    })  # fmt: skip
    labels = pl.DataFrame({
        "event_id": [bytes([n]) for n, (_, _, decided) in enumerate(rows) if decided],
        "known_us": [us(decided) for _, _, decided in rows if decided], "fraud": [int(fraud) for _, fraud, decided in rows if decided],
    })  # fmt: skip
    known = targets(events, labels, label_delay_us=3 * 86_400_000_000)
    facts = known.with_columns(
        day=pl.from_epoch("at_us", "us").dt.date(), party=pl.lit("p"), type=pl.lit(None, pl.String), peer=pl.lit(None, pl.String),
        is_received=pl.lit(value=False),
    )  # fmt: skip
    return Table(np.zeros((len(rows), 1), dtype=np.float32), facts)


def test_a_transaction_without_a_decision_is_weakly_honest_after_the_label_delay_and_unknown_before() -> None:
    known = known_at(table((1, True, 2), (2, False, None), (5, False, None)), us(6))
    assert known.at.tolist() == [0, 1]
    assert known.fraud.tolist() == [True, False]
    assert known.weight.tolist() == [1.0, WEAK_WEIGHT]


def test_at_a_cut_a_fraud_that_was_confirmed_later_counts_as_honest_as_it_did_then() -> None:
    late = table((1, True, 20), (2, True, 4))
    assert known_at(late, us(10)).fraud.tolist() == [False, True]
    assert known_at(late, us(21)).fraud.tolist() == [True, True]


def test_a_decision_counts_however_old_its_transaction_is() -> None:
    known = known_at(table((1, True, 29), (2, False, None)), us(30))
    assert known.fraud.tolist() == [True, False]


def test_the_last_fold_ends_where_transactions_without_a_decision_are_not_honest_yet() -> None:
    # The newest days have only quick decisions, so a fold of these days alone would have only frauds.
    rows = [(day, day % 2 == 0, day + 1 if day % 2 == 0 else None) for day in range(1, 16)]
    newest = [(day, True, day + 1) for day in (16, 17, 18)]
    labelled = table(*rows, *newest)
    for fold in folds(labelled, 3, now_us=us(19)):
        of_fold = labelled.rows[fold.test]
        assert of_fold["fraud"].any() and not of_fold["fraud"].all()
        assert of_fold["at_us"].max() <= us(16)


def test_an_equal_distribution_has_no_drift_and_a_different_one_has() -> None:
    values = np.arange(1_000, dtype=np.float32)
    bins = reference(values)
    assert psi(bins["shares"], counts(values, bins["edges"])) == pytest.approx(0, abs=1e-9)
    assert psi(bins["shares"], counts(values + 500, bins["edges"])) > 0.25
    assert psi(bins["shares"], counts(np.full(10, np.nan, dtype=np.float32), bins["edges"])) > 0.25


def test_a_constant_feature_has_one_bin_and_drifts_when_it_moves() -> None:
    bins = reference(np.full(100, 7, dtype=np.float32))
    assert psi(bins["shares"], counts(np.full(5, 3, dtype=np.float32), bins["edges"])) > 0.25
    assert psi(bins["shares"], counts(np.full(5, 7, dtype=np.float32), bins["edges"])) == pytest.approx(0, abs=1e-9)
    assert psi(bins["shares"], counts(np.full(5, 8, dtype=np.float32), bins["edges"])) > 0.25
