"""Write a lake with many findings and scores in parts, so that the memory of the generator does not grow with their number.

python benchmarks/workbench_lake.py FOLDER FINDINGS SCORES
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from trueup.config import FILE_NAME, Project
from trueup.log.lake import Lake, Transaction

NOW = datetime(2024, 4, 2, tzinfo=UTC)
PART = 250_000
"""Findings of one commit."""
_POLICY = {
    "kernel": 1, "services": {}, "default": {"price": None, "price_per": 1, "currency": None}, "sources": {}, "horizon_us": 1,
}  # fmt: skip


def write_lake(folder: Path, findings: int, scores: int) -> Project:
    """Write a project with a lake of findings, cases, decisions and scores, straight into the log."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text('[project]\ncurrency = "EUR"\n', "utf-8")
    project = Project.load(folder)
    Lake.create(project)
    parts = -(-findings // PART)
    for part in range(parts):
        bounds = {
            name: (of_all * part // parts, of_all * (part + 1) // parts)
            for name, of_all in (("finding", findings), ("score", scores))
        }
        # Each part opens the lake anew, so that the memory of the part before is released.
        with Lake.open(project, clock=lambda: NOW) as lake:
            lake.commit(lambda transaction, bounds=bounds: _write(transaction, bounds))  # type: ignore[misc]
    return project


def _write(transaction: Transaction, bounds: dict[str, tuple[int, int]]) -> None:
    connection = transaction.connection
    for name, (first, end) in bounds.items():
        connection.execute(f"SET VARIABLE first_{name} = {first}")
        connection.execute(f"SET VARIABLE end_{name} = {end}")
    if bounds["finding"][0] == 0:
        transaction.declare("policy", content=_POLICY)
        transaction.set_consumer_position("reconcile", 1)
    connection.execute(Path(__file__).with_name("workbench_lake.sql").read_text("utf-8"))


def memory_mb(process: int | str = "self") -> float:
    """Return the most memory that a process has had, in millions of bytes."""
    status = Path(f"/proc/{process}/status").read_text("utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    path, *counts = sys.argv[1:]
    write_lake(Path(path), *map(int, counts))
    print(f"the generator had {memory_mb():,.0f} MB at most")
