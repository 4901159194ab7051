"""A signed-in browser, and the checks that tests make on its pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from trueup.warehouse.query import with_retries

WAIT_MS = 30_000
SHOWN = {
    "/": "svg", "/cases": ".ag-row", "/fraud": ".tu-reason, .tu-columns", "/explore": ".mosaic-widget tbody tr", "/quality": ".ag-row",
    "/model": ".tu-empty", "/bill": ".ag-row",
    "/sql": "body:has(.cm-content[aria-label]) .ag-row, body:has(.cm-content[aria-label]) .tu-empty",
}  # fmt: skip
"""What is there once the page has its data, and the editor its name."""


@contextmanager
def page_of(browser: Any, served: Any, role: str = "analyst", **options: Any) -> Iterator[Any]:
    """Yield a page of a signed-in browser; at its end, check that there was no console error and no request to another host."""
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
    context.set_default_timeout(WAIT_MS)
    page, faults = context.new_page(), list[str]()
    page.on("console", lambda message: faults.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("request", lambda request: faults.append(f"request: {request.url}") if is_elsewhere(request.url, served) else None)
    page.goto(f"{served.address}/sign-in")
    page.fill("#token", served.tokens[role])
    page.click("button")
    page.wait_for_selector(".tu-main")
    try:
        yield page
    finally:
        context.close()
    assert not faults, faults


def is_elsewhere(url: str, served: Any) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob") and parts.netloc != served.host


def open_page(page: Any, served: Any, path: str) -> None:
    page.goto(served.address + path)
    page.wait_for_selector(SHOWN.get(path.split("?")[0], ".tu-chip"))


def ask(project: Any, query: str) -> list[dict[str, Any]]:
    return list(with_retries(project, lambda warehouse: warehouse.connection.execute(query).to_arrow_table().to_pylist()))


def serious_faults(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] in ("serious", "critical")]
