"""The wholesale example: its own synthetic files, and a third party's files with their published answer where they are present."""

from __future__ import annotations

import csv
import os
import random
import runpy
import shutil
from collections import defaultdict
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
EXAMPLE = ROOT / "examples" / "wholesale"
SYNTHETIC = EXAMPLE / "data"
SHARED = Path(os.environ.get("TRUEUP_SHARED_DATA", ROOT.parent / "shared" / "data"))
THIRD_PARTY = Path(os.environ.get("WHOLESALE_DATA", SHARED / "wholesale"))

USAGE, CHARGES = "network_usage_raw.csv", "billing_transaction.csv"
HAS_THIRD_PARTY = (THIRD_PARTY / CHARGES).exists() and THIRD_PARTY.resolve() != SYNTHETIC
DATA = THIRD_PARTY if HAS_THIRD_PARTY else SYNTHETIC
"""The files of the tests about order, cuts and engines: the larger pair where it is present."""
PUBLISHED = {
    "Data": (84, "2139498.102"),
    "Interconnection": (19, "384810.485"),
    "Roaming": (38, "3036422.948"),
    "SMS": (13, "352123.733"),
    "Voice": (46, "3768545.388"),
}
END = datetime(2022, 1, 5, tzinfo=UTC)


def project_in(folder: Path, monkeypatch: pytest.MonkeyPatch, *, usage: str = USAGE, charges: str = CHARGES) -> Project:
    """Return a copy of the example that reads the folder `landing` of its own."""
    (folder / "landing").mkdir(parents=True)
    text = (EXAMPLE / "trueup.toml").read_text("utf-8")
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


def stored_digests(project: Project) -> dict[str, str]:
    with Lake.open(project, read_only=True) as lake:
        return digests(lake.connection.execute("SELECT * FROM lake.events.finding").pl())


def ingest_all(folder: Path, monkeypatch: pytest.MonkeyPatch, data: Path = DATA) -> Project:
    """Ingest both files in one run and declare billing complete."""
    project = project_in(folder, monkeypatch)
    for name in (USAGE, CHARGES):
        shutil.copy(data / name, folder / "landing" / name)
    assert not ingest(project).errors
    close(project)
    return project


def unbilled_by_service(data: Path) -> dict[str, tuple[int, str]]:
    """Count usage records without a billing line and price them in decimal arithmetic: service to count and money."""
    with (data / CHARGES).open(newline="") as file:
        billed = {row["cdr_id"] for row in csv.DictReader(file)}
    missing: dict[str, list[Decimal]] = defaultdict(list)
    with (data / USAGE).open(newline="") as file:
        for row in csv.DictReader(file):
            if row["cdr_id"] not in billed:
                price = 150 if row["service_type"] in ("Voice", "Roaming") else 50
                missing[row["service_type"]].append(Decimal(row["usage_volume"]) * price)
    return {service: (len(money), str(round(sum(money, Decimal(0)), 3))) for service, money in missing.items()}


@pytest.fixture
def ingested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return ingest_all(tmp_path / "ingested", monkeypatch)


def assert_answer(project: Project, expected: dict[str, tuple[int, str]]) -> None:
    """Reconcile; every finding is `unbilled`, counts and money per service are the expected ones, conservation holds."""
    reconcile(project)
    with Lake.open(project, read_only=True) as lake:
        findings = lake.connection.execute(
            "SELECT service, kind, count(*), sum(expected_micros - billed_micros) FROM lake.events.finding GROUP BY ALL"
        ).fetchall()
        differences = lake.connection.execute(
            "SELECT sum(expected_micros) - sum(billed_micros) - sum(impact_micros) - sum(tolerated_micros) - sum(pending_micros) "
            "FROM lake.events.ledger GROUP BY service, day, currency"
        ).fetchall()
    assert {kind for _, kind, _, _ in findings} == {"unbilled"}
    assert {s: (n, str(round(Decimal(m) / 1_000_000, 3))) for s, _, n, m in findings} == expected
    assert {row[0] for row in differences} == {0}


def test_the_synthetic_files_give_their_unbilled_records_and_no_other_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = unbilled_by_service(SYNTHETIC)
    assert sum(count for count, _ in expected.values()) == 20
    assert_answer(ingest_all(tmp_path / "synthetic", monkeypatch, SYNTHETIC), expected)


