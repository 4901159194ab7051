"""Compare the continuous job with its peers on the same events, and time how soon an append reaches the findings.

    python benchmarks/stream.py [USAGE_RECORDS] [PEER_RECORDS] [EVENTS_PER_SECOND] [SECONDS] [PARALLELISM] [--least-events N]

Catch-up: events per second of `trueup stream`; of Flink SQL's full outer interval join over the same events as JSON; of a
record-at-a-time PyFlink keyed process. Each of the three jobs runs in its own mini-cluster with checkpoints, at the same
parallelism (by default the number of processors). Start-up is measured separately and not counted: for each job the time that it
takes for a few records. All other time counts, and all events count, including those of the first epoch. Runs with fewer events
than `--least-events` give no figure, because start-up takes most of their time.

Latency: from the commit of an append to the commit of its findings, at a steady rate. The lag of the feed, from the time when an
append was due to its commit, is printed separately. Times differ between machines; only the ratios are comparable.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parent))
from reconcile import TOML
from steady import SPAN, Feed, write_pair

from trueup.config import Project
from trueup.jobs.flink_client import prepare_java, run, start_java
from trueup.jobs.loopback import FLINK_SETTINGS
from trueup.jobs.options import RunOptions, StreamOptions
from trueup.log.lake import Lake
from trueup.policies.declared import ensure_policy
from trueup.reconcile.log_io.commit import CONSUMER

T = TypeVar("T")
FEW = 1_000
PART = 250_000
LEAST_EVENTS = 10_000_000
CHECKPOINTS = {"execution.checkpointing.interval": "10 s"}


@dataclass(frozen=True)
class Timed:
    """The time a job took for its events, and for its start."""

    events: int
    took_s: float
    start_s: float

    @property
    def per_second(self) -> float:
        return self.events / max(self.took_s, 1e-9)

    def summary(self) -> str:
        return f"{self.per_second:>12,.0f} events/s on {self.events:,} (started in {self.start_s:.0f} s)"


def project_with(folder: Path, records: int, of: int | None = None) -> Project:
    """Return a project with usage and charges, committed part by part in turn, as collectors do.

    The lake holds the first `records` of the `of` records of three days, or all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trueup.toml").write_text(TOML, "utf-8")
    project = Project.load(folder)
    Lake.create(project)
    with Lake.open(project) as lake:
        ensure_policy(lake)
        for low in range(0, records, PART):
            write_pair(lake, low, min(low + PART, records), of or records)
    return project


class PositionWatch:
    """Records the time at which the findings reach each position, while the job runs."""

    def __init__(self, project: Project) -> None:
        self._project, self._stop = project, threading.Event()
        self.reached: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> PositionWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with Lake.open(self._project, read_only=True, threads=1) as lake:
            while not self._stop.wait(0.25):
                position = lake.consumer_position(CONSUMER)
                if position and (not self.reached or position > self.reached[-1][1]):
                    self.reached.append((time.perf_counter(), position))


