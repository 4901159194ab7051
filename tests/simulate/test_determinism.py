import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trueup.simulate import SimulationRequest, simulate


def fingerprints(directory: Path) -> dict[str, str]:
    files = (p for p in directory.rglob("*") if p.is_file())
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


@pytest.mark.parametrize("file_format", ["csv", "ndjson", "parquet"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_different_ones(tmp_path: Path, file_format: str) -> None:
    for name, seed in (("one", 4), ("two", 4), ("other", 5)):
        simulate(tmp_path / name, SimulationRequest(subscribers=60, days=2, seed=seed, file_format=file_format))
    one, two, other = (fingerprints(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert one["truth.parquet"] != other["truth.parquet"]


def test_another_process_with_another_number_of_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    simulate(tmp_path / "this_process", SimulationRequest(subscribers=60, days=1, seed=9, file_format="parquet"))
    code = (
        "import sys; from pathlib import Path; from trueup.simulate import SimulationRequest, simulate;"
        "simulate(Path(sys.argv[1]), SimulationRequest(subscribers=60, days=1, seed=9, file_format='parquet'))"
    )
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "PYTHONHASHSEED": "123", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "other_process")], check=True, env=environment)
    assert fingerprints(tmp_path / "this_process") == fingerprints(tmp_path / "other_process")
