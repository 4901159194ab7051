"""Chains of four stages: each loss is at its hop and counted once, and the losses add up to the impact of the findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.warehouse.equal_hashes import equal_hashes

from trueup.collect.ingest import ingest
from trueup.config import FILE_NAME, Project, parse
from trueup.errors import ConfigError
from trueup.reconcile.run import reconcile_little
from trueup.warehouse.query import open_warehouse

NOW = datetime(2024, 3, 5, tzinfo=UTC)
STAGES = ("switch", "mediation", "rating", "invoice")
CHAIN = '[[chain]]\nname = "voice"\nstages = ["switch", "mediation", "rating", "invoice"]\nservices = ["voice"]\n'
_SOURCE = """
[[source]]
name = "{name}"
stream = "{stream}"
path = "{name}/*.csv"
{settings}
constants = {{ service = "voice" }}
[source.columns]
record_key = "id"
session_key = "call"
subscriber = "caller"
started_at = "at"
quantity = "units"
{amount}
"""
HEAD = "id,call,caller,at,units,amount\n"
Line = tuple[str, str, str, str]
"""The call, the minute of the day, the units and the amount of one line."""


def source(name: str, stream: str, settings: str = "") -> str:
    amount = "" if name in ("switch", "mediation") else 'amount = "amount"'
    return _SOURCE.format(name=name, stream=stream, settings=settings, amount=amount)


def toml(chain: str = CHAIN, *, mediation: str = 'stage = "mediation"', rules: str = 'grace = "1h"') -> str:
    return (
        '[project]\ntimezone = "UTC"\ncurrency = "EUR"\n[lake]\nbuckets = 4\n' + chain + source("switch", "usage")
        + source("mediation", "stage", mediation) + source("rating", "stage", 'stage = "rating"') + source("invoice", "charge")
        + f'[reconcile.voice]\nprice = "1"\n{rules}\n'
    )  # fmt: skip


def file_of(lines: Iterable[Line], stage: str) -> str:
    """Return a delivered file; its record keys are unique, its calls are the session keys."""
    rows = [
        f"{stage}{number},{call},{'A' + call[0]},2024-03-01 {int(at) // 60:02}:{int(at) % 60:02}:00,{units},{amount}\n"
        for number, (call, at, units, amount) in enumerate(lines)
    ]
    return HEAD + "".join(rows)


Ask = Callable[..., list[dict[str, Any]]]
Reconciled = Callable[..., Ask]


def reconcile(folder: Path, files: dict[str, str], text: str) -> Ask:
    """Ingest and reconcile files by name; return a function that queries the views, on request with one hash for all keys."""
    (folder / FILE_NAME).write_text(text, "utf-8")
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, "utf-8")
    project = Project.load(folder)
    summary = ingest(project, clock=lambda: NOW, choose=lambda *_: True)
    assert not summary.errors
    reconcile_little(project, clock=lambda: NOW)

    def ask(query: str, *, equal: bool = False) -> list[dict[str, Any]]:
        with open_warehouse(project) as warehouse, equal_hashes(warehouse.connection) if equal else nullcontext():
            return list(warehouse.connection.execute(query).to_arrow_table().to_pylist())

    return ask


@pytest.fixture
def reconciled(tmp_path: Path) -> Reconciled:
    """Return `reconcile` in a folder of one test."""
    return lambda files, text: reconcile(tmp_path, files, text)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Return the views over `CALLS`."""
    return reconcile(tmp_path_factory.mktemp("calls"), files_of_calls(), toml())


# Each call of ten units costs ten euros; the last one moves all frontiers past the others.
CALLS: dict[str, dict[str, list[tuple[str, str]]]] = {
    "1ok": {stage: [("10", "10")] for stage in STAGES},
    "2cut-off": {"switch": [("10", "")]},
    "3unrated": {"switch": [("10", "")], "mediation": [("10", "")]},
    "4unbilled": {"switch": [("10", "")], "mediation": [("10", "")], "rating": [("10", "10")]},
    "5short": {"switch": [("10", "")], "mediation": [("6", "")], "rating": [("6", "6")], "invoice": [("6", "6")]},
    "6cheap": {"switch": [("10", "")], "mediation": [("10", "")], "rating": [("10", "7")], "invoice": [("10", "7")]},
    "7twice": {"switch": [("10", "")], "mediation": [("10", "")], "rating": [("10", "10")], "invoice": [("10", "10")] * 2},
    "8ghost": {"rating": [("5", "5")], "invoice": [("5", "5")]},
    "9bypass": {"switch": [("10", "")], "rating": [("10", "10")], "invoice": [("10", "10")]},
}


