"""Train a model on a table and score another one, with the same folds, calibration, budget, card and reasons as for calls."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trueup.fraud.monitoring.drift import ALARM, BINS, MARGIN, counts, psi
from trueup.fraud.scoring.model import CARD, Model, ModelError, load_model
from trueup.fraud.scoring.model_score import score_features
from trueup.fraud.tables.declaration import TableColumns, TableError, TableFeatures, card_of_columns, columns_of_card
from trueup.fraud.tables.encode import encoded, features_of
from trueup.fraud.tables.leakage import leaking
from trueup.fraud.tables.read_table import columns_in, facts_of, read_table
from trueup.fraud.tables.table_reasons import sentences_of
from trueup.fraud.training.folds import Table, table_of
from trueup.fraud.training.metrics import auc_roc, average_precision, party_precision, value_detected_ratio
from trueup.fraud.training.time_span import time_span
from trueup.fraud.training.train import Settings, train_model
from trueup.regular import read_regular

_MOST_BYTES = 1 << 30
_LEAST_DRIFT_ROWS = 500


@dataclass(frozen=True)
class TrainedTable:
    """A model trained on a table, its folder, and the features that repeat the label."""

    model: Model
    folder: Path
    leaking: dict[str, str]


@dataclass(frozen=True)
class ScoredTable:
    """The rows of a table with their scores and reasons, measures on rows after training, and features that drifted."""

    rows: pl.DataFrame
    suspicious: int
    metrics: dict[str, float]
    drifted: tuple[str, ...]


def train_table(path: Path, columns: TableColumns, settings: Settings, *, models: Path) -> TrainedTable:
    """Train a model on a table and write its folder.

    Raises `TableError` for columns that cannot be used, and `ModelError` where labels are all of one class or known too late.
    """
    rows = read_table(path, columns)
    if columns.label is None:
        raise TableError("training needs a column of labels", where=str(path), todo="name it with --label")
    features = features_of(rows, columns)
    table = _build_table(rows, columns, features, settings.label_delay_us)
    _refuse_one_class(table, path, columns.label)
    names = features.declared.names
    found = leaking(names, table)
    newest_us = time_span(table.rows["at_us"].to_numpy())[1]
    decided = table.rows["decided_us"].is_not_null()
    is_known = (decided | (table.rows["honest_us"] <= newest_us)).to_numpy()
    known, recent = table.take(np.flatnonzero(is_known)), table.take(np.flatnonzero(~is_known))
    # Where every row has a label, the newest rows can be tested too.
    now_us = newest_us + settings.label_delay_us if decided.all() else newest_us
    card = {
        "snapshot": f"{known.rows.height} rows of {path.name}", "table": card_of_columns(columns, features), "leakage": found,
        "trained_on": {"first_us": int(known.rows["at_us"].min()), "last_us": newest_us},  # type: ignore[arg-type]
    }  # fmt: skip
    try:
        model = train_model(features.declared, known, settings, recent=recent, card=card, now_us=now_us)
    except ModelError as error:
        # The advice about decisions on cases does not apply to a table.
        raise ModelError(error.what, where=str(path), todo="give more rows, of later days too, or shorten --label-delay") from None
    model.card["blind_spots"] += [
        f"{name} {how}: if it is known only afterwards, train again with --ignore" for name, how in found.items()
    ]
    return TrainedTable(model, model.save(models), found)


def _build_table(rows: pl.DataFrame, columns: TableColumns, features: TableFeatures, label_delay_us: int) -> Table:
    facts = facts_of(rows, columns, label_delay_us=label_delay_us)
    values = encoded(rows, features)
    return table_of(features.declared, facts.select("event_id").hstack(values), facts)


def _refuse_one_class(table: Table, path: Path, label: str) -> None:
    labelled = table.rows.filter(pl.col("decided_us").is_not_null())["fraud"]
    if not labelled.len():
        raise ModelError("no row has a label", where=f"{path}, --label {label}", todo="label frauds with 1 and honest rows with 0")
    if not labelled.any():
        raise ModelError("no row is labelled as fraud", where=f"{path}, --label {label}", todo="label frauds with 1")
    if table.fraud.all():
        raise ModelError(
            "all rows are labelled as fraud", where=f"{path}, --label {label}", todo="add honest rows, with the label 0"
        )


def load_table_model(folder: Path) -> tuple[Model, TableColumns, TableFeatures]:
    """Return a model of a table with its declaration; raise `ModelError` for any other model, and for a damaged one."""
    try:
        card = json.loads(read_regular(folder / CARD, max_bytes=_MOST_BYTES))
    except FileNotFoundError:
        raise ModelError("there is no model", where=str(folder), todo="name the folder that `trueup train-table` wrote") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"the model cannot be read: {error}", where=str(folder), todo="train it again") from None
    columns, features = columns_of_card(card, str(folder))
    return load_model(folder, features.declared), columns, features


def score_table(path: Path, folder: Path) -> ScoredTable:
    """Score the rows of a table by a model that was trained on another table with the same features.

    Where the table has labels, only rows after training are measured, so the measures contain no hindsight.
    """
    model, trained, features = load_table_model(folder)
    columns = _drop_absent_columns(path, trained)
    rows = read_table(path, columns)
    facts = facts_of(rows, columns, label_delay_us=model.card["label_delay_us"])
    values = facts.select("event_id").hstack(encoded(rows, features))
    scored = score_features(model, values)
    suspicious = scored["suspicious"]
    sentences = iter(sentences_of(model, values.filter(suspicious)))
    reasons = [next(sentences) if s else None for s in suspicious]
    within = facts["at_us"].is_between(model.card["trained_on"]["first_us"], model.card["trained_on"]["last_us"])
    identity = rows.select(list(dict.fromkeys([columns.id, columns.time, columns.party or columns.id])))
    written = identity.with_columns(
        scored["probability"], scored["margin"], suspicious, in_sample=within,
        sentences=pl.Series([None if r is None else json.dumps(r, ensure_ascii=False) for r in reasons], dtype=pl.String),
    )  # fmt: skip
    judged = facts.with_columns(score=scored["probability"]).filter(~within & facts["decided_us"].is_not_null())
    metrics = _measure_scores(judged, model.card["alerts_per_day"])
    return ScoredTable(written, int(suspicious.sum()), metrics, _find_drifted(model, values, scored["margin"]))


def _drop_absent_columns(path: Path, trained: TableColumns) -> TableColumns:
    """Return the columns of training, without label, label time and money where the table to be scored lacks them."""
    header = columns_in(path)
    label, known, money = (n if n in header else None for n in (trained.label, trained.known, trained.money))
    return TableColumns(trained.id, trained.time, label, trained.party, known, money, trained.category)


def _measure_scores(judged: pl.DataFrame, budget: int) -> dict[str, float]:
    if not judged["fraud"].any():
        return {}
    fraud, score = judged["fraud"].to_numpy(), judged["score"].to_numpy()
    measures = {
        "average_precision": average_precision(fraud, score), "auc": auc_roc(fraud, score),
        "precision_at_budget": party_precision(judged, budget=budget),
    }  # fmt: skip
    detected = value_detected_ratio(judged, budget=budget)
    return measures if detected is None else measures | {"value_detected_ratio": detected}


def _find_drifted(model: Model, values: pl.DataFrame, margin: pl.Series) -> tuple[str, ...]:
    """Return the features whose distribution differs from training by more than chance, the most different first."""
    if values.height < _LEAST_DRIFT_ROWS:
        return ()
    bins: dict[str, Any] = model.card["reference"]
    columns = values.with_columns(margin.alias(MARGIN))
    found = {n: psi(of["shares"], counts(columns[n].cast(pl.Float32).to_numpy(), of["edges"])) for n, of in bins.items()}
    far = {n: value for n, value in found.items() if value - (BINS - 1) / values.height >= ALARM}
    return tuple(sorted(far, key=lambda n: (-far[n], n)))
