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
from trueup.fraud.scoring.model import Model, ModelError, load_model
from trueup.fraud.scoring.model_score import contributions, score_features, with_reasons
from trueup.fraud.scoring.reason_text import sentence
from trueup.fraud.training.calibrate import Calibration
from trueup.fraud.training.metrics import auc_roc, average_precision, party_precision
from trueup.fraud.training.train import Table, folds, threshold_for, train_model


@pytest.fixture(scope="module")
def model() -> Model:
    return train_model(DECLARED, table(), SETTINGS)


@pytest.fixture(scope="module")
def features() -> pl.DataFrame:
    return history(DECLARED, payments())


# --- training ---------------------------------------------------------------------------------------------------------


def test_the_same_seed_and_data_give_the_same_bytes_and_the_same_card(model: Model, tmp_path: Path) -> None:
    again = train_model(DECLARED, table(), SETTINGS)
    assert again.trees == model.trees
    first, second = model.save(tmp_path / "a"), again.save(tmp_path / "b")
    assert [f.read_bytes() for f in sorted(first.iterdir())] == [f.read_bytes() for f in sorted(second.iterdir())]


def test_a_fold_trains_only_on_labels_known_before_its_first_test_day() -> None:
    world = table()
    for fold in folds(world, 3):
        begin = world.rows["at_us"].to_numpy()[fold.test].min()
        assert world.rows["known_us"].to_numpy()[fold.train].max() < begin


def test_a_model_trained_on_earlier_days_ranks_the_frauds_of_later_days_first(model: Model) -> None:
    assert model.card["metrics"]["average_precision"] > 0.9
    assert model.card["frauds"] == 65


def test_the_threshold_alerts_no_more_parties_a_day_than_the_budget() -> None:
    days = [1, 1, 1, 2, 2, 2]
    rows = pl.DataFrame({"day": days, "party": [1, 1, 2, 1, 2, 3], "score": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]})
    assert threshold_for(rows, 1) == 0.7
    assert threshold_for(rows, 2) == 0.5
    assert threshold_for(rows, 100) == 0.4


@pytest.mark.parametrize(("fraud", "message"), [(False, "all labels say honest"), (True, "all labels say fraud")])
def test_training_on_labels_of_one_class_is_refused(fraud: bool, message: str) -> None:
    world = table()
    with pytest.raises(ModelError, match=message):
        train_model(DECLARED, Table(world.values, world.rows.with_columns(fraud=pl.lit(fraud))), SETTINGS)


def test_training_without_labels_is_refused() -> None:
    world = table()
    with pytest.raises(ModelError, match="no transaction has a known label"):
        train_model(DECLARED, Table(world.values[:0], world.rows.head(0)), SETTINGS)


def test_training_with_all_labels_after_the_last_day_is_refused() -> None:
    world = table()
    late = world.rows.with_columns(known_us=pl.when("fraud").then(10**15).otherwise("known_us"))
    with pytest.raises(ModelError, match="earlier labels could foretell"):
        train_model(DECLARED, Table(world.values, late), SETTINGS)


def test_a_constant_feature_contributes_nothing() -> None:
    world = table()
    values = world.values.copy()
    values[:, DECLARED.names.index("spent")] = 7
    flat = train_model(DECLARED, Table(values, world.rows), SETTINGS)
    assert "spent" not in {DECLARED.names[int(f[1:])] for f in flat.booster().get_score()}


# --- the folder -------------------------------------------------------------------------------------------------------


def test_a_model_loaded_from_its_folder_gives_equal_scores(model: Model, tmp_path: Path, features: pl.DataFrame) -> None:
    back = load_model(model.save(tmp_path), DECLARED)
    assert back.model_id == model.model_id
    assert score_features(back, features).equals(score_features(model, features))
    card_text = (tmp_path / model.model_id / "card.md").read_text("utf-8")
    assert "What it cannot see" in card_text
    assert "Calibration" in card_text


def test_a_model_of_other_features_is_refused(model: Model, tmp_path: Path) -> None:
    other = replace_window(DECLARED)
    with pytest.raises(ModelError, match="other features"):
        load_model(model.save(tmp_path), other)


def replace_window(declared: FeatureSet) -> FeatureSet:
    first = declared.features[0]
    longer = Feature(first.name, first.entity, first.window_us + 1, first.aggregate)
    return replace(declared, features=(longer, *declared.features[1:]))