def in_own_process(run_job: Callable[..., T], *values: object) -> T:
    """Run a function in a separate process, so that no two jobs share a Java process, and return the result."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run_job, *values).result()


def seconds_of_stream_job(folder: Path, parallelism: int) -> float:
    """Run the job over a lake until nothing is left; return the seconds to its last commit."""
    project, begun = Project.load(folder), time.perf_counter()
    with PositionWatch(project) as watched:
        options = StreamOptions(str(project.directory), parallelism=parallelism, groups=parallelism)
        run(project, options, RunOptions(until_idle=True))
    with Lake.open(project, read_only=True) as lake:
        assert watched.reached[-1][1] == lake.last_position(), "the job left positions"
    return watched.reached[-1][0] - begun


def events_of(project: Project) -> int:
    """Return the number of events of a lake that the job processes."""
    with Lake.open(project, read_only=True) as lake:
        return counted(lake, "usage") + counted(lake, "charge")


# --- peers ---------------------------------------------------------------------------------------------------------------


def write_json(project: Project, folder: Path, records: int) -> int:
    """Write the first usage records and their charges as files of JSON lines; return their number."""
    count = 0
    with Lake.open(project, read_only=True) as lake:
        for stream, amount in (("usage", ""), ("charge", ", amount_micros")):
            (folder / stream).mkdir(parents=True)
            query = (
                f"COPY (SELECT session_key, strftime(started_at, '%Y-%m-%d %H:%M:%S.%g') AS ts, quantity_micros{amount} "
                f"FROM lake.events.{stream} WHERE source_row < {records} ORDER BY started_at) TO '{folder / stream / 'part.json'}'"
            )
            count += lake.connection.execute(query).fetchall()[0][0]
    return count


def tables(folder: Path, parallelism: int) -> Any:
    from pyflink.common import Configuration
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.table import StreamTableEnvironment

    prepare_java()
    start_java(folder / "flink.log")
    settings = Configuration()
    settings = {**CHECKPOINTS, **FLINK_SETTINGS, "parallelism.default": str(parallelism),
            "execution.checkpointing.dir": (folder / "checkpoints").as_uri(),
            "python.executable": sys.executable, "python.client.executable": sys.executable}  # fmt: skip
    for name, value in settings.items():
        settings.set_string(name, value)
    environment = StreamExecutionEnvironment.get_execution_environment(settings)
    table_environment = StreamTableEnvironment.create(environment)
    for stream, amount in (("usage", ""), ("charge", ", amount_micros BIGINT")):
        table_environment.execute_sql(
            f"CREATE TEMPORARY TABLE {stream[0]} (session_key STRING, ts TIMESTAMP(3), quantity_micros BIGINT{amount}, "
            "WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) "
            f"WITH ('connector' = 'filesystem', 'path' = '{folder / stream}', 'format' = 'json')"
        )
    return environment, table_environment


def interval_join(folder: Path, parallelism: int) -> float:
    """Run Flink SQL's full outer interval join, which returns pairs and records without a partner; return seconds."""
    _, table_environment = tables(folder, parallelism)
    table_environment.execute_sql("CREATE TEMPORARY TABLE found (k STRING, q BIGINT, a BIGINT) WITH ('connector' = 'blackhole')")
    job = table_environment.execute_sql(
        "INSERT INTO found SELECT COALESCE(u.session_key, c.session_key), u.quantity_micros, c.amount_micros "
        "FROM u FULL OUTER JOIN c ON u.session_key = c.session_key "
        "AND c.ts BETWEEN u.ts - INTERVAL '2' SECOND AND u.ts + INTERVAL '2' SECOND"
    )
    return job.get_job_client().get_job_execution_result().result().get_net_runtime() / 1000


def by_record(folder: Path, parallelism: int) -> float:
    """Run a keyed process that is called per record and stores the first of a pair in its state; return seconds."""
    from pyflink.common import Types
    from pyflink.datastream import KeyedProcessFunction
    from pyflink.datastream.connectors.base import Sink
    from pyflink.datastream.state import ValueStateDescriptor
    from pyflink.java_gateway import get_gateway

    environment, table_environment = tables(folder, parallelism)
    rows = table_environment.sql_query(
        "SELECT session_key, quantity_micros, CAST(-1 AS BIGINT) AS amount FROM u "
        "UNION ALL SELECT session_key, quantity_micros, amount_micros FROM c"
    )

    class Match(KeyedProcessFunction):  # type: ignore[misc]
        def open(self, context: Any) -> None:
            self.first = context.get_state(ValueStateDescriptor("first", Types.LONG()))

        def process_element(self, value: Any, context: Any) -> Iterator[int]:
            first, own = self.first.value(), value[2] if value[2] >= 0 else value[1] // 10
            if first is None:
                self.first.update(own)
            elif abs(first - own) > 5_000:
                yield first - own

    matches = table_environment.to_data_stream(rows).key_by(lambda row: row[0], Types.STRING()).process(Match(), Types.LONG())
    matches.sink_to(Sink(get_gateway().jvm.org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink()))
    return environment.execute("by record").get_net_runtime() / 1000


