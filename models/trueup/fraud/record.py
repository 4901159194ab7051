"""The settings by which transactions are scored, as the log records them, and the same settings read back."""

from __future__ import annotations

import json
from typing import Any

from trueup.config import FraudConfig, HotRule
from trueup.errors import ConfigError
from trueup.fraud.features.telecom import telecom_features
from trueup.log.lake import Configuration

KIND = "scoring"
_DECIDES_NOTHING = frozenset({"alerts_per_day", "models", "seed", "trials"})
"""Settings for training and places of files; models in force are declared in the log."""


def scoring_record(config: FraudConfig) -> Configuration:
    """What decides the scores beside the log and its models, as a configuration of the log."""
    settings = {name: value for name, value in config.model_dump(mode="json").items() if name not in _DECIDES_NOTHING}
    return Configuration.of(KIND, {"features": telecom_features().hash, "fraud": settings})


def read_scoring(text: str, config: FraudConfig) -> FraudConfig:
    """The settings that a recorded content describes, models being found as `config` says.

    Raises `ConfigError` where features have been computed otherwise since.
    """
    content = json.loads(text)
    if content["features"] != telecom_features().hash:
        raise ConfigError("the scores were made from other features", todo="verify with the version that scored")
    told = {name: _as_set(value) for name, value in content["fraud"].items() if name != "rule"}
    rules = tuple(HotRule.model_construct(**{n: _as_set(v) for n, v in rule.items()}) for rule in content["fraud"]["rule"])
    return config.model_copy(update={**told, "rule": rules})


def _as_set(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
