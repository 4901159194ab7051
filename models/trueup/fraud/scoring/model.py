"""Store a trained model as a folder: trees in XGBoost's own format, and a card with their origin, quality and blind spots."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from decimal import Decimal
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

TREES, CARD, CARD_TEXT, CALIBRATION = "model.ubj", "card.json", "card.md", "calibration.svg"
CARD_VERSION = 1
_ROWS_AT_ONCE = 4_096
THREADS = 2
"""The number of threads is the same on every machine: sums in training depend on it, and equal data must give equal bytes."""
ONE_THREAD_ROWS = 10_000
"""Up to this many rows, one thread trains or scores, because more threads would mostly wait for each other."""

Floats = NDArray[np.float64]


def threads_for(rows: int) -> int:
    """Return the number of threads for a number of rows, which is the same on every machine."""
    return 1 if rows <= ONE_THREAD_ROWS else THREADS


class ModelError(TrueupError):
    """A model that cannot be trained, read or used."""


@dataclass(frozen=True)
class Model:
    """Trees with the settings that scoring needs. `card` has all other facts, as plain values."""

    trees: bytes
    feature_names: tuple[str, ...]
    feature_hash: str
    calibration: Calibration
    threshold: float
    usual: dict[str, dict[str, list[float]]]
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def model_id(self) -> str:
        """Return the first 16 hex digits of the SHA-256 over everything that decides a score."""
        digest = hashlib.sha256(self.trees)
        settings = (self.feature_hash, self.calibration.slope, self.calibration.shift, self.threshold)
        digest.update(json.dumps(settings).encode())
        return digest.hexdigest()[:16]

    def booster(self) -> xgb.Booster:
        """Load the trees into an XGBoost booster."""
        import xgboost as xgb

        booster = xgb.Booster({"nthread": THREADS})
        booster.load_model(bytearray(self.trees))
        return booster

    def save(self, folder: Path, *, picture: str | None = None) -> Path:
        """Write the model's folder, named by its id, within `folder`, and return it; an existing one has the same content.

        `picture` is the calibration as SVG, which the card then shows.
        """
        target = folder / self.model_id
        target.mkdir(parents=True, exist_ok=True)
        (target / TREES).write_bytes(self.trees)
        (target / CARD).write_text(json.dumps(self._compose_card(), indent=2, sort_keys=True) + "\n", "utf-8")
        if picture is not None:
            (target / CALIBRATION).write_text(picture, "utf-8")
        (target / CARD_TEXT).write_text(render_card(self, has_picture=picture is not None), "utf-8")
        return target

    def _compose_card(self) -> dict[str, Any]:
        return {
            **self.card, "card_version": CARD_VERSION, "model_id": self.model_id, "feature_hash": self.feature_hash,
            "features": list(self.feature_names), "threshold": self.threshold, "usual": self.usual,
            "calibration": {"slope": self.calibration.slope, "shift": self.calibration.shift},
            "sha256": hashlib.sha256(self.trees).hexdigest(),
        }  # fmt: skip


def load_model(folder: Path, declared: FeatureSet) -> Model:
    """Load the model of a folder.

    Raises `ModelError` for a model that is missing, damaged, or trained on other features.
    """
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
        raise ModelError("the model is damaged: its content differs from its card", where=where, todo="train it again")
    if model.feature_hash != declared.hash or model.feature_names != declared.names:
        raise ModelError("the model was trained on other features than this version computes", where=where, todo="train it again")
    return model


def matrix(features: pl.DataFrame, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Return features as the matrix that XGBoost takes, missing values as NaN.

    Raises `ModelError` for a missing feature or an infinite value.
    """
    for name in names:
        if name not in features.columns:
            raise ModelError(f"the feature {name!r} is missing", todo="compute the features the model was trained on")
    # One query converts all columns in parallel. A column without NULL becomes a NumPy array without a copy.
    converted = features.select(pl.col(name).cast(pl.Float32).fill_null(np.nan) for name in names)
    columns = [converted[name].to_numpy() for name in names]
    for name, column in zip(names, columns, strict=True):
        # Integers are always finite.
        if features[name].dtype.is_float() and np.isinf(column).any():
            raise ModelError(f"the feature {name!r} has infinite values", todo="correct the records from which it is computed")
    values = np.empty((features.height, len(names)), dtype=np.float32)
    # Rows are copied in blocks, so that a block stays in the processor cache while its columns are written.
    for begin in range(0, features.height, _ROWS_AT_ONCE):
        rows = slice(begin, begin + _ROWS_AT_ONCE)
        for i, column in enumerate(columns):
            values[rows, i] = column[rows]
    return values


