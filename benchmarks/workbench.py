"""Times of the web page's queries over many findings: p50 and p95 in milliseconds, and the memory of the process.

    python benchmarks/workbench.py [FINDINGS]

The copy of the views is written from a generator, because this measures what a page asks of it, not how findings are made.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from trueup.config import SqlConfig
from trueup.workbench.reading.browser_queries import BrowserQueries
from trueup.workbench.reading.statements import statement_text
from trueup.workbench.reading.view_copy import CopyVersion, attached

AGGREGATE = (
    "CREATE TABLE IF NOT EXISTS main.preagg_{number} AS "
    "SELECT kind, service, date_trunc('day', day) AS day, count(*) AS n FROM findings GROUP BY ALL"
)


class _WrittenCopy:
    def __init__(self, version: CopyVersion) -> None:
        self.current = version


def main(findings: int) -> None:
    """Print the times of the page's queries."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "views.duckdb"
        with duckdb.connect(str(path)) as connection:
            connection.execute(f"SET VARIABLE findings = {findings}")
            connection.execute(Path(__file__).with_name("workbench_copy.sql").read_text("utf-8"))
        version = CopyVersion(path, 1, 1, 1, datetime(2024, 4, 1, tzinfo=UTC), attached(path))
        browser: Any = BrowserQueries(_WrittenCopy(version), SqlConfig())  # type: ignore[arg-type]
        period = {"currency": "EUR", "from_day": date(2024, 3, 1), "to_day": date(2024, 3, 31)}
        queue = {
            "type": "",
            "status": "open",
            "kind": "",
            "owner": "",
            "currency": "",
            "search": "",
            "most": 2_000,
            "now": version.copied_at,
        }
        questions = {"today/leakage": period, "today/standing": period, "cases/queue": queue, "cases/totals": {}}
        print(f"{findings:,} findings, copy {path.stat().st_size / 1e6:,.0f} MB")
        for name, values in questions.items():
            _report(name, lambda name=name, values=values: _ask(version, name, values))  # type: ignore[misc]
        numbers = iter(range(100))
        _report("explore: pre-aggregate", lambda: browser.execute(AGGREGATE.format(number=next(numbers))), 3)
        filtered = "SELECT day, sum(n) FROM main.preagg_0 WHERE kind = 'unbilled' GROUP BY day"
        _report("explore: cross-filter", lambda: browser.arrow(filtered), 50)
        browser.close()
        version.root.close()
    print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB at most")


def _ask(version: CopyVersion, name: str, values: dict[str, Any]) -> None:
    connection = version.root.cursor()
    connection.execute("USE copy.main")
    connection.execute(statement_text(name), values).fetchall()
    connection.close()


def _report(name: str, ask: Callable[[], object], times: int = 10) -> None:
    measured = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        measured.append((time.perf_counter() - began) * 1000)
    ordered = sorted(measured)
    print(f"{name:26} p50 {statistics.median(ordered):8.1f} ms   p95 {ordered[int(0.95 * (len(ordered) - 1))]:8.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
