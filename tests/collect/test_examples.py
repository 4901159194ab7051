from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.proof.verify import verify

EXAMPLES = Path(__file__).parents[2] / "examples"
Query = Callable[..., pl.DataFrame]


def ingest_example(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Project, list[tuple[str, int, int, int, int]]]:
    monkeypatch.setenv(f"{name.upper()}_DATA", str(data / name))
    shutil.copy(EXAMPLES / name / "trueup.toml", tmp_path)
    project = Project.load(tmp_path)
    summary = ingest(project)
    assert not summary.errors
    with Lake.open(project, read_only=True) as lake:
        assert verify(lake, only=("counts", "units")).sound
    return project, [(unit.source, unit.records, unit.accepted, unit.quarantined, unit.lost_digits) for unit in summary.units]


def test_the_wholesale_example_ingests_every_record_and_every_decimal(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: Query
) -> None:
    project, counts = ingest_example("wholesale", shared_data, tmp_path, monkeypatch)
    # Six volumes have a 16th decimal; all amounts have more than six.
    assert counts == [("network", 5_000, 5_000, 0, 6), ("billing", 4_800, 4_800, 0, 4_800)]
    volume = query(project, "SELECT quantity_micros FROM lake.events.usage WHERE record_key = 'TXN_000001'")
    assert volume["quantity_micros"].to_list() == [48_470_239_449_903_270]


def test_the_asterisk_example_ingests_every_call(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: Query
) -> None:
    project, counts = ingest_example("asterisk", shared_data, tmp_path, monkeypatch)
    assert counts == [("pbx", 856, 856, 0, 0)]
    (first,) = query(project, "SELECT * FROM lake.events.usage WHERE source_row = 0").iter_rows(named=True)
    assert (first["subscriber"], first["peer"], first["service"], first["quantity_micros"]) == ("105", "*60", "voice", 27_000_000)
    assert first["started_at"].isoformat() == "2017-09-01T09:33:01+00:00"
    assert '"disposition":"ANSWERED"' in first["attributes"]
