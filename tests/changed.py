"""Print the test files of files changed since the branch left BASE, for `make check`: `python tests/changed.py BASE`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PORTIONS = ("pipelines/trueup/", "models/trueup/", "expectations/trueup/", "sql/trueup/")


def changed_since(base: str) -> list[str]:
    """Return the files that differ from the fork point of the branch from `base`, uncommitted ones included."""
    left = _git("merge-base", base, "HEAD")[0]
    return sorted({*_git("diff", "--name-only", left), *_git("ls-files", "--others", "--exclude-standard")})


def related_tests(changed: Iterable[str], root: Path = ROOT) -> list[str]:
    """Return the test files of changed files: themselves, and those that name a changed module.

    If no test names the module, and for other files, these are all tests of its folder. Where there is no such folder, they are
    the tests that name its package. A test helper selects its folder.
    """
    tests = {path: path.read_text("utf-8") for path in sorted((root / "tests").rglob("test_*.py"))}
    found = set[Path]()
    for name in changed:
        path = root / name
        if name.startswith("tests/"):
            found |= {path} & tests.keys() if path.name.startswith("test_") else {t for t in tests if t.is_relative_to(path.parent)}
        elif portion := next((p for p in PORTIONS if name.startswith(p)), None):
            module = "trueup." + name.removeprefix(portion).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
            folder = root / "tests" / name.removeprefix(portion).split("/")[0]
            in_folder = {t for t in tests if t.is_relative_to(folder)}
            selected = {t for t, text in tests.items() if name.endswith(".py") and _names(text, module)} or in_folder
            while not selected and module.count(".") > 1:
                # A package without a folder of tests, such as `trueup.config`, re-exports its modules.
                module = module.rpartition(".")[0]
                selected = {t for t, text in tests.items() if _names(text, module)}
            found |= selected
    return sorted(str(path.relative_to(root)) for path in found)


def _names(text: str, module: str) -> bool:
    package, _, last = module.rpartition(".")
    imported = rf"from {re.escape(package)} import [^\n(]*\b{re.escape(last)}\b"
    return re.search(rf"\b{re.escape(module)}\b(?!\.)", text) is not None or re.search(imported, text) is not None


def _git(*arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


if __name__ == "__main__":
    print("\n".join(related_tests(changed_since(sys.argv[1]))))
