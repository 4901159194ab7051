"""Frontiers of sources in `trueup status`: the kernel's rule, under the policy and the ticks in force."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import lake_fixture
import pytest
from random_logs import MICRO, service
from reference_model.log import Close, Log, Record, Supersede, Tick

from trueup.config import Project
from trueup.log.lake import Lake
from trueup.policies.policy import Policy, SourceRules
from trueup.reconcile.log_io.load import frontier_of
from trueup.warehouse.query import open_warehouse
from trueup.warehouse.status import status

DAY_US = 86_400 * MICRO
RULES = Policy(
    0, {"voice": service(("session_key",))},
    sources={
        "observed": SourceRules("usage", lateness_us=DAY_US), "silent": SourceRules("usage", idle_after_us=2 * DAY_US),
        "declared": SourceRules("charge", lateness_us=None),
    },
)  # fmt: skip


def usage(source: str, day: int) -> Record:
    return Record(False, source, f"{source} {day}", None, started_us=day * DAY_US, quantity_micros=MICRO)


WRONG = Tick(30 * DAY_US)
LOG: Log = [
    [RULES], [usage("observed", 5), usage("silent", 5)], [Close("declared", 4 * DAY_US)], [Tick(10 * DAY_US)], [WRONG],
    [Supersede(WRONG)],
]  # fmt: skip


def logged(folder: Path) -> Project:
    with lake_fixture.lake_of(folder, *lake_fixture.with_event_ids_of_lake(LOG, "subscriber"), "subscriber") as lake:
        return lake.project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose lake has the log; tests only read it."""
    return logged(tmp_path_factory.mktemp("frontiers"))


def frontiers(project: Project, as_of: str | None = None) -> dict[str, datetime | None]:
    with open_warehouse(project, as_of=as_of) as warehouse:
        return {source["source"]: source["frontier"] for source in status(warehouse).sources}


def day(number: int) -> datetime:
    return datetime.fromtimestamp(number * 86_400, UTC)


def test_a_source_that_is_silent_for_longer_than_idle_after_has_the_frontier_of_the_clock(project: Project) -> None:
    assert frontiers(project, as_of="3") == {"observed": day(4), "silent": day(5), "declared": day(4)}
    assert frontiers(project, as_of="4") == {"observed": day(4), "silent": day(8), "declared": day(4)}


def test_a_superseded_tick_moves_no_frontier(project: Project) -> None:
    assert frontiers(project, as_of="5")["silent"] == day(28)
    assert frontiers(project)["silent"] == day(8)


def test_the_policy_in_force_decides_and_not_a_setting_of_today(tmp_path: Path) -> None:
    path = logged(tmp_path).directory / "trueup.toml"
    path.write_text(path.read_text("utf-8").replace(f'lateness = "{DAY_US}us"', 'lateness = "0us"'), "utf-8")
    assert frontiers(Project.load(tmp_path))["observed"] == day(4)


def test_status_and_kernel_have_the_same_frontier_at_every_position(project: Project) -> None:
    for position in range(2, len(LOG) + 1):
        with Lake.open(project, read_only=True) as lake:
            frontier = frontier_of(lake, position)
        policy = len(frontier.policies.all) - 1
        kernel = [
            frontier.passed_until_us(position, policy, wait_us=0, closed_wait_us=0, stream=stream) for stream in ("usage", "charge")
        ]
        shown = frontiers(project, as_of=str(position))
        usage_frontier = min(shown["observed"], shown["silent"])
        assert [us and datetime.fromtimestamp(us / MICRO, UTC) for us in kernel] == [usage_frontier, shown["declared"]]
