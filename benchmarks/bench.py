"""Compare trueup with its peers at several sizes in one run: `make bench`.

    python benchmarks/bench.py [--sizes 1000000,3000000] [--rounds 3] [--json bench.json] [--watts 10]

Each round runs every way once, in turn and in a process of its own, on the same records. The ways are reconciliation,
hand-written SQL for the same findings, a per-record Beam `CoGroupByKey` (on a slice), ingest, and DuckDB's own CSV load. The
table has the median of the rounds with least and greatest, elapsed and of processor time. It shows how time grows with size as
the slope of log time over log records, 1 where it grows in proportion. Energy is what the machine counts (RAPL), else processor
time at `--watts` per core.

Times differ between machines; only ratios and slopes are comparable.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import ingest as ingest_bench
import reconcile as reconcile_bench

from trueup.allocation import ENVIRONMENT
from trueup.config import Project
from trueup.jobs.reconcile_batch import reconcile

RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
SLICE = 50_000
"""Usage records of the slice on which the per-record pipeline runs: the whole would take minutes."""
PEERS = {"reconcile": ("hand SQL", "CoGroupByKey"), "ingest": ("DuckDB load",)}
"""The peers of each way of trueup."""


@dataclass(frozen=True)
class Measure:
    """One run of one way at one size; `joules` is None where the machine has no energy counter."""

    way: str
    size: int
    records: int
    wall_s: float
    cpu_s: float
    peak_gib: float
    joules: float | None


def hand_sql(folder: Path, size: int) -> None:
    """Find the leaks by hand-written SQL."""
    found = reconcile_bench.by_hand(Project.load(folder))
    assert sum(n for n, _ in found.values()) > 0


def trueup_reconcile(folder: Path, size: int) -> None:
    """Reconcile from the lake to committed findings."""
    assert reconcile(Project.load(folder)).raised > 0


def cogroup(folder: Path, size: int) -> None:
    """Compare a slice of the records by a per-record Beam pipeline."""
    reconcile_bench.per_record(Project.load(folder), slice_of(size))


def trueup_ingest(folder: Path, size: int) -> None:
    """Ingest the CSV file."""
    ingest_bench.by_trueup(folder, csv_of(folder), size)


def duckdb_load(folder: Path, size: int) -> None:
    """Load the CSV file by DuckDB alone."""
    ingest_bench.by_hand(folder, csv_of(folder), size)


WAYS: dict[str, Callable[[Path, int], None]] = {
    "hand SQL": hand_sql, "reconcile": trueup_reconcile, "CoGroupByKey": cogroup, "ingest": trueup_ingest,
    "DuckDB load": duckdb_load,
}  # fmt: skip
ON_CSV = ("ingest", "DuckDB load")
"""The ways that begin with a CSV file; the others begin with a lake."""


def slice_of(size: int) -> int:
    """Return the usage records of the slice on which the per-record pipeline runs."""
    return min(SLICE, size // 2)


def records_of(way: str, size: int) -> int:
    """Return how many records a way processes: a lake has a charge for all usage records but one in forty."""
    usage = slice_of(size) if way == "CoGroupByKey" else size // 2
    return size if way in ON_CSV else usage * 79 // 40


def csv_of(folder: Path) -> Path:
    """Return the CSV file beside a folder."""
    return folder.parent / "calls.csv"


def energy_j() -> float | None:
    """Return the joules that the processor has counted so far, or None where it has no energy counter."""
    try:
        return int(RAPL.read_text()) / 1e6
    except (OSError, ValueError):
        return None


def measured(way: str, folder: Path, size: int) -> Measure:
    """Run one way in this process."""
    before, used, begun = energy_j(), time.process_time(), time.perf_counter()
    WAYS[way](folder, size)
    wall_s, cpu_s, after = time.perf_counter() - begun, time.process_time() - used, energy_j()
    joules = None if before is None or after is None or after < before else after - before
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Measure(way, size, records_of(way, size), wall_s, cpu_s, peak_gib, joules)


def in_own_process(way: str, folder: Path, size: int) -> Measure:
    """Run one way in a process of its own, which keeps freed memory as the command `trueup` does."""
    command = [sys.executable, __file__, "--measure", way, str(folder), str(size)]
    run = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT | os.environ, check=False)
    if run.returncode:
        raise SystemExit(f"{way} at {size:,} records failed:\n{run.stderr[-2000:]}")
    return Measure(**json.loads(run.stdout.splitlines()[-1]))


def prepare(scratch: Path, size: int) -> None:
    """Write the lake and the CSV file of one size."""
    folder = scratch / "lake of all rounds"
    folder.mkdir()
    reconcile_bench.create(folder, size // 2)
    query = (reconcile_bench.HERE / "call_records.sql").read_text("utf-8").format(records=size, path=scratch / "calls.csv")
    duckdb.execute(query)


def fresh_folder(scratch: Path, way: str) -> Path:
    """Return a folder for one run: a copy of the lake that shares its data files, or an empty one."""
    folder = scratch / "run"
    shutil.rmtree(folder, ignore_errors=True)
    if way in ON_CSV:
        folder.mkdir()
        return folder

    def copy(source: str, target: str) -> None:
        (os.link if source.endswith(".parquet") else shutil.copy2)(source, target)

    shutil.copytree(scratch / "lake of all rounds", folder, copy_function=copy)
    return folder


def all_measures(sizes: list[int], rounds: int) -> list[Measure]:
    """Run every way at every size, in turn within each round."""
    measures = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            prepare(scratch, size)
            for number in range(rounds):
                for way in WAYS:
                    measures.append(in_own_process(way, fresh_folder(scratch, way), size))
                    one = measures[-1]
                    print(
                        f"  {size:,} records, round {number + 1}: {way:14} {one.wall_s:8.2f} s, {one.cpu_s:8.2f} s of processor",
                        flush=True,
                    )
    return measures


@dataclass(frozen=True)
class Spread:
    """The median of several runs, with the least and the greatest."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return the spread of values."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Row:
    """All runs of one way at one size."""

    way: str
    size: int
    records: int
    wall_s: Spread
    cpu_s: Spread
    cpu_s_per_million: float
    joules_per_million: float
    is_energy_counted: bool
    peak_gib: float


