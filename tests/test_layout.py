"""The shape of the project: one namespace in four folders, and a core that needs no engine."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from changed import related_tests

ROOT = Path(__file__).parents[1]
PORTIONS = [ROOT / folder / "trueup" for folder in ("pipelines", "models", "expectations", "sql")]


def test_no_portion_of_the_namespace_hides_the_others() -> None:
    assert not [str(p) for p in PORTIONS if (p / "__init__.py").exists()]


def test_the_core_imports_without_any_engine() -> None:
    code = (
        "import sys; import trueup.events.identity, trueup.log.lake, trueup.reconcile.run_partition, trueup.warehouse.install_views;"
        "heavy = {'apache_beam', 'pyflink', 'great_expectations', 'xgboost', 'streamlit'} & set(sys.modules); assert not heavy, heavy"
    )
    path = ":".join(str(p.parent) for p in PORTIONS)
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": path})


def test_a_changed_module_selects_the_tests_that_name_it_else_those_of_its_folder(tmp_path: Path) -> None:
    for name, text in {
        "log/test_lake.py": "from trueup.log.lake import Lake", "log/test_other.py": "import pytest",
        "cli/test_path.py": "from trueup.log import (\n)\nfrom trueup.log import lake, writer", "cli/test_config.py": "from trueup.config import Project",
        "log/helper.py": "",
    }.items():  # fmt: skip
        (tmp_path / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests" / name).write_text(text, "utf-8")
    assert related_tests(["pipelines/trueup/log/lake.py"], tmp_path) == ["tests/cli/test_path.py", "tests/log/test_lake.py"]
    assert related_tests(["pipelines/trueup/log/migrate.py"], tmp_path) == ["tests/log/test_lake.py", "tests/log/test_other.py"]
    assert related_tests(["pipelines/trueup/log/schema.sql"], tmp_path) == ["tests/log/test_lake.py", "tests/log/test_other.py"]
    assert related_tests(["pipelines/trueup/config/tables/sql.py"], tmp_path) == ["tests/cli/test_config.py"]
    assert related_tests(["tests/log/helper.py"], tmp_path) == ["tests/log/test_lake.py", "tests/log/test_other.py"]
    assert related_tests(["tests/cli/test_path.py", "docs/x.md", "Makefile"], tmp_path) == ["tests/cli/test_path.py"]


def test_the_extra_all_brings_every_other_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (everything,) = extras.pop("all")
    assert set(everything.removeprefix("trueup[").removesuffix("]").split(",")) == set(extras)


def test_every_file_of_the_package_has_a_docstring() -> None:
    without = [
        str(f.relative_to(ROOT)) for p in PORTIONS for f in p.rglob("*.py")
        if not f.read_text("utf-8").lstrip().startswith(('"""', 'r"""'))
    ]  # fmt: skip
    assert not without
