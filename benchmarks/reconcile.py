"""Compare reconciliation with its peers, in one run on the same events.

    python benchmarks/reconcile.py [USAGE_RECORDS] [PEER_RECORDS]

Prints records per second from lake to committed findings, and the same for a per-record Beam `CoGroupByKey` on a slice. Prints
the time of hand-written DuckDB SQL that finds the same leaks, and the ratios. Times differ between machines; only the ratios are
comparable.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import apache_beam as beam

from trueup.config import Project
from trueup.jobs.reconcile_batch import reconcile
from trueup.log.lake import Lake, Transaction
from trueup.policies.declared import ensure_policy

HERE = Path(__file__).parent
PARTS = 5
THE_END = datetime(2024, 6, 1, tzinfo=UTC)
TOML = """
[[source]]
name = "usage"
stream = "usage"
path = "usage.csv"
columns = { record_key = "id" }
[[source]]
name = "charge"
stream = "charge"
path = "charge.csv"
columns = { record_key = "id" }
[reconcile.voice]
match = ["session_key", "nearest"]
start_tolerance = "2s"
quantity_tolerance = "1s"
amount_tolerance = "0.005"
grace = "36h"
price = "0.1"
"""


def timed(run: Callable[[], object]) -> tuple[float, object]:
    begun = time.perf_counter()
    return (lambda result: (time.perf_counter() - begun, result))(run())


def write(lake: Lake, records: int) -> None:
    """Write both streams, each in several commits, as collectors do."""
    for stream, names, values in (
        ("usage", "", ""),
        ("charge", ", amount_micros, billed_at", ", (i % 600) * 100000 + CASE WHEN i % 50 = 7 THEN 1000000 ELSE 0 END, started_at"),
    ):
        for part in range(PARTS):
            fields = {
                "stream": stream, "extra_names": names, "extra_values": values, "n": str(records),
                "low": str(records * part // PARTS), "high": str(records * (part + 1) // PARTS),
            }  # fmt: skip
            lake.commit(lambda transaction, fields=fields: _part(transaction, fields))  # type: ignore[misc]
        # Both sources are closed, so that every finding is final, as in the hand-written query.
        lake.commit(lambda transaction, name=stream: transaction.declare("close", source=name, through=THE_END))  # type: ignore[misc]


def _part(transaction: Transaction, fields: dict[str, str]) -> None:
    text = (HERE / "traffic.sql").read_text("utf-8")
    for name, value in fields.items():
        text = text.replace("{" + name + "}", value)
    transaction.connection.execute(text)
    transaction.connection.execute(
        "INSERT INTO lake.events.control (source_id, source, stream, accepted, records, last_started_at) "
        f"SELECT source_id, '{fields['stream']}', '{fields['stream']}', count(*), count(*), max(started_at) "
        f"FROM lake.events.{fields['stream']} WHERE source_id = '{fields['stream']}@{fields['low']}' GROUP BY source_id"
    )
    transaction.next_position("unit")


class Compare(beam.DoFn):  # type: ignore[misc]
    """Compares the records of one key, as a per-record pipeline does."""

    def process(self, element: tuple[str, dict[str, list[tuple[int, int]]]]) -> Iterator[tuple[str, int]]:
        sides = element[1]
        expected = sum(q // 10 for q, _ in sides["usage"])
        billed = sum(a for _, a in sides["charge"])
        if not sides["charge"] or not sides["usage"] or abs(expected - billed) > 5_000:
            yield element[0], expected - billed


def per_record(project: Project, records: int) -> int:
    """Run a textbook Beam pipeline on the first `records` usage records and their charges; return the number of records."""
    with Lake.open(project, read_only=True) as lake:
        sides = {
            stream: lake.connection.execute(
                f"SELECT session_key, quantity_micros, {amount} FROM lake.events.{stream} WHERE source_row < ?", [records]
            ).fetchall()
            for stream, amount in (("usage", "0"), ("charge", "amount_micros"))
        }
    with beam.Pipeline() as root:
        keyed = {s: root | s >> beam.Create([(k, (q, a)) for k, q, a in rows]) for s, rows in sides.items()}
        _ = keyed | "match" >> beam.CoGroupByKey() | "compare" >> beam.ParDo(Compare())
    return sum(map(len, sides.values()))


def by_hand(project: Project) -> dict[str, tuple[int, Decimal]]:
    with Lake.open(project, read_only=True) as lake:
        rows = lake.connection.execute((HERE / "by_hand.sql").read_text("utf-8")).fetchall()
    return {kind: (n, money) for kind, n, money in rows}


def create(folder: Path, records: int) -> Project:
    """Create a project whose lake has `records` usage records and their charges."""
    (folder / "trueup.toml").write_text(TOML, "utf-8")
    project = Project.load(folder)
    Lake.create(project)
    with Lake.open(project) as lake:
        ensure_policy(lake)
        write(lake, records)
    return project


def main(records: int, peer_records: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = create(Path(folder), records)
        took_sql, sql = timed(lambda: by_hand(project))
        took, summary = timed(lambda: reconcile(project))
        with Lake.open(project, read_only=True) as lake:
            found = lake.connection.execute(
                "SELECT kind, count(*), sum(expected_micros - billed_micros) FROM lake.events.finding GROUP BY kind"
            ).fetchall()
        same = {kind: (n, money) for kind, n, money in found} == sql
        peer_s, peer_count = timed(lambda: per_record(project, peer_records))
        records_read = summary.records  # type: ignore[attr-defined]
        own, peer = records_read / took, peer_count / peer_s  # type: ignore[operator]
        peak = max(resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20
        print(f"records                        {records_read:>12,}  (peak memory {peak:.2f} GiB)")
        print(f"trueup reconcile               {own:>12,.0f} records/s")
        print(f"Beam CoGroupByKey, per record  {peer:>12,.0f} records/s on {peer_count:,} records")
        print(f"ratio to CoGroupByKey          {own / peer:>12.1f} x")
        print(f"time to hand-written SQL       {took / took_sql:>12.1f} x  (same findings and money: {same})")


if __name__ == "__main__":
    numbers = [int(a.replace("_", "")) for a in sys.argv[1:]]
    main(*(numbers + [2_000_000, 200_000][len(numbers) :]))
