"""Times of the web page over many findings and scores: p50 and p95 in milliseconds, and the memory of the process.

    python benchmarks/workbench.py [FINDINGS] [SCORES]

A generator writes the results into a real lake, because this measures what pages cost, not how findings are made. The time is that
of the processor, which other programs on the machine change little; pages use two threads.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from trueup.config import Project, SqlConfig, parse
from trueup.log.lake import Lake, Transaction
from trueup.warehouse.decide import Decision, record
from trueup.workbench.reading.browser_queries import BrowserQueries
from trueup.workbench.reading.questions import Questions
from trueup.workbench.reading.view_copy import ViewCopy

NOW = datetime(2024, 4, 2, tzinfo=UTC)
POLICY = {
    "kernel": 1, "services": {}, "default": {"price": None, "price_per": 1, "currency": None}, "sources": {}, "horizon_us": 1,
}  # fmt: skip
PERIOD: dict[str, object] = {
    "currency": "EUR",
    "zone": "UTC",
    "source": "",
    "most": 20,
    "from_day": date(2024, 3, 1),
    "to_day": date(2024, 3, 31),
}
QUEUE: dict[str, object] = {
    "type": "", "status": "open", "kind": "", "owner": "", "currency": "", "search": "", "most": 2_000, "now": NOW,
}  # fmt: skip
AGGREGATE = (
    "CREATE TABLE IF NOT EXISTS main.preagg_{number} AS "
    "SELECT kind, service, date_trunc('day', day) AS day, count(*) AS n FROM findings GROUP BY ALL"
)


def main(findings: int, scores: int) -> None:
    """Print the times of each page's questions."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder), parse('[project]\ncurrency = "EUR"\n'))
        _write_lake(project, findings, scores)
        copy = ViewCopy(project, lambda: NOW)
        print(f"{findings:,} findings, {scores:,} scores")
        _report("copy of the views", copy.refresh, 1)
        print(f"the copy has {copy.current.path.stat().st_size / 1e6:,.0f} MB")
        _report_pages(Questions(project, copy))
        _report_explore(copy)
        finding = _first(Questions(project, copy), "cases/queue", QUEUE | {"type": "finding"})["key"]
        decision = Decision("confirmed", decided_by="ann")
        _report("decision", lambda: record(project, [finding], decision, clock=lambda: NOW), 3)
        _report("look for news", copy.is_stale, 5)
        copy.close()
    print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB at most")


def _write_lake(project: Project, findings: int, scores: int) -> None:
    Lake.create(project)

    def write(transaction: Transaction) -> None:
        transaction.declare("policy", content=POLICY)
        connection = transaction.connection
        connection.execute(f"SET VARIABLE findings = {findings}")
        connection.execute(f"SET VARIABLE scores = {scores}")
        connection.execute(Path(__file__).with_name("workbench_lake.sql").read_text("utf-8"))
        transaction.set_consumer_position("reconcile", 1)

    with Lake.open(project, clock=lambda: NOW) as lake:
        lake.commit(write)


def _report_pages(questions: Questions) -> None:
    """Print the time of all questions that each page asks when it is opened, or a person filters."""
    case = _first(questions, "cases/queue", QUEUE | {"type": "root_cause"})["case_id"]
    fraud = _first(questions, "fraud/queue", {"status": "open", "search": "", "most": 1})
    party: dict[str, object] = {"party": fraud["party"]}
    one: dict[str, object] = {"id": case, "most": 1_000}
    pages: dict[str, list[tuple[str, dict[str, object]]]] = {
        "Today": [(f"today/{name}", PERIOD) for name in ("leakage", "standing", "sums", "services", "feeds", "counts", "changes")],
        "Cases": [("cases/totals", {}), ("cases/queue", QUEUE)],
        "Cases, filtered": [("cases/queue", QUEUE | {"search": "+493012"})],
        "Case": [(f"case/{name}", one) for name in ("case", "members", "sums", "days", "accounts", "kinds")],
        "Case, its history": [("lake:case/history", {"id": case})],
        "Fraud": [("fraud/queue", {"status": "open", "search": "", "most": 2_000}), ("case/case", {"id": fraud["case_id"]})],
        "Fraud, one party": [
            ("fraud/transactions", {"id": fraud["case_id"], "most": 2_000}), ("fraud/links", party), ("fraud/same_party", party),
        ],
        "Fraud, its reasons": [("lake:fraud/reasons", {"id": fraud["case_id"]})],
        "Quality": [("quality/findings", PERIOD)],
    }  # fmt: skip
    for page, asked in pages.items():
        _report(page, lambda asked=asked: _ask_all(questions, asked), 5)  # type: ignore[misc]


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
    _report("Explore, pre-aggregate", lambda: browser.execute(AGGREGATE.format(number=next(numbers))), 3)
    filtered = "SELECT day, sum(n) FROM main.preagg_0 WHERE kind = 'unbilled' GROUP BY day"
    _report("Explore, cross-filter", lambda: browser.arrow(filtered), 50)
    browser.close()


def _report(name: str, ask: Callable[[], object], times: int) -> None:
    measured = []
    for _ in range(times):
        began = time.process_time()
        ask()
        measured.append((time.process_time() - began) * 1000)
    ordered = sorted(measured)
    p50, p95 = ordered[len(ordered) // 2], ordered[round(0.95 * (len(ordered) - 1))]
    print(f"{name:24} p50 {p50:9.1f} ms   p95 {p95:9.1f} ms", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, int(sys.argv[2]) if len(sys.argv) > 2 else 200_000)
