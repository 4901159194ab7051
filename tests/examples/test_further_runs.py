"""Two more runs for each kind of field case that needs several commands: recycled records, and totals of closed findings."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trueup.cli import main

NOW, LATER = "2026-11-25T00:00:00+00:00", "2026-11-26T00:00:00+00:00"
SOURCES = """
[project]
timezone = "UTC"
currency = "EUR"
[lake]
buckets = 1
[[source]]
name = "sw"
stream = "usage"
path = "landing/usage*.csv"
frontier = "declared"
{settings}
[source.columns]
record_key = "id"
session_key = "id"
subscriber = "caller"
started_at = "start"
quantity = {quantity}
[source.constants]
service = "voice"
[[source]]
name = "bill"
stream = "charge"
path = "landing/charges*.csv"
frontier = "declared"
[source.columns]
record_key = "line"
session_key = "id"
subscriber = "msisdn"
started_at = "start"
quantity = "s"
amount = "amount"
[source.constants]
service = "voice"
[reconcile.voice]
match = ["session_key"]
price = "0.01"
"""
AT = "2026-11-20T10:00:00"


class Run:
    """A project whose commands are run one after another."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        (folder / "landing").mkdir(parents=True)
        self.configure()

    def configure(self, settings: str = "", quantity: str = '"s"') -> None:
        (self.folder / "trueup.toml").write_text(SOURCES.format(settings=settings, quantity=quantity), "utf-8")

    def deliver(self, name: str, header: str, *rows: str) -> None:
        (self.folder / "landing" / name).write_text("\n".join([header, *rows]) + "\n", "utf-8")

    def do(self, command: str, *options: str) -> str:
        """Run a command; return what it prints."""
        self._capsys.readouterr()
        assert main([command, *options, "--project", str(self.folder)]) == 0, self._capsys.readouterr().err
        return self._capsys.readouterr().out

    def settle(self) -> None:
        """Ingest, declare both sources complete, and reconcile."""
        self.do("ingest")
        for source in ("sw", "bill"):
            self.do("close", "--source", source, "--through", "2026-11-24")
        self.do("reconcile")

    def rows(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.do("sql", query, "--json"), parse_float=Decimal)
        return found


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TRUEUP_NOW", NOW)
    return Run(tmp_path / "project", capsys)


def test_records_come_in_after_the_second_change_of_their_mapping(run: Run) -> None:
    # C35: 1.000,5 s fits neither plain numbers nor a decimal comma; the third settings read both records, once each.
    run.deliver("usage.csv", "id,caller,start,s", f'a,491,{AT},"1.000,5"', f'b,491,{AT},"60,0"')
    run.do("ingest")
    for notation, left in (('decimal = ","', 1), ('decimal = ",", grouping = "."', 0)):
        run.configure(f"notation = {{ {notation} }}")
        run.do("recycle")
        assert run.rows("SELECT count(*)::INT AS n FROM quarantine WHERE recycled_position IS NULL") == [{"n": left}]
    run.do("recycle")
    found = run.rows("SELECT record_key AS key, quantity_micros::BIGINT AS q FROM lake.events.usage ORDER BY 1")
    assert found == [{"key": "a", "q": 1_000_500_000}, {"key": "b", "q": 60_000_000}]
    run.do("verify")


def test_a_recycled_record_is_a_duplicate_if_its_feed_delivered_it_again(run: Run) -> None:
    # C35: the exchange delivers the record again in seconds before the setting is corrected to minutes and seconds.
    run.deliver("usage.csv", "id,caller,start,s", f"a,491,{AT},1:00", f"b,491,{AT},0:30")
    run.deliver("charges.csv", "line,id,msisdn,start,s,amount", f"1,a,491,{AT},60,0.60", f"2,b,491,{AT},30,0.20")
    run.do("ingest")
    run.configure(quantity='{ column = "s", duration = "m:s" }')
    run.deliver("usage2.csv", "id,caller,start,s", f"a,491,{AT},1:00")
    run.settle()
    run.do("recycle")
    run.do("reconcile")
    assert run.rows("SELECT count(*)::INT AS n FROM lake.events.usage") == [{"n": 2}]
    found = run.rows("SELECT kind, impact::DOUBLE AS impact FROM findings WHERE status = 'open'")
    assert [(row["kind"], Decimal(str(row["impact"]))) for row in found] == [("misrated", Decimal("0.1"))]
    run.do("verify")


def findings(run: Run, *options: str) -> str:
    """Return the last line that `trueup findings` prints: the total."""
    return run.do("findings", *options).strip().splitlines()[-1]


def test_decided_and_resolved_findings_leave_the_total(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # C37: of six unbilled minutes at 0.60 one is confirmed, one dismissed, one claimed, and one is billed late.
    run.deliver("usage.csv", "id,caller,start,s", *(f"{key},491,2026-11-20T10:0{n}:00,60" for n, key in enumerate("abcdef")))
    run.deliver("charges.csv", "line,id,msisdn,start,s,amount", f"1,x,491,{AT},60,0.60")
    run.settle()
    assert findings(run) == "7 findings open or confirmed, impact 3 EUR"
    unbilled = run.rows("SELECT finding_id AS id FROM findings WHERE kind = 'unbilled' ORDER BY started_at")
    for row, decision in zip(unbilled, ("confirmed", "dismissed", "claimed"), strict=False):
        run.do("decide", row["id"], decision, "--note", "compared with the contract")
    monkeypatch.setenv("TRUEUP_NOW", LATER)
    run.deliver("charges2.csv", "line,id,msisdn,start,s,amount", "2,d,491,2026-11-20T10:03:00,60,0.60")
    run.settle()
    # The total has a (confirmed), e and f (open) at 0.60 each, and the charge without usage.
    statuses = ("open", "confirmed", "claimed", "dismissed", "resolved", "retracted")
    totals = {status: findings(run, "--status", status) for status in statuses}
    assert findings(run) == "4 findings open or confirmed, impact 1.2 EUR; 3 closed findings"
    assert totals == {
        "open": "3 findings open or confirmed, impact 0.6 EUR", "confirmed": "1 finding open or confirmed, impact 0.6 EUR",
        "retracted": "no findings",
    } | dict.fromkeys(("claimed", "dismissed", "resolved"), "0 findings open or confirmed, impact 0 EUR; 1 closed finding")  # fmt: skip


def test_a_finding_that_late_usage_disproves_leaves_the_total(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # C37: the usage of a charge arrives late, and a dismissed finding that is reopened counts again.
    run.deliver("usage.csv", "id,caller,start,s", f"a,491,{AT},60")
    run.deliver("charges.csv", "line,id,msisdn,start,s,amount", f"1,b,491,{AT},30,0.30")
    run.settle()
    assert findings(run) == "2 findings open or confirmed, impact 0.3 EUR"
    (unbilled,) = run.rows("SELECT finding_id AS id FROM findings WHERE kind = 'unbilled'")
    run.do("decide", unbilled["id"], "dismissed", "--note", "a test call")
    assert findings(run) == "1 finding open or confirmed, impact -0.3 EUR; 1 closed finding"
    monkeypatch.setenv("TRUEUP_NOW", LATER)
    run.deliver("usage2.csv", "id,caller,start,s", f"b,491,{AT},30")
    run.settle()
    assert findings(run) == "0 findings open or confirmed, impact 0 EUR; 2 closed findings"
    run.do("decide", unbilled["id"], "reopened")
    assert findings(run) == "1 finding open or confirmed, impact 0.6 EUR; 1 closed finding"
