import errno
from dataclasses import replace
from pathlib import Path

import pytest

from trueup.errors import TrueupError
from trueup.simulate import SimulationError, SimulationRequest, simulate
from trueup.simulate.files.write import write_text

GOOD = SimulationRequest(subscribers=10, days=1, seed=1)


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"subscribers": 0}, "--subscribers"),
        ({"subscribers": -3}, "--subscribers"),
        ({"days": 0}, "--days"),
        ({"days": -7}, "--days"),
        ({"days": 100_000}, "--days"),
        ({"seed": -1}, "--seed"),
        ({"months": -1}, "--months"),
        ({"months": 37}, "--months"),
        ({"profile": "galaxy"}, "--profile"),
        ({"file_format": "xml"}, "--format"),
        ({"rates": {"late_charge": 1.5}}, "late_charge"),
        ({"rates": {"late_charge": -0.1}}, "late_charge"),
        ({"rates": {"late_charge": float("nan")}}, "late_charge"),
        ({"rates": {"gremlins": 0.1}}, "rates"),
        ({"rates": {"late_charge": 0.7, "duplicate_charge": 0.7}}, "rates"),
    ],
)
def test_invalid_arguments_are_refused_in_one_line_and_no_file_is_written(tmp_path: Path, wrong: dict, where: str) -> None:
    target = tmp_path / "operator"
    with pytest.raises(SimulationError) as refused:
        simulate(target, replace(GOOD, **wrong))
    assert where in str(refused.value)
    assert refused.value.todo
    assert "\n" not in str(refused.value)
    assert not target.exists()


def test_a_folder_with_files_in_it_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("own")
    with pytest.raises(SimulationError, match="has files in it"):
        simulate(tmp_path, GOOD)
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "operator"
    target.write_text("a file")
    with pytest.raises(SimulationError, match="not a folder"):
        simulate(target, GOOD)


def test_an_empty_folder_is_accepted(tmp_path: Path) -> None:
    simulate(tmp_path, GOOD)
    assert (tmp_path / "trueup.toml").is_file()


def test_a_full_disk_raises_an_error_that_names_the_file() -> None:
    with pytest.raises(TrueupError, match="cannot be written") as refused:
        write_text("x" * 100_000, Path("/dev/full"))
    assert isinstance(refused.value.__cause__, OSError)
    assert refused.value.__cause__.errno == errno.ENOSPC


def test_one_subscriber_for_one_day_lists_the_incidents_it_is_too_small_for(tmp_path: Path) -> None:
    summary = simulate(tmp_path, SimulationRequest(subscribers=1, days=1, seed=3))
    assert summary.usage_records > 0
    assert "irsf" in summary.skipped


def test_progress_is_reported_after_each_day(tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    simulate(tmp_path, GOOD, on_day=lambda done, of: reported.append((done, of)))
    assert reported == [(n, 6) for n in range(1, 7)]
