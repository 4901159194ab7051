"""Inject leaks into copies of two logs: a tiny simulated operator, and a project whose charges are a key and an amount."""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from trueup.cli import main
from trueup.config import Project
from trueup.errors import ConfigError
from trueup.log.lake import Lake
from trueup.proof.verify import verify
from trueup.reconcile.results.digest import digests
from trueup.simulate import SimulationError, SimulationRequest, simulate
from trueup.simulate.injection.branch import branch_text
from trueup.simulate.injection.rates import CONDITIONED, DRAWN, rates_of
from trueup.simulate.injection.truth_rows import FOUND_BEFORE
from trueup.simulate.truth.ledger import TRUTH

NOW = "2025-04-10T00:00:00+00:00"
EVERYTHING = ",".join([*(f"{kind}=0.3" for kind in CONDITIONED), *(f"{kind}=0.1" for kind in DRAWN)])


@pytest.fixture(scope="module", autouse=True)
def _clock() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_NOW", NOW)
        yield


def done(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every file; of the catalog, the hash of its rows, since SQLite changes its files when a reader closes."""
    hash_of = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("catalog.sqlite"):
            hash_of[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    with closing(sqlite3.connect(folder / "lake" / "catalog.sqlite")) as catalog:
        hash_of["catalog"] = hashlib.sha256("\n".join(catalog.iterdump()).encode()).hexdigest()
    return hash_of


def stored(folder: Path) -> dict[str, str]:
    with Lake.open(Project.load(folder), read_only=True) as lake:
        return digests(lake.connection.execute("SELECT * FROM lake.events.finding").pl())


def events(folder: Path, stream: str) -> pl.DataFrame:
    with Lake.open(Project.load(folder), read_only=True) as lake:
        return lake.read(stream)


def report(folder: Path) -> dict:
    return json.loads((folder / "score-controls.json").read_text("utf-8"))


# --- an operator ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a simulated operator with leaks of its own, ingested and reconciled; tests only read it."""
    folder = tmp_path_factory.mktemp("operator") / "own"
    simulate(folder, SimulationRequest(subscribers=25, days=1, seed=7))
    done("ingest", "--project", folder)
    done("reconcile", "--project", folder)
    return folder


@pytest.fixture(scope="module")
def branch(operator: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a branch of it with every kind of leak, reconciled and scored; tests only read it."""
    folder = tmp_path_factory.mktemp("branch") / "leaking"
    before, digest = hashes(operator), stored(operator)
    done("inject", "--rates", EVERYTHING, "--seed", 5, "--into", folder, "--project", operator)
    assert (hashes(operator), stored(operator)) == (before, digest), "the original was touched"
    done("reconcile", "--project", folder)
    done("score-controls", "--project", folder)
    return folder


def test_every_kind_is_injected_and_found_with_the_money_of_the_truth(branch: Path) -> None:
    scores = report(branch)
    assert (scores["misses"], scores["unexplained"], scores["passed"]) == ([], [], True)
    assert {row["kind"] for row in scores["leaks"]} >= set(DRAWN)
    for row in scores["leaks"]:
        assert row["injected"] == row["decidable"] == row["found"] > 0
        assert (row["recall"], row["precision"], row["found_micros"]) == (1.0, 1.0, row["injected_micros"])


def test_findings_of_the_original_recur_with_the_same_money_and_count_as_undecidable(operator: Path, branch: Path) -> None:
    truth = pl.read_parquet(branch / "truth.parquet")
    assert truth.schema == pl.Schema(TRUTH)
    (row,) = [row for row in report(branch)["undecidable"] if row["kind"] == FOUND_BEFORE]
    assert row["injected"] == row["findings"] > 0
    assert row["injected_micros"] == row["findings_micros"]


def test_the_branch_passes_the_audits_of_a_lake(branch: Path) -> None:
    done("status", "--check", "--project", branch)
    # Injected events are in no raw file, so the checks against the files are left out.
    with Lake.open(Project.load(branch), read_only=True) as lake:
        assert verify(lake, only=("chains", "counts", "positions", "declarations", "event_ids", "duplicates")).sound


def test_the_branch_has_the_positions_and_the_frontiers_of_the_original(operator: Path, branch: Path) -> None:
    columns = ["position", "kind", "committed_at"]
    one, other = (events(folder, "position") for folder in (operator, branch))
    assert one.select(columns).sort("position").equals(other.select(columns).sort("position"))
    times = ["source_id", "last_started_at", "last_time", "taken_at", "position"]
    controls = [events(folder, "control").select(times).sort("position") for folder in (operator, branch)]
    assert controls[0].equals(controls[1])


def test_only_charges_of_the_truth_differ_and_event_ids_are_unique(operator: Path, branch: Path) -> None:
    truth = pl.read_parquet(branch / "truth.parquet").filter(pl.col("kind") != FOUND_BEFORE)
    before, after = events(operator, "charge"), events(branch, "charge")
    touched = pl.concat([before.join(after, on="event_id", how="anti"), after.join(before, on="event_id", how="anti")])
    named = truth["charge_record_keys"].explode().drop_nulls().to_list()
    usage = set(truth["usage_record_keys"].explode().drop_nulls().to_list())
    unbilled = set(before.filter(pl.col("event_id").is_in(touched["event_id"].implode()))["record_key"].to_list()) - set(named)
    assert set(touched["record_key"].to_list()) <= set(named) | unbilled
    assert len(unbilled) == truth.filter(pl.col("kind").str.starts_with("unbilled")).height
    resent = events(branch, "usage").join(events(operator, "usage"), on="event_id", how="anti")
    assert set(resent["record_key"].to_list()) <= usage
    moved = truth.filter(pl.col("kind") == "late_charge")["charge_record_keys"].explode()
    positions = before.join(after, on="event_id", suffix="_after").filter(pl.col("record_key").is_in(moved.implode()))
    assert (positions["position_after"] > positions["position"]).all()
    assert after["event_id"].is_unique().all()


def test_the_same_seed_gives_the_same_truth_and_log(operator: Path, branch: Path, tmp_path: Path) -> None:
    done("inject", "--rates", EVERYTHING, "--seed", 5, "--into", tmp_path / "again", "--project", operator)
    assert (branch / "truth.parquet").read_bytes() == (tmp_path / "again/truth.parquet").read_bytes()
    for table in ("usage", "charge", "control", "declaration"):
        order = ["position", "source_row"] if table in ("usage", "charge") else ["position"]
        one, again = (events(folder, table).sort(order) for folder in (branch, tmp_path / "again"))
        assert one.equals(again)


# --- charges that are a key and an amount -----------------------------------------------------------------------------

POOR = """
[lake]
buckets = 4
bucket_by = "session_key"

[[source]]
name = "network"
stream = "usage"
path = "usage.csv"
columns = { record_key = "id", session_key = "id", subscriber = "who", started_at = "start", quantity = "volume" }
constants = { service = "Voice" }

[[source]]
name = "billing"
stream = "charge"
path = "billing*.csv"
identity = "position"
frontier = "declared"
columns = { session_key = "id", amount = "amount" }

[reconcile.default]
price = "3"
amount_tolerance = "0.005"
"""


def poor_project(folder: Path, sessions: int = 60) -> Path:
    folder.mkdir()
    (folder / "trueup.toml").write_text(POOR)
    rows = [f"k{n},A{n % 5},2025-03-27 {n // 60:02d}:{n % 60:02d}:00,{n + 0.25}" for n in range(1, sessions + 1)]
    (folder / "usage.csv").write_text("id,who,start,volume\n" + "\n".join([*rows, "end,A,2025-03-29 00:00:00,1"]) + "\n")
    (folder / "billing.csv").write_text("id,amount\n" + "".join(f"k{n},{3 * n + 0.75}\n" for n in range(2, sessions + 1)))
    return folder


@pytest.fixture(scope="module")
def _poor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = poor_project(tmp_path_factory.mktemp("poor") / "poor")
    done("ingest", "--project", folder)
    done("close", "--source", "billing", "--through", "2025-03-27", "--project", folder)
    done("reconcile", "--project", folder)
    return folder


@pytest.fixture
def poor(_poor: Path, tmp_path: Path) -> Path:
    """Return a copy of the project whose charges are a key and an amount, ingested, closed and reconciled."""
    return Path(shutil.copytree(_poor, tmp_path / "poor"))


RunCommand = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str]) -> RunCommand:
    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return (status, *capsys.readouterr())

    return run


def test_charges_with_only_a_key_and_an_amount_get_the_kinds_that_fit_them(
    poor: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    before = stored(poor)
    target = tmp_path / "branch"
    status, out, _ = run_command("inject", "--rates", EVERYTHING, "--seed", 2, "--into", target, "--project", poor, "--json")
    assert status == 0
    by_kind = {row["kind"]: row for row in json.loads(out)["kinds"]}
    assert {kind for kind, row in by_kind.items() if row["injected"]} == {
        "unbilled_random", "wrong_amount", "duplicate_charge", "phantom_charge", "conflicting_usage",
    }  # fmt: skip
    for kind in ("under_quantity", "over_quantity", "late_charge", "conflicting_charge", *CONDITIONED):
        assert by_kind[kind]["note"].startswith("skipped: ")
    done("reconcile", "--project", target)
    assert run_command("score-controls", "--check", "--project", target)[0] == 0
    assert stored(poor) == before
    assert all(row["recall"] == 1 for row in report(target)["leaks"])


def test_another_seed_gives_a_different_truth(poor: Path, tmp_path: Path) -> None:
    for seed in (5, 6):
        done("inject", "--rates", EVERYTHING, "--seed", seed, "--into", tmp_path / str(seed), "--project", poor)
    one, other = (pl.read_parquet(tmp_path / str(seed) / "truth.parquet") for seed in (5, 6))
    assert one.height > 0 and not one.equals(other)


def test_a_charge_without_a_time_can_be_late_when_records_follow_the_closing(
    poor: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    (poor / "billing_later.csv").write_text("id,amount\nend,3\n")
    done("ingest", "--project", poor)
    done("reconcile", "--project", poor)
    target = tmp_path / "branch"
    done("inject", "--rates", "late_charge=0.5", "--into", target, "--project", poor)
    done("reconcile", "--project", target)
    assert run_command("score-controls", "--check", "--project", target)[0] == 0
    (row,) = report(target)["leaks"]
    assert row["found"] == row["injected"] > 0


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ("unbilled_random=1.5", "invalid rate"),
        ("unbilled_random=-1", "invalid rate"),
        ("unbilled_random=nan", "invalid rate"),
        ("gremlins=0.1", "gremlins"),
        ("late_charge=0.7,duplicate_charge=0.7", "add up to 1.4"),
        ("late_charge=much", "invalid rate"),
        ("late_charge=0", "above 0"),
        ("late_charge=0.1,late_charge=0.2", "twice"),
        ("nowhere.toml", "no such file"),
        ("late_charge=1", "too little"),
    ],
)
def test_invalid_rates_are_refused_in_one_line_and_no_branch_is_written(
    poor: Path, tmp_path: Path, run_command: RunCommand, rates: str, message: str
) -> None:
    status, out, err = run_command("inject", "--rates", rates, "--into", tmp_path / "branch", "--project", poor)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (tmp_path / "branch").exists()


def test_a_target_with_files_in_it_is_refused_and_unchanged(poor: Path, tmp_path: Path, run_command: RunCommand) -> None:
    before = hashes(poor)
    for target in (poor, poor / "lake"):
        status, _, err = run_command("inject", "--rates", "unbilled_random=1", "--into", target, "--project", poor)
        assert (status, err.count("\n")) == (2, 1)
    assert hashes(poor) == before


def test_a_project_that_is_not_ready_is_refused(tmp_path: Path, run_command: RunCommand) -> None:
    fresh = poor_project(tmp_path / "fresh", sessions=2)
    arguments = ("inject", "--rates", "unbilled_random=1", "--into", tmp_path / "branch", "--project", fresh)
    status, _, err = run_command(*arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert "no lake" in err
    done("ingest", "--project", fresh)
    assert "reconcile" in run_command(*arguments)[2]
    done("reconcile", "--project", fresh)
    assert "too little" in run_command(*arguments)[2]
    (fresh / "trueup.toml").write_text(POOR.replace('"3"', '"4"'))
    assert "another policy" in run_command(*arguments)[2]
    assert not (tmp_path / "branch").exists()


def test_rates_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "rates.toml").write_text("late_charge = 0.25\nunbilled_node = 1\n")
    assert rates_of(str(tmp_path / "rates.toml")) == {"late_charge": 0.25, "unbilled_node": 1.0}
    (tmp_path / "rates.toml").write_text("late_charge = true\n")
    with pytest.raises(SimulationError, match="invalid rate"):
        rates_of(str(tmp_path / "rates.toml"))


def test_a_branch_never_writes_into_the_lake_of_the_original() -> None:
    text = '[lake]\ncatalog = "postgres:dbname=live"\nbuckets = 4\n data = "s3://live"\n[project]\ncurrency = "IDR"\n'
    own = branch_text(text, where="trueup.toml")
    assert "live" not in own
    assert "buckets = 4" in own
    with pytest.raises(ConfigError, match="location of the lake"):
        branch_text('lake = { catalog = "postgres:dbname=live" }\n', where="trueup.toml")


def test_a_branch_can_be_injected_into_again(poor: Path, tmp_path: Path, run_command: RunCommand) -> None:
    done("inject", "--rates", "unbilled_random=0.2", "--into", tmp_path / "one", "--project", poor)
    shutil.rmtree(poor)
    done("reconcile", "--project", tmp_path / "one")
    done("inject", "--rates", "duplicate_charge=0.2", "--into", tmp_path / "two", "--project", tmp_path / "one")
    done("reconcile", "--project", tmp_path / "two")
    assert run_command("score-controls", "--check", "--project", tmp_path / "two")[0] == 0
