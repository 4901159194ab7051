"""The page of benchmarks, from the docstrings of their scripts."""

from __future__ import annotations

import ast
from pathlib import Path


def benchmark_reference(root: Path) -> str:
    """Return the page: each script of `benchmarks` with what it measures and how to run it."""
    parts = [
        "# Benchmarks\n",
        "Each script runs trueup and its peers on the same data in one run. Times differ between machines, so compare ratios only. "
        "`make bench` runs the short ones. Measured figures stand beside the subject: [operations](../operations.md#size), "
        "[quality](../quality.md), [rating](../rating.md), [fraud](../fraud.md#measured) and [proof](../proof.md#cost).\n",
    ]
    for script in sorted((root / "benchmarks").glob("*.py")):
        text = ast.get_docstring(ast.parse(script.read_text("utf-8"))) or ""
        title, _, rest = text.partition("\n")
        parts += [f"## {script.stem}\n", title + "\n", _fenced(rest.strip("\n"))]
    return "\n".join(parts)


def _fenced(text: str) -> str:
    """Return a docstring with its indented commands as fenced blocks."""
    lines: list[str] = []
    is_code = False
    for line in text.splitlines():
        begins = line.startswith("    ")
        if line.strip() and begins != is_code:
            lines.append("```sh" if begins else "```")
            is_code = begins
        lines.append(line.removeprefix("    ") if is_code else line)
    return "\n".join([*lines, "```"] if is_code else lines) + "\n"
