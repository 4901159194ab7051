"""Every TOML block of the documents is accepted by the parser, and Python blocks are Python."""

from __future__ import annotations

import ast
import tomllib
from typing import Any

import pytest
from snippets import Snippet, snippets

from trueup.config.columns import CHARGE_COLUMNS, USAGE_COLUMNS
from trueup.config.document import Config
from trueup.config.tables.source import SourceConfig

TOML = snippets("toml")
NEEDED = {"name": "feed", "stream": "usage", "path": "landing/*", "identity": "position"}
"""The settings that every source needs; pages leave out settings that are not their subject."""
CHARGES_ALONE = set(CHARGE_COLUMNS) - set(USAGE_COLUMNS)


def completed(tables: dict[str, Any]) -> dict[str, Any]:
    """Return the tables of a block, completed with the other tables that a project needs.

    A block that begins in the middle of a source has its keys at the top, or `[source.columns]` without `[[source]]`.
    """
    source = tables.get("source", {})
    loose = {key: tables[key] for key in tables.keys() & (SourceConfig.model_fields.keys() - Config.model_fields.keys())}
    sources = source if isinstance(source, list) else [loose | source] if loose or source else []
    rest = {key: value for key, value in tables.items() if key not in loose and key != "source"}
    whole = [needed_by(each) | each for each in sources] + sources_of_stages(tables, sources)
    return rest | ({"source": whole} if whole else {})


def sources_of_stages(tables: dict[str, Any], sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a source for each inner stage of a chain that the block does not show."""
    shown = {source.get("stage") for source in sources}
    stages = [stage for chain in tables.get("chain", ()) for stage in chain["stages"][1:-1] if stage not in shown]
    return [NEEDED | {"name": f"feed-of-{stage}", "stream": "stage", "stage": stage} for stage in stages]


def alternatives(text: str) -> list[str]:
    """Return the lines of a block that shows one setting in several ways, or else the whole block."""
    lines = [line for line in text.splitlines() if line.strip()]
    keys = [line.partition("=")[0].strip() for line in lines]
    return lines if len(set(keys)) == 1 and len(lines) > 1 else [text]


def needed_by(source: dict[str, Any]) -> dict[str, Any]:
    has_preset = source.get("preset") is not None
    needed = {key: value for key, value in NEEDED.items() if not (has_preset and key in ("stream", "identity"))}
    # A block that maps a column which only charges have shows a charge, wherever its source begins.
    return needed | ({"stream": "charge"} if source.get("columns", {}).keys() & CHARGES_ALONE else {})


@pytest.mark.parametrize("snippet", TOML, ids=[snippet.where for snippet in TOML])
def test_settings_that_a_page_shows_are_accepted(snippet: Snippet) -> None:
    for text in alternatives(snippet.text):
        tables = tomllib.loads(text)
        # A block that shows columns alone begins below [source.columns].
        is_column = tables.keys() <= set(USAGE_COLUMNS)
        Config.model_validate(completed({"source": {"columns": tables}} if is_column else tables))


def test_an_unknown_setting_on_a_page_would_be_refused() -> None:
    with pytest.raises(ValueError, match="tolerence"):
        Config.model_validate(completed({"source": {"columns": {"record_key": "id"}, "tolerence": "1s"}}))


@pytest.mark.parametrize("snippet", snippets("python"), ids=lambda snippet: snippet.where)
def test_python_that_a_page_shows_is_python(snippet: Snippet) -> None:
    assert ast.parse(snippet.text).body