def files_of_calls(until: dict[str, str] | None = None) -> dict[str, str]:
    lines: dict[str, list[Line]] = {stage: [] for stage in STAGES}
    for call, stages in CALLS.items():
        for stage, records in stages.items():
            lines[stage] += [(call, "600", units, amount) for units, amount in records]
    for stage in STAGES:
        lines[stage].append(("1end", (until or {}).get(stage, "900"), "10", "10"))
    return {f"{stage}/{stage}-1.csv": file_of(lines[stage], stage) for stage in STAGES}


def test_each_loss_is_at_its_hop_and_counts_once(calls: Ask) -> None:
    ask = calls
    losses = ask("SELECT session_key, from_stage, to_stage, change, loss FROM chain_losses WHERE loss <> 0 ORDER BY session_key")
    assert [tuple(row.values()) for row in losses] == [
        ("2cut-off", "switch", "mediation", "lost", Decimal("10")),
        ("3unrated", "mediation", "rating", "lost", Decimal("10")),
        ("4unbilled", "rating", "invoice", "lost", Decimal("10")),
        ("5short", "switch", "mediation", "changed", Decimal("4")),
        ("6cheap", "mediation", "rating", "changed", Decimal("3")),
        ("7twice", "rating", "invoice", "changed", Decimal("-10")),
        ("8ghost", "mediation", "rating", "added", Decimal("-5")),
    ]


def test_records_whose_keys_have_one_hash_are_all_in_the_chain(calls: Ask) -> None:
    losses = "SELECT session_key, from_stage, change, loss FROM chain_losses ORDER BY ALL"
    assert calls(losses) and calls(losses, equal=True) == calls(losses)


def test_losses_of_all_hops_add_up_to_the_findings(calls: Ask) -> None:
    ask = calls
    findings = ask("SELECT sum(impact_micros) AS impact FROM findings WHERE kind <> 'stale_feed'")
    hops = ask("SELECT sum(loss_micros) AS loss FROM chain_hops")
    assert findings[0]["impact"] == hops[0]["loss"] == 22_000_000
    by_finding = ask(
        "SELECT sum(loss_micros) - any_value(f.impact) AS difference FROM chain_losses l JOIN (SELECT finding_id, impact_micros AS impact "
        "FROM findings) f ON f.finding_id = l.finding_ids[1] GROUP BY l.session_key"
    )
    assert {row["difference"] for row in by_finding} == {0} and len(by_finding) == 7


def test_the_view_of_hops_counts_the_records_that_reach_each_stage(calls: Ask) -> None:
    ask = calls
    hops = ask(
        "SELECT to_stage, units_in, units_out, units_lost, units_added, units_changed, worth_in, worth_out, lost, changed, loss "
        "FROM chain_hops ORDER BY hop_no"
    )
    assert [tuple(row.values()) for row in hops] == [
        ("mediation", 9, 8, 1, 0, 1, Decimal("90"), Decimal("76"), Decimal("10"), Decimal("4"), Decimal("14")),
        ("rating", 8, 8, 1, 1, 1, Decimal("76"), Decimal("68"), Decimal("10"), Decimal("-2"), Decimal("8")),
        ("invoice", 8, 7, 1, 0, 1, Decimal("68"), Decimal("68"), Decimal("10"), Decimal("-10"), Decimal("0")),
    ]


def test_a_sankey_diagram_can_be_drawn_from_the_flow(calls: Ask) -> None:
    ask = calls
    inflow = "SELECT target AS node, sum(worth_micros) AS micros FROM chain_flow GROUP BY 1"
    outflow = "SELECT source AS node, sum(worth_micros) AS micros FROM chain_flow GROUP BY 1"
    balances = ask(f"SELECT i.node, i.micros - o.micros AS kept FROM ({inflow}) i JOIN ({outflow}) o ON o.node = i.node ORDER BY 1")
    assert [tuple(row.values()) for row in balances] == [("mediation", 0), ("rating", 0)]
    losses = ask("SELECT target, worth FROM chain_flow WHERE target LIKE 'lost%' ORDER BY hop_no")
    assert [tuple(row.values()) for row in losses] == [
        ("lost: switch to mediation", Decimal("14")),
        ("lost: mediation to rating", Decimal("13")),
        ("lost: rating to invoice", Decimal("10")),
    ]