def summary(measures: list[Measure], watts: float) -> list[Row]:
    """Return one row for each way and size; `watts` of a busy core stand for energy that is not counted."""
    return [
        row_of([m for m in measures if (m.way, m.size) == (way, size)], watts)
        for size in sorted({m.size for m in measures}) for way in WAYS
    ]  # fmt: skip


def row_of(runs: list[Measure], watts: float) -> Row:
    """Return the row of the runs of one way at one size."""
    cpu_s, millions = Spread.of([m.cpu_s for m in runs]), runs[0].records / 1e6
    counted = [m.joules for m in runs if m.joules is not None]
    joules = statistics.median(counted) if counted else cpu_s.median * watts
    return Row(
        runs[0].way, runs[0].size, runs[0].records, Spread.of([m.wall_s for m in runs]), cpu_s, cpu_s.median / millions,
        joules / millions, bool(counted), max(m.peak_gib for m in runs),
    )  # fmt: skip


@dataclass(frozen=True)
class Ratio:
    """The time that trueup takes for one record as a multiple of that of a peer."""

    way: str
    peer: str
    size: int
    wall: float
    cpu: float


def ratios(rows: list[Row]) -> list[Ratio]:
    """Return the ratio to each peer at each size, of medians."""
    at = {(row.way, row.size): row for row in rows}

    def ratio(way: str, peer: str, size: int) -> Ratio:
        own, other = at[way, size], at[peer, size]
        share = other.records / own.records
        wall, cpu = own.wall_s.median / other.wall_s.median, own.cpu_s.median / other.cpu_s.median
        return Ratio(way, peer, size, wall * share, cpu * share)

    sizes = sorted({row.size for row in rows})
    return [ratio(way, peer, size) for size in sizes for way, peers in PEERS.items() for peer in peers]


def slope(sizes: list[int], times: list[float]) -> float | None:
    """Return the slope of log time over log size, by least squares; None for one size.

    >>> slope([1, 10, 100], [2.0, 20.0, 200.0])
    1.0
    """
    if len(sizes) < 2:
        return None
    return round(statistics.linear_regression([math.log(n) for n in sizes], [math.log(t) for t in times]).slope, 6)


def slopes(rows: list[Row]) -> dict[str, float | None]:
    """Return the slope of the processor time of each way that runs on all records."""
    of_ways = {way: [row for row in rows if row.way == way] for way in WAYS if way != "CoGroupByKey"}
    return {way: slope([row.size for row in some], [row.cpu_s.median for row in some]) for way, some in of_ways.items()}


def show(rows: list[Row]) -> None:
    """Print rows, ratios and slopes as tables."""
    print(f"\n{'way':13}{'records':>13}{'wall s':>9}{'(least–greatest)':>18}{'cpu s':>9}{'(least–greatest)':>18}", end="")
    print(f"{'cpu s/M':>9}{'J/M':>8}{'GiB':>6}")
    for row in rows:
        spreads = "".join(f"{s.median:9.2f}{f'({s.least:.2f}–{s.greatest:.2f})':>18}" for s in (row.wall_s, row.cpu_s))
        print(f"{row.way:13}{row.records:13,}{spreads}{row.cpu_s_per_million:9.2f}{row.joules_per_million:8.1f}{row.peak_gib:6.2f}")
    is_counted = all(row.is_energy_counted for row in rows)
    energy = "counted by the processor (RAPL), with all else that ran" if is_counted else "processor time at --watts"
    print(f"J: {energy}\n")
    for ratio in ratios(rows):
        speeds = f"elapsed {ratio.wall:8.3f} x the time ({1 / ratio.wall:7.2f} x the speed)"
        print(f"{ratio.way:10} to {ratio.peer:13} at {ratio.size:13,} records: {speeds}, processor {ratio.cpu:8.3f} x")
    for way, value in slopes(rows).items():
        print(f"slope of {way:13} {'(one size)' if value is None else f'{value:.2f}'}")


def main() -> None:
    """Run all ways and print and write the result; with `--measure`, run one way."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--sizes", default="1000000,3000000", help="records of both streams together, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    parser.add_argument("--watts", type=float, default=10.0, help="of a busy core, where the machine does not count energy")
    parser.add_argument("--measure", nargs=3, metavar=("WAY", "FOLDER", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        way, folder, size = options.measure
        print(json.dumps(asdict(measured(way, Path(folder), int(size)))))
        return
    measures = all_measures([int(text.replace("_", "")) for text in options.sizes.split(",")], options.rounds)
    rows = summary(measures, options.watts)
    show(rows)
    result = {
        "cores": os.cpu_count(), "rows": [asdict(row) for row in rows], "ratios": [asdict(ratio) for ratio in ratios(rows)],
        "slopes": slopes(rows), "measures": [asdict(measure) for measure in measures],
    }  # fmt: skip
    options.json.write_text(json.dumps(result, indent=1), "utf-8")
    print(f"\nwritten to {options.json}")


if __name__ == "__main__":
    main()
