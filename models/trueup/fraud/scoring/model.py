"""A trained model as a folder: the trees in XGBoost's own format, and a card that says what they are and when to distrust them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.errors import TrueupError
from trueup.fraud.features.feature_spec import FeatureSet
from trueup.fraud.training.calibrate import Calibration
from trueup.regular import read_regular

_MOST_BYTES = 1 << 30

if TYPE_CHECKING:
    import xgboost as xgb

TREES, CARD, TOLD = "model.ubj", "card.json", "card.md"
CARD_VERSION = 1
_ROWS_AT_ONCE = 4_096
THREADS = 2
"""As many everywhere: sums of a training depend on how it is divided, and the same data must give the same bytes."""

Floats = NDArray[np.float64]


class ModelError(TrueupError):
    """A model that cannot be trained, read or used as asked."""


@dataclass(frozen=True)
class Model:
    """Trees with what it takes to use them. `card` is everything else worth knowing, as plain values."""

    trees: bytes
    feature_names: tuple[str, ...]
    feature_hash: str
    calibration: Calibration
    threshold: float
    usual: dict[str, float]
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def model_id(self) -> str:
        """SHA-256, shortened, over all that decides a score."""
        digest = hashlib.sha256(self.trees)
        settings = (self.feature_hash, self.calibration.slope, self.calibration.shift, self.threshold)
        digest.update(json.dumps(settings).encode())
        return digest.hexdigest()[:16]

    def booster(self) -> xgb.Booster:
        """The trees, ready to be asked."""
        import xgboost as xgb

        booster = xgb.Booster({"nthread": THREADS})
        booster.load_model(bytearray(self.trees))
        return booster

    def saved(self, folder: Path) -> Path:
        """Writes the model's folder, named by its id, within `folder`; one that is there already is the same and stays."""
        target = folder / self.model_id
        target.mkdir(parents=True, exist_ok=True)
        (target / TREES).write_bytes(self.trees)
        (target / CARD).write_text(json.dumps(self._card(), indent=2, sort_keys=True) + "\n", "utf-8")
        (target / TOLD).write_text(told(self), "utf-8")
        return target

    def _card(self) -> dict[str, Any]:
        return {
            **self.card, "card_version": CARD_VERSION, "model_id": self.model_id, "feature_hash": self.feature_hash,
            "features": list(self.feature_names), "threshold": self.threshold, "usual": self.usual,
            "calibration": {"slope": self.calibration.slope, "shift": self.calibration.shift},
            "sha256": hashlib.sha256(self.trees).hexdigest(),
        }  # fmt: skip


def loaded(folder: Path, declared: FeatureSet) -> Model:
    """The model of a folder; raises `ModelError` where it is missing, damaged, or was made for other features."""
    where = str(folder)
    try:
        card = json.loads(read_regular(folder / CARD, max_bytes=_MOST_BYTES))
        trees = read_regular(folder / TREES, max_bytes=_MOST_BYTES)
    except FileNotFoundError as error:
        raise ModelError(f"the model has no {Path(str(error.filename)).name}", where=where, todo="train it again") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"the model cannot be read: {error}", where=where, todo="train it again") from None
    try:
        model = Model(
            trees, tuple(card["features"]), card["feature_hash"], Calibration(**card["calibration"]), card["threshold"],
            card["usual"], card,
        )  # fmt: skip
        sums = card["sha256"], card["model_id"]
    except (KeyError, TypeError) as error:
        raise ModelError(f"the card lacks {error}", where=where, todo="train the model again") from None
    if sums != (hashlib.sha256(trees).hexdigest(), model.model_id):
        raise ModelError("the model is damaged: its bytes are not those its card tells", where=where, todo="train it again")
    if model.feature_hash != declared.hash or model.feature_names != declared.names:
        raise ModelError("the model was trained on other features than this version computes", where=where, todo="train it again")
    return model


def matrix(features: pl.DataFrame, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Features as XGBoost takes them, missing ones as NaN; raises `ModelError` for one that is not there or infinite."""
    for name in names:
        if name not in features.columns:
            raise ModelError(f"the feature {name!r} is missing", todo="compute the features the model was trained on")
    columns = [features[name].cast(pl.Float32).to_numpy() for name in names]
    for name, column in zip(names, columns, strict=True):
        # Whole numbers are finite, however large.
        if features[name].dtype.is_float() and np.isinf(column).any():
            raise ModelError(f"the feature {name!r} has infinite values", todo="correct the records it is of")
    values = np.empty((features.height, len(names)), dtype=np.float32)
    # Some rows at a time, so that a row's values are written while it is at hand.
    for begin in range(0, features.height, _ROWS_AT_ONCE):
        rows = slice(begin, begin + _ROWS_AT_ONCE)
        for i, column in enumerate(columns):
            values[rows, i] = column[rows]
    return values


def told(model: Model) -> str:
    """The card for people, in Markdown."""
    card = model.card
    lines = [f"# Fraud model {model.model_id}", "", f"Trained on {card.get('snapshot', 'features alone')}.", ""]
    for name in ("transactions", "frauds", "from", "to", "seed", "rounds"):
        if name in card:
            lines.append(f"- {name}: {card[name]}")
    lines += [f"- features: {len(model.feature_names)}, hash `{model.feature_hash}`", f"- threshold: {model.threshold:.6f}"]
    lines += ["", "## Parameters", "", *(f"- {k}: {v}" for k, v in sorted(card.get("parameters", {}).items()))]
    lines += ["", "## How good it is, on later days than it was trained on", "", "| measure | value |", "|---|---:|"]
    lines += [f"| {k.replace('_', ' ')} | {v:.4f} |" for k, v in card.get("metrics", {}).items()]
    lines += ["", "## Calibration", "", "| from | transactions | said | was |", "|---:|---:|---:|---:|"]
    lines += [f"| {b['from']:.1f} | {b['transactions']} | {b['said']:.3f} | {b['was']:.3f} |" for b in card.get("reliability", [])]
    if "by_type" in card:
        lines += ["", "## By fraud type", "", "| type | transactions | alerted |", "|---|---:|---:|"]
        lines += [f"| {t['type']} | {t['transactions']} | {t['alerted']} |" for t in card["by_type"]]
    lines += ["", "## What it cannot see", "", *(f"- {spot}" for spot in card.get("blind_spots", []))]
    return "\n".join(lines) + "\n"
