"""The shape of the project: one namespace in four folders, and a core that needs no engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PORTIONS = [ROOT / folder / "trueup" for folder in ("pipelines", "models", "expectations", "sql")]


def test_no_portion_of_the_namespace_hides_the_others() -> None:
    assert not [str(p) for p in PORTIONS if (p / "__init__.py").exists()]


def test_the_core_imports_without_any_engine() -> None:
    code = (
        "import sys; import trueup.events.identity, trueup.log.lake, trueup.reconcile.partition, trueup.warehouse.views;"
        "heavy = {'apache_beam', 'pyflink', 'great_expectations', 'xgboost', 'streamlit'} & set(sys.modules); assert not heavy, heavy"
    )
    path = ":".join(str(p.parent) for p in PORTIONS)
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": path})


def test_every_file_of_the_package_says_what_it_is_for() -> None:
    silent = [
        str(f.relative_to(ROOT)) for p in PORTIONS for f in p.rglob("*.py")
        if not f.read_text("utf-8").lstrip().startswith(('"""', 'r"""'))
    ]  # fmt: skip
    assert not silent
