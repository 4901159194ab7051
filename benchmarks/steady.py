"""Measure the memory and disk of the continuous job under a steady feed.

    python benchmarks/steady.py [EVENTS_PER_SECOND] [MINUTES] [TABLE.csv]

Appends usage and charges at a steady rate while `trueup stream` runs. Prints, ten times in all, the memory of its Java and Python
processes, the size of its newest checkpoint and its lag in positions. With TABLE.csv, every sample is written to that file. Event
time runs 864 times as fast as the clock. Grace passes within minutes, so that as many records leave the job's state as enter the
state.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).parent
APPENDS_PER_SECOND = 1
SPAN = 1_000_000_000
"""Records in three days, where event time runs no faster than the clock."""
THREE_DAYS_S = 300
"""Seconds for three days of event time, where grace is to pass within the run."""


def write_pair(lake, low: int, high: int, records: int) -> tuple[int, int]:
    """Commit usage and then its charges; return both positions."""
    positions = []
    for stream, names, values in (
        ("usage", "", ""),
        ("charge", ", amount_micros, billed_at", ", (i % 600) * 100000 + CASE WHEN i % 50 = 7 THEN 1000000 ELSE 0 END, started_at"),
    ):
        fields = {"stream": stream, "extra_names": names, "extra_values": values}
        fields |= {"n": str(records), "low": str(low), "high": str(high)}
        positions.append(lake.commit(lambda transaction, fields=fields: _part(transaction, fields)))
    return positions[0], positions[1]


def _part(transaction, fields: dict[str, str]) -> int:
    text = (HERE / "traffic.sql").read_text("utf-8")
    for name, value in fields.items():
        text = text.replace("{" + name + "}", value)
    transaction.connection.execute(text)
    position, count = transaction.next_position("unit"), int(fields["high"]) - int(fields["low"])
    transaction.connection.execute(
        "INSERT INTO lake.events.control "
        "(source_id, source, stream, accepted, duplicate, quarantined, records, last_started_at, last_part, part_no) "
        f"SELECT '{fields['stream']}@{fields['low']}', '{fields['stream']}', '{fields['stream']}', {count}, 0, 0, {count}, "
        "TIMESTAMPTZ '2024-05-01 00:00:00+00' "
        f"+ to_microseconds(({fields['high']}::DOUBLE * 259200000000.0 / {fields['n']})::BIGINT), true, 0"
    )
    return position


class Feed:
    """Appends at a steady rate while the context is open; `span` records cover three days of event time.

    `appended` has the time of each append by position. `lags_s` has the seconds from the time when each append was due to its
    commit.
    """

    def __init__(self, project, per_second: int, span: int = SPAN) -> None:
        self._project, self._rows, self._span = project, max(1, per_second // APPENDS_PER_SECOND // 2), span
        self._stop, self._lock = threading.Event(), threading.Lock()
        self.appended: dict[int, float] = {}
        self.lags_s = list[float]()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        from trueup.log.lake import Lake

        low, due = 10_000_000, time.monotonic()
        with Lake.open(self._project, threads=1) as lake:
            while not self._stop.is_set():
                for position in write_pair(lake, low, low + self._rows, self._span):
                    with self._lock:
                        self.appended[position] = time.monotonic()
                        self.lags_s.append(self.appended[position] - due)
                low += self._rows
                due += 1 / APPENDS_PER_SECOND
                self._stop.wait(max(0.0, due - time.monotonic()))

    def delays_within(self, seconds: int) -> list[float]:
        """Return, for each append of a time span in seconds, the seconds until the findings covered it."""
        from trueup.log.lake import Lake
        from trueup.reconcile.log_io.commit import CONSUMER

        delays_s, begun = list[float](), time.monotonic()
        with Lake.open(self._project, read_only=True, threads=1) as lake:
            while time.monotonic() - begun < seconds or not delays_s:
                reached, now = lake.consumer_position(CONSUMER), time.monotonic()
                with self._lock:
                    for position in [p for p in self.appended if p <= reached]:
                        delays_s.append(now - self.appended.pop(position))
                time.sleep(0.05)
        with self._lock:
            # Appends that the findings do not cover at the end count with the delay so far, so that slow appends are not left out.
            delays_s += [time.monotonic() - at for at in self.appended.values()]
        return delays_s


def memory_mib(process: subprocess.Popen) -> dict[str, int]:
    """Return the resident memory of a job's Java and Python processes in MiB."""
    memory_mib = {"java": 0, "python": 0}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if os.getpgid(int(folder.name)) != process.pid:
                continue
            line = (folder / "cmdline").read_bytes()
            rss = next(row for row in (folder / "status").read_text().splitlines() if row.startswith("VmRSS"))
        except (OSError, StopIteration):
            continue
        memory_mib["java" if b"PythonGatewayServer" in line else "python"] += int(rss.split()[1]) // 1024
    return memory_mib


def state_kib(folder: Path) -> int:
    """Return the size of the newest checkpoint in KiB, 0 before the first."""
    while True:
        try:
            state = max(folder.glob("**/_metadata"), key=lambda p: p.stat().st_mtime, default=None)
            return sum(p.stat().st_size for p in state.parent.iterdir()) // 1024 if state else 0
        except FileNotFoundError:
            # The job removed this checkpoint meanwhile, so there is a newer one.
            continue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("per_second", type=int, nargs="?", default=20_000)
    parser.add_argument("minutes", type=float, nargs="?", default=30)
    parser.add_argument("table", type=Path, nargs="?")
    args = parser.parse_args()
    from stream import FEW, project_with

    from trueup.log.lake import Lake
    from trueup.reconcile.log_io.commit import CONSUMER
    from trueup.warehouse.maintain import maintain

    with tempfile.TemporaryDirectory() as name:
        span = max(1, args.per_second * THREE_DAYS_S // 2)
        project = project_with(Path(name), FEW, span)
        command = [sys.executable, "-m", "trueup.cli", "stream", "--project", name, "--groups", "2"]
        job = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
        lines = ["seconds,java_mib,python_mib,state_kib,positions_behind"]
        samples = max(10, int(args.minutes * 6))
        try:
            with Feed(project, args.per_second, span):
                for number in range(samples):
                    time.sleep(args.minutes * 60 / samples)
                    if number % 30 == 29:
                        maintain(project)
                    size = state_kib(Path(name, "stream"))
                    with Lake.open(project, read_only=True) as lake:
                        behind = lake.last_position() - lake.consumer_position(CONSUMER)
                    used = memory_mib(job)
                    at = int((number + 1) * args.minutes * 60 / samples)
                    lines.append(f"{at},{used['java']},{used['python']},{size},{behind}")
                    if number % max(1, samples // 10) == 0:
                        print(lines[-1], flush=True)
        finally:
            job.send_signal(signal.SIGTERM)
            job.wait(120)
    if args.table:
        args.table.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
