"""The worked examples in the docstrings of the fraud modules give the results that they show."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = ("features.feature_engine", "training.calibrate", "scoring.reason_text")


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_fraud_module_give_the_results_they_show(module: str) -> None:
    result = doctest.testmod(import_module(f"trueup.fraud.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
