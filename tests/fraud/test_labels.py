from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from trueup.fraud.monitoring.drift import counts, psi, reference
from trueup.fraud.training.labels import labels_of_decisions, labels_of_truth, latest_decision, training_targets


def at(day: int) -> datetime:
    return datetime(2024, 3, day, tzinfo=UTC)


def us(day: int) -> int:
    return int(at(day).timestamp() * 1_000_000)


DECISIONS = pl.DataFrame({
    "event_id": [b"a", b"a", b"b", b"c", b"d"], "decision": ["confirmed", "dismissed", "dismissed", "reopened", "recovered"],
    "decided_at": [at(5), at(9), at(6), at(6), at(7)],
})  # fmt: skip


def test_a_feature_uses_the_first_decision_from_its_time_on() -> None:
    assert list(labels_of_decisions(DECISIONS).iter_rows()) == [(b"a", us(5), 1), (b"b", us(6), 0), (b"d", us(7), 1)]


def test_training_uses_the_last_decision_known_at_its_instant() -> None:
    assert list(latest_decision(DECISIONS, upto_us=us(8)).iter_rows()) == [(b"a", us(5), 1), (b"b", us(6), 0), (b"d", us(7), 1)]
    assert next(latest_decision(DECISIONS, upto_us=us(9)).iter_rows()) == (b"a", us(9), 0)


def test_a_truth_labels_every_record_of_its_fraud_cases_from_when_they_can_be_known() -> None:
    truth = pl.DataFrame({
        "category": ["fraud", "lookalike", "fraud"], "knowable_at": [at(9), at(1), at(3)],
        "usage_record_keys": [["r1", "r2", "missing"], ["r3"], ["r2"]],
    })  # fmt: skip
    keys = pl.DataFrame({"record_key": ["r1", "r2", "r3"], "event_id": [b"1", b"2", b"3"]})
    assert list(labels_of_truth(truth, keys).iter_rows()) == [(b"2", us(3), 1), (b"1", us(9), 1)]


def test_a_transaction_without_a_label_is_honest_after_the_label_delay_and_unknown_before() -> None:
    events = pl.DataFrame({"event_id": [b"a", b"x", b"y"], "at_us": [us(1), us(2), us(5)], "is_label": [False] * 3})
    labels = pl.DataFrame({"event_id": [b"a"], "known_us": [us(6)], "fraud": [1]})
    known = training_targets(events, labels, label_delay_us=3 * 86_400_000_000, upto_us=us(6))
    assert list(known.iter_rows()) == [(b"a", us(1), True, us(6)), (b"x", us(2), False, us(5))]


def test_training_leaves_out_a_fraud_that_is_not_known_yet() -> None:
    events = pl.DataFrame({"event_id": [b"a"], "at_us": [us(1)], "is_label": [False]})
    labels = pl.DataFrame({"event_id": [b"a"], "known_us": [us(20)], "fraud": [1]})
    assert training_targets(events, labels, label_delay_us=86_400_000_000, upto_us=us(10)).is_empty()


def test_an_equal_distribution_has_no_drift_and_a_different_one_has() -> None:
    values = np.arange(1_000, dtype=np.float32)
    bins = reference(values)
    assert psi(bins["shares"], counts(values, bins["edges"])) == pytest.approx(0, abs=1e-9)
    assert psi(bins["shares"], counts(values + 500, bins["edges"])) > 0.25
    assert psi(bins["shares"], counts(np.full(10, np.nan, dtype=np.float32), bins["edges"])) > 0.25


def test_a_constant_feature_has_one_bin_and_drifts_when_it_moves() -> None:
    bins = reference(np.full(100, 7, dtype=np.float32))
    assert psi(bins["shares"], counts(np.full(5, 7, dtype=np.float32), bins["edges"])) == pytest.approx(0, abs=1e-9)
    assert psi(bins["shares"], counts(np.full(5, 8, dtype=np.float32), bins["edges"])) > 0.25