# --- latency -------------------------------------------------------------------------------------------------------------


def latencies(folder: Path, per_second: int, seconds: int, parallelism: int) -> tuple[list[float], list[float]]:
    """Return, per append at a steady rate, the seconds from its commit to the commit of its findings, and the feed's own lag.

    Both are sorted.
    """
    project, stop, delays_s = project_with(folder, FEW, SPAN), threading.Event(), list[float]()
    options = StreamOptions(str(project.directory), parallelism=parallelism, groups=parallelism)
    ended: list[Exception] = []

    def job() -> None:
        try:
            run(project, options, RunOptions(), stop=stop)
        except Exception as error:  # noqa: BLE001 - the waiting thread raises it again
            ended.append(error)

    thread = threading.Thread(target=job)
    thread.start()
    with Lake.open(project, read_only=True) as lake:
        while lake.consumer_position(CONSUMER) < lake.last_position() and not ended:
            time.sleep(0.1)
    with Feed(project, per_second) as feed:
        delays_s = feed.delays_within(seconds)
    stop.set()
    thread.join()
    if ended:
        raise ended[0]
    return sorted(delays_s), sorted(feed.lags_s)


def quantiles(sorted_s: list[float]) -> str:
    """Return median, 90th and 99th percentile and maximum of some seconds."""
    at = (f"p{p} {sorted_s[min(len(sorted_s) - 1, int(len(sorted_s) * p / 100))]:.2f} s" for p in (50, 90, 99))
    return f"{', '.join(at)}, most {sorted_s[-1]:.2f} s, of {len(sorted_s)} appends"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=int, nargs="?", default=5_200_000)
    parser.add_argument("peer_records", type=int, nargs="?", default=1_000_000)
    parser.add_argument("per_second", type=int, nargs="?", default=50_000)
    parser.add_argument("seconds", type=int, nargs="?", default=60)
    parser.add_argument("parallelism", type=int, nargs="?", default=os.cpu_count() or 1)
    parser.add_argument("--least-events", type=int, default=LEAST_EVENTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few = project_with(folder / "few", FEW)
        many = project_with(folder / "many", args.records)
        events = events_of(many)
        if events < args.least_events:
            sys.exit(f"{events:,} events are too few for a figure: name more usage records, or fewer --least-events")
        start_s = in_own_process(seconds_of_stream_job, few.directory, args.parallelism)
        own = Timed(events, in_own_process(seconds_of_stream_job, many.directory, args.parallelism) - start_s, start_s)
        with Lake.open(many, read_only=True) as lake:
            found = counted(lake, "finding")
        print(f"{'trueup stream':<30}{own.summary()}, {found:,} changes of findings", flush=True)
        write_json(few, folder / "json few", FEW)
        # A job that is called per record takes many times as long per record, so it gets fewer records.
        peers = (("Flink SQL interval join, JSON", interval_join, 1), ("PyFlink, record at a time", by_record, 20))
        for label, run_peer, part in peers:
            events = write_json(many, folder / label, args.peer_records // part)
            # The time of a few records is the start of the workers.
            start_s = in_own_process(run_peer, folder / "json few", args.parallelism)
            peer = Timed(events, in_own_process(run_peer, folder / label, args.parallelism) - start_s, start_s)
            print(f"{label:<30}{peer.summary()}: {own.per_second / peer.per_second:.1f} x", flush=True)
        delays_s, lags_s = in_own_process(latencies, folder / "steady", args.per_second, args.seconds, args.parallelism)
        print(f"append to finding at {args.per_second:,} events/s: {quantiles(delays_s)}")
        print(f"the feed's own lag, which is not in it: {quantiles(lags_s)}")


def counted(lake: Lake, table: str) -> int:
    return int(lake.connection.execute(f"SELECT count(*) FROM lake.events.{table}").fetchall()[0][0])


if __name__ == "__main__":
    main()
