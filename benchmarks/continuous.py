"""Compare the continuous job with the batch job on a simulated operator whose files land while the job runs.

    python benchmarks/continuous.py [SUBSCRIBERS] [DAYS] [FOLDER]

Files land a few at a time, some of them late, behind the frontier. Meanwhile a tariff and some subscriptions change
retroactively. When the job is idle, the digests of its findings are compared with digests recomputed from the input streams. The
plain call, the batch job and the job itself recompute them. The job runs with epochs of 1, 3 and 50 commits at parallelism 1, 2
and 4, with as many bucket groups. Exits with 1 if a digest differs.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from trueup.config import Project
from trueup.jobs.flink_client import derive
from trueup.jobs.options import StreamOptions
from trueup.log.lake import Lake
from trueup.reconcile.incremental.epoch_ranges import Bounds
from trueup.reconcile.log_io.commit import CONSUMER
from trueup.reconcile.results.digest import digests

ROUNDS = 30
LATE = 0.04
"""The share of the files of the first half that land half of all rounds later."""
CEASED = 500
"""How many subscriptions end retroactively."""


def trueup(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "trueup.cli", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"trueup {' '.join(arguments)}: {done.stderr[-2000:]}")
    return done.stdout


def operator(folder: Path, subscribers: int, days: int) -> list[list[Path]]:
    """Write a simulated operator, hide its record files, and return them by the round in which they land."""
    trueup("simulate", str(folder), "--subscribers", str(subscribers), "--days", str(days), "--seed", "5", "--profile", "mvno",
           "--format", "parquet")  # fmt: skip
    toml = (folder / "trueup.toml").read_text("utf-8")
    for name in ("tariffs.csv", "landing/subscribers/billing.parquet"):
        toml = toml.replace(name, "*.".join(name.rsplit(".", 1)))
    (folder / "trueup.toml").write_text(toml, "utf-8")
    records = [p for p in (folder / "landing").rglob("*.parquet") if p.parent.name not in ("subscribers", "manifests")]
    line = sorted(records, key=lambda p: p.name)
    late = _late_files(line[: len(line) // 2])
    rounds: list[list[Path]] = [[] for _ in range(ROUNDS)]
    for number, path in enumerate(line):
        at = number * ROUNDS // len(line)
        rounds[at + ROUNDS // 2 if path in late else at].append(path)
    for path in line:
        path.rename(path.with_suffix(".pending"))
    return rounds


def _late_files(line: list[Path]) -> set[Path]:
    """Draw some files of each feed."""
    rng, feeds = random.Random("late"), sorted({path.parent for path in line})
    of_feed = ([path for path in line if path.parent == feed] for feed in feeds)
    return {path for paths in of_feed for path in rng.sample(paths, max(1, round(LATE * len(paths))))}


def change_retroactively(folder: Path, number: int) -> None:
    """Change a tariff and end some subscriptions retroactively, each in one round."""
    if number == ROUNDS // 3:
        book = pl.read_csv(folder / "tariffs.csv", infer_schema=False)
        rates = book.filter((pl.col("item") == "rate") & (pl.col("service") == "voice") & (pl.col("destination_prefix") == ""))
        since = _middle(folder).strftime("%Y-%m-%dT%H:%M:%S")
        in_force = rates.filter((pl.col("valid_from") <= since) & (pl.col("valid_to").fill_null("9999") > since))
        ends, begins = in_force.with_columns(valid_to=pl.lit(since)), in_force.with_columns(valid_from=pl.lit(since))
        dearer = begins.with_columns(version=pl.lit("77"), price=pl.lit("0.088"))
        pl.concat([ends, dearer]).write_csv(folder / "tariffs-later.csv")
    if number == ROUNDS * 2 // 3:
        states = pl.read_parquet(folder / "landing/subscribers/billing.parquet")[-CEASED:]
        began = pl.col("valid_from") + timedelta(days=1)
        ended = states.with_columns(status=pl.lit("ceased"), valid_from=pl.max_horizontal(began, pl.lit(_middle(folder))))
        ended.write_parquet(folder / "landing/subscribers/billing-later.parquet")


def _middle(folder: Path) -> datetime:
    """Return an instant of the second day with records."""
    first = min(p.name[:13] for p in (folder / "landing" / "billing").iterdir())
    return datetime.fromisoformat(f"{first}00Z").replace(tzinfo=None) + timedelta(days=1)


def wait_until_reconciled(project: Project, job: subprocess.Popen[bytes]) -> int:
    """Wait until the findings cover the whole log; return its last position."""
    with Lake.open(project, read_only=True, threads=1) as lake:
        while lake.consumer_position(CONSUMER) < lake.last_position():
            if job.poll() is not None:
                raise SystemExit(f"the job ended with {job.returncode}")
            time.sleep(0.5)
        return lake.last_position()


def print_comparison(label: str, found: dict[str, str], stored: dict[str, str] | None = None) -> bool:
    same = stored is None or all(stored[name] == found[name] for name in ("state", "history"))
    verdict = "" if stored is None else "same" if same else "DIFFERENT"
    print(f"{label:<44} state {found['state'][:16]} history {found['history'][:16]} {verdict}", flush=True)
    return same


def digest_lines(text: str) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in text.splitlines() if " " in line)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subscribers", type=int, nargs="?", default=62_000)
    parser.add_argument("days", type=int, nargs="?", default=3)
    parser.add_argument("folder", type=Path, nargs="?")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp())
    rounds = operator(folder, args.subscribers, args.days)
    in_folder = ["--project", str(folder)]
    trueup("ingest", *in_folder)
    log = (folder / "stream.log").open("ab")
    job = subprocess.Popen(
        [sys.executable, "-m", "trueup.cli", "stream", *in_folder, "--groups", "4", "--parallelism", "2"], stdout=log, stderr=log
    )
    project = Project.load(folder)
    try:
        for number, paths in enumerate(rounds):
            for path in paths:
                path.with_suffix(".pending").rename(path)
            change_retroactively(folder, number)
            trueup("ingest", *in_folder)
        position = wait_until_reconciled(project, job)
    finally:
        job.terminate()
        job.wait(300)
    with Lake.open(project, read_only=True) as lake:
        usage, charges, changes = (
            lake.connection.execute(f"SELECT count(*) FROM lake.events.{table}").fetchall()[0][0]
            for table in ("usage", "charge", "finding")
        )
        query = "SELECT cause, count(*) FROM lake.events.finding GROUP BY cause ORDER BY cause"
        causes = dict(lake.connection.execute(query).fetchall())
    print(f"{usage:,} usage records, {charges:,} charges, {position} positions, {changes:,} changes of findings: {causes}")
    missing = {"tariff_change", "subscriber_change", "late_usage", "late_charge", "conflict"} - causes.keys()
    if missing:
        raise SystemExit(f"no input record causes a change by {', '.join(sorted(missing))}: the comparison would not cover it")
    stored = digest_lines(trueup("digest", *in_folder))
    print_comparison("stored, as files landed", stored)
    same = [
        print_comparison(f"derived by the {how} call", digest_lines(trueup("digest", *in_folder, "--recompute", how)), stored)
        for how in ("plain", "batch")
    ]
    for commits in (50, 3, 1):
        for parallelism in (1, 2, 4):
            options = StreamOptions(str(folder), parallelism=parallelism, groups=parallelism, bounds=Bounds(commits=commits))
            label = f"derived in epochs of {commits}, parallelism {parallelism}"
            same.append(print_comparison(label, digests(derive(project, upto=position, options=options)), stored))
    if args.folder is None:
        shutil.rmtree(folder)
    return 0 if all(same) else 1


if __name__ == "__main__":
    sys.exit(main())
