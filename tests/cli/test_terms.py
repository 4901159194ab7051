"""Origins, ported numbers and terms fixed at the start of a call: from a book file to findings, proof and explanation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

TOML = """
[lake]
buckets = 4
[project]
timezone = "UTC"
currency = "EUR"
[[source]]
name = "book"
stream = "tariff"
path = "landing/book*.csv"
identity = "content"
[[source]]
name = "msc"
stream = "usage"
path = "landing/usage.csv"
constants = { service = "voice" }
columns = { record_key = "id", session_key = "id", subscriber = "who", peer = "to", started_at = "start", quantity = "seconds" }
[[source]]
name = "billing"
stream = "charge"
path = "landing/charges.csv"
constants = { service = "voice" }
[source.columns]
record_key = "id"
session_key = "id"
subscriber = "who"
started_at = "start"
quantity = "seconds"
amount = "amount"
[reconcile.voice]
match = ["session_key"]
grace = "1h"
"""
BOOK = """item,service,origin,destination,valid_from,currency,price,price_per,unit,maximum,chargeable_from,free_first,priced_at,rated_as
rate,voice,,,2024-01-01,EUR,0.60,60,s,,,,,
rate,voice,44,49,2024-01-01,EUR,0.60,60,s,5,6,10,start,
rate,voice,,49176,2024-01-01,EUR,6,60,s,,,,,
ported,,,491511000001,2024-03-02,,,,,,,,,49176
"""
# From 44…: o1 70 − 10 = 60 s, 0.60; o2 at most 5; o3 too short; o4 is billed its free seconds. From 1…: a1 70 s, 0.70; p1 before the
# number is ported 0.60; p2 after it 6, billed at the former network.
CALLS = """id,who,to,start,seconds,amount
o1,442079460001,4930111,2024-03-01T10:00:00,70,0.60
o2,442079460001,4930111,2024-03-01T11:00:00,3600,5
o3,442079460001,4930111,2024-03-01T12:00:00,5,0
o4,442079460001,4930111,2024-03-01T13:00:00,70,0.70
a1,12125550100,4930111,2024-03-01T10:00:00,70,0.70
p1,12125550100,491511000001,2024-03-01T10:00:00,60,0.60
p2,12125550100,491511000001,2024-03-02T10:00:00,60,0.60
last,12125550100,4930111,2024-03-04T00:00:00,0,0
"""


@pytest.fixture
def project(tmp_path: Path, invoke, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project that ingested and reconciled the book and the calls."""
    monkeypatch.setenv("TRUEUP_NOW", "2024-03-05T00:00:00+00:00")
    (tmp_path / "landing").mkdir()
    (tmp_path / "trueup.toml").write_text(TOML, "utf-8")
    (tmp_path / "landing/book.csv").write_text(BOOK, "utf-8")
    for name in ("usage", "charges"):
        (tmp_path / f"landing/{name}.csv").write_text(CALLS, "utf-8")
    for command in ("ingest", "reconcile"):
        result = invoke(command, "--project", tmp_path)
        assert result.status == 0, result.err
    return tmp_path


def rows_of(invoke, query: str, project: Path) -> list[dict[str, object]]:
    result = invoke("sql", query, "--json", "--project", project)
    assert result.status == 0, result.err
    rows: list[dict[str, object]] = json.loads(result.out)
    return rows


def test_calls_are_compared_with_the_prices_of_their_terms(invoke, project: Path) -> None:
    query = (
        "SELECT u.record_key AS call, f.kind, f.impact, f.reason FROM findings f "
        "JOIN lake.events.usage u ON lower(hex(u.event_id)) = f.usage_event_id ORDER BY call"
    )
    assert rows_of(invoke, query, project) == [
        {"call": "o4", "kind": "misrated", "impact": -0.1, "reason": "free_first_ignored"},
        {"call": "p2", "kind": "misrated", "impact": 5.4, "reason": "ported_ignored"},
    ]
    stored, *again = (
        json.loads(invoke("digest", *how, "--json", "--project", project).out)["history"]
        for how in ((), ("--recompute", "plain"), ("--recompute", "batch"))
    )
    assert again == [stored, stored]


def test_rows_with_the_terms_are_in_the_second_canonical_form_and_are_proven(invoke, project: Path) -> None:
    query = "SELECT canonical_version AS form, count(*)::INT AS n FROM lake.events.tariff GROUP BY form ORDER BY form"
    assert rows_of(invoke, query, project) == [{"form": 1, "n": 2}, {"form": 2, "n": 2}]
    query = "SELECT origin, maximum, chargeable_from, free_first, priced_at FROM tariffs WHERE origin IS NOT NULL"
    assert rows_of(invoke, query, project) == [
        {"origin": "44", "maximum": 5.0, "chargeable_from": 6.0, "free_first": 10.0, "priced_at": "start"}
    ]
    assert invoke("verify", "--project", project).status == 0


def test_a_finding_is_explained_by_the_terms(invoke, project: Path) -> None:
    query = "SELECT finding_id FROM findings ORDER BY impact"
    free, ported = (invoke("explain", row["finding_id"], "--project", project).out for row in rows_of(invoke, query, project))
    assert "any destination" not in free and "prefix 49, origin 44, priced at the start" in free
    assert "10 s, the first 10 of each record, free" in free and "billed with the first units, which are free" in free
    assert "number 491511000001 is ported: rated as 49176" in ported and "billed as if its number were not ported" in ported
