"""Pages in a real browser: data, decisions, state, accessibility, harmless payloads, and no request off the machine."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from browsing import SHOWN, WAIT_MS, ask, open_page, page_of, serious_faults

pytest.importorskip("playwright")
MARKUP, FORMULA, COLOURED = "<img src=x onerror=document.title=1>", '=HYPERLINK("http://evil.example")', "\x1b[31mred"
"""Texts that the records of the project hold (`conftest.py`)."""
PAGES = ("/", "/cases", "/fraud", "/explore", "/quality", "/model", "/bill?subscriber=A1", "/sql?query=SELECT+1")


def test_each_page_shows_data_without_a_serious_fault_of_accessibility(served: Any, browser: Any) -> None:
    with page_of(browser, served) as page:
        faults = {}
        for path in PAGES:
            open_page(page, served, path)
            faults[path] = serious_faults(page)
        assert {path: found for path, found in faults.items() if found} == {}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_page_fits_a_telephone_in_either_theme(served: Any, browser: Any, scheme: str) -> None:
    with page_of(browser, served, viewport={"width": 390, "height": 844}, color_scheme=scheme) as page:
        faults = {}
        for path in PAGES:
            open_page(page, served, path)
            wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            faults[path] = [*serious_faults(page), *([f"{wider} pixels too wide"] if wider else [])]
        assert {path: found for path, found in faults.items() if found} == {}


def test_a_decision_made_by_clicks_is_an_event_and_a_reload_keeps_the_state(served: Any, browser: Any) -> None:
    (finding,) = ask(served.project, "SELECT finding_id, impact FROM findings WHERE kind = 'unbilled' AND subscriber = 'A8'")
    with page_of(browser, served) as page:
        open_page(page, served, "/cases?type=finding&kind=unbilled&search=A8")
        page.reload()
        page.wait_for_selector(SHOWN["/cases"])
        assert page.locator(".ag-center-cols-container .ag-row").count() == 1
        page.locator(".ag-row .ag-checkbox-input").first.check()
        page.get_by_role("button", name="Dismiss", exact=True).click()
        page.locator("[data-decide]").click()
        page.get_by_text("dismiss needs a text").wait_for()
        page.locator(".q-dialog textarea").fill("a test call <b>of ours</b>")
        page.locator("[data-decide]").click()
        page.get_by_text("1 decision in the log").wait_for()
        page.get_by_text("0 cases").wait_for()
        page.goto(f"{served.address}/finding/{finding['finding_id']}")
        page.get_by_text("a test call <b>of ours</b>").wait_for()
        assert page.locator(".tu-chip.dismissed").inner_text() == "dismissed"
        # Charts and a PDF of it are drawn on the way.
        with page.expect_download(timeout=4 * WAIT_MS) as downloading:
            page.get_by_role("button", name="Evidence").click()
        with zipfile.ZipFile(downloading.value.path()) as archive:
            assert {Path(name).name for name in archive.namelist()} == {
                "evidence.html",
                "evidence.pdf",
                "evidence.json",
                "SHA256SUMS",
            }
    query = f"SELECT decision, decided_by FROM lake.events.decision WHERE lower(hex(finding_id)) = '{finding['finding_id']}'"
    assert ask(served.project, query) == [{"decision": "dismissed", "decided_by": "ann"}]
    assert '"action":"dismissed"' in (served.project.directory / "workbench-actions.ndjson").read_text()


def test_two_analysts_who_decide_at_once_lose_nothing(served: Any, browser: Any) -> None:
    (finding,) = ask(
        served.project, "SELECT finding_id FROM findings WHERE kind = 'unbilled' AND subscriber = 'A4' ORDER BY 1 LIMIT 1"
    )
    with page_of(browser, served) as first, page_of(browser, served, "admin") as second:
        for page in (first, second):
            open_page(page, served, f"/finding/{finding['finding_id']}")
            page.get_by_role("button", name="Confirm", exact=True).click()
        for page in (first, second):
            page.locator("[data-decide]").click(no_wait_after=True)
        for page in (first, second):
            page.locator(".tu-chip.confirmed").wait_for()
    query = f"SELECT decided_by FROM lake.events.decision WHERE lower(hex(finding_id)) = '{finding['finding_id']}' ORDER BY 1"
    assert ask(served.project, query) == [{"decided_by": "adam"}, {"decided_by": "ann"}]


def test_markup_formulas_and_colours_in_the_data_are_shown_as_text(served: Any, browser: Any) -> None:
    with page_of(browser, served) as page:
        for path in (
            "/cases?type=finding&kind=unbilled",
            f"/sql?query={quote('SELECT peer FROM findings')}",
            "/bill?subscriber=A5",
        ):
            open_page(page, served, path)
            assert page.locator("img").count() == 0 and "trueup" in page.title()
        open_page(page, served, f"/sql?query={quote('SELECT peer FROM findings ORDER BY 1')}")
        shown = page.locator(".ag-center-cols-container").inner_text()
        assert MARKUP in shown and FORMULA in shown and "\x1b" not in shown and "\\x1b[31mred" in shown
        with page.expect_download() as downloading:
            page.get_by_role("button", name="CSV").click()
        text = Path(downloading.value.path()).read_text("utf-8-sig")
        cells = [row[0] for row in csv.reader(io.StringIO(text))]
        assert f"'{FORMULA}" in cells and FORMULA not in cells and COLOURED in cells


def test_sql_of_the_page_reads_no_file_and_writes_nothing(served: Any, browser: Any) -> None:
    with page_of(browser, served) as page:
        for query in (
            "SELECT * FROM read_text('/etc/passwd')",
            "DROP VIEW findings",
            "COPY (SELECT 1) TO 'x'",
            "SELECT 1; SELECT 2",
        ):
            page.goto(f"{served.address}/sql?query={quote(query)}")
            assert "root:" not in page.locator(".tu-bad").inner_text()
        page.goto(f"{served.address}/sql?query={quote('SELECT 41 + 1 AS answer')}")
        page.locator(".ag-cell", has_text="42").wait_for()


def test_charts_of_explore_filter_one_another(served: Any, browser: Any) -> None:
    with page_of(browser, served) as page:
        open_page(page, served, "/explore")
        page.locator(".mosaic-widget tbody tr").first.wait_for()
        before = page.locator(".mosaic-widget tbody tr").count()
        bars = page.locator(".mosaic-widget svg g[aria-label=bar] rect")
        # The charts of kind, service, node, reason and status are drawn as their rows arrive; only kind has two bars.
        bars.nth(5).wait_for()
        bars.nth(1).click()
        page.wait_for_function(f"document.querySelectorAll('.mosaic-widget tbody tr').length < {before}")
        page.get_by_text("Same rows in SQL").click()
        page.wait_for_selector(SHOWN["/sql"])
        assert "WHERE" in page.locator(".cm-content").inner_text()
