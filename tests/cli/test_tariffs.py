"""Late and retroactive prices and subscriptions: findings change accordingly, and can be derived again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from trueup.cli import main

NOW = "2024-03-05T00:00:00+00:00"
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
[source.columns]
item = "item"
plan = "plan"
service = "service"
destination = "prefix"
valid_from = "from"
currency = "currency"
price = "price"
price_per = "per"
unit = "unit"
to_currency = "to"
[[source]]
name = "states"
stream = "subscriber"
path = "landing/states*.csv"
identity = "content"
columns = { system = "system", subscriber = "who", plan = "plan", status = "status", valid_from = "from" }
[[source]]
name = "msc"
stream = "usage"
path = "landing/usage*.csv"
constants = { service = "voice" }
columns = { record_key = "id", session_key = "id", subscriber = "who", peer = "to", started_at = "start", quantity = "seconds" }
[[source]]
name = "billing"
stream = "charge"
path = "landing/charges*.csv"
constants = { service = "voice" }
[source.columns]
record_key = "line"
session_key = "id"
subscriber = "who"
started_at = "start"
quantity = "seconds"
amount = "amount"
[reconcile.voice]
match = ["session_key"]
quantity_tolerance = "1s"
amount_tolerance = "0.005"
grace = "1h"
"""
BOOK = "item,plan,service,prefix,from,currency,price,per,unit,to\n"
STATES = "system,who,plan,status,from\n"
USAGE = "id,who,to,start,seconds\n"
CHARGES = "line,id,who,start,seconds,amount\n"
FIRST = {
    "book1": BOOK + "rate,A,voice,,2024-01-01,EUR,0.60,60,s,\nrate,A,voice,44,2024-01-01,EUR,6.00,60,s,\n",
    "states1": STATES + "billing,s1,A,active,2024-01-01\nnetwork,s1,A,active,2024-01-01\n"
    + "network,s2,A,active,2024-01-01\n",
    "usage1": USAGE
    + "u1,s1,4930,2024-03-01T10:00:00,60\nu2,s1,4420,2024-03-01T11:00:00,30\nu3,s2,4930,2024-03-01T12:00:00,100\n"
    + "u4,s1,4930,2024-03-01T13:00:00,90\nu5,s1,4930,2024-03-01T14:00:00,600\nlast,s1,4930,2024-03-03T00:00:00,0\n",
    # u1 right; u2 at the price of any other destination; u3 not charged, because billing does not know the subscriber; u4 charged
    # for 60 of 90 s and a cent too much; u5 right.
    "charges1": CHARGES
    + "c1,u1,s1,2024-03-01T10:00:00,60,0.60\nc2,u2,s1,2024-03-01T11:00:00,30,0.30\nc4,u4,s1,2024-03-01T13:00:00,60,0.61\n"
    + "c5,u5,s1,2024-03-01T14:00:00,600,6.00\nlast,last,s1,2024-03-03T00:00:00,0,0\n",
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRUEUP_NOW", NOW)
    (tmp_path / "landing").mkdir()
    (tmp_path / "trueup.toml").write_text(TOML, "utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def _first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first") / "project"
    (folder / "landing").mkdir(parents=True)
    (folder / "trueup.toml").write_text(TOML, "utf-8")
    deliver(folder, **FIRST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEUP_NOW", NOW)
        assert [main([command, "--project", str(folder)]) for command in ("ingest", "reconcile")] == [0, 0]
    return folder


@pytest.fixture
def first(_first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project with its first files, ingested and reconciled."""
    monkeypatch.setenv("TRUEUP_NOW", NOW)
    return Path(shutil.copytree(_first, tmp_path / "first"))


def deliver(project: Path, **files: str) -> None:
    for name, text in files.items():
        (project / "landing" / f"{name}.csv").write_text(text, "utf-8")


def findings(invoke, project: Path) -> set[tuple[str, ...]]:
    query = (
        "SELECT coalesce(r.record_key, f.subscriber) AS about, f.kind, f.status, f.impact, f.cause, f.reason FROM findings f "
        "LEFT JOIN lake.events.usage r ON lower(hex(r.event_id)) = f.usage_event_id"
    )
    result = invoke("sql", query, "--json", "--project", project)
    assert result.status == 0, result.err
    return {
        (row["about"], row["kind"], row["status"], f"{float(row['impact']):.2f}", row["cause"], row["reason"])
        for row in json.loads(result.out)
    }


def check_recomputation(invoke, project: Path, *ways: str) -> None:
    """Check that the ways of recomputation, by default both, give the stored digests, of the state and of the history."""
    options = [(), *(("--recompute", how) for how in ways or ("plain", "batch"))]
    texts = [invoke("digest", *how, "--json", "--project", project).out for how in options]
    stored, *recomputed = ({k: json.loads(text)[k] for k in ("state", "history")} for text in texts)
    assert all(digests == stored for digests in recomputed)


FOUND = {
    ("u2", "misrated", "open", "2.70", "arrival", None),
    ("u3", "unknown_subscriber", "open", "1.00", "frontier", None),
    ("u4", "underbilled", "open", "0.30", "arrival", None),
    ("u4", "misrated", "open", "-0.01", "arrival", None),
    ("s2", "active_not_billed", "open", "0.00", "frontier", None),
}


def run(invoke, project: Path, *commands: str) -> None:
    """Run the steps that depend on prices; other tests cover the other steps of `run`, which take longer."""
    for command in commands or ("ingest", "reconcile"):
        result = invoke(command, "--project", project)
        assert result.status == 0, result.err


def test_usage_is_priced_by_the_book_and_differences_are_split_into_quantity_and_amount(invoke, project: Path) -> None:
    deliver(project, **FIRST)
    run(invoke, project, "run")
    assert findings(invoke, project) == FOUND
    check_recomputation(invoke, project)


def test_late_prices_and_states_change_only_the_findings_they_concern(invoke, first: Path) -> None:
    project = first
    # From 13:30 on a minute costs a euro, but the price is known only now: u5 was charged at the former price.
    deliver(project, book2=BOOK + "rate,A,voice,,2024-03-01T13:30:00,EUR,1.00,60,s,\n")
    run(invoke, project)
    dearer = ("u5", "misrated", "open", "4.00", "tariff_change", "former_version")
    assert findings(invoke, project) == FOUND | {dearer}
    check_recomputation(invoke, project, "plain")
    # Billing had the second subscriber from the beginning.
    deliver(project, states2=STATES + "billing,s2,A,active,2024-01-01\n")
    run(invoke, project)
    known = {
        ("u3", "unknown_subscriber", "retracted", "1.00", "subscriber_change", None),
        ("u3", "unbilled", "open", "1.00", "subscriber_change", None),
        ("s2", "active_not_billed", "retracted", "0.00", "subscriber_change", None),
    }
    assert findings(invoke, project) == {f for f in FOUND if f[0] not in ("u3", "s2")} | {dearer} | known
    check_recomputation(invoke, project)


def test_a_supposed_book_gives_the_result_of_its_delivery_and_diff_names_the_cause_of_each_change(
    invoke, first: Path, tmp_path: Path
) -> None:
    book, before = BOOK + "rate,A,voice,,2024-03-01T13:30:00,EUR,1.00,60,s,\n", invoke("digest", "--project", first).out
    (tmp_path / "dearer.csv").write_text(book, "utf-8")
    position = str(json.loads(invoke("status", "--json", "--project", first).out)["position"])
    supposed = json.loads(invoke("whatif", "--book", tmp_path / "dearer.csv", "--json", "--project", first).out)["difference"]
    assert invoke("digest", "--project", first).out == before
    deliver(first, dearer=book)
    (first / "trueup.toml").write_text(TOML.replace("landing/book*.csv", "landing/[bd]*.csv"), "utf-8")
    run(invoke, first)
    changed = json.loads(invoke("diff", position, "--json", "--limit", "20", "--project", first).out)
    assert changed == supposed
    assert {(row["kind"], row["change"], row["cause"]) for row in changed["findings"]} == {
        ("misrated", "raised", "tariff_change"),
    }
    # A late file: u3 is charged after all, and u5 a second time.
    deliver(first, charges2=CHARGES + "c3,u3,s2,2024-03-01T12:00:00,100,1.00\nc6,u5,s1,2024-03-01T14:00:00,600,6.00\n")
    run(invoke, first)
    later = json.loads(invoke("diff", str(changed["now"]), "--json", "--project", first).out)
    assert {(row["kind"], row["change"], row["cause"], row["difference"]) for row in later["findings"]} == {
        ("unknown_subscriber", "closed", "late_charge", -1.0), ("duplicate_charge", "raised", "late_charge", -6.0),
    }  # fmt: skip
    whole = json.loads(invoke("diff", position, "--json", "--project", first).out)
    assert sum(row["difference"] for row in whole["causes"]) == pytest.approx(4.0 - 7.0)


def explained(invoke, project: Path, kind: str, usage: str) -> list[str]:
    query = (
        f"SELECT finding_id FROM findings f JOIN lake.events.usage u ON lower(hex(u.event_id)) = f.usage_event_id "
        f"WHERE f.kind = '{kind}' AND u.record_key = '{usage}'"
    )
    found = json.loads(invoke("sql", query, "--json", "--project", project).out)
    result = invoke("explain", found[0]["finding_id"], "--project", project)
    assert result.status == 0, result.err
    lines = result.out.splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.startswith("impact ")) + 1 : lines.index("history") - 1]


def test_a_finding_is_explained_by_rating_steps_of_both_sides_and_the_billing_error(invoke, first: Path) -> None:
    project = first
    assert explained(invoke, project, "misrated", "u4") == [
        "usage, by the tariff book:",
        "  tariff without a code as of 2024-01-01T00:00:00Z: service voice, plan A, any destination",
        "  from 13:00:00Z: 90 s; 90 × 0.6 per 60 s = 0.9",
        "  = 0.9 EUR",
        "charged quantity, by the tariff book:",
        "  tariff without a code as of 2024-01-01T00:00:00Z: service voice, plan A, any destination",
        "  from 13:00:00Z: 60 s; 60 × 0.6 per 60 s = 0.6",
        "  = 0.6 EUR",
    ]
    assert explained(invoke, project, "unknown_subscriber", "u3")[-1] == "  = 1 EUR"
    deliver(project, book2=BOOK + "rate,A,voice,,2024-03-01T13:30:00,EUR,1.00,60,s,\n")
    run(invoke, project)
    assert explained(invoke, project, "misrated", "u5") == [
        "usage, by the tariff book:",
        "  tariff without a code as of 2024-03-01T13:30:00Z: service voice, plan A, any destination",
        "  from 14:00:00Z: 600 s; 600 × 1 per 60 s = 10",
        "  = 10 EUR",
        "reason: former_version, billed at the price of before 2024-03-01 13:30Z",
    ]
    # A finding is explained as of the position of its last change, whatever became known later.
    deliver(project, book3=BOOK + "rate,A,voice,,2024-03-01T15:00:00,EUR,2.00,60,s,\n")
    run(invoke, project)
    assert (
        explained(invoke, project, "misrated", "u5")[-1]
        == "reason: former_version, billed at the price of before 2024-03-01 13:30Z"
    )


def test_usage_is_unrated_until_the_book_has_a_price(invoke, project: Path) -> None:
    deliver(project, **{name: text for name, text in FIRST.items() if name != "book1"})
    run(invoke, project)
    unrated = {f for f in findings(invoke, project) if f[1] == "unrated"}
    assert {(f[0], f[5]) for f in unrated} == {(u, "no_tariff") for u in ("u1", "u2", "u3", "u4", "u5", "last")}
    deliver(project, book1=FIRST["book1"])
    run(invoke, project)
    open_findings = {f[:4] for f in findings(invoke, project) if f[2] == "open"}
    assert open_findings == {f[:4] for f in FOUND}
    check_recomputation(invoke, project)


def with_free_units(project: Path, shared: str, charges: str) -> None:
    """600 free seconds of plan A in a month, of which u1, u2 and u4 take 180 and u5 420: its other 180 cost 1.80."""
    toml = TOML.replace(
        'to_currency = "to"', 'to_currency = "to"\nname = "name"\nservices = "services"\nunits = "units"\nshared = "shared"'
    )
    (project / "trueup.toml").write_text(toml, "utf-8")
    head, first, second = FIRST["book1"].splitlines()
    rows = [f"{head},name,services,units,shared", f"{first},,,,", f"{second},,,,"]
    rows += [f"allowance,A,,,2024-01-01,,,,,,free,voice,600,{shared}"]
    deliver(project, **{**FIRST, "book1": "\n".join(rows) + "\n", "charges1": charges})


def test_free_units_are_consumed_and_explained_in_the_order_of_calls(
    invoke, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_NOW", "2024-04-05T00:00:00+00:00")
    over = "last2,s1,4930,2024-04-02T00:00:00,0\n"
    charges = CHARGES + "c5,u5,s1,2024-03-01T14:00:00,600,6.00\nlast,last,s1,2024-03-03T00:00:00,0,0\n"
    with_free_units(project, "", charges + "last2,last2,s1,2024-04-02T00:00:00,0,0\n")
    deliver(project, usage1=FIRST["usage1"] + over)
    run(invoke, project)
    money = {f[:2]: (f[3], f[5]) for f in findings(invoke, project)}
    # The first three calls leave 420 free seconds, but billing charged them all.
    assert money["u5", "misrated"] == ("-4.20", "allowance_ignored")
    assert ("u1", "unbilled") not in money
    # The other subscription has 600 free seconds, so its 100 seconds cost nothing.
    assert ("u3", "unknown_subscriber") not in money
    assert explained(invoke, project, "misrated", "u5") == [
        "usage, by the tariff book:",
        "  tariff without a code as of 2024-01-01T00:00:00Z: service voice, plan A, any destination",
        "  from 14:00:00Z: 600 s, 420 free by free; 180 × 0.6 per 60 s = 1.8",
        "  = 1.8 EUR",
        "reason: allowance_ignored, billed without free units",
    ]
    check_recomputation(invoke, project)


def test_allowances_shared_by_account_are_refused_where_buckets_separate_accounts(invoke, project: Path) -> None:
    with_free_units(project, "account", FIRST["charges1"])
    result = invoke("run", "--project", project)
    assert result.status == 2
    assert "bucket_by = 'subscriber' separates" in result.err
    assert result.err.strip().count("\n") <= 12
