"""Measure quality: a day validated by Great Expectations inside DuckDB, and row rules during ingest.

    python benchmarks/quality.py [RECORDS] [--memory-gib N] [--ingest-records N]

Validates RECORDS (default 10,000,000) usage records of one day with every expectation of the suite that needs no earlier day.
Prints time, records per second and the peak memory of the process. Then ingests the same call records with the row rules of the
suites and without any, in turn. Prints the rules' share of the processor time.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from ingest import TOML

from trueup.collect import ingest as ingest_module
from trueup.config import Project, parse
from trueup.log.lake import Lake
from trueup.quality.expectation import Fact
from trueup.quality.suites import SUITES

HERE = Path(__file__).parent
NEEDS_ALL_IN_MEMORY = "expect_column_values_to_be_unique"


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def validate(records: int, folder: Path, memory_gib: float) -> None:
    from trueup.quality.validation import engine

    path = folder / "day.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"SET memory_limit = '{memory_gib}GiB'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute((HERE / "usage_days.sql").read_text().format(records=records))
    row_rules = [e for e in SUITES["usage"] if not any(isinstance(v, Fact) for v in e.arguments.values())]
    for name, chosen in (("all rules", row_rules), ("without uniqueness", [e for e in row_rules if e.type != NEEDS_ALL_IN_MEMORY])):
        with duckdb.connect(str(path), config={"memory_limit": f"{memory_gib}GiB", "temp_directory": str(folder)}) as connection:
            begun = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results = engine.validated(connection, "usage", [engine.impl(e) for e in chosen], index=["event_id"])
            took = time.perf_counter() - begun
        failed = [r.expectation_config.meta["name"] for r in results if not r.success]
        assert failed == ["somebody used it"], failed
        print(
            f"validate   {records:,} records, {len(chosen)} expectations ({name}): {took:.1f} s, "
            f"{records / took / 1e6:.2f} M records/s, peak {peak_gib():.2f} GiB"
        )


def share_of_rules(records: int, folder: Path) -> None:
    path = folder / "calls.csv"
    duckdb.execute((HERE / "call_records.sql").read_text().format(records=records, path=path))
    rules, best = ingest_module.row_rules, {"with": float("inf"), "without": float("inf")}
    for number in range(3):
        for way in best:
            ingest_module.row_rules = rules if way == "with" else lambda *_: ()
            project = Project(folder / f"{way}{number}", parse(TOML.format(path=path)))
            project.directory.mkdir()
            Lake.create(project)
            begun = time.process_time()
            summary = ingest_module.ingest(project, clock=lambda: datetime(2024, 6, 1, tzinfo=UTC))
            best[way] = min(best[way], time.process_time() - begun)
            assert summary.units[0].accepted == records
    ingest_module.row_rules = rules
    share = max(0.0, best["with"] - best["without"]) / best["with"]
    print(
        f"row rules  {records:,} records ingested: {best['with']:.2f} s of processor time with, {best['without']:.2f} s without: "
        f"{share:.1%} of ingest"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", nargs="?", type=int, default=10_000_000)
    parser.add_argument("--memory-gib", type=float, default=3.0)
    parser.add_argument("--ingest-records", type=int, default=1_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trueup-quality-") as name:
        validate(args.records, Path(name), args.memory_gib)
        share_of_rules(args.ingest_records, Path(name))


if __name__ == "__main__":
    main()
