from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from card_dataset_fixture import DECLARED, SETTINGS, payments, table

from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.feature_spec import Feature, FeatureSet
from trueup.fraud.scoring.model import Model, ModelError, loaded
from trueup.fraud.scoring.model_score import contributions, scored, with_reasons
from trueup.fraud.scoring.reason_text import sentence
from trueup.fraud.training.calibrate import Calibration
from trueup.fraud.training.metrics import auc_roc, average_precision, party_precision
from trueup.fraud.training.train import Table, folds, threshold_for, trained


@pytest.fixture(scope="module")
def model() -> Model:
    return trained(DECLARED, table(), SETTINGS)


@pytest.fixture(scope="module")
def features() -> pl.DataFrame:
    return history(DECLARED, payments())


# --- training ---------------------------------------------------------------------------------------------------------


def test_the_same_seed_and_data_give_the_same_bytes_and_the_same_card(model: Model, tmp_path: Path) -> None:
    again = trained(DECLARED, table(), SETTINGS)
    assert again.trees == model.trees
    first, second = model.saved(tmp_path / "a"), again.saved(tmp_path / "b")
    assert [f.read_bytes() for f in sorted(first.iterdir())] == [f.read_bytes() for f in sorted(second.iterdir())]


def test_a_fold_is_trained_on_nothing_that_was_not_known_before_its_first_test_day() -> None:
    world = table()
    for fold in folds(world, 3):
        begin = world.rows["at_us"].to_numpy()[fold.test].min()
        assert world.rows["known_us"].to_numpy()[fold.train].max() < begin


def test_a_model_trained_on_earlier_days_ranks_the_robberies_of_later_ones_first(model: Model) -> None:
    assert model.card["metrics"]["average_precision"] > 0.9
    assert model.card["frauds"] == 65


def test_the_threshold_alerts_no_more_parties_a_day_than_can_be_looked_at() -> None:
    days = [1, 1, 1, 2, 2, 2]
    rows = pl.DataFrame({"day": days, "party": [1, 1, 2, 1, 2, 3], "score": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]})
    assert threshold_for(rows, 1) == 0.7
    assert threshold_for(rows, 2) == 0.5
    assert threshold_for(rows, 100) == 0.4


@pytest.mark.parametrize(("said", "told"), [(False, "all labels say honest"), (True, "all labels say fraud")])
def test_labels_of_one_class_only_are_nothing_to_learn_from(said: bool, told: str) -> None:
    world = table()
    with pytest.raises(ModelError, match=told):
        trained(DECLARED, Table(world.values, world.rows.with_columns(fraud=pl.lit(said))), SETTINGS)


def test_no_label_at_all_is_nothing_to_learn_from() -> None:
    world = table()
    with pytest.raises(ModelError, match="no transaction has a known label"):
        trained(DECLARED, Table(world.values[:0], world.rows.head(0)), SETTINGS)


def test_labels_that_all_come_after_the_last_day_are_nothing_to_judge_a_model_by() -> None:
    world = table()
    late = world.rows.with_columns(known_us=pl.when("fraud").then(10**15).otherwise("known_us"))
    with pytest.raises(ModelError, match="earlier labels could foretell"):
        trained(DECLARED, Table(world.values, late), SETTINGS)


def test_a_feature_that_is_constant_is_learnt_with_and_decides_nothing() -> None:
    world = table()
    values = world.values.copy()
    values[:, DECLARED.names.index("spent")] = 7
    flat = trained(DECLARED, Table(values, world.rows), SETTINGS)
    assert "spent" not in {DECLARED.names[int(f[1:])] for f in flat.booster().get_score()}


# --- the folder -------------------------------------------------------------------------------------------------------


def test_a_model_comes_back_from_its_folder_as_it_was(model: Model, tmp_path: Path, features: pl.DataFrame) -> None:
    back = loaded(model.saved(tmp_path), DECLARED)
    assert back.model_id == model.model_id
    assert scored(back, features).equals(scored(model, features))
    told = (tmp_path / model.model_id / "card.md").read_text("utf-8")
    assert "What it cannot see" in told
    assert "Calibration" in told


def test_a_model_of_other_features_is_refused(model: Model, tmp_path: Path) -> None:
    other = replace_window(DECLARED)
    with pytest.raises(ModelError, match="other features"):
        loaded(model.saved(tmp_path), other)


def replace_window(declared: FeatureSet) -> FeatureSet:
    first = declared.features[0]
    longer = Feature(first.name, first.entity, first.window_us + 1, first.aggregate)
    return replace(declared, features=(longer, *declared.features[1:]))


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b.replace(b"cents", b"cants", 1) + b" ", lambda _: b""])
def test_a_damaged_model_file_is_refused(model: Model, tmp_path: Path, spoil) -> None:
    folder = model.saved(tmp_path)
    (folder / "model.ubj").write_bytes(spoil((folder / "model.ubj").read_bytes()))
    with pytest.raises(ModelError, match="damaged"):
        loaded(folder, DECLARED)


def test_a_card_that_was_edited_a_model_that_is_gone_and_a_card_of_another_kind_are_refused(model: Model, tmp_path: Path) -> None:
    folder = model.saved(tmp_path)
    card = json.loads((folder / "card.json").read_text("utf-8"))
    (folder / "card.json").write_text(json.dumps({**card, "threshold": 0.0}), "utf-8")
    with pytest.raises(ModelError, match="damaged"):
        loaded(folder, DECLARED)
    (folder / "card.json").write_text("{}", "utf-8")
    with pytest.raises(ModelError, match="the card lacks"):
        loaded(folder, DECLARED)
    (folder / "card.json").write_text("no json", "utf-8")
    with pytest.raises(ModelError, match="cannot be read"):
        loaded(folder, DECLARED)
    with pytest.raises(ModelError, match=r"has no card\.json"):
        loaded(tmp_path / "nowhere", DECLARED)


