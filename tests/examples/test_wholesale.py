"""A third party's case, with its published answer: 200 unbilled records worth 9,681,400.655."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.jobs.reconcile_batch import derive, reconcile
from trueup.log.lake import Lake
from trueup.reconcile.results.digest import digests

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("TRUEUP_SHARED_DATA", ROOT.parent / "shared" / "data"))
DATA = Path(os.environ.get("WHOLESALE_DATA", SHARED / "wholesale"))
pytestmark = pytest.mark.skipif(not (DATA / "billing_transaction.csv").exists(), reason=f"no wholesale data in {DATA}")

USAGE, CHARGES = "network_usage_raw.csv", "billing_transaction.csv"
PUBLISHED = {
    "Data": (84, "2139498.102"),
    "Interconnection": (19, "384810.485"),
    "Roaming": (38, "3036422.948"),
    "SMS": (13, "352123.733"),
    "Voice": (46, "3768545.388"),
}
END = datetime(2022, 1, 5, tzinfo=UTC)


def project_in(folder: Path, monkeypatch: pytest.MonkeyPatch, *, usage: str = USAGE, charges: str = CHARGES) -> Project:
    """The example in a folder of its own, reading `landing/` beside it."""
    (folder / "landing").mkdir(parents=True)
    text = (ROOT / "examples" / "wholesale" / "trueup.toml").read_text("utf-8")
    (folder / "trueup.toml").write_text(text.replace(USAGE, usage).replace(CHARGES, charges), "utf-8")
    monkeypatch.setenv("WHOLESALE_DATA", str(folder / "landing"))
    project = Project.load(folder)
    Lake.create(project)
    return project


def close(project: Project) -> None:
    with Lake.open(project) as lake:
        lake.commit(lambda transaction: transaction.declare("close", source="billing", through=END))


def lines(name: str) -> list[str]:
    return (DATA / name).read_text("utf-8").splitlines()


def stored(project: Project) -> dict[str, str]:
    with Lake.open(project, read_only=True) as lake:
        return digests(lake.connection.execute("SELECT * FROM lake.events.finding").pl())


def taken_in_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = project_in(folder, monkeypatch)
    for name in (USAGE, CHARGES):
        shutil.copy(DATA / name, folder / "landing" / name)
    assert not ingest(project).errors
    close(project)
    return project


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return taken_in_whole(tmp_path / "whole", monkeypatch)


def test_the_published_answer_is_found_and_nothing_else(whole: Project) -> None:
    reconcile(whole)
    with Lake.open(whole, read_only=True) as lake:
        found = lake.connection.execute(
            "SELECT service, kind, count(*), sum(expected_micros - billed_micros) FROM lake.events.finding GROUP BY ALL"
        ).fetchall()
        unbalanced = lake.connection.execute(
            "SELECT sum(expected_micros) - sum(billed_micros) - sum(impact_micros) - sum(tolerated_micros) - sum(pending_micros) "
            "FROM lake.events.ledger GROUP BY service, day, currency"
        ).fetchall()
    assert {kind for _, kind, _, _ in found} == {"unbilled"}
    assert {s: (n, str(round(Decimal(m) / 1_000_000, 3))) for s, _, n, m in found} == PUBLISHED
    assert {row[0] for row in unbalanced} == {0}


def test_taking_in_and_reconciling_again_add_nothing(whole: Project) -> None:
    reconcile(whole)
    before = stored(whole)
    assert [u.outcome for u in ingest(whole).units] == ["known", "known"]
    again = reconcile(whole)
    assert (again.from_position, again.raised) == (again.to_position, 0)
    assert stored(whole) == before


def cut_in_seven(landing: Path) -> None:
    for name in (USAGE, CHARGES):
        head, *rows = lines(name)
        for part in range(7):
            (landing / f"{part}_{name}").write_text("\n".join([head, *rows[part::7]]) + "\n", "utf-8")


def shuffled(landing: Path) -> None:
    for name in (USAGE, CHARGES):
        head, *rows = lines(name)
        random.Random(7).shuffle(rows)
        (landing / name).write_text("\n".join([head, *rows]) + "\n", "utf-8")


@pytest.mark.parametrize(("deliver", "pattern"), [(cut_in_seven, "*_"), (shuffled, "")])
def test_the_state_does_not_depend_on_how_the_files_are_cut_or_ordered(
    whole: Project, deliver: Callable[[Path], None], pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = project_in(tmp_path / "other", monkeypatch, usage=pattern + USAGE, charges=pattern + CHARGES)
    deliver(tmp_path / "other" / "landing")
    assert not ingest(other).errors
    close(other)
    assert digests(derive(other))["state"] == digests(derive(whole))["state"]


def test_the_state_does_not_depend_on_which_side_comes_first(
    whole: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = project_in(tmp_path / "other", monkeypatch)
    for name in (CHARGES, USAGE):
        shutil.copy(DATA / name, tmp_path / "other" / "landing" / name)
        ingest(other, sources=["billing" if name == CHARGES else "network"])
    close(other)
    assert digests(derive(other))["state"] == digests(derive(whole))["state"]


def test_the_history_is_the_same_for_every_way_of_running(whole: Project) -> None:
    wanted = digests(derive(whole))
    assert all(digests(derive(whole, partitions=n)) == wanted for n in (8, 64))
    assert digests(derive(whole, how="batch", partitions=8)) == wanted
    reconcile(whole, partitions=64)
    assert stored(whole) == wanted


def test_the_history_is_the_same_when_several_processes_share_the_work(whole: Project) -> None:
    options = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    reconcile(whole, partitions=8, runner_options=options)
    assert stored(whole) == digests(derive(whole))


def test_the_history_is_the_same_reconciled_after_every_commit_or_once(
    whole: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = project_in(tmp_path / "other", monkeypatch, usage="*_" + USAGE, charges="*_" + CHARGES)
    head, *rows = lines(USAGE)
    (tmp_path / "other" / "landing" / f"0_{USAGE}").write_text("\n".join([head, *rows]) + "\n", "utf-8")
    billed_head, *billed = lines(CHARGES)
    for part in range(3):
        (tmp_path / "other" / "landing" / f"{part}_{CHARGES}").write_text(
            "\n".join([billed_head, *billed[part::3]]) + "\n", "utf-8"
        )
        ingest(other)
        reconcile(other)
        if part == 1:
            close(other)
            reconcile(other)
    assert stored(other) == digests(derive(other))
    assert digests(derive(other))["state"] == digests(derive(whole))["state"]