@pytest.mark.parametrize("spoil", [lambda b: b[: len(b) // 2], lambda b: b.replace(b"cents", b"cants", 1) + b" ", lambda _: b""])
def test_a_damaged_model_file_is_refused(model: Model, tmp_path: Path, spoil) -> None:
    folder = model.save(tmp_path)
    (folder / "model.ubj").write_bytes(spoil((folder / "model.ubj").read_bytes()))
    with pytest.raises(ModelError, match="damaged"):
        load_model(folder, DECLARED)


def test_an_edited_card_a_missing_model_and_an_invalid_card_are_refused(model: Model, tmp_path: Path) -> None:
    folder = model.save(tmp_path)
    card = json.loads((folder / "card.json").read_text("utf-8"))
    (folder / "card.json").write_text(json.dumps({**card, "threshold": 0.0}), "utf-8")
    with pytest.raises(ModelError, match="damaged"):
        load_model(folder, DECLARED)
    (folder / "card.json").write_text("{}", "utf-8")
    with pytest.raises(ModelError, match="the card lacks"):
        load_model(folder, DECLARED)
    (folder / "card.json").write_text("no json", "utf-8")
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(folder, DECLARED)
    with pytest.raises(ModelError, match=r"has no card\.json"):
        load_model(tmp_path / "nowhere", DECLARED)


# --- scoring ----------------------------------------------------------------------------------------------------------


def test_the_score_of_a_row_is_independent_of_other_rows(model: Model, features: pl.DataFrame) -> None:
    together = score_features(model, features)
    shuffled = score_features(model, features.sample(fraction=1.0, shuffle=True, seed=3)).sort("event_id")
    assert shuffled.equals(together.sort("event_id"))
    for row in (0, 77, features.height - 1):
        assert score_features(model, features[row : row + 1]).equals(together[row : row + 1])


def test_reasons_sum_to_the_margin_of_every_row(model: Model, features: pl.DataFrame) -> None:
    added = contributions(model, features)
    assert np.abs(added.sum(axis=1) - score_features(model, features)["margin"].to_numpy()).max() < 1e-4


def test_reasons_are_sentences_of_the_greatest_contributions_and_sum_to_the_margin(model: Model, features: pl.DataFrame) -> None:
    scores = score_features(model, features)
    suspicious = features.filter(scores["suspicious"])
    for row in with_reasons(model, suspicious).join(scores, on="event_id").head(20).iter_rows(named=True):
        reasons = json.loads(row["reasons"])
        assert reasons["base"] + sum(reasons["adds"].values()) == pytest.approx(row["margin"], abs=1e-4)
        assert 1 <= len(reasons["sentences"]) <= 5


def test_a_missing_feature_is_an_error(model: Model, features: pl.DataFrame) -> None:
    with pytest.raises(ModelError, match="'spent' is missing"):
        score_features(model, features.drop("spent"))


def test_an_infinite_value_is_an_error(model: Model, features: pl.DataFrame) -> None:
    with pytest.raises(ModelError, match="'mean' has infinite"):
        score_features(model, features.with_columns(mean=pl.lit(float("inf"))))


def test_a_missing_value_is_scored(model: Model, features: pl.DataFrame) -> None:
    blank = features.with_columns(mean=pl.lit(None, pl.Float64))
    assert score_features(model, blank)["margin"].is_finite().all()


def test_scoring_no_rows_returns_no_rows(model: Model, features: pl.DataFrame) -> None:
    assert score_features(model, features.head(0)).height == 0
    assert with_reasons(model, features.head(0)).height == 0


# --- words and measures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "usual", "text"),
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
def test_a_feature_is_written_as_a_sentence(name: str, value: object, usual: float, text: str) -> None:
    assert sentence(name, value, usual) == text


def test_ranking_measures_equal_those_computed_by_hand() -> None:
    fraud = np.array([True, False, True, False])
    assert auc_roc(fraud, np.array([0.9, 0.8, 0.7, 0.1])) == 0.75
    assert auc_roc(fraud, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    assert average_precision(fraud, np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(fraud, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    assert np.isnan(auc_roc(np.array([True]), np.array([1.0])))


def test_a_party_caught_on_one_day_is_left_out_of_the_next() -> None:
    rows = pl.DataFrame({
        "day": [1, 1, 2, 2], "party": ["a", "b", "a", "b"], "score": [0.9, 0.1, 0.8, 0.7], "fraud": [True, False, True, False],
    })  # fmt: skip
    assert party_precision(rows, budget=1) == 0.5
    assert party_precision(rows, budget=1, forget_caught=False) == 1.0


def test_calibration_preserves_the_ranking_and_the_number_of_frauds() -> None:
    margin = np.repeat(np.array([-3.0, 0.0, 3.0]), 1_000)
    fraud = np.concatenate([np.arange(1_000) < n for n in (20, 100, 400)])
    probability = Calibration.fitted(margin, fraud).probability(margin)
    assert probability[0] < probability[1_500] < probability[-1]
    assert probability.sum() == pytest.approx(fraud.sum(), rel=0.02)


def test_calibration_on_one_class_has_slope_1_and_shift_0() -> None:
    assert Calibration.fitted(np.array([1.0, 2.0]), np.array([False, False])) == Calibration()