# --- scoring ----------------------------------------------------------------------------------------------------------


def test_a_row_scores_the_same_alone_and_in_any_company(model: Model, features: pl.DataFrame) -> None:
    whole = scored(model, features)
    shuffled = scored(model, features.sample(fraction=1.0, shuffle=True, seed=3)).sort("event_id")
    assert shuffled.equals(whole.sort("event_id"))
    for row in (0, 77, features.height - 1):
        assert scored(model, features[row : row + 1]).equals(whole[row : row + 1])


def test_reasons_sum_to_the_margin_of_every_row(model: Model, features: pl.DataFrame) -> None:
    told = contributions(model, features)
    assert np.abs(told.sum(axis=1) - scored(model, features)["margin"].to_numpy()).max() < 1e-4


def test_reasons_are_sentences_of_what_adds_most_and_numbers_that_add_up(model: Model, features: pl.DataFrame) -> None:
    said = scored(model, features)
    suspicious = features.filter(said["suspicious"])
    for row in with_reasons(model, suspicious).join(said, on="event_id").head(20).iter_rows(named=True):
        reasons = json.loads(row["reasons"])
        assert reasons["base"] + sum(reasons["adds"].values()) == pytest.approx(row["margin"], abs=1e-4)
        assert 1 <= len(reasons["sentences"]) <= 5


def test_a_feature_missing_from_what_is_scored_is_an_error_and_not_a_silent_score(model: Model, features: pl.DataFrame) -> None:
    with pytest.raises(ModelError, match="'spent' is missing"):
        scored(model, features.drop("spent"))


def test_an_infinite_value_is_an_error_and_not_a_silent_score(model: Model, features: pl.DataFrame) -> None:
    with pytest.raises(ModelError, match="'mean' has infinite"):
        scored(model, features.with_columns(mean=pl.lit(float("inf"))))


def test_a_value_that_is_missing_takes_the_way_the_trees_learnt_for_missing_ones(model: Model, features: pl.DataFrame) -> None:
    blank = features.with_columns(mean=pl.lit(None, pl.Float64))
    assert scored(model, blank)["margin"].is_finite().all()


def test_nothing_to_score_gives_nothing(model: Model, features: pl.DataFrame) -> None:
    assert scored(model, features.head(0)).height == 0
    assert with_reasons(model, features.head(0)).height == 0


# --- words and measures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "usual", "told"),
    [
        ("sub_premium_1h", 23, 0.0, "23 calls and messages to premium numbers by this subscriber in 1 hour; usual: 0"),
        ("pair_count_30d", 1, 3.0, "1 record between these two in 30 days; usual: 3"),
        ("sub_age_30d", 7_200_000_000, 26 * 86_400_000_000.0, "first record by this subscriber 2.0 hours ago; usual: 26.0 days"),
        ("to_premium", True, 0.0, "it goes to a premium number"),
        ("to_premium", False, 0.0, "not: it goes to a premium number"),
        ("seconds", 1_700, 40.5, "1,700 seconds; usual: 40.50"),
        ("peer_rung_1h", None, 0.0, "none different numbers rung with this other party in 1 hour; usual: 0"),
        ("pair_rung_ago_24h", 120_000_000, None, "rung by this other party 2 minutes ago; usual: never"),
        ("range_ringing_24h", 4, 0.0, "4 different numbers calling from this range of numbers in 24 hours; usual: 0"),
        ("anything_else", 2, 1.5, "anything else is 2; usual: 1.50"),
    ],
)
def test_a_feature_is_told_in_plain_words(name: str, value: object, usual: float, told: str) -> None:
    assert sentence(name, value, usual) == told


def test_measures_of_a_ranking_are_those_worked_out_by_hand() -> None:
    fraud = np.array([True, False, True, False])
    assert auc_roc(fraud, np.array([0.9, 0.8, 0.7, 0.1])) == 0.75
    assert auc_roc(fraud, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    assert average_precision(fraud, np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(fraud, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    assert np.isnan(auc_roc(np.array([True]), np.array([1.0])))


def test_a_party_caught_on_one_day_is_out_of_the_next() -> None:
    rows = pl.DataFrame({
        "day": [1, 1, 2, 2], "party": ["a", "b", "a", "b"], "score": [0.9, 0.1, 0.8, 0.7], "fraud": [True, False, True, False],
    })  # fmt: skip
    assert party_precision(rows, budget=1) == 0.5
    assert party_precision(rows, budget=1, forget_caught=False) == 1.0


def test_calibration_keeps_the_order_and_says_what_was() -> None:
    margin = np.repeat(np.array([-3.0, 0.0, 3.0]), 1_000)
    fraud = np.concatenate([np.arange(1_000) < n for n in (20, 100, 400)])
    told = Calibration.fitted(margin, fraud).probability(margin)
    assert told[0] < told[1_500] < told[-1]
    assert told.sum() == pytest.approx(fraud.sum(), rel=0.02)


def test_calibration_without_both_classes_changes_nothing() -> None:
    assert Calibration.fitted(np.array([1.0, 2.0]), np.array([False, False])) == Calibration()