def test_inner_stages_enter_neither_findings_nor_conservation(calls: Ask) -> None:
    ask = calls
    assert ask("SELECT sum(expected_micros) AS e, sum(billed_micros) AS b, sum(difference_micros) AS d FROM conservation") == [
        {"e": 90_000_000, "b": 68_000_000, "d": 0}
    ]
    assert {row["stream"] for row in ask("SELECT DISTINCT stream FROM finding_records")} == {"usage", "charge"}


def test_a_record_is_late_while_the_feed_of_the_next_stage_has_not_come_to_its_time(reconciled: Reconciled) -> None:
    ask = reconciled(files_of_calls(until={"mediation": "500"}), toml())
    changes = ask("SELECT session_key, change FROM chain_losses WHERE to_stage = 'mediation' AND session_key LIKE '2%'")
    assert changes == [{"session_key": "2cut-off", "change": "late"}]
    assert ask("SELECT units_late, units_lost, late, lost FROM chain_hops WHERE hop_no = 1") == [
        {"units_late": 1, "units_lost": 0, "late": Decimal("10"), "lost": Decimal("0")}
    ]


def test_a_record_is_late_while_a_numbered_file_of_its_time_is_missing(reconciled: Reconciled) -> None:
    files = files_of_calls()
    first, last = HEAD, HEAD
    for line in files.pop("mediation/mediation-1.csv").splitlines()[1:]:
        first, last = (first, last + line + "\n") if "1end" in line else (first + line + "\n", last)
    files |= {"mediation/m-0001.csv": first, "mediation/m-0003.csv": last}
    numbered = "stage = \"mediation\"\nfeed = { file = '-(?P<sequence>[0-9]+)[.]' }"
    ask = reconciled(files, toml(mediation=numbered))
    late = "SELECT session_key FROM chain_losses WHERE change = 'late'"
    assert ask(late) == [{"session_key": "2cut-off"}]
    ask = reconciled({"mediation/m-0002.csv": file_of([("1other", "610", "1", "")], "m2")}, toml(mediation=numbered))
    assert ask(late) == []


def test_usage_still_within_grace_is_open_and_worth_nothing_yet(reconciled: Reconciled) -> None:
    ask = reconciled(files_of_calls(), toml(rules='grace = "9h"'))
    assert ask("SELECT DISTINCT change, loss FROM chain_losses WHERE session_key LIKE '2%'") == [
        {"change": "open", "loss": Decimal("0")}
    ]
    assert ask("SELECT units_open, units_lost FROM chain_hops WHERE hop_no = 1") == [{"units_open": 1, "units_lost": 0}]


def test_sums_of_a_period_are_compared_where_stages_have_no_session_keys(reconciled: Reconciled) -> None:
    chain = CHAIN + 'compare = "aggregate"\nperiod = "day"\n'
    ask = reconciled(files_of_calls(), toml(chain, rules='grace = "1h"\nmatch = ["aggregate"]'))
    closed = ask("SELECT count(*) AS n FROM findings")
    assert closed == [{"n": 0}]  # the day is not over
    files = {
        f"{stage}/{stage}-2.csv": file_of([("1next", "899", "10", "10")], stage + "n").replace("03-01", "03-03") for stage in STAGES
    }
    ask = reconciled(files, toml(chain, rules='grace = "1h"\nmatch = ["aggregate"]'))
    losses = ask("SELECT subscriber, hop_no, day::VARCHAR AS day, loss FROM chain_losses WHERE loss <> 0 ORDER BY 1, 2")
    assert [tuple(row.values()) for row in losses] == [
        ("A2", 1, "2024-03-01", Decimal("10")), ("A3", 2, "2024-03-01", Decimal("10")), ("A4", 3, "2024-03-01", Decimal("10")),
        ("A5", 1, "2024-03-01", Decimal("4")), ("A6", 2, "2024-03-01", Decimal("3")), ("A7", 3, "2024-03-01", Decimal("-10")),
        ("A8", 2, "2024-03-01", Decimal("-5")),
    ]  # fmt: skip
    sums = ask("SELECT (SELECT sum(loss_micros) FROM chain_hops) - (SELECT sum(impact_micros) FROM findings) AS difference")
    assert sums == [{"difference": 0}]


