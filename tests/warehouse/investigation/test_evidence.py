"""Evidence and bills: complete, harmless and the same each time."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.investigation.bill import explain_bill, period_of
from trueup.investigation.evidence.compose import Written, write_evidence
from trueup.investigation.evidence.document import Code, Document, Grid, Heading, Text
from trueup.investigation.evidence.render import as_html, as_pdf
from trueup.warehouse.decide import decide
from trueup.warehouse.query import with_retries

SCRIPT = "<script>alert(1)</script>"


def hexed(name: str) -> str:
    return name.encode().ljust(16, b"\0").hex()


def written(project: Project, folder: Path, subject: str = "f2") -> Written:
    return with_retries(project, lambda warehouse: write_evidence(warehouse, hexed(subject), folder))


def test_evidence_has_records_arithmetic_history_and_hashes_and_is_the_same_twice(project: Project, tmp_path: Path) -> None:
    decide(
        project,
        hexed("f2"),
        "confirmed",
        note=f"{SCRIPT}\x1b[31m",
        decided_by="ann",
        clock=lambda: datetime(2024, 3, 3, 9, tzinfo=UTC),
    )
    done = written(project, tmp_path / "one")
    page = (tmp_path / "one/evidence.html").read_text("utf-8")
    assert (done.findings, done.records) == (1, 3)
    assert SCRIPT not in page and "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m" in page
    assert "impact   = 50 - 25 = 25 IDR" in page and "landing/msc/a.csv" in page and hexed("u3") in page
    assert "Expected 50.000000, billed 25.000000, impact 25.000000 IDR, of the finding." in page and page.count("<svg") == 1
    assert "http://" not in page and "https://" not in page and "default-src" in page
    assert (tmp_path / "one/evidence.pdf").read_bytes().startswith(b"%PDF")
    assert json.loads((tmp_path / "one/evidence.json").read_text("utf-8"))["position"] == 4
    for line in (tmp_path / "one/SHA256SUMS").read_text("utf-8").splitlines():
        digest, name = line.split()
        assert hashlib.sha256((tmp_path / "one" / name).read_bytes()).hexdigest() == digest
    assert written(project, tmp_path / "two").files == done.files
    assert written(project, tmp_path / "one").files == done.files  # A folder of earlier evidence may be written again.


def test_evidence_is_not_written_over_other_files_nor_for_an_unknown_id(project: Project, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mind", "utf-8")
    with pytest.raises(TrueupError, match="holds other files"):
        written(project, tmp_path)
    with pytest.raises(TrueupError, match="there is no finding"):
        written(project, tmp_path / "new", "none")
    assert not (tmp_path / "new").exists()


def test_evidence_of_another_finding_is_not_overwritten(project: Project, tmp_path: Path) -> None:
    written(project, tmp_path / "one")
    before = (tmp_path / "one/evidence.json").read_bytes()
    with pytest.raises(TrueupError, match="holds other evidence"):
        written(project, tmp_path / "one", "f1")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/evidence.json").write_text("[", "utf-8")
    with pytest.raises(TrueupError, match="holds other evidence"):
        written(project, tmp_path / "damaged")
    assert (tmp_path / "one/evidence.json").read_bytes() == before


@pytest.mark.parametrize("name", ["evidence.json", "evidence.html"])
def test_a_named_pipe_in_the_folder_of_evidence_is_refused_at_once(project: Project, tmp_path: Path, name: str) -> None:
    written(project, tmp_path / "one")
    (tmp_path / "one" / name).unlink()
    os.mkfifo(tmp_path / "one" / name)
    with pytest.raises(TrueupError, match="holds other files"):
        written(project, tmp_path / "one")


def test_text_of_any_script_and_length_is_a_page_and_a_pdf() -> None:
    texts = ("漢字 العربية 😀", "<b>&amp;</b>", "x" * 3_000, "")
    blocks = (
        Heading(1, SCRIPT),
        *map(Text, texts),
        *map(Code, texts),
        Grid(("a", "b"), tuple((t, t) for t in texts)),
        Grid((), ()),
    )
    document = Document(SCRIPT, "", blocks)
    assert SCRIPT not in as_html(document) and "漢字" in as_html(document)
    assert as_pdf(document).startswith(b"%PDF") and as_pdf(document) == as_pdf(document)


def test_a_bill_shows_each_charge_with_its_error_and_the_right_amount(project: Project) -> None:
    shown = with_retries(project, lambda warehouse: explain_bill(warehouse, "s1", "2024-03"))
    (total,) = shown.totals
    assert total == {"currency": "IDR", "billed": Decimal(225), "findings": Decimal(-45), "right": Decimal(180)}
    wrong = [line["sentence"] for line in shown.lines if line["findings"]]
    assert any("It is 70 IDR too much." in text for text in wrong)
    assert any("It is 25 IDR too little." in text for text in wrong)


@pytest.mark.parametrize("text", ["2024-13", "2024-02-30", "2024-03-02..2024-03-01", "March", "", "10000-12", "0000-01", "2024"])
def test_text_that_is_not_a_period_is_refused(text: str) -> None:
    with pytest.raises(TrueupError, match="is not a period"):
        period_of(text)


def test_a_period_is_a_month_a_day_or_a_span(project: Project) -> None:
    assert period_of("2024-03-31") == (date(2024, 3, 31), date(2024, 3, 31))
    assert period_of("2024-03-30..2024-04-01") == (date(2024, 3, 30), date(2024, 4, 1))
    assert period_of("9999-12") == (date(9999, 12, 1), date(9999, 12, 31))
    with pytest.raises(TrueupError, match="no charge or finding of s9"):
        with_retries(project, lambda warehouse: explain_bill(warehouse, "s9", "2024-03"))


@pytest.mark.parametrize("period", ["0001-01-01", "0001-01", "9999-12-31", "9999-12"])
def test_a_period_at_an_end_of_the_calendar_has_no_line(project: Project, period: str) -> None:
    with pytest.raises(TrueupError, match=f"no charge or finding of s1 in {period}"):
        with_retries(project, lambda warehouse: explain_bill(warehouse, "s1", period))


def test_a_span_may_extend_over_the_whole_calendar(project: Project) -> None:
    month = with_retries(project, lambda warehouse: explain_bill(warehouse, "s1", "2024-03"))
    every = with_retries(project, lambda warehouse: explain_bill(warehouse, "s1", "0001-01-01..9999-12-31"))
    assert (every.lines, every.totals) == (month.lines, month.totals)
