"""A case is split and merged on its page, by keys and clicks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browsing import ask, page_of
from failing_node import find_cases, write_failing_node
from serving import Served, serving

pytest.importorskip("playwright")


@pytest.fixture(scope="module")
def reshaped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    project = write_failing_node(tmp_path_factory.mktemp("reshaped"))
    find_cases(project)
    with serving(project) as running:
        yield running


def test_a_case_is_split_and_merged_again_on_its_page(reshaped: Served, browser: Any) -> None:
    query = "SELECT case_id, findings FROM cases WHERE kind = 'unbilled' AND status <> 'merged' ORDER BY findings DESC"
    bad, rest = ask(reshaped.project, query)
    assert (bad["findings"], rest["findings"]) == (40, 4)
    with page_of(browser, reshaped) as page:
        page.goto(f"{reshaped.address}/case/{bad['case_id']}")
        page.locator(".tu-chip.open").wait_for()
        page.keyboard.press("x")
        page.locator("[data-decide]").click()
        page.get_by_text("split needs what the findings of the new case have in common").wait_for()
        page.locator(".q-dialog .q-select input").fill("destination +49302")
        page.get_by_role("option", name="destination +49302:").click()
        page.locator("[data-decide]").click()
        page.wait_for_url(lambda url: "/case/" in url and bad["case_id"] not in url)
        page.get_by_text("20, of 20 subscribers").wait_for()
        part = page.url.rpartition("/")[2]
        page.keyboard.press("m")
        page.locator(".q-dialog .q-select input").fill("node bad")
        page.get_by_role("option", name="node bad: 20 findings").click()
        page.locator("[data-decide]").click()
        page.wait_for_url(lambda url: url.endswith(bad["case_id"]))
        page.get_by_text("40, of 40 subscribers").wait_for()
        page.goto(f"{reshaped.address}/case/{part}")
        page.get_by_role("link", name="the case that took its findings").click()
        page.wait_for_url(lambda url: url.endswith(bad["case_id"]))
    made = ask(reshaped.project, "SELECT decision, decided_by FROM lake.events.decision ORDER BY decided_at")
    assert [(row["decision"], row["decided_by"]) for row in made] == [("split", "ann"), ("merged", "ann")]


def test_a_reader_is_offered_neither_split_nor_merge(reshaped: Served, browser: Any) -> None:
    (case,) = ask(reshaped.project, "SELECT case_id FROM cases WHERE kind = 'unbilled' ORDER BY findings DESC LIMIT 1")
    with page_of(browser, reshaped, "reader") as page:
        page.goto(f"{reshaped.address}/case/{case['case_id']}")
        page.locator(".tu-chip.open").wait_for()
        assert page.locator('[data-key="m"], [data-key="x"]').count() == 0
