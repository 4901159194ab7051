"""The registry of finding kinds and causes is complete."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from trueup.reconcile.domain.kinds import CAUSES, FEED_KINDS, KINDS

ROOT = Path(__file__).parents[3]
PRODUCERS = [ROOT / folder for folder in ("pipelines/trueup/reconcile", "expectations/trueup/quality", "models/trueup/fraud")]
BOOKED = {"pending", "tolerated"}
"""Kinds of bookings that raise no finding."""


def stored_in(column: str) -> Iterator[tuple[str, str]]:
    """Return each text that a producer stores in a column, with its file: literals in an argument or variable of that name."""
    for folder in PRODUCERS:
        for path in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                is_keyword = isinstance(node, ast.keyword) and node.arg == column
                is_variable = isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == column for t in node.targets)
                if is_keyword or is_variable:
                    yield from ((path.name, text) for text in _list_literals(node))


def _list_literals(node: ast.AST) -> Iterator[str]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "lit":
            yield from (c.value for c in call.args if isinstance(c, ast.Constant) and isinstance(c.value, str))


@pytest.mark.parametrize(("column", "registry"), [("kind", set(KINDS) | BOOKED), ("cause", set(CAUSES))])
def test_producers_store_registered_kinds_and_causes_only(column: str, registry: set[str]) -> None:
    stored = list(stored_in(column))
    assert len(stored) > 5
    assert [(file, text) for file, text in stored if text not in registry] == []


def test_each_kind_has_one_sentence_and_a_next_step() -> None:
    for kind in KINDS.values():
        assert kind.meaning.endswith(".") and len(kind.meaning.split()) <= 25
        assert kind.next_step.endswith(".") and len(kind.next_step.split()) <= 25


def test_kinds_about_feeds_are_bounded() -> None:
    assert {KINDS[name].evidence for name in FEED_KINDS} == {"bounded"}
