"""Anchors by the commands: keys, `anchor`, `run --anchor` and `verify --anchor`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueup.config import Project
from trueup.log.lake import Lake

Invoke = Callable[..., Any]


@pytest.fixture
def keyed(copied: Path, invoke: Invoke) -> Path:
    """Return the tiny project with a key for anchors in its configuration."""
    made = invoke("anchor", "--new-key", copied / "key")
    assert (made.status, "BEGIN" in made.out + made.err) == (0, False)
    path = copied / "trueup.toml"
    path.write_text(path.read_text("utf-8") + '\n[anchor]\nkey = "key"\nto = "kept"\n', "utf-8")
    return copied


def test_a_lake_is_anchored_and_verified_by_the_anchor(keyed: Path, invoke: Invoke) -> None:
    anchored = invoke("anchor", "--project", keyed, "--json")
    assert anchored.status == 0
    value = json.loads(anchored.out)
    assert (value["position"], value["sequence_no"], value["is_new"]) == (7, 1, True)
    assert Path(value["path"]).parent == keyed / "kept"
    again = invoke("anchor", "--project", keyed)
    assert again.out == f"nothing is new since position 7: {value['path']} is the latest anchor\n"
    verified = invoke("verify", "--anchor", value["path"], "--project", keyed)
    assert (verified.status, f"note: 1 of 1 anchor agree, the newest {value['name']}" in verified.out) == (0, True)
    # Without the configuration, by a key from elsewhere.
    public = shutil.move(keyed / "key.pub", keyed.parent / "trusted.pub")
    verified = invoke("verify", "--anchor", keyed / "kept", "--public-key", public, "--project", keyed)
    assert verified.status == 0


def test_a_decision_that_was_removed_is_found_by_an_anchor_alone(keyed: Path, invoke: Invoke) -> None:
    (finding,) = json.loads(invoke("findings", "--limit", 1, "--json", "--project", keyed).out)
    assert invoke("decide", finding["finding_id"], "confirmed", "--by", "ann", "--project", keyed).status == 0
    assert invoke("anchor", "--project", keyed).status == 0
    with Lake.open(Project.load(keyed)) as lake:
        lake.connection.execute("DELETE FROM lake.events.decision")
    verified = invoke("verify", "--anchor", keyed / "kept", "--project", keyed)
    assert verified.status == 1
    assert "decision, after position 7: the rows differ from those that anchor-" in verified.out
    value = json.loads(invoke("verify", "--anchor", keyed / "kept", "--project", keyed, "--json").out)
    assert (value["sound"], value["anchors"]["agreeing"]) == (False, [])


def test_run_writes_an_anchor_on_request(keyed: Path, invoke: Invoke) -> None:
    assert "anchor     " not in invoke("run", "--project", keyed).out
    anchored = invoke("run", "--anchor", "--project", keyed)
    assert (anchored.status, "anchor     anchored position " in anchored.out) == (0, True)
    path = keyed / "trueup.toml"
    path.write_text(path.read_text("utf-8") + "run = true\n", "utf-8")
    assert "anchor     nothing is new since position " in invoke("run", "--project", keyed).out
    assert json.loads(invoke("run", "--no-anchor", "--project", keyed, "--json").out)["anchor"] is None


def test_a_run_that_cannot_write_its_anchor_shows_all_other_results_and_fails(keyed: Path, invoke: Invoke) -> None:
    (keyed / "key").chmod(0o640)
    ended = invoke("run", "--anchor", "--project", keyed)
    assert (ended.status, "publish    " in ended.out) == (2, True)
    assert "users other than its owner can use the private key (mode 0640)" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["anchor"], "there is no key to sign anchors with ([anchor] key); name it there or with --key"),
        (["anchor", "--new-key", "k", "--recompute"], "--new-key only creates a key"),
        (["verify", "--anchor", "none.json", "--public-key", "no.pub"], "the public key cannot be read"),
        (["verify", "--anchor", "none.json"], "there is no public key to check anchors with"),
        (["verify", "--public-key", "no.pub"], "a public key checks anchors, but no anchor is named"),
        (["verify", "00", "--anchor", "none.json"], "anchors are checked for the whole log"),
    ],
)
def test_a_wrong_option_of_anchors_is_named_in_one_line(invoke: Invoke, done: Path, arguments: list[str], message: str) -> None:
    ended = invoke(*arguments, "--project", done)
    assert (ended.status, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1


def test_a_missing_anchor_is_named(keyed: Path, invoke: Invoke) -> None:
    assert "there is no such anchor" in invoke("verify", "--anchor", keyed / "none.json", "--project", keyed).err
    assert "there is no anchor in this folder" in invoke("verify", "--anchor", keyed / "landing", "--project", keyed).err


def test_a_run_with_anchors_needs_a_key(copied: Path, invoke: Invoke) -> None:
    path = copied / "trueup.toml"
    path.write_text(path.read_text("utf-8") + "\n[anchor]\nrun = true\n", "utf-8")
    ended = invoke("run", "--project", copied)
    assert (ended.status, "`run` needs `key`" in ended.err) == (2, True)
