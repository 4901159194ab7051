"""Findings whose missing record may lie in quarantine are provisional, and count in no view of leakage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trueup.cli import main

NOW = "2024-06-10T00:00:00+00:00"
SETTINGS = """
[[source]]
name = "switch"
stream = "usage"
path = "landing/usage*.csv"
[source.columns]
record_key = "id"
session_key = "session"
subscriber = "caller"
peer = "callee"
started_at = "at"
quantity = "seconds"
[source.constants]
service = "voice"
[[source]]
name = "bill"
stream = "charge"
path = "landing/charges*.csv"
[source.columns]
record_key = "id"
session_key = "session"
subscriber = "caller"
peer = "callee"
started_at = "at"
quantity = "seconds"
amount = "amount"
[source.constants]
service = "voice"
[reconcile.voice]
match = ["session_key"]
grace = "1h"
start_tolerance = "5s"
price = "0.01"
"""
USAGE, CHARGES = "id,session,caller,callee,at,seconds\n", "id,session,caller,callee,at,seconds,amount\n"


def with_column(header: str, column: str) -> str:
    return header.replace("\n", f",{column}\n") if column else header


AT = "2024-05-01T10:00:00"

Reconciled = Callable[..., Path]


@pytest.fixture
def reconciled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reconciled:
    """Return a function that reconciles calls and charges, both feeds complete, and returns the project."""
    monkeypatch.setenv("TRUEUP_NOW", NOW)

    def run(
        calls: Sequence[str],
        charges: Sequence[str],
        *,
        replaced: Mapping[str, str] | None = None,
        more: str = "",
        column: str = "",
    ) -> Path:
        (tmp_path / "landing").mkdir()
        (tmp_path / "landing/usage.csv").write_text(with_column(USAGE, column) + "".join(f"{line}\n" for line in calls))
        (tmp_path / "landing/charges.csv").write_text(with_column(CHARGES, column) + "".join(f"{line}\n" for line in charges))
        settings = SETTINGS.replace("[source.constants]", f'{column} = "{column}"\n[source.constants]') if column else SETTINGS
        for old, new in (replaced or {}).items():
            assert old in settings
            settings = settings.replace(old, new)
        (tmp_path / "trueup.toml").write_text(settings + more)
        assert main(["ingest", "--project", str(tmp_path)]) == 0
        for source in ("switch", "bill"):
            assert main(["close", "--source", source, "--through", "2024-06-09", "--project", str(tmp_path)]) == 0
        assert main(["reconcile", "--project", str(tmp_path)]) == 0
        return tmp_path

    return run


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[[Path, str], list[dict[str, Any]]]:
    """Return a function that returns the rows of a query."""

    def rows(project: Path, query: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert main(["sql", query, "--json", "--project", str(project)]) == 0
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out, parse_float=Decimal)
        return found

    return rows


Ask = Callable[[Path, str], list[dict[str, Any]]]
PROVISIONAL = "SELECT kind, provisional_reason AS reason FROM findings WHERE provisional ORDER BY kind, day"
PROVEN = "SELECT kind, impact FROM findings WHERE NOT provisional AND status = 'open' ORDER BY kind"
LEAKAGE = "SELECT kind, impact FROM leakage_by_day ORDER BY kind"


def call(key: str, *, caller: str = "491511000001", at: str = AT, seconds: str = "60", session: str | None = None) -> str:
    return f"{key},{key if session is None else session},{caller},4930,{at},{seconds}"


def charge(key: str, amount: str = "0.60", **parts: str) -> str:
    return f"{call(key, **parts)},{amount}"


def test_usage_whose_charge_is_in_quarantine_is_not_proven_leakage(reconciled: Reconciled, ask: Ask) -> None:
    project = reconciled([call("a"), call("b")], [charge("a", amount="0.6.0")])
    assert ask(project, PROVISIONAL) == [{"kind": "unbilled", "reason": "quarantined record"}]
    assert ask(project, LEAKAGE) == [{"kind": "unbilled", "impact": Decimal("0.6")}]


def test_a_charge_whose_usage_is_in_quarantine_is_not_proven_overcharge(reconciled: Reconciled, ask: Ask) -> None:
    project = reconciled([call("a", seconds="many")], [charge("a"), charge("b", caller="491511000002")])
    assert ask(project, PROVISIONAL) == [{"kind": "charge_without_usage", "reason": "quarantined record"}]
    assert ask(project, PROVEN) == [{"kind": "charge_without_usage", "impact": Decimal("-0.6")}]


def test_a_charge_without_a_readable_session_key_is_assigned_by_party_and_time(reconciled: Reconciled, ask: Ask) -> None:
    # A spreadsheet has rounded the session key; the second call starts outside of the tolerance.
    calls = [call("1715000000001"), call("2", at="2024-05-01T10:00:06")]
    project = reconciled(calls, [charge("1", session="1.715E+12")])
    assert ask(project, "SELECT reason, session_key FROM lake.events.quarantine") == [
        {"reason": "lost_digits", "session_key": None}
    ]
    assert ask(project, PROVISIONAL) == [{"kind": "unbilled", "reason": "quarantined record"}]
    assert len(ask(project, PROVEN)) == 1


def test_a_charge_of_another_session_does_not_excuse_usage_of_the_same_party_and_time(reconciled: Reconciled, ask: Ask) -> None:
    project = reconciled([call("a")], [charge("z", amount="?")])
    assert ask(project, PROVISIONAL) == []


def test_a_charge_whose_time_was_refused_may_be_of_any_time_of_its_file(reconciled: Reconciled, ask: Ask) -> None:
    calls = [call("a"), call("b", at="2024-05-03T10:00:00"), call("c", at="2024-05-08T10:00:00"), call("d")]
    charges = [
        charge("x", at="1024-05-03T10:00:00", session=""),
        charge("d"),
        charge("b2", caller="491511000009", at="2024-05-05T10:00:00"),
    ]
    project = reconciled(calls, charges, replaced={'match = ["session_key"]': 'match = ["nearest"]'})
    found = ask(project, "SELECT day, provisional FROM findings WHERE kind = 'unbilled' ORDER BY day")
    assert [row["provisional"] for row in found] == [True, True, False]


def test_a_wrong_amount_is_provisional_while_a_line_of_its_bill_is_in_quarantine(reconciled: Reconciled, ask: Ask) -> None:
    lines = {
        'path = "landing/charges*.csv"': 'path = "landing/charges*.csv"\nbill_lines = true',
        'quantity = "seconds"\namount': "amount",
    }
    charges = [charge("a", amount="0.40"), charge("a2", session="a", amount="?"), charge("b", amount="0.40", caller="491511000002")]
    project = reconciled([call("a"), call("b", caller="491511000002")], charges, replaced=lines)
    assert ask(project, PROVISIONAL) == [{"kind": "misrated", "reason": "quarantined record"}]
    assert ask(project, PROVEN) == [{"kind": "misrated", "impact": Decimal("0.2")}]


def test_a_finding_is_provisional_while_a_correction_of_its_usage_is_in_quarantine(reconciled: Reconciled, ask: Ask) -> None:
    calls = [call(key) + ",1" for key in "abc"]
    project = reconciled(calls, [], column="record_version")
    assert ask(project, PROVISIONAL) == []
    # The first is a correction of call a, the other a further record of the session of call c.
    corrections = [call("a", seconds="many") + ",2", call("d", session="c", seconds="many") + ",2"]
    (project / "landing/usage2.csv").write_text(with_column(USAGE, "record_version") + "".join(f"{line}\n" for line in corrections))
    assert main(["ingest", "--project", str(project)]) == main(["reconcile", "--project", str(project)]) == 0
    assert ask(project, PROVISIONAL) == [{"kind": "unbilled", "reason": "quarantined record"}]
    assert len(ask(project, PROVEN)) == 2


def test_a_refused_charge_that_arrives_again_leaves_its_finding_proven(reconciled: Reconciled, ask: Ask) -> None:
    project = reconciled([call("a"), call("b")], [charge("a", amount="O.40"), charge("b", amount="O.40")])
    assert [row["kind"] for row in ask(project, PROVISIONAL)] == ["unbilled", "unbilled"]
    (project / "landing/charges2.csv").write_text(CHARGES + charge("a", amount="0.40", seconds="40") + "\n")
    assert main(["ingest", "--project", str(project)]) == main(["reconcile", "--project", str(project)]) == 0
    assert ask(project, PROVISIONAL) == [{"kind": "unbilled", "reason": "quarantined record"}]
    assert ask(project, PROVEN) == [{"kind": "underbilled", "impact": Decimal("0.2")}]
    assert ask(project, "SELECT records::INT AS records FROM suspense_by_day") == [{"records": 1}]


def test_in_a_period_a_charge_of_its_subscriber_counts(reconciled: Reconciled, ask: Ask) -> None:
    calls = [call("a"), call("b", at="2024-05-02T10:00:00"), call("c", caller="491511000002")]
    project = reconciled(
        calls, [charge("x", amount="?", at="2024-05-01T23:00:00")], replaced={'match = ["session_key"]': 'match = ["aggregate"]'}
    )
    found = ask(project, "SELECT subscriber, day, provisional FROM findings WHERE status = 'open' ORDER BY day, subscriber")
    assert [row["provisional"] for row in found] == [True, False, False]


@pytest.mark.parametrize(
    ("zone", "at", "april", "may"),
    [("project", "2024-05-31T23:00:00", False, True), ("project", "2024-05-01T05:00:00", False, True),
     ("subscriber", "2024-05-01T05:00:00", True, True), ("subscriber", "2024-05-15T05:00:00", False, True)],
    ids=["at its end", "at its beginning", "at the edge of two zones", "within it in any zone"],
)  # fmt: skip
def test_in_a_month_a_charge_of_its_subscriber_counts(
    reconciled: Reconciled, ask: Ask, zone: str, at: str, april: bool, may: bool
) -> None:
    calls = [call("a"), call("b", at="2024-04-30T10:00:00"), call("c", caller="491511000002")]
    own = "" if zone == "project" else '\nperiod_zone = "subscriber"'
    by_month = {'match = ["session_key"]': f'match = ["aggregate"]\nperiod = "month"{own}'}
    project = reconciled(calls, [charge("x", amount="?", at=at)], replaced=by_month)
    found = ask(project, "SELECT subscriber, day, provisional FROM findings WHERE status = 'open' ORDER BY day, subscriber")
    assert [(row["day"][5:], row["provisional"]) for row in found] == [("04-01", april), ("05-01", may), ("05-01", False)]


def test_in_sums_of_several_services_a_refused_record_of_a_covered_one_counts(reconciled: Reconciled, ask: Ask) -> None:
    covering = '[reconcile.voice]\nprice = "0.01"\n[reconcile.line]\nmatch = ["aggregate"]\nperiod = "month"\ncovers = ["voice"]'
    replaced = {'[reconcile.voice]\nmatch = ["session_key"]': covering}
    project = reconciled([call("a"), call("c", caller="491511000002")], [charge("x", amount="?")], replaced=replaced)
    found = ask(project, "SELECT service, subscriber, provisional FROM findings WHERE status = 'open' ORDER BY subscriber")
    assert [(row["service"], row["provisional"]) for row in found] == [("line", True), ("line", False)]


def test_records_without_a_key_make_their_day_provisional_above_the_declared_share(reconciled: Reconciled, ask: Ask) -> None:
    charges = ["not a charge", charge("z", caller="491511000009"), charge("y", caller="491511000009")]
    project = reconciled([call("a"), call("b", at="2024-05-02T10:00:00")], charges)
    assert ask(project, "FROM suspense_by_day") == [
        {
            "source": "bill", "stream": "charge", "service": "", "day": "2024-05-01", "records": 1, "keyless_records": 1,
            "keyless_share": pytest.approx(Decimal(1) / 3), "amount": None, "unread_amounts": 1, "is_incomplete": True,
        }
    ]  # fmt: skip
    assert ask(project, PROVISIONAL) == [{"kind": "unbilled", "reason": "quarantined share"}]


def test_below_the_declared_share_the_day_keeps_its_proven_findings(reconciled: Reconciled, ask: Ask) -> None:
    charges = ["not a charge", charge("z", caller="491511000009"), charge("y", caller="491511000009")]
    project = reconciled([call("a")], charges, more='[quality]\nquarantine_share = "0.34"\n')
    assert ask(project, "SELECT is_incomplete FROM suspense_by_day") == [{"is_incomplete": False}]
    assert ask(project, PROVISIONAL) == []


def test_a_file_refused_whole_leaves_no_proven_finding_of_the_time_since_the_file_before(reconciled: Reconciled, ask: Ask) -> None:
    project = reconciled([call("a"), call("b", at="2024-05-03T10:00:00")], [charge("a")])
    assert len(ask(project, PROVEN)) == 1
    (project / "landing/charges2.csv").write_text(CHARGES + "rubbish\n" * 2)
    assert main(["ingest", "--project", str(project)]) == 0
    assert ask(project, PROVISIONAL) == [{"kind": "unbilled", "reason": "quarantined share"}]
    assert ask(project, LEAKAGE) == []


BOOK = "[[source]]\nname = 'book'\nstream = 'tariff'\npath = 'book.csv'\n[source.columns]\n" + "".join(
    f'{name} = "{name}"\n'
    for name in (
        "record_key", "item", "name", "services", "units", "shared", "period", "service", "destination", "price", "currency",
        "valid_from",
    )
)  # fmt: skip
BY_KIND = (
    "SELECT kind, day, subscriber, provisional_reason AS reason FROM findings WHERE status = 'open' ORDER BY day, kind, subscriber"
)


def write_book(folder: Path, *, shared: str = "") -> None:
    """Write a tariff book with sixty free seconds of voice a month, of each subscriber or `shared` by the account."""
    (folder / "book.csv").write_text(
        "record_key,item,name,services,units,shared,period,service,destination,price,currency,valid_from\n"
        f"1,allowance,free,voice,60,{shared},month,,,,,2024-01-01T00:00:00\n"
        "2,rate,,,,,,voice,49,0.01,EUR,2024-01-01T00:00:00\n"
    )


def test_refused_usage_makes_the_findings_of_its_allowance_provisional(reconciled: Reconciled, ask: Ask, tmp_path: Path) -> None:
    write_book(tmp_path)
    calls = [
        call("a", at="2024-04-30T10:00:00"), call("b"), call("c", at="2024-05-02T10:00:00", seconds="?"),
        call("d", at="2024-05-03T10:00:00"), call("e", at="2024-05-03T10:00:00", caller="491511000002", seconds="120"),
    ]  # fmt: skip
    charges = [charge("a", "0.60", at="2024-04-30T10:00:00"), charge("b", "0.00"), charge("d", "0.00", at="2024-05-03T10:00:00")]
    project = reconciled(calls, charges, replaced={'price = "0.01"\n': ""}, more=BOOK)
    # Free is each subscriber's first minute of a month: d is the third call of the month of May, after the refused one.
    assert [(row["kind"], row["day"][5:], row["reason"]) for row in ask(project, BY_KIND)] == [
        ("misrated", "04-30", None), ("misrated", "05-03", "quarantined pool usage"), ("unbilled", "05-03", None),
    ]  # fmt: skip


def test_refused_usage_of_another_service_draws_on_no_allowance_of_calls(reconciled: Reconciled, ask: Ask, tmp_path: Path) -> None:
    write_book(tmp_path)
    calls = [f"{call('a')},voice", f"{call('b', seconds='?')},data"]
    by_record = {'price = "0.01"\n': "", '[source.constants]\nservice = "voice"\n': ""}
    project = reconciled(calls, [f"{charge('a')},voice"], replaced=by_record, more=BOOK, column="service")
    assert [(row["kind"], row["reason"]) for row in ask(project, BY_KIND)] == [("misrated", None)]


def test_refused_usage_of_a_shared_allowance_concerns_the_findings_of_its_account(
    reconciled: Reconciled, ask: Ask, tmp_path: Path
) -> None:
    write_book(tmp_path, shared="account")
    # Both numbers of account A1 draw on its allowance; the number of account A2 does not.
    calls = [
        f"{call('a', caller='491511000001')},A1", f"{call('b', caller='491511000002', seconds='?')},A1",
        f"{call('c', caller='491511000003')},A2",
    ]  # fmt: skip
    charges = [f"{charge('a', caller='491511000001')},A1", f"{charge('c', caller='491511000003')},A2"]
    lake = '[lake]\nbucket_by = "account"\n'
    project = reconciled(calls, charges, replaced={'price = "0.01"\n': ""}, more=lake + BOOK, column="account")
    assert [(row["kind"], row["subscriber"][-1], row["reason"]) for row in ask(project, BY_KIND)] == [
        ("misrated", "1", "quarantined pool usage"), ("misrated", "3", None),
    ]  # fmt: skip


def test_a_key_beyond_the_limit_of_readable_texts_is_not_kept(reconciled: Reconciled, ask: Ask) -> None:
    # A text of 256 bytes is kept, a longer one is not.
    calls = [call("a", session="k" * 256, seconds="?"), call("b", session="k" * 257, seconds="?")]
    project = reconciled(calls, [charge("z")])
    assert ask(project, "SELECT length(session_key) AS n FROM lake.events.quarantine ORDER BY source_row") == [
        {"n": 256},
        {"n": None},
    ]


def test_provisional_findings_are_listed_and_explained_and_their_money_is_apart(
    reconciled: Reconciled, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    project = reconciled([call("a"), call("b")], [charge("a", amount="0.6.0")])
    capsys.readouterr()
    assert main(["findings", "--project", str(project)]) == 0
    assert "1 finding open or confirmed, impact 0.6 EUR; 1 provisional, impact 0.6 EUR\n" in capsys.readouterr().out
    ((finding,)) = ask(project, "SELECT finding_id FROM findings WHERE provisional")
    assert main(["explain", finding["finding_id"], "--project", str(project)]) == 0
    assert ": open, provisional: the missing record may be one in quarantine\n" in capsys.readouterr().out


def test_a_share_in_quarantine_is_reported_and_a_file_refused_whole_fails_the_check(
    reconciled: Reconciled, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = reconciled([call("a"), call("b", seconds="?")], [charge("a")])
    assert "source switch: 1 of 2 records of this file are in quarantine (unparsable: quantity: is a decimal number)" in (
        capsys.readouterr().err
    )
    assert main(["status", "--check", "--project", str(project)]) == 0
    (project / "landing/usage2.csv").write_text(USAGE + call("c", at="yesterday") + "\n")
    assert main(["ingest", "--project", str(project)]) == 0
    whole = "source switch: the only record of this file is in quarantine (bad_time: started_at: is a time) (landing/usage2.csv)"
    assert whole in capsys.readouterr().err
    assert main(["status", "--check", "--project", str(project)]) == 1
    # Beyond the horizon no finding can change any more.
    monkeypatch.setenv("TRUEUP_NOW", "2024-09-10T00:00:00+00:00")
    (project / "landing/usage3.csv").write_text(USAGE + call("d", at="2024-09-01T00:00:00") + "\n")
    assert main(["ingest", "--accept-clock", "--project", str(project)]) == 0
    assert main(["status", "--check", "--project", str(project)]) == 0


def test_a_share_beyond_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trueup.toml").write_text(SETTINGS + '[quality]\nquarantine_share = "1.5"\n')
    assert main(["ingest", "--project", str(tmp_path)]) == 2
    assert "quarantine_share: must lie between '0' and '1'" in capsys.readouterr().err
