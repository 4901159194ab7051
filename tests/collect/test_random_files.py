"""Files in random notation, framing and encoding are read exactly, and each damaged record is refused."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from random_files import Event, RandomFile, random_file

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.proof.verify import verify


def ingest_files(folder: Path, files: list[RandomFile], monkeypatch: pytest.MonkeyPatch) -> Project:
    """Ingest files, each by a source of its own, into one lake."""
    monkeypatch.setenv("TRUEUP_NOW", "2024-06-10T00:00:00+00:00")
    (folder / "landing").mkdir(parents=True)
    for file in files:
        (folder / "landing" / file.name).write_bytes(file.data)
    (folder / "trueup.toml").write_text("".join(file.settings for file in files), "utf-8")
    project = Project.load(folder)
    assert ingest(project).errors == []
    return project


def check_files(folder: Path, seeds: range, monkeypatch: pytest.MonkeyPatch, *, proves: bool) -> None:
    """Compare what ingestion reads of random files with their truth: every value, every count, every refused record."""
    files = [random_file(f"files/{seed}", f"f{seed}") for seed in seeds]
    project = ingest_files(folder, files, monkeypatch)
    with Lake.open(project, read_only=True) as lake:
        charges, controls, rejected = (lake.read(name) for name in ("charge", "control", "quarantine"))
        assert not proves or verify(lake).sound
    for file in files:
        name = file.name.partition(".")[0]
        of_source = pl.col("source_id").str.starts_with(f"{name}@")
        read = events_of(charges.filter(of_source))
        assert read == file.events, f"{file.name}: {file.settings}\n{sorted(read ^ file.events)}"
        row = controls.filter(pl.col("source") == name).select(
            pl.col("records", "accepted", "duplicate", "filtered", "quarantined").sum()
        ).row(0, named=True)  # fmt: skip
        expected = {
            "records": file.records, "accepted": len(file.events), "duplicate": file.duplicate, "filtered": file.filtered,
            "quarantined": len(file.refused),
        }  # fmt: skip
        assert row == expected, f"{file.name}: {file.settings}"
        assert set(rejected.filter(of_source)["subscriber"].drop_nulls()) <= file.refused


def events_of(charges: pl.DataFrame) -> set[Event]:
    rows = charges.select(
        "record_key", "subscriber", pl.col("started_at").cast(pl.Int64), "quantity_micros", "amount_micros"
    ).rows()
    return set(rows)


def test_random_files_are_read_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_files(tmp_path, range(20), monkeypatch, proves=True)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_two_thousand_random_files_are_read_exactly(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_files(tmp_path, range(100 * part, 100 * part + 100), monkeypatch, proves=part % 5 == 0)
