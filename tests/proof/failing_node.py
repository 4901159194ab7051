"""A small project in which no call of node `bad` is billed, and two calls of each of two other nodes are not billed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from small_project import FILES, TOML, clock, reconcile

from trueup.clock import Clock
from trueup.collect.ingest import ingest
from trueup.config import FILE_NAME, Project
from trueup.investigation.root_causes import investigate
from trueup.warehouse.close import close

CALLS = 40
"""Calls of each node."""


def write_failing_node(folder: Path) -> Project:
    """Write the configuration and raw files of the project."""
    (folder / "landing").mkdir(parents=True)
    (folder / FILE_NAME).write_text(TOML.replace('quantity = "seconds" }', 'quantity = "seconds", node = "node" }', 1), "utf-8")
    usage, charges = ["id,caller,called,start,seconds,node"], [FILES["billing-1.csv"].splitlines()[0]]
    for node in ("bad", "good", "fine"):
        for i in range(CALLS):
            key, start = f"{node}{i}", f"2024-03-01 10:00:{i:02}"
            usage.append(f"{key},A{i},+4930{1 + i % 2}00,{start},3,{node}")
            if node != "bad" and i not in (3, 7):
                charges.append(f"c-{key},{key},A{i},K1,{start},3,30")
    for name, lines in (("msc-1.csv", usage), ("billing-1.csv", charges), ("hlr.ndjson", [FILES["hlr.ndjson"].rstrip()])):
        (folder / "landing" / name).write_text("\n".join(lines) + "\n", "utf-8")
    return Project.load(folder)


def deliver_late_charges(project: Project) -> None:
    """Write a late file with charges for five calls of the failing node."""
    lines = [FILES["billing-1.csv"].splitlines()[0]]
    lines += [f"late{i},bad{i},A{i},K1,2024-03-01 10:00:{i:02},3,30" for i in range(5)]
    (project.directory / "landing/billing-2.csv").write_text("\n".join(lines) + "\n", "utf-8")


def find_cases(project: Project, clock: Clock = clock) -> None:
    """Ingest new files, close the period, reconcile, and search for causes."""
    assert not ingest(project, clock=clock).errors
    for source in ("msc", "billing"):
        close(project, source, date(2024, 3, 4), clock=clock)
    reconcile(project, clock)
    investigate(project, clock=clock)
