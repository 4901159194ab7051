"""Shared parts of the reconciliation tests: the model, the logs, and what translates between them and the kernel."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def _load(name: str, folder: Path = Path(__file__).parent) -> None:
    """Makes a module of this folder importable by its own name: pytest's importlib mode puts no folder on the path."""
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec and spec.loader
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


# The slow rater is the tariff book's part of the model.
if "fractions_rater" not in sys.modules:
    _load("fractions_rater", Path(__file__).parents[1] / "rating")
for _name in ("told", "meaning", "story", "hearing", "worlds", "sharing_worlds", "lakes", "epochs"):
    if _name not in sys.modules:
        _load(_name)