def render_card(model: Model, *, has_picture: bool = False) -> str:
    """Render the card in Markdown, with the picture of the calibration if there is one."""
    card = model.card
    lines = [f"# Fraud model {model.model_id}", "", f"Trained on {card.get('snapshot', 'features alone')}.", ""]
    for name in ("transactions", "frauds", "decided", "contradictions", "from", "to", "seed", "rounds"):
        if name in card:
            lines.append(f"- {name}: {card[name]}")
    lines += [f"- features: {len(model.feature_names)}, hash `{model.feature_hash}`", f"- threshold: {model.threshold:.6f}"]
    lines += [*_describe_budget(card), *_describe_cost(card)]
    lines += ["", "## Parameters", "", *(f"- {k}: {v}" for k, v in sorted(card.get("parameters", {}).items()))]
    others = "operators that it was not trained on" if "measured_on" in card else "later days than it was trained on"
    lines += ["", f"## How good it is, on {others}", "", "| measure | value | 90 % interval |", "|---|---:|---|"]
    lines += [f"| {k.replace('_', ' ')} | {v:.4f} | {_format_interval(card, k)} |" for k, v in card.get("metrics", {}).items()]
    if card.get("reliability"):
        bins = card["reliability"]
        drawn = [f"![Predicted and observed shares of fraud]({CALIBRATION})", ""] if has_picture else []
        lines += ["", "## Calibration", "", *drawn, "| from | transactions | predicted | observed |", "|---:|---:|---:|---:|"]
        lines += [f"| {b['from']:.1f} | {b['transactions']} | {b['said']:.3f} | {b['was']:.3f} |" for b in bins]
    if "by_type" in card:
        lines += ["", "## By fraud type, the worst first", "", "| type | transactions | within the budget |", "|---|---:|---:|"]
        lines += [f"| {t['type']} | {t['transactions']} | {t['alerted']} |" for t in card["by_type"]]
    lines += ["", "## What it cannot see", "", *(f"- {spot}" for spot in card.get("blind_spots", []))]
    return "\n".join(lines) + "\n"


def _describe_budget(card: dict[str, Any]) -> list[str]:
    """Return the line of the card about the cases of rules; no line if training did not count them."""
    if "budget" not in card:
        return []
    of = card["budget"]
    return [
        f"- budget: {card['alerts_per_day']} cases a day; on {of['days']} ordinary days rules had {of['cases_of_rules']}, "
        f"and left {of['left_for_the_model']} to the model"
    ]


def _describe_cost(card: dict[str, Any]) -> list[str]:
    """Return the lines of the card about the cost of reviews; no lines if no cost is declared."""
    if "review_cost_micros" not in card:
        return []
    limits = ", ".join(f"{name} {value:.6f}" for name, value in card["thresholds"].items())
    lines = [
        f"- thresholds, of which the highest is in force: {limits}",
        f"- review of a case: {_format_money(card['review_cost_micros'])}",
    ]
    if "by_cost" not in card:
        return [*lines, "- no threshold saved more than its reviews cost: the budget alone sets it"]
    saved = card["by_cost"]
    return [
        *lines,
        f"- at the threshold by cost, {saved['cases']} cases saved {_format_money(saved['net_micros'])} after their reviews",
    ]


def _format_money(micros: int) -> str:
    return f"{Decimal(micros).scaleb(-6):,.2f}"


def _format_interval(card: dict[str, Any], measure: str) -> str:
    low_high = card.get("intervals", {}).get(measure)
    return "" if low_high is None else f"{low_high[0]:.4f} to {low_high[1]:.4f}"
