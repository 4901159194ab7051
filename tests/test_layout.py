"""The shape of the project: one namespace in four folders, and a core that needs no engine."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from changed import related_tests
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PORTIONS = [ROOT / folder / "trueup" for folder in ("pipelines", "models", "expectations", "sql")]


def test_no_portion_of_the_namespace_hides_the_others() -> None:
    assert not [str(p) for p in PORTIONS if (p / "__init__.py").exists()]


def test_the_core_imports_without_any_engine() -> None:
    code = (
        "import sys; import trueup.events.identity, trueup.log.lake, trueup.reconcile.run_partition, trueup.warehouse.install_views;"
        "heavy = {'apache_beam', 'pyflink', 'great_expectations', 'xgboost'} & set(sys.modules); assert not heavy, heavy"
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


def test_the_package_names_the_versions_of_python_that_it_accepts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    accepted = [f"3.{minor}" for minor in range(30) if SpecifierSet(project["requires-python"]).contains(f"3.{minor}.1")]
    assert [line.rpartition(" ")[2] for line in project["classifiers"] if ":: Python :: 3." in line] == accepted


def test_every_file_of_the_package_has_a_docstring() -> None:
    without = [
        str(f.relative_to(ROOT)) for p in PORTIONS for f in p.rglob("*.py")
        if not f.read_text("utf-8").lstrip().startswith(('"""', 'r"""'))
    ]  # fmt: skip
    assert not without


def test_no_modules_or_packages_import_each_other_in_a_cycle() -> None:
    imports = {module: set(names) for module, (_, names) in project_imports().items()}
    by_package: dict[str, set[str]] = {}
    for module, names in imports.items():
        by_package.setdefault(package_of(module), set()).update(package_of(name) for name in names)
    for graph in (imports, {package: names - {package} for package, names in by_package.items()}):
        TopologicalSorter(graph).prepare()


def test_no_folder_holds_more_than_fifteen_files() -> None:
    files = (path for folder in (*PORTIONS, ROOT / "tests") for path in folder.rglob("*") if path.is_file())
    folders = Counter(path.parent for path in files if path.name != "__init__.py" and path.suffix != ".pyc")
    assert len(folders) > 100
    assert {str(folder.relative_to(ROOT)): count for folder, count in folders.items() if count > 15} == {}


def test_no_function_takes_more_than_six_parameters() -> None:
    commands = ROOT / "pipelines/trueup/cli/commands"
    files = [path for path, _ in project_imports().values()] + sorted((ROOT / "benchmarks").rglob("*.py"))
    # The parameters of a command are its arguments and options.
    taken = {where: count for path in files if commands not in path.parents for where, count in parameters_of(path).items()}
    assert len(taken) > 1_000
    assert {where: count for where, count in taken.items() if count > 6} == {}


def test_parameters_of_any_kind_count_but_not_the_instance_or_class(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "def plain(a, /, b, *rest, c, **others):\n    def inner(self): ...\n"
        "class Thing:\n    def method(self, a): ...\n    @classmethod\n    async def of(cls, a, *, b): ...\n"
        "    @staticmethod\n    def free(a): ...\n",
        "utf-8",
    )
    counts = {where.rpartition(" ")[2]: count for where, count in parameters_of(file, tmp_path).items()}
    assert counts == {"plain": 5, "inner": 1, "method": 1, "of": 2, "free": 1}


def test_a_step_imports_nothing_of_a_later_step() -> None:
    upstream = {
        (package_of(module), package_of(name))
        for module, (_, names) in project_imports().items() for name in names
        if package_of(module) in STEPS and package_of(name) in STEPS
        and STEPS.index(package_of(name)) > STEPS.index(package_of(module))
    }  # fmt: skip
    assert upstream == set()


STEPS = [
    f"trueup.{name}"
    for name in (
        "units", "secret", "errors", "clock", "config", "events", "log", "policies", "rating", "reconcile", "quality", "collect",
        "warehouse", "pictures", "fraud", "jobs", "proof", "investigation", "project_checks", "onboarding", "doctor", "simulate",
        "workbench", "cli",
    )
]  # fmt: skip
"""Packages in the order in which each may import those before it."""


def package_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


@cache
def project_imports() -> dict[str, tuple[Path, frozenset[str]]]:
    """Return each module's file and the modules of the project that it imports, in functions as well."""
    files = {
        ".".join(path.relative_to(portion.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for portion in PORTIONS for path in portion.rglob("*.py")
    }  # fmt: skip
    return {module: (path, frozenset(_list_imported(path, files)) - {module}) for module, path in files.items()}


def parameters_of(path: Path, root: Path = ROOT) -> dict[str, int]:
    """Return the number of parameters of each function and method of a file, without the instance or class of a method."""
    counts = {}
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    tree = ast.parse(path.read_text("utf-8"))
    methods = {member for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for member in node.body}
    for node in ast.walk(tree):
        if isinstance(node, functions):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            is_static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
            own = node in methods and not is_static
            counts[f"{path.relative_to(root)}:{node.lineno} {node.name}"] = sum(a is not None for a in every) - own
    return counts


def _list_imported(path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("trueup."):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
