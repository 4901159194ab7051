"""Times of the pages in headless Chromium: p50 and p95 of elapsed time, and the processor time of the server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench_lake import memory_mb

CONTENT = {
    "/?to=2024-03-31&days=31": ".tu-chart svg", "/cases": ".ag-row", "/fraud": ".ag-row",
    "/explore": ".mosaic-widget tbody tr", "/quality": ".tu-section", "/sql?query=SELECT+1": ".ag-row",
}  # fmt: skip
"""A selector that matches once a page has its data."""
TIMES = 7
WAIT_MS = 120_000
_ROWS = "document.querySelectorAll('.mosaic-widget tbody tr').length"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """A running server: its address and its process."""

    address: str
    process: int

    def processor_ms(self) -> float:
        """Return the processor time that the server has used."""
        fields = Path(f"/proc/{self.process}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS * 1000


@dataclass
class Measured:
    """The times of one action."""

    clock_ms: list[float] = field(default_factory=list)
    processor_ms: list[float] = field(default_factory=list)


def measure_pages(folder: Path) -> None:
    """Serve a project and print the times of its pages and of a person's actions on the pages."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("no Chromium on this machine: the times of the browser are left out")
        return
    from playwright.sync_api import sync_playwright

    with _serving(folder) as server, sync_playwright() as playwright:
        print(f"the server listens after {server.processor_ms() / 1000:,.1f} s of its processor", flush=True)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(WAIT_MS)
        for name, act in _actions(page, server.address).items():
            _report(name, _times(act, server))
        browser.close()
        print(f"the server had {memory_mb(server.process):,.0f} MB at most")


@contextmanager
def _serving(folder: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "trueup.cli", "workbench", "--port", "0", "--json", "--project", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(json.loads(process.stdout.readline())["address"].rstrip("/"), process.pid)
        finally:
            process.terminate()


def _actions(page: Any, address: str) -> dict[str, Callable[[], Callable[[], None]]]:
    """Return by name a function that prepares an action and returns it; the action ends when the page shows the result."""

    def opening(path: str, content: str) -> Callable[[], Callable[[], None]]:
        def act() -> None:
            page.goto(address + path, wait_until="commit")
            page.locator(content).first.wait_for()

        return lambda: act

    page.goto(f"{address}/cases?type=root_cause")
    page.locator(".ag-row").first.wait_for()
    case = page.locator(".ag-row").first
    case.dblclick()
    page.wait_for_url(lambda url: "/case/" in url)
    case_path = page.url.removeprefix(address)
    actions = {f"open {path}": opening(path, content) for path, content in CONTENT.items()}
    actions["open a case"] = opening(case_path, ".ag-row")

    def filtering() -> Callable[[], None]:
        opening("/cases", ".ag-row")()()
        shown = page.locator(".tu-bar .tu-quiet").first.inner_text()

        def act() -> None:
            page.locator("[data-filter]").fill("+493012")
            page.wait_for_function("shown => !document.body.innerText.includes(shown)", arg=shown, polling=20)

        return act

    def crossing() -> Callable[[], None]:
        opening("/explore", CONTENT["/explore"])()()
        before = page.evaluate(_ROWS)

        def act() -> None:
            page.locator(".mosaic-widget svg g[aria-label=bar] rect").last.click()
            page.wait_for_function(f"{_ROWS} !== {before}", polling=20)

        return act

    def deciding() -> Callable[[], None]:
        opening(case_path, ".ag-row")()()
        key, status = ("o", "open") if page.locator(".tu-chip.confirmed").count() else ("c", "confirmed")
        page.keyboard.press(key)
        page.locator("[data-decide]").wait_for()

        def act() -> None:
            page.locator("[data-decide]").click(no_wait_after=True)
            page.locator(f".tu-chip.{status}").wait_for()

        return act

    return actions | {"filter the queue": filtering, "cross-filter": crossing, "decide on a case": deciding}


def _times(prepare: Callable[[], Callable[[], None]], server: Server) -> Measured:
    measured = Measured()
    for _ in range(TIMES):
        act = prepare()
        began, used = time.perf_counter(), server.processor_ms()
        act()
        measured.clock_ms.append((time.perf_counter() - began) * 1000)
        measured.processor_ms.append(server.processor_ms() - used)
    return measured


def _report(name: str, measured: Measured) -> None:
    (p50, p95), (own50, own95) = _percentiles(measured.clock_ms), _percentiles(measured.processor_ms)
    print(f"{name:26} p50 {p50:8.0f} ms   p95 {p95:8.0f} ms   server p50 {own50:8.0f} ms   p95 {own95:8.0f} ms", flush=True)


def _percentiles(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[round(0.95 * (len(ordered) - 1))]
