"""Compare verification with a plain scan of the same rows, in one run.

    python benchmarks/verify.py [RECORDS]

Ingests a CSV file of call records, then prints the time of each check of `trueup verify`. Prints its ratio to a scan that decodes
every value of every row once and hashes it (one pass of DuckDB over the table). Each check runs in its own process, whose
peak memory is printed. Times differ between machines; only the ratios are comparable.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
from ingest import HERE, TOML

from trueup.collect.ingest import ingest
from trueup.config import FILE_NAME, Project
from trueup.log.lake import Lake
from trueup.proof.verify import ALL, verify

SCAN = "SELECT bit_xor(hash(COLUMNS(*))) FROM lake.events.usage"
NOW = datetime(2024, 6, 1, tzinfo=UTC)
CHECKS = [name for name, _ in ALL if name not in ("findings", "scores", "decisions")]
"""The checks of input streams; checking findings costs what reconciling costs (`benchmarks/reconcile.py`)."""


def measure(folder: str, check: str, results: Connection) -> None:
    """Run one check, or the scan, and send its elapsed time, processor time and peak memory."""
    with Lake.open(Project.load(folder), read_only=True) as lake:
        lake.count("usage")
        begun, worked = time.perf_counter(), time.process_time()
        if check == "scan":
            lake.connection.execute(SCAN).fetchall()
        else:
            result = verify(lake, only=() if check == "all" else (check,))
            assert result.sound, result.faults[:3]
        elapsed, processor = time.perf_counter() - begun, time.process_time() - worked
    results.send((elapsed, processor, peak_gib()))


def peak_gib() -> float:
    """Return the peak memory of this process; `getrusage` would include the peak of the parent process before the start."""
    line = next(line for line in Path("/proc/self/status").read_text("ascii").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


def measure_in_own_process(folder: str, check: str) -> tuple[float, float, float]:
    """Return the measurements of `measure` from a separate process."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(folder, check, send))
    process.start()
    measured: tuple[float, float, float] = receive.recv()
    process.join()
    return measured


def main(records: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path, folder = Path(scratch, "calls.csv"), Path(scratch, "project")
        duckdb.execute((HERE / "call_records.sql").read_text("utf-8").format(records=records, path=path))
        folder.mkdir()
        (folder / FILE_NAME).write_text(TOML.format(path=path), "utf-8")
        worked = time.process_time()
        assert not ingest(Project.load(folder), clock=lambda: NOW).errors
        ingest_s = time.process_time() - worked
        elapsed, processor, memory = measure_in_own_process(str(folder), "scan")
        print(f"{records:,} events; ingest took {ingest_s:.1f} s of processor")
        print(f"{'plain scan':14} {elapsed:8.1f} s {processor:8.1f} s of processor          peak {memory:.2f} GiB")
        base = processor
        for name in CHECKS:
            elapsed, processor, memory = measure_in_own_process(str(folder), name)
            ratio = f"{processor / base:6.1f} x scan"
            print(f"{name:14} {elapsed:8.1f} s {processor:8.1f} s of processor {ratio}  peak {memory:.2f} GiB")


if __name__ == "__main__":
    main(*([int(text.replace("_", "")) for text in sys.argv[1:]] or [10_000_000]))
