"""Compare sums of months with sums of days: processor time of one evaluation, and the state of the stream per subscriber.

Run as `python benchmarks/sums.py [RECORDS [SUBSCRIBERS]]`: usage of 30 days, with one line per subscriber and period. Both periods
have the same usage. The state is taken at the end of the month, before any month is final. The state has the folded periods and the
hashes of the keys of their records. Where there are many hashes, the stream writes them to files.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import polars as pl

from trueup.config import ServiceConfig
from trueup.localtime import DAY_US
from trueup.log.lake import BucketRange
from trueup.policies.policy import Policies, Policy, SourceRules
from trueup.reconcile.blocking.keys import identity_keys
from trueup.reconcile.blocking.lookback import open_from_us
from trueup.reconcile.domain.frontier import Frontier, RunningMax
from trueup.reconcile.domain.record_hashes import NAMES
from trueup.reconcile.domain.tariff_terms import FLAT
from trueup.reconcile.incremental.epoch import ReconcilerState
from trueup.reconcile.incremental.folded_sums import PERIOD, FoldedSums
from trueup.reconcile.incremental.pending_records import PendingRecords
from trueup.reconcile.incremental.retention import split_retained, with_row_number
from trueup.reconcile.incremental.settled_keys import SettledKeyIndex
from trueup.reconcile.incremental.state_codec import encode_state
from trueup.reconcile.kernel.evaluate import Evaluated, evaluate, evaluate_with_totals
from trueup.reconcile.sessions.admission import EVENTS

BEGIN_US = 19_783 * DAY_US  # 2024-03-01
DAYS = 30
USAGE, LINES, LAST = 1, 2, 3
"""The positions of the usage, of the lines, and of the records that make both streams pass the month."""


def usage_of(records: int, subscribers: int) -> pl.DataFrame:
    """Return usage of random subscribers and times, of one unit each."""
    random = np.random.default_rng(1)
    who, time_us = random.integers(0, subscribers, records), BEGIN_US + random.integers(0, DAYS * DAY_US, records)
    subscriber = pl.Series(who).cast(pl.String)
    return pl.DataFrame({"subscriber": "+4915" + subscriber, "time_us": time_us, "quantity_micros": 1_000_000}).with_columns(
        record_key="u" + pl.int_range(pl.len()).cast(pl.String),
        charge=False,
        position=USAGE,
        source=pl.lit("switch"),
        amount_micros=0,
    )


def lines_of(usage: pl.DataFrame, days: int) -> pl.DataFrame:
    """Return one line for each subscriber and period of `days`, for all of its usage."""
    period_us = BEGIN_US + (pl.col("time_us") - BEGIN_US) // (days * DAY_US) * (days * DAY_US)
    summed = usage.group_by("subscriber", time_us=period_us).agg(pl.col("quantity_micros").sum())
    return summed.with_columns(
        record_key="c" + pl.int_range(pl.len()).cast(pl.String), charge=True, position=LINES, source=pl.lit("billing"),
        amount_micros="quantity_micros",
    )  # fmt: skip


def as_events(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Return rows of `EVENTS`."""
    rows = pl.concat(frames, how="diagonal_relaxed").with_columns(
        event_id=pl.col("record_key").cast(pl.Binary),
        scope="subscriber",
        key_scope=pl.lit("k"),
        service=pl.lit("iot"),
        started=True,
        bucket=0,
    )
    return rows.with_columns(pl.lit(None).alias(n) for n in EVENTS if n not in rows.columns).select(
        pl.col(n).cast(t) for n, t in EVENTS.items()
    )


def frontier_of(period: str | int) -> Frontier:
    """Return the frontier of two sources that pass the month at the last position."""
    rules = ServiceConfig.model_construct(match=("aggregate",), grace=DAY_US, price=1_000_000, period=period)
    sources = {"switch": SourceRules("usage"), "billing": SourceRules("charge")}
    marks = RunningMax.of(pl.DataFrame({"position": [LINES, LAST], "value": [BEGIN_US, BEGIN_US + 40 * DAY_US]}))
    return Frontier(Policies([Policy(services={"iot": rules}, sources=sources)]), dict.fromkeys(sources, marks))


def measure(events: pl.DataFrame, frontier: Frontier, upto: int) -> tuple[float, Evaluated]:
    """Return the processor time of an evaluation, and its result."""
    started = time.process_time()
    evaluated = evaluate(events, frontier, after=0, upto=upto)
    return time.process_time() - started, evaluated


def state_bytes(events: pl.DataFrame, frontier: Frontier) -> tuple[int, int]:
    """Return the bytes of the stream's state before the month is final: of records and periods, and of the hashes of keys."""
    rows = with_row_number(events)
    evaluated = evaluate_with_totals(rows, frontier, after=0, upto=LINES)
    retention = split_retained(rows, evaluated, frontier, upto=LINES, open_from_us=open_from_us(frontier, FLAT, LINES))
    settled = rows.select(NAMES).filter(pl.Series(retention.folded | retention.closed | retention.passed))
    folded = FoldedSums().add(retention.periods.filter(~pl.col("judged")).select(*PERIOD), frontier, FLAT)
    keys = SettledKeyIndex().add(identity_keys(settled))
    state = ReconcilerState(LINES, PendingRecords().add(retention.rows, frontier), keys, folded=folded)
    encoded = encode_state(state, BucketRange(0, 0))
    return len(encoded.head) + sum(map(len, encoded.segments)), sum(map(len, encoded.runs))


def main() -> None:
    """Print the comparison."""
    records, subscribers = (int(value) for value in (sys.argv[1:] + ["1000000", "33333"][len(sys.argv) - 1 :])[:2])
    usage, seconds = usage_of(records, subscribers), dict[str, float]()
    for name, period, days in (("daily", DAY_US, 1), ("monthly", "month", 31)):
        lines = lines_of(usage, days)
        events, frontier = as_events([usage, lines]), frontier_of(period)
        seconds[name], evaluated = measure(events, frontier, LAST)
        assert evaluated.changes.is_empty(), "every line is right"
        print(f"{name}: {records} usage records and {lines.height} lines in {seconds[name]:.1f} s of processor time")
    print(f"monthly / daily = {seconds['monthly'] / seconds['daily']:.2f}")
    size, of_keys = (size / subscribers for size in state_bytes(events, frontier))
    print(
        f"state before the month is final: {size:.0f} bytes per subscriber of {records / subscribers:.0f} records, "
        f"and {of_keys:.0f} of hashes"
    )


if __name__ == "__main__":
    main()
