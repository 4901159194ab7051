"""Write the settings of a scoring run to the log, and read them back."""

from __future__ import annotations

import json
from typing import Any

from trueup.config import FraudConfig, HotRule
from trueup.errors import ConfigError
from trueup.fraud.features.telecom import telecom_features
from trueup.log.lake import Configuration

KIND = "scoring"
_DECIDES_NOTHING = frozenset({
    "alerts_per_day", "models", "own_model", "own_model_after", "review_cost", "seed", "trials", "warm_start",
})  # fmt: skip
"""Settings of training and file locations, which change no score; models in force are declared in the log."""


def scoring_record(config: FraudConfig) -> Configuration:
    """Return the settings that decide scores, in addition to log and models, in the form that the log records."""
    settings = {name: value for name, value in config.model_dump(mode="json").items() if name not in _DECIDES_NOTHING}
    return Configuration.of(KIND, {"features": telecom_features().hash, "fraud": settings})


def read_scoring(text: str, config: FraudConfig) -> FraudConfig:
    """Return the settings of a recorded configuration; the model folder comes from `config`.

    Raises `ConfigError` where this version computes other features.
    """
    content = json.loads(text)
    if content["features"] != telecom_features().hash:
        raise ConfigError("the scores were computed from other features", todo="verify with the version that scored")
    settings = {name: _as_set(value) for name, value in content["fraud"].items() if name != "rule"}
    rules = tuple(HotRule.model_construct(**{n: _as_set(v) for n, v in rule.items()}) for rule in content["fraud"]["rule"])
    return config.model_copy(update={**settings, "rule": rules})


def _as_set(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
