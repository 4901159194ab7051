"""The lakes of the reconciliation tests, for the jobs that reconcile them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_SHARED = Path(__file__).parents[1] / "reconcile"

_PARTS = {"fractions_rater": _SHARED.parent / "rating"}
_PARTS |= dict.fromkeys(("told", "meaning", "story", "hearing", "worlds", "lakes"), _SHARED) | {"streaming": Path(__file__).parent}
for _name, _folder in _PARTS.items():
    if _name not in sys.modules:
        _spec = importlib.util.spec_from_file_location(_name, _folder / f"{_name}.py")
        assert _spec and _spec.loader
        sys.modules[_name] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(sys.modules[_name])
