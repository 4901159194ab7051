"""Measure recurring charges: subscriptions over twelve months against their bills, against the same sums written by hand in SQL.

    python benchmarks/recurring.py [SUBSCRIPTIONS]

Writes SUBSCRIPTIONS (default 100,000) with a monthly rental, a third of them upgraded in mid-month. Each has twelve bill lines,
two in a hundred of them missing or wrong. Prints the processor time of one reconciliation and of the peer, their ratio, and the
peak memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from trueup.config import Project, parse
from trueup.events.identity import with_event_ids
from trueup.events.schema import COLLECTED
from trueup.log.lake import Lake, Transaction
from trueup.policies.declared import ensure_policy
from trueup.reconcile.log_io.load import frontier_of
from trueup.reconcile.results.outcome import Outcome, merge_outcomes
from trueup.reconcile.run_partition import bucket_ranges, reconcile_partition
from trueup.warehouse.close import close

HERE = Path(__file__).parent
NOW = datetime(2025, 1, 20, tzinfo=UTC)
BUCKETS, PARTITIONS = 16, 2
SOURCE = '[[source]]\nname = "{name}"\nstream = "{stream}"\npath = "{name}.csv"\ncolumns = {{ record_key = "id" }}\n{more}\n'
TOML = f"[lake]\nbuckets = {BUCKETS}\n[project]\nhorizon = '500d'\n" + "".join(
    SOURCE.format(name=name, stream=stream, more='frontier = "declared"' if stream == "charge" else "")
    for name, stream in (("crm", "subscriber"), ("book", "tariff"), ("bills", "charge"))
)
SERVICE, CURRENCY = "rental", "EUR"


def write(lake: Lake, name: str, stream: str, rows: pl.DataFrame) -> None:
    """Write rows of one stream as one source unit."""
    keyed = rows.with_row_index("source_row").with_columns(
        pl.col("source_row").cast(pl.Int64), source_id=pl.lit(f"{name}@a"), key_scope=pl.lit(name),
        record_key=pl.format(f"{name}{{}}", "source_row"),
    )  # fmt: skip
    frame = keyed.select(
        (pl.col(n) if n in keyed.columns else pl.lit(None)).cast(dtype).alias(n) for n, dtype in COLLECTED[stream].items()
    )

    def append(transaction: Transaction) -> None:
        transaction.next_position("unit")
        identified = with_event_ids(transaction.connection, frame, stream, bucket_by="subscriber", buckets=BUCKETS)
        transaction.append(stream, identified.sort("bucket") if stream != "tariff" else identified)
        control = {
            "source_id": f"{name}@a", "source": name, "stream": stream, "path": f"{name}.csv", "accepted": frame.height,
            "records": frame.height, "duplicate": 0, "filtered": 0, "quarantined": 0,
            "first_time": datetime(2024, 1, 1, tzinfo=UTC),
        }  # fmt: skip
        transaction.append("control", pl.DataFrame([control]))

    lake.commit(append)


def by_hand(lake: Lake, query: str) -> pl.DataFrame:
    """Return the result of the peer's SQL on the lake."""
    return lake.connection.execute((HERE / "recurring_by_hand.sql").read_text() + query).pl()


def bills(lake: Lake) -> pl.DataFrame:
    """Return a line for each month of each subscription: the right amount, or for two in a hundred none or another."""
    due = by_hand(lake, "SELECT subscriber, month, expected_micros FROM expected ORDER BY ALL").with_row_index("line")
    kept = due.filter(pl.col("line") % 100 != 7)
    wrong = pl.when(pl.col("line") % 100 == 13).then(1_000_000).otherwise(0)
    month = pl.col("month").cast(pl.Datetime("us", "UTC"))
    return kept.select(
        "subscriber", service=pl.lit(SERVICE), currency=pl.lit(CURRENCY), item=pl.lit("line"), period_from=month,
        period_to=month.dt.offset_by("1mo"), billed_at=month, amount_micros=pl.col("expected_micros") + wrong,
    )  # fmt: skip


def fill(lake: Lake, subscriptions: int) -> int:
    """Write subscriptions, prices and bills; return the number of bill lines."""
    number = pl.int_range(subscriptions, eager=True).alias("number").to_frame()
    begin = pl.lit(datetime(2023, 1, 1, tzinfo=UTC))
    upgraded = begin.dt.offset_by("1y") + pl.duration(days=pl.col("number") % 363 + 1)
    own = number.with_columns(subscriber=pl.format("+99942{}", "number"), system=pl.lit("billing"), status=pl.lit("active"))
    third = pl.col("number") % 3 == 0
    states = pl.concat([
        own.with_columns(plan=pl.lit("A"), valid_from=begin, valid_to=pl.when(third).then(upgraded)),
        own.filter(third).with_columns(plan=pl.lit("B"), valid_from=upgraded, valid_to=pl.lit(None, pl.Datetime("us", "UTC"))),
    ])  # fmt: skip
    write(lake, "crm", "subscriber", states.drop("number"))
    price = {
        "item": "recurring",
        "name": "line",
        "service": SERVICE,
        "currency": CURRENCY,
        "valid_from": datetime(2020, 1, 1, tzinfo=UTC),
    }
    write(
        lake,
        "book",
        "tariff",
        pl.DataFrame([price | {"plan": p, "price_micros": m} for p, m in (("A", 31_000_000), ("B", 62_000_000))]),
    )
    lines = bills(lake)
    write(lake, "bills", "charge", lines)
    return lines.height


def reconcile(lake: Lake) -> Outcome:
    """Return the outcome of one run over the whole log, one range of buckets at a time."""
    upto = lake.last_position()
    frontier = frontier_of(lake, upto)
    return merge_outcomes(
        [reconcile_partition(lake, frontier, buckets, after=0, upto=upto) for buckets in bucket_ranges(BUCKETS, PARTITIONS)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subscriptions", nargs="?", type=int, default=100_000)
    subscriptions = parser.parse_args().subscriptions
    with tempfile.TemporaryDirectory(prefix="trueup-recurring-") as name:
        project = Project(Path(name), parse(TOML))
        Lake.create(project)
        with Lake.open(project, clock=lambda: NOW) as lake:
            ensure_policy(lake)
            lines = fill(lake, subscriptions)
        close(project, "bills", date(2024, 12, 31), clock=lambda: NOW)
        with Lake.open(project, clock=lambda: NOW) as lake:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
            begun = time.process_time()
            expected = by_hand(lake, "SELECT count(*) AS wrong, sum(expected_micros - billed_micros) AS money FROM different")
            hand = time.process_time() - begun
            begun = time.process_time()
            outcome = reconcile(lake)
            took = time.process_time() - begun
        impact = (outcome.history["expected_micros"].cast(pl.Int128) - outcome.history["billed_micros"].cast(pl.Int128)).sum()
        found = (outcome.history.height, int(impact))
        assert found == (expected["wrong"].item(), int(expected["money"].item())), (found, expected)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(
            f"recurring  {subscriptions:,} subscriptions x 12 months, {lines:,} lines: {took:.1f} s of processor time, "
            f"{lines / took / 1e6:.2f} M lines/s, {took / hand:.1f} x the sums by hand ({hand:.1f} s); {found[0]:,} findings; "
            f"peak {peak:.2f} GiB, {before:.2f} before"
        )


if __name__ == "__main__":
    main()
