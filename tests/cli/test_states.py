"""A tariff book and subscription states pass through all steps and change no finding."""

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
columns = { subscriber = "msisdn", status = "status", valid_from = "from" }
constants = { system = "network" }

"""


def with_states(folder: Path) -> Path:
    toml = folder / "trueup.toml"
    head, rest = toml.read_text("utf-8").split("[[source]]", 1)
    toml.write_text(f"{head}{SOURCES}[[source]]{rest}", "utf-8")
    (folder / "landing/book.csv").write_text("id,price,from,to\nr1,10,2024-01-01,\nr2,10,2024-01-01,2023-01-01\n", "utf-8")
    (folder / "landing/crm.csv").write_text("msisdn,status,from\nA1,active,2020-01-01\nA2,ceased,2031-01-01\n", "utf-8")
    return folder


def test_states_delay_no_frontier_and_raise_no_finding(invoke, fresh: Path, done: Path, monkeypatch) -> None:
    monkeypatch.setenv("TRUEUP_NOW", "2024-03-05T00:00:00+00:00")
    folder = with_states(fresh)
    assert invoke("ingest", "--project", folder).status == 0
    for source in ("msc", "billing"):
        assert invoke("close", "--source", source, "--through", "2024-03-01", "--project", folder).status == 0
    result = invoke("run", "--project", folder)
    assert result.status == 0, result.err
    (folder / "landing/book2.csv").write_text("id,price,from,to\nr1,12,2024-01-01,\n", "utf-8")
    result = invoke("run", "--project", folder)
    assert result.status == 0, result.err
    assert "0 records, 0 raised" in result.out
    state = [invoke("digest", "--json", "--project", project).out for project in (folder, done)]
    assert json.loads(state[0])["state"] == json.loads(state[1])["state"]
    found = json.loads(invoke("status", "--check", "--json", "--project", folder).out)
    progress = {s["source"]: (s["stream"], s["accepted"], s["quarantined"], s["frontier"]) for s in found["sources"]}
    assert progress["book"] == ("tariff", 2, 1, None)
    assert progress["crm"] == ("subscriber", 2, 0, None)
    assert all(audit["passed"] for audit in found["audits"])
    rows = json.loads(invoke("sql", "SELECT event_id, price FROM tariffs ORDER BY position", "--json", "--project", folder).out)
    assert [float(row["price"]) for row in rows] == [10.0, 12.0], "a superseded row stays in the book, at its position"
    assert "proven" in invoke("verify", rows[-1]["event_id"], "--project", folder).out
    assert (
        "valid from 2023-12-31 17:00:00Z until further notice" in invoke("explain", rows[-1]["event_id"], "--project", folder).out
    )


def test_a_source_of_states_cannot_be_closed(invoke, fresh: Path) -> None:
    folder = with_states(fresh)
    assert invoke("ingest", "--project", folder).status == 0
    result = invoke("close", "--source", "crm", "--through", "2024-03-01", "--project", folder)
    assert result.status != 0
    assert "delivers subscriber rows, whose completeness no step depends on" in result.err
    assert "the project has msc, billing" in result.err
