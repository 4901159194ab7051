"""The JSON Schema of `trueup.toml`: it accepts what trueup accepts, and refuses unknown settings wherever they are."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from trueup.cli import main
from trueup.config import parse, preset_names, preset_text
from trueup.config.json_schema import SCHEMA_LINE, config_schema
from trueup.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*/trueup.toml"))
SOURCE = '[[source]]\nname = "msc"\nstream = "usage"\npath = "x.csv"\nidentity = "content"\n'


def faults(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(config_schema())
    return [error.message for error in validator.iter_errors(json.loads(json.dumps(tomllib.loads(text), default=str)))]


def tables(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"file": schema, **schema["$defs"]}


def test_it_is_a_schema_and_describes_each_setting() -> None:
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    without = [
        f"{name}.{setting}" for name, table in tables(schema).items() for setting, value in table["properties"].items()
        if not re.fullmatch(r".*[a-z`)]\.", value.get("description", ""))
    ]  # fmt: skip
    assert without == []


def test_each_default_is_a_value_that_its_setting_accepts() -> None:
    schema = config_schema()
    defaults = 0
    for table in tables(schema).values():
        for value in table["properties"].values():
            if "default" in value:
                jsonschema.Draft202012Validator(value | {"$defs": schema["$defs"]}).validate(value["default"])
                defaults += 1
    assert defaults > 80
    assert schema["$defs"]["ProjectConfig"]["properties"]["horizon"]["default"] == "62d"
    assert schema["$defs"]["LakeConfig"]["properties"]["catalog"]["default"] == "sqlite:lake/catalog.sqlite"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_each_example_is_valid(path: Path) -> None:
    assert faults(path.read_text("utf-8")) == []


def test_each_setting_of_the_template_is_valid_once_its_comment_sign_is_removed() -> None:
    text = files("trueup.cli").joinpath("template.toml").read_text("utf-8")
    setting = re.compile(r"^# ((?:\[+[a-z.]+\]+|[a-z_]+ *= ).*)$", re.M)
    shown = setting.sub(r"\1", text)
    assert len(setting.findall(text)) > 60
    assert faults(shown) == []
    # Trailer and manifest of the template are alternatives.
    parse(shown.replace("(?P<records>[0-9]+)$'", "[0-9]+$'"))


@pytest.mark.parametrize(
    "text",
    [
        "unknown = 1", "[lak]\na = 1", "[lake]\nbucket = 3", "[project]\nzone = 'UTC'", "[limits]\nrows = 1", SOURCE + "delim = ';'",
        SOURCE + "feed.interval = '1h'", SOURCE + "limits.rows = 1", SOURCE + "framing.footer = '^T'", SOURCE + "notation.mark = ','",
        SOURCE + "manifest = { path = '{name}.c', pattern = '(?P<records>[0-9]+)', sha = 1 }",
        SOURCE + "columns = { quantity = { column = 'q', factor = 2 } }", SOURCE + "columns = { quantty = 'q' }",
        SOURCE + "columns = { quantity = { column = 'q', notation = { decimals = ',' } } }", SOURCE + "constants = { servce = 'v' }",
        SOURCE + "range = { duration = ['0', '1'] }", "[reconcile.voice]\nprize = '1'", "[rating]\nzones = 'z'",
        "[fraud]\nalerts = 3", "[[fraud.rule]]\nname = 'r'\nkind = 'overlap'\nlimit = 2", "[quality]\ngates = 1",
        "[quality.gate]\nstale = 'block'", "[sql]\nrows = 1", "[anchor]\nkeys = 'k'",
        "[[source]]\nname = 's'\npath = 'x'\npreset = 'nix'", "[[expectation]]\nname = 'e'\nstream = 'usage'\ntype = 'expect_x'\nnotes = 'n'\nwhy = 'w'",
    ],
)  # fmt: skip
def test_an_unknown_setting_fails_in_each_table_by_schema_and_by_parser(text: str) -> None:
    assert faults(text)
    with pytest.raises(ConfigError):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "[project]\nhorizon = 3", "[project]\nhorizon = '3 days'", "[lake]\nbuckets = '64'", "[reconcile.v]\nprice = 0.2",
        SOURCE.replace("'x.csv'", "3").replace('"x.csv"', "3"), SOURCE + "header = 'no'",
    ],
)  # fmt: skip
def test_a_value_of_another_type_fails_by_schema_and_by_parser(text: str) -> None:
    assert faults(text)
    with pytest.raises(ConfigError):
        parse(text)


def test_the_schema_names_the_presets_and_needs_no_stream_next_to_one() -> None:
    source = config_schema()["$defs"]["SourceConfig"]
    assert source["properties"]["preset"]["enum"] == preset_names()
    assert faults("[[source]]\nname = 's'\npath = 'x'\npreset = 'cisco-cucm'") == []
    assert faults("[[source]]\nname = 's'\npath = 'x'\nidentity = 'content'")
    assert [fault for name in preset_names() for fault in faults(preset_text(name))] == []


def test_init_writes_the_schema_next_to_the_file_that_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / "trueup.toml").read_text("utf-8").startswith(f"{SCHEMA_LINE}\n")
    assert json.loads((tmp_path / "trueup.schema.json").read_text("utf-8")) == config_schema()
    capsys.readouterr()
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == config_schema()


def test_a_proposed_project_is_valid(tmp_path: Path) -> None:
    data = ROOT / "examples" / "wholesale" / "data"
    assert main(["init", str(tmp_path), "--from", *map(str, sorted(data.glob("*.csv")))]) == 0
    text = (tmp_path / "trueup.toml").read_text("utf-8")
    assert text.startswith(f"{SCHEMA_LINE}\n")
    assert faults(text) == []
