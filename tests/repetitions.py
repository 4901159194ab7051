"""Check a property on a few random examples, and with `make slow` on many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

Check = Callable[..., None]


def on_random(*strategies: SearchStrategy[Any], examples: int) -> Callable[[Check], Check]:
    """Return the decorator that makes a check a test of some examples of the strategies; a check may have several such tests."""

    def test(check: Check) -> Check:
        wanted = settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        return wanted(given(*strategies)(check))

    return test


def on_many_random(*strategies: SearchStrategy[Any], examples: int) -> Callable[[Check], Check]:
    """Return the same decorator for a slow test."""
    return lambda check: pytest.mark.slow(on_random(*strategies, examples=examples)(check))
