"""The documentation site builds without a warning, and its reference pages agree with the code."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from snippets import ROOT

from trueup.config.json_schema import config_schema
from trueup.reconcile.domain.kinds import CAUSES, KINDS
from trueup.warehouse.install_views import VIEWS, view_statement

GENERATE = ROOT / "docs/generate"


@pytest.fixture(scope="module")
def pages() -> Any:
    """Return the generated pages by their path in the site."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(GENERATE))
        return runpy.run_path(str(GENERATE / "hooks.py"))["generated_pages"]()


def test_the_reference_has_every_command_with_its_options(pages: dict[str, str]) -> None:
    text = pages["reference/commands.md"]
    group: Any = typer.main.get_command(importlib.import_module("trueup.cli.main").app)
    assert group.commands
    for name, command in group.commands.items():
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        options = [option for param in command.params if param.param_type_name == "option" for option in param.opts]
        assert [option for option in options if option not in section] == [], name


def test_the_reference_has_every_setting_with_its_description(pages: dict[str, str]) -> None:
    text = pages["reference/settings.md"]
    for name, table in config_schema()["$defs"].items():
        if table.get("type") == "object":
            missing = [key for key in table["properties"] if f"| `{key}` |" not in text]
            assert missing == [], name


def test_the_reference_has_every_column_of_every_view(pages: dict[str, str]) -> None:
    text = pages["reference/tables.md"]
    for view in VIEWS:
        section = text.split(f"\n### {view}\n")[1].split("\n### ")[0]
        columns = view_statement(view).columns
        assert columns and [column for column in columns if f"| `{column}` |" not in section] == [], view


def test_the_reference_has_every_kind_and_cause_of_findings(pages: dict[str, str]) -> None:
    text = pages["reference/findings.md"]
    assert [name for name in (*KINDS, *CAUSES) if f"| `{name}` |" not in text] == []


def test_the_reference_has_the_metrics_that_operations_names(pages: dict[str, str]) -> None:
    watched = set(re.findall(r"`(trueup_\w+)", (ROOT / "docs/operations.md").read_text("utf-8")))
    assert watched and {name for name in watched if f"`{name}`" not in pages["reference/metrics.md"]} == set()


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_asks_no_other_host(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    home = (tmp_path / "index.html").read_text("utf-8")
    assert 'src="http' not in home and 'rel="stylesheet" href="http' not in home and "fonts.g" not in home
    assert (tmp_path / "reference/settings/index.html").exists() and (
        tmp_path / "repository/benchmarks/hostile.py/index.html"
    ).exists()
