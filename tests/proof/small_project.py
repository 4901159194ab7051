"""A small project with every kind of row: units of three streams, rejects, findings with a history, scores, decisions."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from trueup.clock import Clock
from trueup.collect.ingest import ingest
from trueup.config import FILE_NAME, Project
from trueup.fraud.scoring.score_run import score
from trueup.log.lake import BucketRange, Lake
from trueup.reconcile.log_io.commit import CONSUMER, commit_outcome
from trueup.reconcile.log_io.load import frontier_of
from trueup.reconcile.run_partition import reconcile_partition
from trueup.warehouse.close import close
from trueup.warehouse.decide import decide
from trueup.warehouse.query import run

NOW = datetime(2024, 3, 5, tzinfo=UTC)
BUCKETS = 4
TOML = f"""
[project]
currency = "IDR"
[lake]
buckets = {BUCKETS}

[[source]]
name = "msc"
stream = "usage"
path = "landing/msc-*.csv"
idle_after = "1h"
columns = {{ record_key = "id", session_key = "id", subscriber = "caller", peer = "called", started_at = "start", quantity = "seconds" }}
constants = {{ service = "voice" }}

[[source]]
name = "billing"
stream = "charge"
path = "landing/billing-*.csv"
constants = {{ service = "voice" }}
[source.columns]
record_key = "line"
session_key = "call"
subscriber = "caller"
account = "account"
started_at = "start"
quantity = "seconds"
amount = "amount"

[[source]]
name = "hlr"
stream = "subscriber"
path = "landing/hlr.ndjson"
format = "ndjson"
identity = "content"
constants = {{ system = "network" }}
columns = {{ subscriber = "msisdn", status = "status", valid_from = "from" }}

[reconcile.voice]
match = ["session_key"]
price = "10"
grace = "1h"

[[fraud.rule]]
name = "watched"
kind = "hot_list"
numbers = ["B9"]
"""
FILES = {
    "msc-1.csv": """id,caller,called,start,seconds,imei
u1,A1,B1,2024-03-01 10:00:00,3,11
u2,A1,B9,2024-03-01 10:05:00,10,11
u3,A2,B2,2024-03-01 10:10:00,5.5,12
u4,A2,B2,yesterday,5,12
u5,A3,B9,2024-03-02 10:10:00,8,13
""",
    "msc-2.csv": """id,caller,called,start,seconds,imei
u6,A4,B1,2024-03-02 11:00:00,4,14
u1,A1,B1,2024-03-01 10:00:00,3,11
u7,A4,B1,2024-03-02 12:00:00,6,14
""",
    "billing-1.csv": """line,call,caller,account,start,seconds,amount
c1,u1,A1,K1,2024-03-01 10:00:00,3,30
c3,u3,A2,K2,2024-03-01 10:10:00,2,20.25
c5,u5,A3,K3,2024-03-02 10:10:00,8,80
c6,u6,A4,K4,2024-03-02 11:00:00,4,40
""",
    "hlr.ndjson": """{"msisdn": "A1", "status": "active", "from": "2024-01-01T00:00:00Z"}
{"msisdn": "A2", "status": "suspended", "from": "2024-01-02T00:00:00Z"}
""",
}
LATE = {
    "billing-2.csv": """line,call,caller,account,start,seconds,amount
c7,u7,A4,K4,2024-03-02 12:00:00,6,60
"""
}
"""A file that arrives after the first reconciliation: it retracts a finding."""


def clock() -> datetime:
    """Return the fixed time of the project."""
    return NOW


def write_files(folder: Path, files: dict[str, str] = FILES) -> Project:
    """Write the configuration and raw files of the project."""
    (folder / "landing").mkdir(parents=True, exist_ok=True)
    (folder / FILE_NAME).write_text(TOML, "utf-8")
    for name, text in files.items():
        (folder / "landing" / name).write_text(text, "utf-8")
    return Project.load(folder)


def reconcile(project: Project, clock: Clock = clock) -> None:
    """Reconcile the whole log in this process, without an engine."""
    with Lake.open(project, clock=clock) as lake:
        after, upto = lake.consumer_position(CONSUMER), lake.last_position()
        outcome = reconcile_partition(lake, frontier_of(lake, upto), BucketRange(0, BUCKETS - 1), after=after, upto=upto)
        commit_outcome(lake, outcome, after=after, upto=upto)


def process_all(project: Project, clock: Clock = clock) -> Project:
    """Ingest, close, reconcile and score the project in two steps, then decide on two findings; return the project."""
    assert not ingest(project, clock=clock).errors
    for source in ("msc", "billing"):
        close(project, source, date(2024, 3, 4), clock=clock)
    reconcile(project, clock)
    score(project, clock=clock)
    write_files(project.directory, LATE)
    assert not ingest(project, clock=clock).errors
    reconcile(project, clock)
    score(project, clock=clock)
    query = "SELECT finding_id FROM findings WHERE status = 'open' AND kind IN ('unbilled', 'underbilled') ORDER BY kind"
    with run(project, query) as answer:
        finding_ids = [row[0] for row in answer.rows()]
    for finding_id, decision in zip(finding_ids, ("confirmed", "dismissed"), strict=True):
        decide(project, finding_id, decision, note="reviewed", decided_by="ann", clock=clock)
    return project
