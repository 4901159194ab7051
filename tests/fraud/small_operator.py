"""Build a tiny operator of twelve subscribers, one of them hacked every other day: its files, truth and model."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.scoring.model_registry import promote
from trueup.fraud.scoring.score_run import ScoreSummary, score
from trueup.fraud.training.train_run import train
from trueup.log.lake import Lake
from trueup.warehouse.query import run

DAYS = 24
DISORDERLY_DAYS = 16
BEGIN = datetime(2024, 3, 1, tzinfo=UTC)
TOML = """
[lake]
buckets = 4
[[source]]
name = "msc"
stream = "usage"
path = "landing/*.csv"
time_format = "iso"
timezone = "UTC"
[source.columns]
record_key = "id"
service = "service"
subscriber = "caller"
peer = "called"
cell = "cell"
started_at = "start"
quantity = "seconds"
[fraud]
alerts_per_day = 2
label_delay = "2d"
trials = 1
home_prefixes = ["+999"]
premium_prefixes = ["+999900"]
[[fraud.rule]]
name = "watched"
kind = "hot_list"
numbers = ["+99970000003"]
[[fraud.rule]]
name = "premium-range"
kind = "range"
prefixes = ["+9999001"]
shadow = true
[[fraud.rule]]
name = "hurry"
kind = "travel"
within = "10m"
area = "^([^-]+)"
"""


def records(days: int = DAYS) -> list[tuple[int, str, str, str, str, datetime, int, bool]]:
    """Return rows (day, id, service, caller, called, start, seconds, fraud).

    Each subscriber makes four calls a day; on every other day a hacked one makes thirty calls by night.
    """
    rows = []
    for day in range(days):
        for subscriber_no in range(12):
            for n in range(4):
                start = BEGIN + timedelta(days=day, hours=8 + 3 * n, minutes=subscriber_no * 4, seconds=(day * 13 + n) % 50)
                called = f"+9997000{(subscriber_no * 7 + n * 3 + day % 2) % 12:04d}"
                rows.append(
                    (
                        day,
                        f"c{day}-{subscriber_no}-{n}",
                        "voice",
                        f"+9997000{subscriber_no:04d}",
                        called,
                        start,
                        30 + (subscriber_no * 11 + n * 17) % 200,
                        False,
                    )
                )
        if day % 2:
            for n in range(30):
                start = BEGIN + timedelta(days=day, hours=2, minutes=2 * n)
                rows.append(
                    (day, f"f{day}-{n}", "voice", f"+9997000{day // 2 % 12:04d}", f"+99990010{n % 6:02d}", start, 900, True)
                )
    return rows


def write_project(folder: Path, arrivals: list[tuple[int, tuple]]) -> Project:
    """Write a project with one file of records per day of arrival."""
    (folder / "landing").mkdir(parents=True)
    (folder / "trueup.toml").write_text(TOML, "utf-8")
    for day in sorted({d for d, _ in arrivals}):
        lines = [f"{i},{s},{a},{b},C{d % 3}-1,{t:%Y-%m-%d %H:%M:%S},{q}" for at, (d, i, s, a, b, t, q, _) in arrivals if at == day]
        text = "id,service,caller,called,cell,start,seconds\n" + "\n".join(lines) + "\n"
        (folder / f"landing/{day:02d}.csv").write_text(text, "utf-8")
    return Project.load(folder)


def operator_with_model(folder: Path) -> Path:
    """Build the operator with all records collected day by day, and a model trained on them; return its folder."""
    rows = records()
    project = write_project(folder, [(r[0], r) for r in rows])
    by_day = [[r for r in rows if r[7] and r[0] == day] for day in range(DAYS)]
    truth = pl.DataFrame({
        "kind": ["pbx_hacking" for part in by_day if part], "category": ["fraud" for part in by_day if part],
        "knowable_at": [part[-1][5] + timedelta(days=2) for part in by_day if part],
        "usage_record_keys": [[r[1] for r in part] for part in by_day if part],
    })  # fmt: skip
    truth.write_parquet(folder / "truth.parquet")
    assert not ingest(project).errors
    train(project, truth=folder / "truth.parquet")
    return folder


def query_rows(project: Project, query: str) -> list[tuple]:
    with run(project, query) as answer:
        return list(answer.rows())


def arrival_day(day: int, number: int) -> int:
    """Return the day a record arrives: every fifth is a day late, some are six days late."""
    return day + (0 if number % 5 else 6 if number % 35 == 0 else 1)


def disordered_operator(folder: Path, models: Path) -> Path:
    """Build the operator with late records, files that repeat earlier ones, and a given model in force; return its folder."""
    arrivals = [(arrival_day(r[0], n), r) for n, r in enumerate(records(DISORDERLY_DAYS))]
    repeated = [(at + 2, r) for n, (at, r) in enumerate(arrivals) if n % 11 == 0]
    project = write_project(folder, arrivals + repeated)
    shutil.copytree(models, folder / "models")
    assert not ingest(project).errors
    put_in_force(project)
    return folder


def with_blamed_rule(project: Project) -> Project:
    """Add a rule that matches calls to a number range with known frauds."""
    path = project.directory / "trueup.toml"
    rule = '[[fraud.rule]]\nname = "blamed"\nkind = "velocity"\nfeature = "range_known_frauds_30d"\nabove = 0\n'
    path.write_text(path.read_text("utf-8") + rule, "utf-8")
    return Project.load(project.directory)


@dataclass(frozen=True)
class Scored:
    """An operator after one scoring run over its log, and the summary of that run."""

    project: Project
    summary: ScoreSummary


def scored_once(folder: Path) -> Scored:
    project = Project.load(folder)
    return Scored(project, score(project))


def model_of(project: Project) -> str:
    return next((project.directory / "models").iterdir()).name


def put_in_force(project: Project, role: str = "champion", since: int | None = 0) -> str:
    with Lake.open(project) as lake:
        promote(lake, telecom_features(), model_of(project), role=role, since=since)
    return model_of(project)
