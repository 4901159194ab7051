"""Compare ingest with DuckDB's own CSV reader, in one run on the same file.

    python benchmarks/ingest.py [RECORDS] [ROUNDS]

Prints records per second from a CSV file to committed events (ids, provenance, row rules, attributes, counts, in order of
bucket). Prints the same with a condition and two computed columns, and for `INSERT … SELECT … FROM read_csv` into the same table.
Prints the ratios and the peak memory. Each round runs all ways in turn, and the best round of each way counts. Times differ between
machines; only the ratios are comparable.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from trueup.collect.ingest import ingest
from trueup.config import Project, parse
from trueup.log.lake import Lake

HERE = Path(__file__).parent
TOML = """
[[source]]
name = "msc"
stream = "usage"
path = "{path}"
[source.columns]
record_key = "cdr_id"
session_key = "cdr_id"
subscriber = "msisdn"
peer = "peer"
service = "service"
started_at = "started_at"
quantity = "duration_s"
node = "node"
cell = "cell"
"""
COMPUTED = """
[[source]]
name = "msc"
stream = "usage"
path = "{path}"
where = "service IN ('voice', 'sms', 'data') AND duration_s >= 0"
[source.columns]
record_key = {{ expression = "CONCAT(LEFT(cdr_id, 1), SUBSTR(cdr_id, 2))" }}
session_key = "cdr_id"
subscriber = "msisdn"
peer = "peer"
service = "service"
started_at = "started_at"
quantity = {{ expression = "duration_s + trunk - trunk" }}
node = "node"
cell = "cell"
"""
"""The same events by a condition that keeps every record, and by expressions."""


def seconds(run: Callable[[], None]) -> tuple[float, float]:
    """Return elapsed and processor time in seconds."""
    begun, worked = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - begun, time.process_time() - worked


def by_expressions(folder: Path, path: Path, records: int) -> tuple[float, float]:
    return by_trueup(folder, path, records, COMPUTED)


def by_trueup(folder: Path, path: Path, records: int, toml: str = TOML) -> tuple[float, float]:
    project = Project(folder, parse(toml.format(path=path)))
    Lake.create(project)

    def work() -> None:
        summary = ingest(project, clock=lambda: datetime(2024, 6, 1, tzinfo=UTC))
        assert not summary.errors and summary.units[0].accepted == records, summary

    return seconds(work)


def by_hand(folder: Path, path: Path, records: int) -> tuple[float, float]:
    project = Project(folder, parse(""))
    Lake.create(project)
    statement = (HERE / "ingest_by_hand.sql").read_text().format(path=path)

    def work() -> None:
        with Lake.open(project) as lake:
            (inserted,) = lake.connection.execute(statement).fetchall()[0]
            assert inserted == records

    return seconds(work)


def main(records: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "calls.csv")
        duckdb.execute((HERE / "call_records.sql").read_text().format(records=records, path=path))
        ways = {"trueup ingest": by_trueup, "by expressions": by_expressions, "DuckDB by hand": by_hand}
        best = dict.fromkeys(ways, (float("inf"), float("inf")))
        print(f"{records:,} records, {path.stat().st_size:,} bytes of CSV")
        for number in range(rounds):
            for name, way in ways.items():
                folder = Path(scratch, f"{name} {number}")
                folder.mkdir()
                wall, cpu = way(folder, path, records)
                best[name] = min(best[name][0], wall), min(best[name][1], cpu)
                print(f"  {name:15} {records / wall:12,.0f} records/s   {wall:6.2f} s elapsed  {cpu:6.2f} s of processor")
        own, computed, peer = best.values()
        print(f"with expressions {computed[1] / own[1]:.2f} of the processor time without (to reach: 1.3)")
        print(f"ratio {peer[0] / own[0]:.2f} elapsed, {peer[1] / own[1]:.2f} of processor time (to reach: 0.6; moonshot: 0.8)")
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB for all")


if __name__ == "__main__":
    arguments = [int(text) for text in sys.argv[1:]]
    main(*arguments, *(2_000_000, 3)[len(arguments) :])
