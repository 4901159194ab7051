"""A project with a tariff book and subscription states goes the whole path, and its findings are the same as without."""

from __future__ import annotations

import json
from pathlib import Path

SOURCES = """
[[source]]
name = "book"
stream = "tariff"
path = "landing/book*.csv"
columns = { record_key = "id", price = "price", valid_from = "from", valid_to = "to" }
constants = { item = "rate", service = "other", currency = "EUR" }

[[source]]
name = "crm"
stream = "subscriber"
path = "landing/crm.csv"
identity = "content"
idle_after = "1h"
columns = { subscriber = "msisdn", status = "status", valid_from = "from" }
constants = { system = "network" }

"""


def with_states(folder: Path) -> Path:
    told = folder / "trueup.toml"
    head, rest = told.read_text("utf-8").split("[[source]]", 1)
    told.write_text(f"{head}{SOURCES}[[source]]{rest}", "utf-8")
    (folder / "landing/book.csv").write_text("id,price,from,to\nr1,10,2024-01-01,\nr2,10,2024-01-01,2023-01-01\n", "utf-8")
    (folder / "landing/crm.csv").write_text("msisdn,status,from\nA1,active,2020-01-01\nA2,ceased,2031-01-01\n", "utf-8")
    return folder


def test_states_hold_no_frontier_back_and_bring_no_finding(invoke, fresh: Path, done: Path, monkeypatch) -> None:
    monkeypatch.setenv("TRUEUP_NOW", "2024-03-05T00:00:00+00:00")
    folder = with_states(fresh)
    assert invoke("ingest", "--project", folder).status == 0
    for source in ("msc", "billing"):
        assert invoke("close", "--source", source, "--through", "2024-03-01", "--project", folder).status == 0
    told = invoke("run", "--project", folder)
    assert told.status == 0, told.err
    (folder / "landing/book2.csv").write_text("id,price,from,to\nr1,12,2024-01-01,\n", "utf-8")
    told = invoke("run", "--project", folder)
    assert told.status == 0, told.err
    assert "0 records, 0 raised" in told.out
    state = [invoke("digest", "--json", "--project", project).out for project in (folder, done)]
    assert json.loads(state[0])["state"] == json.loads(state[1])["state"]
    found = json.loads(invoke("status", "--check", "--json", "--project", folder).out)
    told_of = {s["source"]: (s["stream"], s["accepted"], s["quarantined"], s["frontier"]) for s in found["sources"]}
    assert told_of["book"] == ("tariff", 2, 1, None)
    assert told_of["crm"] == ("subscriber", 2, 0, None)
    assert all(audit["passed"] for audit in found["audits"])
    rows = json.loads(invoke("sql", "SELECT event_id, price FROM tariffs ORDER BY position", "--json", "--project", folder).out)
    assert [float(row["price"]) for row in rows] == [10.0, 12.0], "what is superseded stays in the book, and in its place"
    assert "proven" in invoke("verify", rows[-1]["event_id"], "--project", folder).out
    assert (
        "valid from 2023-12-31 17:00:00Z until further notice" in invoke("explain", rows[-1]["event_id"], "--project", folder).out
    )


def test_a_source_of_states_cannot_be_closed(invoke, fresh: Path) -> None:
    folder = with_states(fresh)
    assert invoke("ingest", "--project", folder).status == 0
    told = invoke("close", "--source", "crm", "--through", "2024-03-01", "--project", folder)
    assert told.status != 0
    assert "delivers subscriber rows, whose completeness no step depends on" in told.err
    assert "the project has msc, billing" in told.err