@pytest.mark.skipif(not HAS_THIRD_PARTY, reason=f"no third-party wholesale data in {THIRD_PARTY}")
def test_the_third_party_files_give_the_published_answer_and_no_other_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unbilled_by_service(THIRD_PARTY) == PUBLISHED
    assert_answer(ingest_all(tmp_path / "third-party", monkeypatch, THIRD_PARTY), PUBLISHED)


def test_the_generator_writes_the_files_of_the_example(tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLE / "generate.py"))["generate"](tmp_path)
    for name in (USAGE, CHARGES):
        assert (tmp_path / name).read_bytes() == (SYNTHETIC / name).read_bytes()


def test_the_synthetic_files_have_the_traits_of_the_third_party_files() -> None:
    with (SYNTHETIC / USAGE).open(newline="") as file:
        usage = list(csv.DictReader(file))
    with (SYNTHETIC / CHARGES).open(newline="") as file:
        charges = list(csv.DictReader(file))
    decimals = [len(row["usage_volume"].partition(".")[2]) for row in usage]
    assert (max(decimals), decimals.count(16)) == (16, 2)
    assert list(charges[0]) == ["cdr_id", "billed_amount"]
    assert {row["cdr_id"] for row in charges} < {row["cdr_id"] for row in usage}
    assert [row["cdr_id"] for row in charges] != sorted(row["cdr_id"] for row in charges)
    assert {row["msisdn"][:3] for row in usage} == {"999"}, "country code 999 belongs to no operator"


def test_a_second_ingest_and_reconciliation_add_nothing(ingested: Project) -> None:
    reconcile(ingested)
    before = stored_digests(ingested)
    assert [u.outcome for u in ingest(ingested).units] == ["known", "known"]
    again = reconcile(ingested)
    assert (again.from_position, again.raised) == (again.to_position, 0)
    assert stored_digests(ingested) == before


def deliver_in_seven_files(landing: Path) -> None:
    for name in (USAGE, CHARGES):
        head, *rows = lines(name)
        for part in range(7):
            (landing / f"{part}_{name}").write_text("\n".join([head, *rows[part::7]]) + "\n", "utf-8")


def deliver_shuffled(landing: Path) -> None:
    for name in (USAGE, CHARGES):
        head, *rows = lines(name)
        random.Random(7).shuffle(rows)
        (landing / name).write_text("\n".join([head, *rows]) + "\n", "utf-8")


@pytest.mark.parametrize(("deliver", "pattern"), [(deliver_in_seven_files, "*_"), (deliver_shuffled, "")])
def test_the_state_does_not_depend_on_how_the_files_are_cut_or_ordered(
    ingested: Project, deliver: Callable[[Path], None], pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = project_in(tmp_path / "other", monkeypatch, usage=pattern + USAGE, charges=pattern + CHARGES)
    deliver(tmp_path / "other" / "landing")
    assert not ingest(other).errors
    close(other)
    assert digests(derive(other))["state"] == digests(derive(ingested))["state"]


def test_the_state_does_not_depend_on_which_side_comes_first(
    ingested: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = project_in(tmp_path / "other", monkeypatch)
    for name in (CHARGES, USAGE):
        shutil.copy(DATA / name, tmp_path / "other" / "landing" / name)
        ingest(other, sources=["billing" if name == CHARGES else "network"])
    close(other)
    assert digests(derive(other))["state"] == digests(derive(ingested))["state"]


@pytest.mark.slow
def test_the_history_is_the_same_for_every_way_of_running(ingested: Project) -> None:
    expected = digests(derive(ingested))
    assert all(digests(derive(ingested, partitions=n)) == expected for n in (8, 64))
    assert digests(derive(ingested, how="batch", partitions=8)) == expected
    reconcile(ingested, partitions=64)
    assert stored_digests(ingested) == expected


@pytest.mark.slow
def test_the_history_is_the_same_when_several_processes_share_the_work(ingested: Project) -> None:
    options = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    reconcile(ingested, partitions=8, runner_options=options)
    assert stored_digests(ingested) == digests(derive(ingested))


def test_the_history_is_the_same_reconciled_after_every_commit_or_once(
    ingested: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    assert stored_digests(other) == digests(derive(other))
    assert digests(derive(other))["state"] == digests(derive(ingested))["state"]
