"""The quality policy is declared: it is in force from a position on, and earlier findings stay unchanged."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import test_controls as story

from trueup.config import Project
from trueup.errors import ConfigError
from trueup.log.lake import Lake
from trueup.quality.completeness.controls import derived
from trueup.quality.expectation import Expectation, Fact
from trueup.quality.policy import QualityPolicy, content_of, ensure_quality_policy, from_content, policy_intervals, policy_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
SHARED = ["position", "finding_id", "action", "cause", "reason", "records_low", "records_high", "impact_low_micros", "currency"]


@pytest.fixture(scope="module")
def _controlled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = story.project(tmp_path_factory.mktemp("policy") / "project")
    story.controlled(made)
    return made.directory


@pytest.fixture
def controlled(_controlled: Path, tmp_path: Path) -> Project:
    """Return a copy of the test operator after its controls, with a file lost."""
    return Project.load(shutil.copytree(_controlled, tmp_path / "copied"))


def renamed(made: Project, old: str, new: str) -> Project:
    path = made.directory / "trueup.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return Project.load(made.directory)


def declared(made: Project) -> int:
    with Lake.open(made, read_only=True) as lake:
        return lake.read("declaration").filter(pl.col("kind") == "quality_policy").height


def test_a_changed_setting_is_declared_and_is_the_cause_of_its_changes(controlled: Project) -> None:
    made = controlled
    (first,) = story.controlled(made).to_dicts()
    assert (first["action"], first["cause"]) == ("raised", "arrival")
    # Record numbers are checked instead of file numbers, so the same loss is another finding.
    made = renamed(made, "file = '(?P<node>M\\d+)-(?P<sequence>\\d+)\\.csv'\n", "")
    changes = story.controlled(made)
    assert declared(made) == 2
    assert changes.select("control", "action", "cause").sort("control", "action").rows() == [
        ("files", "raised", "arrival"), ("files", "resolved", "policy_change"), ("records", "raised", "policy_change"),
    ]  # fmt: skip
    assert changes["position"].n_unique() == 2


def test_the_history_is_derived_again_independently_of_current_settings(controlled: Project) -> None:
    made = renamed(controlled, 'every = "1d"', 'every = "1h"')
    changes = story.controlled(made, story.NOW + timedelta(hours=20))
    assert changes.select("kind", "cause").rows()[-1] == ("stale_feed", "policy_change")
    made = renamed(made, 'every = "1h"', 'every = "9d"')
    with Lake.open(made, read_only=True) as lake:
        anew = derived(lake, upto=lake.last_position())
    assert anew.select(SHARED).sort(SHARED[:2]).rows() == changes.select(SHARED).sort(SHARED[:2]).rows()


def test_unchanged_settings_declare_nothing(controlled: Project) -> None:
    made = renamed(controlled, 'grace = "1h"', 'grace = "2h"')
    story.controlled(made, story.NOW + timedelta(hours=1))
    assert declared(made) == 1, "how records are matched is no part of it"


def test_other_notes_of_built_in_expectations_declare_no_policy(controlled: Project) -> None:
    with Lake.open(controlled, clock=lambda: story.NOW) as lake:
        earlier = content_of(policy_of(controlled))
        for expectation in earlier["expectations"]:
            expectation["notes"] = "an earlier sentence"
        lake.commit(lambda transaction: transaction.declare("quality_policy", content=earlier))
        assert ensure_quality_policy(lake) is None
        (*_, in_force) = policy_intervals(lake, after=0, upto=lake.last_position())
    assert in_force.policy.expectations == policy_of(controlled).expectations


def test_other_notes_of_an_own_expectation_declare_a_policy(controlled: Project) -> None:
    path = controlled.directory / "trueup.toml"
    own = '[[expectation]]\nname = "a day has a record"\nstream = "usage"\ntype = "expect_table_row_count_to_be_between"\n'
    path.write_text(path.read_text() + f'{own}arguments = {{ min_value = 1 }}\nseverity = "note"\nnotes = "why"\n')
    for notes, policies in [("why", 2), ("because", 3)]:
        made = renamed(controlled, 'notes = "why"', f'notes = "{notes}"')
        with Lake.open(made, clock=lambda: story.NOW) as lake:
            assert ensure_quality_policy(lake) is not None
            (*_, in_force) = policy_intervals(lake, after=0, upto=lake.last_position())
        assert notes in [e.notes for e in in_force.policy.expectations]
        assert declared(made) == policies


def test_a_policy_is_read_back_as_it_was_declared(tmp_path: Path) -> None:
    policy = policy_of(story.project(tmp_path))
    moment = datetime(2024, 3, 1, tzinfo=UTC)
    own = Expectation(
        "own",
        "usage",
        "expect_x",
        {"a": Fact("f"), "b": [1, 2.5, None], "c": moment, "d": {"e": moment.date()}},
        "mark",
        "why",
        "msc",
    )
    policy = QualityPolicy(policy.rules, (*policy.expectations, own))
    read = from_content(content_of(policy), since=7)
    assert read.expectations == policy.expectations
    assert read.rules.since == 7
    assert content_of(read) == content_of(policy)


def test_an_argument_without_a_form_in_json_is_refused(tmp_path: Path) -> None:
    policy = policy_of(story.project(tmp_path))
    odd = Expectation("odd", "usage", "expect_x", {"a": object()}, "mark", "why")
    with pytest.raises(ConfigError, match="invalid argument"):
        content_of(QualityPolicy(policy.rules, (odd,)))
