"""Pictures outside the page: SVG of exact rows, the same bytes each time, and text of data as text."""

from __future__ import annotations

import os
from datetime import date
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest
from small_project import clock, reconcile, write_files

from trueup.cli import main
from trueup.collect.ingest import ingest
from trueup.pictures.svg import calibration_svg, leakage_svg, waterfall_svg
from trueup.warehouse.close import close


def texts(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_waterfall_leads_from_expected_to_billed() -> None:
    svg = waterfall_svg(Decimal("12.50"), Decimal("10.00"), Decimal("2.40"), "EUR")
    shown = texts(svg)
    assert {"expected", "leakage", "tolerated, other findings", "billed"} <= set(shown)
    assert {"12.50", "-2.40", "-0.10", "10.00"} <= {text.replace("−", "-") for text in shown}
    assert svg == waterfall_svg(Decimal("12.50"), Decimal("10.00"), Decimal("2.40"), "EUR")


def test_text_of_data_is_text_in_a_picture() -> None:
    row = {"day": date(2024, 3, 1), "kind": "<script>alert(1)</script>", "leakage": Decimal(3), "overcharge": Decimal(1)}
    svg = leakage_svg([row], "<b>")
    assert "<script" not in svg and "http://" not in svg.replace("http://www.w3.org/", "")
    assert any("script" in text for text in texts(svg))


def test_a_calibration_shows_predicted_and_observed_shares() -> None:
    bins = [{"said": 0.2, "was": 0.1, "transactions": 50}, {"said": 0.8, "was": 0.9, "transactions": 10}]
    assert {"the model said", "it was fraud", "Calibration"} <= set(texts(calibration_svg(bins, "Calibration")))


def test_the_command_draws_leakage_and_a_finding_and_names_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = write_files(tmp_path)
    ingest(project, clock=clock)
    for source in ("msc", "billing"):
        close(project, source, date(2024, 3, 4), clock=clock)
    reconcile(project)
    at = ["--project", str(tmp_path)]
    assert main(["picture", "leakage", "--out", str(tmp_path / "days.svg"), *at]) == 0
    assert "unbilled" in texts((tmp_path / "days.svg").read_text("utf-8"))
    capsys.readouterr()
    main(["findings", "--kind", "unbilled", "--limit", "1", "--json", *at])
    finding_id = capsys.readouterr().out.split('"finding_id": "')[1][:32]
    assert main(["picture", "finding", finding_id, "--out", str(tmp_path / "finding.svg"), "--json", *at]) == 0
    for wrong, message in (
        (["picture", "planets"], "unknown subject"), (["picture", "finding"], "needs its id"), (["picture", "model", "ff"], "no model begin"),
        (["picture", "leakage", "--out", "x.png"], "must end in .svg"), (["picture", "leakage", "--currency", "CHF"], "no money leaks in CHF"),
    ):  # fmt: skip
        assert main([*wrong, *at]) == 2
        assert message in capsys.readouterr().err


def test_the_card_of_a_model_is_read_from_a_regular_file_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(tmp_path)
    (tmp_path / "models/ab").mkdir(parents=True)
    os.mkfifo(tmp_path / "models/ab/card.json")
    assert main(["picture", "model", "ab", "--project", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert "the card cannot be read" in shown and "this is a named pipe (FIFO), not a file" in shown