def test_the_loss_of_a_sum_is_at_its_hop_and_not_at_the_first_session_of_the_sum(reconciled: Reconciled) -> None:
    # One line of the day bills 10; mediation dropped the call of 30.
    files = {
        "switch/1.csv": ["u1,a,A,2024-03-01 01:00:00,10,", "u2,b,A,2024-03-01 02:00:00,30,", "u9,z,B,2024-03-04 02:00:00,1,"],
        "mediation/1.csv": ["m1,a,A,2024-03-01 01:00:00,10,", "m9,z,B,2024-03-04 02:00:00,1,"],
        "rating/1.csv": ["r1,a,A,2024-03-01 01:00:00,10,10", "r9,z,B,2024-03-04 02:00:00,1,1"],
        "invoice/1.csv": ["c1,,A,2024-03-01 00:00:00,10,10", "c9,,B,2024-03-04 00:00:00,1,1"],
    }
    text = toml(CHAIN + 'compare = "aggregate"\nperiod = "month"\n', rules='match = ["aggregate"]\ngrace = "1h"')
    ask = reconciled({name: HEAD + "".join(f"{row}\n" for row in rows) for name, rows in files.items()}, text)
    losses = ask("SELECT from_stage, to_stage, subscriber, loss FROM chain_losses WHERE loss <> 0")
    assert [tuple(row.values()) for row in losses] == [("switch", "mediation", "A", Decimal("30"))]


@pytest.mark.parametrize(
    ("whole", "part"), [("month", "day"), ("week", "day"), ("month", "month"), ("2h", "1h"), ("month", "6h"), ("1d", "day")]
)
def test_a_chain_may_sum_whole_periods_of_its_service(whole: str, part: str) -> None:
    parse(toml(f'{CHAIN}compare = "aggregate"\nperiod = "{whole}"\n', rules=f'match = ["aggregate"]\nperiod = "{part}"'))


def test_the_greatest_version_of_a_stage_record_counts(reconciled: Reconciled) -> None:
    versioned = toml().replace('amount = "amount"\n\n[reconcile', 'amount = "amount"\n[reconcile')
    versioned = versioned.replace('name = "rating"', 'name = "rating"\nkey_scope = "r"')
    files = files_of_calls()
    again = files["rating/rating-1.csv"].replace(",10,7\n", ",10,9\n")
    ask = reconciled(files | {"rating/rating-2.csv": again}, versioned)
    # Without versions the greater content of one record key counts: 9, so the invoice lost 2 of the 3.
    losses = ask("SELECT hop_no, loss FROM chain_losses WHERE session_key = '6cheap' ORDER BY 1")
    assert losses == [{"hop_no": 2, "loss": Decimal("1")}, {"hop_no": 3, "loss": Decimal("2")}]


@pytest.mark.parametrize(
    ("versions", "losses"),
    [
        ([], []),
        (["rating 2 A2"], [("A2", 2, "added", 0)]),
        (["invoice 2 A2"], [("A1", 3, "lost", 10), ("A2", 3, "added", -10)]),
        (["rating 2 A2", "invoice 2 A2"], [("A1", 2, "lost", 10), ("A2", 2, "added", -10)]),
        (["rating 2 A2", "invoice 2 A2", "rating 3 A1", "invoice 3 A1"], []),
    ],
)
def test_a_version_of_another_subscriber_moves_the_record_of_a_stage(
    reconciled: Reconciled, versions: list[str], losses: list[tuple[str, int, str, int]]
) -> None:
    text = toml().replace('amount = "amount"', 'amount = "amount"\nrecord_version = "version"')
    head = "id,call,caller,at,units,amount,version\n"
    rows = {
        f"{stage}/1.csv": f"{head}{stage}1,c,A1,2024-03-01 10:00:00,10,10,1\n{stage}2,d,A3,2024-03-01 15:00:00,10,10,1\n"
        for stage in STAGES
    }
    for stage, version, caller in map(str.split, versions):
        rows[f"{stage}/{version}.csv"] = f"{head}{stage}1,c,{caller},2024-03-01 10:00:00,10,10,{version}\n"
    ask = reconciled(rows, text)
    found = ask(
        "SELECT subscriber, hop_no, change, loss::INT AS loss FROM chain_losses WHERE change IN ('lost', 'added', 'changed') ORDER BY ALL"
    )
    assert [tuple(row.values()) for row in found] == losses
    sums = ask("SELECT coalesce(sum(l.loss_micros), 0) - (SELECT coalesce(sum(impact_micros), 0) FROM findings) AS difference "
               "FROM chain_losses l")  # fmt: skip
    assert sums == [{"difference": 0}]


