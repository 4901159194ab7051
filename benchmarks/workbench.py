"""Times of the web page over many findings and scores: p50 and p95 in milliseconds, and the memory of the process.

    python benchmarks/workbench.py [FINDINGS] [SCORES] [--lake FOLDER] [--part questions|browser]

A generator in a separate process writes the results into a real lake, so the cost of making findings is not measured. `questions`
runs the queries of the pages in this process and prints processor time, which other programs on the machine change little.
`browser` opens the pages of a server in headless Chromium and waits for their content. It prints elapsed time and the processor
time of the server. With `--lake` the lake is kept, and the next run reads it.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from workbench_browser import measure_pages
from workbench_lake import NOW, memory_mb

from trueup.config import FILE_NAME, Project, SqlConfig
from trueup.warehouse.decide import Decision, record
from trueup.workbench.reading.browser_queries import BrowserQueries
from trueup.workbench.reading.questions import Questions
from trueup.workbench.reading.view_copy import ViewCopy

PERIOD: dict[str, object] = {
    "currency": "EUR",
    "zone": "UTC",
    "source": "",
    "most": 20,
    "from_day": date(2024, 3, 1),
    "to_day": date(2024, 3, 31),
}
TODAY = ("leakage", "standing", "sums", "services", "feeds", "counts", "changes", "top_cases")
QUEUE: dict[str, object] = {
    "type": "", "status": "open", "kind": "", "owner": "", "currency": "", "search": "", "most": 2_000, "now": NOW,
}  # fmt: skip
AGGREGATE = (
    'CREATE TABLE IF NOT EXISTS main."preagg_{number}" AS '
    "SELECT kind, service, date_trunc('day', day) AS day, count(*) AS n, {number} AS number FROM findings GROUP BY ALL"
)


def main() -> None:
    """Write the lake and print the times of each part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("findings", type=int, nargs="?", default=1_000_000)
    parser.add_argument("scores", type=int, nargs="?", default=200_000)
    parser.add_argument("--lake", type=Path, help="keep the lake in this folder")
    parser.add_argument("--part", choices=["questions", "browser"], help="measure this part alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.lake or Path(temporary, "lake")
        if not (folder / FILE_NAME).exists():
            generator = Path(__file__).with_name("workbench_lake.py")
            subprocess.run([sys.executable, generator, folder, str(options.findings), str(options.scores)], check=True)
        print(f"{options.findings:,} findings, {options.scores:,} scores")
        if options.part != "browser":
            _measure_questions(Project.load(folder))
        if options.part != "questions":
            measure_pages(folder)


def _measure_questions(project: Project) -> None:
    copy = ViewCopy(project, lambda: NOW)
    _report("copy of the views", copy.refresh, 1)
    print(f"the copy has {copy.current.path.stat().st_size / 1e6:,.0f} MB; memory {memory_mb():,.0f} MB at most")
    _report_pages(Questions(project, copy))
    _report_explore(copy)
    for what, values in (("finding", {"type": "finding"}), ("case", {"type": "root_cause"})):
        subject = _first(Questions(project, copy), "cases/queue", QUEUE | values)["key"]
        for decision in (Decision("confirmed", decided_by="ann"), Decision("reopened", decided_by="ann")):
            _report(f"{decision.name} {what}", lambda s=subject, d=decision: record(project, [s], d, clock=lambda: NOW), 1)
            _report(f"shown {what}", copy.show_decisions, 1)
    _report_pages(Questions(project, copy), after=" after decisions")
    _report("look for news", copy.follow, 5)
    copy.close()
    print(f"memory {memory_mb():,.0f} MB at most")


def _report_pages(questions: Questions, after: str = "") -> None:
    """Print the time of all queries of each page, when a person opens the page or filters it."""
    case = _first(questions, "cases/queue", QUEUE | {"type": "root_cause"})["case_id"]
    fraud = _first(questions, "fraud/queue", {"status": "open", "search": "", "budget": 100, "most": 1})
    party: dict[str, object] = {"party": fraud["party"]}
    one: dict[str, object] = {"id": case, "most": 1_000}
    pages: dict[str, list[tuple[str, dict[str, object]]]] = {
        "Today": [(f"today/{name}", PERIOD) for name in TODAY],
        "Cases": [("cases/totals", {}), ("cases/queue", QUEUE)],
        "Cases, filtered": [("cases/queue", QUEUE | {"search": "+493012"})],
        "Case": [(f"case/{name}", one) for name in ("case", "members", "sums", "days", "accounts", "kinds")],
        "Case, its history": [("lake:case/history", {"id": case})],
        "Fraud": [("fraud/queue", {"status": "open", "search": "", "budget": 100, "most": 2_000}),
                  ("case/case", {"id": fraud["case_id"]})],
        "Fraud, one party": [
            ("fraud/transactions", {"id": fraud["case_id"], "most": 2_000}), ("fraud/links", party), ("fraud/same_party", party),
        ],
        "Fraud, its reasons": [("lake:fraud/reasons", {"id": fraud["case_id"]})],
        "Quality": [("quality/findings", PERIOD)],
    }  # fmt: skip
    for page, asked in pages.items():
        _report(page + after, lambda asked=asked: _ask_all(questions, asked), 5)


def _ask_all(questions: Questions, asked: list[tuple[str, dict[str, object]]]) -> None:
    for path, values in asked:
        _rows(questions, path, values)


def _first(questions: Questions, path: str, values: dict[str, object]) -> dict[str, Any]:
    return _rows(questions, path, values)[0]


def _rows(questions: Questions, path: str, values: dict[str, object]) -> list[dict[str, Any]]:
    where, _, name = path.rpartition(":")
    return asyncio.run(questions.lake_rows(name, **values) if where else questions.rows(name, **values))


def _report_explore(copy: ViewCopy) -> None:
    browser = BrowserQueries(copy, SqlConfig())
    numbers: Iterator[int] = iter(range(100))
    _report("Explore, pre-aggregate", lambda: browser.execute("ann", AGGREGATE.format(number=next(numbers))), 3)
    filtered = "SELECT day, sum(n) FROM main.\"preagg_0\" WHERE kind = 'unbilled' GROUP BY day"
    _report("Explore, cross-filter", lambda: browser.arrow("ann", filtered), 50)
    browser.close()


def _report(name: str, ask: Callable[[], object], times: int) -> None:
    measured = []
    for _ in range(times):
        began = time.process_time()
        ask()
        measured.append((time.process_time() - began) * 1000)
    ordered = sorted(measured)
    p50, p95 = ordered[len(ordered) // 2], ordered[round(0.95 * (len(ordered) - 1))]
    print(f"{name:34} p50 {p50:9.1f} ms   p95 {p95:9.1f} ms", flush=True)


if __name__ == "__main__":
    main()
