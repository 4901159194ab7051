"""The simulated operator with all its files: every lost file and gap is found on its node, with the exact number of records."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.quality.completeness.controls import control
from trueup.quality.completeness.history import open_findings
from trueup.quality.validation.validate_days import feed_findings
from trueup.simulate import PROFILES, SimulationRequest, simulate

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.slow
def test_lost_files_and_gaps_of_an_operator_are_found_to_the_record(tmp_path: Path) -> None:
    rates = dict.fromkeys(PROFILES["small"].rates, 0.0) | {"lost_file": 0.15, "lost_stretch": 0.2, "retransmitted_file": 0.2}
    simulate(tmp_path / "op", SimulationRequest(subscribers=120, days=4, seed=3, rates=rates))
    project = Project.load(tmp_path / "op")
    ingest(project, clock=lambda: NOW)
    with Lake.open(project, clock=lambda: NOW) as lake:
        control(lake)
        open_rows = open_findings(feed_findings(lake, lake.last_position()))
    truth = pl.read_parquet(tmp_path / "op/truth.parquet").filter(pl.col("kind").is_in(["lost_file", "lost_stretch"]))
    lost = Counter[str]()
    for details in truth["details"].to_list():
        detail = json.loads(details)
        lost[detail["node"]] += detail["lost_records"]
    assert sum(lost.values()) > 0
    missing = open_rows.filter(pl.col("kind") == "missing_records")
    assert missing["records_low"].to_list() == missing["records_high"].to_list()
    assert {row["node"]: row["n"] for row in missing.group_by("node").agg(n=pl.col("records_low").sum()).to_dicts()} == lost
    assert open_rows.filter(pl.col("kind") != "missing_records").is_empty()