def test_an_amount_in_another_currency_counts_by_its_quantity(reconciled: Reconciled) -> None:
    text = toml().replace(
        'stage = "rating"\nconstants = { service = "voice" }',
        'stage = "rating"\nconstants = { service = "voice", currency = "USD" }',
    )
    ask = reconciled(files_of_calls(), text)
    losses = ask("SELECT hop_no, loss FROM chain_losses WHERE session_key = '6cheap'")
    assert losses == [{"hop_no": 3, "loss": Decimal("3")}]


MISTAKES = [
    (toml(CHAIN.replace('"mediation", ', "")), "source mediation is of stage 'mediation', which is no inner stage of a [[chain]]"),
    (toml(CHAIN.replace("rating", "rater")), "is of stage 'rating', which is no inner stage of a [[chain]]; there are mediation, rater"),
    (toml(CHAIN.replace('"rating"', '"rating", "billrun"')), "chain voice has no source of stage 'billrun'"),
    (toml(CHAIN.replace('"rating"', '"switch"')), "[[chain]] voice: `stages` names 'switch' twice"),
    (toml(CHAIN.replace('["switch", "mediation", "rating", "invoice"]', '["switch"]')), "[[chain]] voice, stages: "),
    (toml(CHAIN + 'period = "day"\n'), '[[chain]] voice: `period` has no effect without compare = "aggregate"'),
    (toml(CHAIN + 'compare = "aggregate"\n', rules='match = ["aggregate"]\nperiod_zone = "subscriber"'),
     "[reconcile.voice] sums periods in the time zones of subscriptions, which chain voice cannot compare; leave 'voice' out of"),
    (toml(CHAIN, rules='match = ["aggregate"]\nperiod = "cycle"'), "[reconcile.voice] sums billing cycles, which chain voice cannot compare"),
    (toml(CHAIN, rules='match = ["aggregate"]'),
     "chain voice compares session keys, but [reconcile.voice] matches by sums, whose losses belong to no session: "
     'set compare = "aggregate" and the same `period`, or leave \'voice\' out of `services`'),
    (toml(CHAIN + 'compare = "session_key"\n', rules='match = ["aggregate"]'), "chain voice compares session keys"),
    (toml(CHAIN.replace('services = ["voice"]\n', ""), rules='[reconcile.default]\nmatch = ["aggregate"]'),
     "[reconcile.default] matches by sums"),
    (toml(CHAIN + 'compare = "aggregate"\n', rules='match = ["aggregate"]\nperiod = "month"'),
     "chain voice sums periods that do not contain whole periods of [reconcile.voice]; give both one `period`"),
    (toml(CHAIN + 'compare = "aggregate"\nperiod = "month"\n', rules='match = ["aggregate"]\nperiod = "week"'),
     "chain voice sums periods that do not contain whole periods"),
    (toml(CHAIN + 'compare = "aggregate"\nperiod = "1h"\n', rules='match = ["aggregate"]'),
     "chain voice sums periods that do not contain whole periods"),
    (toml(CHAIN + CHAIN), "two chains are named 'voice'"),
    (toml(CHAIN + CHAIN.replace('name = "voice"', 'name = "all"')), "chains voice and all share service 'voice'"),
    (toml(CHAIN).replace('stream = "stage"', 'stream = "usage"'), '`stage` is for a source with stream = "stage"'),
    (toml(CHAIN).replace('stage = "rating"\n', ""), 'a source with stream = "stage" needs `stage`'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_a_chain_that_cannot_be_meant_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text)
    assert message in str(raised.value) and "\n" not in str(raised.value)
