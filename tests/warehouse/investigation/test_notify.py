"""Messages about cases: once to each channel, and requests for actions with their reason."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from trueup.config import Project, parse
from trueup.errors import TrueupError
from trueup.investigation.notify import Notified, append_line, message_of, notify
from trueup.investigation.root_causes import investigate
from trueup.log.lake import Lake
from trueup.warehouse.decide import Decision, decide, record

# Apprise imports a module of Python that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

NOW = datetime(2024, 3, 4, tzinfo=UTC)


def clock() -> datetime:
    return NOW


def notifying(project: Project, settings: str) -> Project:
    return Project(project.directory, parse((project.directory / "trueup.toml").read_text("utf-8") + f"\n[notify]\n{settings}\n"))


def lines(project: Project) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (project.directory / "notices.ndjson").read_text("utf-8").splitlines()]


@pytest.mark.slow
def test_each_case_is_reported_once_and_again_when_its_money_has_doubled(project: Project, make: Any) -> None:
    reporting = notifying(project, 'file = "notices.ndjson"\nabove = "20"')
    investigate(project, clock=clock)
    assert notify(reporting, clock=clock, dry_run=True) == Notified(2, 0, ())
    assert notify(reporting, clock=clock) == Notified(2, 0, ())
    assert notify(reporting, clock=clock) == Notified(0, 2, ())
    assert {(line["kind"], line["open_impact"]) for line in lines(reporting)} == {
        ("underbilled", 25),
        ("charge_without_usage", -75),
    }
    grown = make.finding("f9", 4, "raised", "frontier", "underbilled", expected=60, usage=["u3"], charges=["c3"])
    with Lake.open(project, clock=clock) as lake:
        make.append(lake, "finding", [grown], make.FINDING_SCHEMA)
    investigate(project, clock=clock)
    assert notify(reporting, clock=clock).sent == 1
    assert lines(reporting)[-1]["open_impact"] == 85
    assert len({line["id"] for line in lines(reporting)}) == 3


def test_a_case_that_is_open_again_is_reported_again_and_only_once(project: Project, make: Any) -> None:
    reporting = notifying(project, 'file = "notices.ndjson"\nabove = "20"')
    with Lake.open(project, clock=clock) as lake:
        other = make.finding("f9", 4, "raised", "frontier", "underbilled", expected=3, usage=["u3"])
        make.append(lake, "finding", [other], make.FINDING_SCHEMA)
    investigate(project, clock=clock)
    assert notify(reporting, clock=clock).sent == 2
    with Lake.open(project, read_only=True) as lake:
        query = "SELECT lower(hex(case_id)) FROM lake.events.case_opening WHERE kind = 'underbilled'"
        ((case,),) = lake.connection.execute(query).fetchall()

    days = iter(range(1, 100))

    def sent_after(subject: str, decision: str) -> int:
        moment = NOW + timedelta(days=next(days))
        decide(project, subject, decision, note="a test line", decided_by="ann", clock=lambda: moment)
        return notify(reporting, clock=clock).sent

    assert [sent_after(case, decision) for decision in ("dismissed", "reopened", "reopened")] == [0, 1, 0]
    assert {line["open_impact"] for line in lines(reporting) if line["kind"] == "underbilled"} == {28}
    first, second = (name.encode().ljust(16, b"\0").hex() for name in ("f2", "f9"))
    # A decision on one of the findings leaves the case open; the last one decides it.
    assert [sent_after(second, decision) for decision in ("confirmed", "reopened")] == [0, 0]
    assert [sent_after(second, "confirmed"), sent_after(first, "confirmed"), sent_after(first, "reopened")] == [0, 0, 1]
    assert [sent_after(first, "confirmed"), notify(reporting, clock=clock).sent] == [0, 0]
    with Lake.open(project, clock=clock) as lake:
        later = make.finding("f8", 4, "raised", "frontier", "underbilled", expected=26, usage=["u3"])
        make.append(lake, "finding", [later], make.FINDING_SCHEMA)
    investigate(project, clock=clock)
    assert [notify(reporting, clock=clock).sent for _ in range(2)] == [1, 0]


def test_a_request_for_an_action_is_sent_with_its_reason_and_a_decided_case_is_not(project: Project) -> None:
    reporting = notifying(project, 'file = "notices.ndjson"')
    investigate(project, clock=clock)
    with Lake.open(project, read_only=True) as lake:
        cases = [
            row[0]
            for row in lake.connection.execute("SELECT lower(hex(case_id)) FROM lake.events.case_opening ORDER BY 1").fetchall()
        ]
    for case in cases:
        decide(project, case, "confirmed", decided_by="ann", clock=clock)
    with pytest.raises(TrueupError, match="needs an action and its reason"):
        record(project, [cases[0]], Decision("requested", decided_by="ann", action="block"), clock=clock)
    record(project, [cases[0]], Decision("requested", "calls to\n+882", "ann", action="block"), clock=clock)
    assert notify(reporting, clock=clock).sent == 1
    (line,) = lines(reporting)
    assert (line["type"], line["action"], line["reason"], line["decided_by"]) == ("action", "block", "calls to\n+882", "ann")


@pytest.fixture
def web_hook() -> Iterator[tuple[str, list[dict[str, Any]], list[int]]]:
    """Yield the address of a server on this machine, what it received, and the statuses that it answers with."""
    received: list[dict[str, Any]] = []
    statuses = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(statuses[-1])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}/", received, statuses
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_channel_that_fails_is_tried_again_and_does_not_keep_others_waiting(
    project: Project, web_hook: tuple[str, list[dict[str, Any]], list[int]]
) -> None:
    address, received, statuses = web_hook
    reporting = notifying(project, f'to = ["{address}"]\nfile = "notices.ndjson"')
    investigate(project, clock=clock)
    statuses.append(500)
    failed = notify(reporting, clock=clock)
    assert (failed.sent, len(failed.errors)) == (len(lines(reporting)), 1)
    # A channel that failed is left alone until the next run, however many messages there are.
    assert failed.sent > 1 == len(received)
    assert "was not accepted" in failed.errors[0] and "127.0.0.1" not in failed.errors[0]
    statuses.append(200)
    received.clear()
    assert notify(reporting, clock=clock).sent == len(received) == len(lines(reporting))
    assert any("underbilled" in message["title"] for message in received)


def test_a_message_is_harmless_text_and_is_not_appended_twice(tmp_path: Path) -> None:
    row = {
        "case_id": "0" * 32, "type": "case", "status": "open", "size": 1, "decision_id": None, "kind": "misrated",
        "pattern": json.dumps([["attribute:apn", "<b>\x1b[31m"]]),
    }  # fmt: skip
    message = message_of(row)
    assert message["title"] == "misrated: apn <b>\\x1b[31m"
    for _ in range(2):
        append_line(tmp_path / "out/notices.ndjson", message)
    assert len((tmp_path / "out/notices.ndjson").read_text("utf-8").splitlines()) == 1
    with pytest.raises(TrueupError, match="cannot be written"):
        append_line(tmp_path / "out", message)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TrueupError, match=r"cannot be written: .*not seekable"):
        append_line(tmp_path / "pipe", message)


def test_a_missing_channel_or_an_unknown_address_is_named_in_the_message(project: Project) -> None:
    with pytest.raises(TrueupError, match="no channel is configured"):
        notify(project, clock=clock)
    with pytest.raises(TrueupError, match="does not know the address pigeon"):
        notify(notifying(project, 'to = ["pigeon://secret-token"]'), clock=clock)
