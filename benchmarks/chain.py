"""Measure the views of a chain: sessions at four stages, compared by key, against an outer join written by hand.

    python benchmarks/chain.py [SESSIONS]

Writes about four records for each of SESSIONS (default 1,000,000) into a lake and reconciles it. Prints the processor time of the
view chain_hops and of the peer, their ratio, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl

from trueup.config import Project, parse
from trueup.log.lake import Lake, Transaction
from trueup.policies.declared import ensure_policy
from trueup.reconcile.log_io.commit import commit_outcome
from trueup.reconcile.log_io.load import frontier_of
from trueup.reconcile.run_partition import bucket_ranges, reconcile_partition
from trueup.warehouse.query import open_warehouse

HERE = Path(__file__).parent
NOW = datetime(2024, 3, 5, tzinfo=UTC)
END = datetime(2024, 3, 2, tzinfo=UTC)
SOURCE = '[[source]]\nname = "{source}"\nstream = "{stream}"\npath = "{source}.csv"\ncolumns = {{ record_key = "id" }}\n{stage}\n'
STAGES = (("switch", "usage"), ("mediation", "stage"), ("rating", "stage"), ("invoice", "charge"))
TOML = (
    '[[chain]]\nname = "voice"\nstages = ["switch", "mediation", "rating", "invoice"]\n[reconcile.voice]\nprice = "1"\n'
    + "".join(SOURCE.format(source=n, stream=s, stage=f'stage = "{n}"' if s == "stage" else "") for n, s in STAGES)
)  # fmt: skip
AMOUNT = "10000000 AS amount_micros, 'EUR' AS currency"


def write(lake: Lake, sessions: int) -> int:
    """Write all stages; return the number of records."""
    records = 0
    for number, (name, stream) in enumerate(STAGES):
        own = (
            ", ".join([*([f"'{name}' AS stage"] if stream == "stage" else []), *([AMOUNT] if number > 1 else [])]) or "NULL AS node"
        )
        text = (HERE / "chain_records.sql").read_text().format(
            sessions=sessions, stream=stream, stage=name, source=name, own=own, hops_before=number
        )  # fmt: skip

        def append(transaction: Transaction, text: str = text, name: str = name, stream: str = stream) -> int:
            transaction.next_position("unit")
            rows = transaction.connection.execute(text).fetchone()
            count = int(rows[0]) if rows else 0
            control = {
                "source_id": f"{name}@a", "source": name, "stream": stream, "path": f"{name}.csv", "accepted": count,
                "records": count, "duplicate": 0, "filtered": 0, "quarantined": 0, "first_time": NOW, "last_time": END,
                "last_started_at": END,
            }  # fmt: skip
            transaction.append("control", pl.DataFrame([control]))
            return count

        records += lake.commit(append)
    return records


def processor_time(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[float, list[tuple[object, ...]]]:
    begun = time.process_time()
    rows = connection.execute(query).fetchall()
    return time.process_time() - begun, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sessions", nargs="?", type=int, default=1_000_000)
    sessions = parser.parse_args().sessions
    with tempfile.TemporaryDirectory(prefix="trueup-chain-") as name:
        project = Project(Path(name), parse(TOML))
        Lake.create(project)
        with Lake.open(project, clock=lambda: NOW) as lake:
            ensure_policy(lake)
            records = write(lake, sessions)
            upto = lake.last_position()
            (every,) = bucket_ranges(64, 1)
            commit_outcome(lake, reconcile_partition(lake, frontier_of(lake, upto), every, after=0, upto=upto), after=0, upto=upto)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        with open_warehouse(project) as warehouse:
            by_hand, (expected,) = processor_time(warehouse.connection, (HERE / "chain_by_hand.sql").read_text())
            query = "SELECT units_lost FROM chain_hops WHERE service = 'voice' ORDER BY hop_no"
            took, lost = processor_time(warehouse.connection, query)
        assert tuple(row[0] for row in lost) == expected, (lost, expected)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(
            f"chain      {records:,} records of four stages: {took:.1f} s of processor time, "
            f"{records / took / 1e6:.2f} M records/s, {took / by_hand:.1f} x the join by hand ({by_hand:.1f} s); "
            f"peak {peak:.2f} GiB, {before:.2f} before"
        )


if __name__ == "__main__":
    main()
