"""Write many small commits and merge them: the number of files and the query times change, the answers must not.

    python benchmarks/commits.py [COMMITS] [ROWS]

Writes COMMITS commits of ROWS records while another process runs queries, and reconciles them. Then `trueup maintain` merges.
Prints the number of files, the time of three queries before and after, and the longest query meanwhile. Prints whether digests
and answers as of old positions stayed the same. Exits with 1 if a digest or an answer differs, or if a query failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

sys.path.insert(0, str(Path(__file__).parent))
from steady import SPAN, write_pair
from stream import project_with

from trueup.config import Project
from trueup.log.lake import Lake

TABLES = ("usage", "charge", "control", "position", "finding")
QUERIES = {
    "findings by kind": "SELECT kind, count(*), sum(impact) FROM findings GROUP BY ALL ORDER BY ALL",
    "conservation": "SELECT sum(difference_micros), sum(pending_micros) FROM conservation",
}


def trueup(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "trueup.cli", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"trueup {' '.join(arguments)}: {done.stderr[-2000:]}")
    return done.stdout


class QueryLoop:
    """Runs `trueup sql` repeatedly, in separate processes, while the context is open."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stop = folder, threading.Event()
        self.took_s: list[float] = []
        self.failed: list[str] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def summary(self) -> str:
        return f"{len(self.took_s)} queries took {max(self.took_s):.2f} s at most"

    def _run(self) -> None:
        command = [sys.executable, "-m", "trueup.cli", "sql", "--project", str(self._folder), QUERIES["findings by kind"]]
        while not self._stop.wait(0.5):
            begun = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.took_s.append(time.perf_counter() - begun)
            if done.returncode:
                self.failed.append(done.stderr)


def files(project: Project) -> int:
    with Lake.open(project, read_only=True) as lake:
        return sum(
            lake.connection.execute(f"SELECT count(*) FROM ducklake_list_files('lake', '{t}', schema => 'events')").fetchall()[0][0]
            for t in TABLES
        )


def timed(project: Project) -> dict[str, float]:
    """Return the seconds of each query, the least of three runs."""
    took: dict[str, float] = {}
    with Lake.open(project, read_only=True) as lake:
        newest = lake.last_position()
        queries = {
            "all usage": lambda: lake.connection.execute("SELECT sum(quantity_micros) FROM lake.events.usage").fetchall(),
            "events of four positions": lambda: lake.read("usage", after=newest // 2, upto=newest // 2 + 4),
            "the newest position": lake.last_position,
        }
        for name, run in queries.items():
            runs = []
            for _ in range(3):
                begun = time.perf_counter()
                run()
                runs.append(time.perf_counter() - begun)
            took[name] = min(runs)
    return took


def answers(folder: Path, positions: list[int]) -> list[str]:
    project = ["--project", str(folder)]
    return [
        trueup("digest", *project),
        *(trueup("sql", *project, q, "--as-of", str(p), "--format", "csv") for p in positions for q in QUERIES.values()),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commits", type=int, nargs="?", default=10_000)
    parser.add_argument("rows", type=int, nargs="?", default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = project_with(folder, args.rows, SPAN)
        with QueryLoop(folder) as during_commits, Lake.open(project, threads=1) as lake:
            for number in range(1, args.commits // 2 + 1):
                write_pair(lake, number * args.rows, (number + 1) * args.rows, SPAN)
        print(f"while {args.commits:,} commits were made, {during_commits.summary()}")
        trueup("reconcile", "--project", name)
        with Lake.open(project, read_only=True) as lake:
            newest = lake.last_position()
        positions = [newest // 4, newest // 2, newest]
        before, slow, files_before = answers(folder, positions), timed(project), files(project)
        with QueryLoop(folder) as during_merge:
            begun = time.perf_counter()
            trueup("maintain", "--project", name)
            took_s = time.perf_counter() - begun
        after, quick, files_after = answers(folder, positions), timed(project), files(project)
        print(f"maintain took {took_s:.1f} s; meanwhile {during_merge.summary()}")
        print(f"files {files_before:,} -> {files_after:,}")
        for query, seconds in slow.items():
            print(f"{query:<30} {seconds * 1000:8.1f} ms -> {quick[query] * 1000:8.1f} ms: {seconds / quick[query]:.1f} x")
        failed = [*during_commits.failed, *during_merge.failed]
        print("digests and answers as of old positions: " + ("the same" if before == after else "DIFFERENT"))
        print(f"failed queries: {len(failed)}" + (f": {failed[0]}" if failed else ""))
    return int(before != after or bool(failed))


if __name__ == "__main__":
    sys.exit(main())
