"""Rentals and fees pass through the commands: from files of subscriptions, tariff book and bill lines to explained findings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TOML = """
[lake]
buckets = 4
[project]
timezone = "Europe/Berlin"
horizon = "{horizon}"
[[source]]
name = "crm"
stream = "subscriber"
path = "landing/crm.csv"
identity = "content"
timezone = "Europe/Berlin"
columns = {{ subscriber = "msisdn", plan = "plan", status = "status", valid_from = "from", valid_to = "to", cycle_day = "cycle" }}
constants = {{ system = "billing" }}
[[source]]
name = "book"
stream = "tariff"
path = "landing/book.csv"
identity = "content"
timezone = "Europe/Berlin"
[[source]]
name = "rentals"
stream = "charge"
path = "landing/bill.csv"
identity = "position"
frontier = "declared"
timezone = "Europe/Berlin"
columns = {{ subscriber = "msisdn", amount = "amount", item = "item", period_from = "from", period_to = "to", billed_at = "billed" }}
constants = {{ service = "rental", currency = "EUR" }}
"""
CRM = """msisdn,plan,status,from,to,cycle
491,A,active,2025-06-01T00:00:00,,15
492,A,active,2026-03-10T00:00:00,,
493,A,active,2025-06-01T00:00:00,2026-02-11T00:00:00,
495,A,active,2025-01-01T00:00:00,,32
"""
BOOK = """item,name,plan,service,valid_from,currency,price,event
recurring,line,A,rental,2025-01-01T00:00:00,EUR,31,
one_off,fee,,rental,2025-01-01T00:00:00,EUR,20,activation
"""
BILL = """msisdn,amount,item,from,to,billed
491,31,line,2026-03-01T00:00:00,2026-04-01T00:00:00,2026-03-01T05:00:00
492,31,line,2026-03-10T00:00:00,2026-04-01T00:00:00,2026-03-11T05:00:00
493,31,line,2026-03-01T00:00:00,2026-04-01T00:00:00,2026-03-01T05:00:00
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    landing = tmp_path / "landing"
    landing.mkdir()
    for name, text in (("crm", CRM), ("book", BOOK), ("bill", BILL)):
        (landing / f"{name}.csv").write_text(text, "utf-8")
    (tmp_path / "trueup.toml").write_text(TOML.format(horizon="62d"), "utf-8")
    return tmp_path


def test_rentals_and_fees_become_findings_with_their_reason(invoke, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_NOW", "2026-03-21T12:00:00+00:00")
    result = invoke("ingest", "--project", folder)
    assert (result.status, "nothing can be reconciled" in result.err) == (0, False), result.err
    assert invoke("close", "--source", "rentals", "--through", "2026-03-20", "--project", folder).status == 0
    assert invoke("reconcile", "--project", folder).status == 0
    query = "SELECT subscriber, kind, reason, day, impact, finding_id FROM findings ORDER BY subscriber, kind"
    rows = json.loads(invoke("sql", query, "--json", "--project", folder).out)
    assert [(r["subscriber"], r["kind"], r["reason"], r["day"], float(r["impact"])) for r in rows] == [
        ("492", "misrated", "not_prorated", "2026-03-01", -9.0),
        ("492", "unbilled", None, "2026-03-10", 20.0),
        ("493", "charge_without_usage", "after_cessation", "2026-03-01", -31.0),
    ]
    shown = invoke("explain", rows[2]["finding_id"], "--project", folder).out
    assert "reason: after_cessation, billed after the subscription has ceased" in shown
    refused = json.loads(invoke("sql", "SELECT rule FROM quarantine", "--json", "--project", folder).out)
    assert [r["rule"] for r in refused] == ["cycle_day: a cycle begins on a day of the month"]
    found = json.loads(invoke("status", "--check", "--json", "--project", folder).out)
    assert all(audit["passed"] for audit in found["audits"])
    digests = [invoke("digest", *more, "--json", "--project", folder).out for more in ((), ("--recompute", "plain"))]
    assert json.loads(digests[0])["history"] == json.loads(digests[1])["history"]


def test_a_horizon_below_a_period_is_an_error(invoke, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_NOW", "2026-03-21T12:00:00+00:00")
    (folder / "trueup.toml").write_text(TOML.format(horizon="20d"), "utf-8")
    assert invoke("ingest", "--project", folder).status == 0
    result = invoke("reconcile", "--project", folder)
    assert result.status == 2
    assert 'set [project] horizon to "31d" or more' in result.err
