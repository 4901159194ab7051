"""The worked examples in the docstrings of the reconciliation modules give the results that they show."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = (
    "domain.frontier",
    "blocking.neighbourhood",
    "blocking.components",
    "kernel.booking",
    "kernel.matching",
    "kernel.priced_sessions",
    "kernel.lifecycle",
    "pricing.pool_snapshots",
    "incremental.settled_keys",
    "incremental.hash_runs",
)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_give_the_results_they_show(module: str) -> None:
    result = doctest.testmod(import_module(f"trueup.reconcile.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
