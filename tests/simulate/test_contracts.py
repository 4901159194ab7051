"""Contracts with rentals and fees: amounts worked out by hand, and the findings about their mistakes."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from trueup.cli import main
from trueup.config import FILE_NAME, Project
from trueup.simulate import SimulationRequest, simulate
from trueup.simulate.catalogue import CHAIN_LEAKS, HOPS, ITEM_LEAKS
from trueup.simulate.contracts.contract_draw import CONTRACT, Months
from trueup.simulate.contracts.day_rater import rate_contracts
from trueup.simulate.contracts.price_list import LARGE, MEDIUM, SMALL, PriceDates
from trueup.warehouse.query import open_warehouse

QUARTER = Months(date(2025, 1, 1), date(2025, 3, 20), date(2025, 3, 31))
DATES = PriceDates(date(2025, 2, 11), date(2024, 9, 1), date(2025, 3, 1))
OLD = datetime(2023, 6, 1, 10)


def rated(item: str, **contract: Any) -> list[tuple[str, str, str, float]]:
    """Return first day, end, due day and amount of each period of one contract that is charged."""
    row = {"contract": 0, "plan": SMALL, "new_plan": SMALL, "cycle_day": 1, "new_cycle_day": 1, "active_at": OLD} | contract
    frame = pl.DataFrame([{name: row.get(name) for name in CONTRACT}], schema=CONTRACT)
    due = rate_contracts(frame, QUARTER, DATES).filter((pl.col("item") == item) & pl.col("charged_days").ne_missing(0))
    days = [pl.col(n).dt.strftime("%m-%d").fill_null("") for n in ("period_from", "period_to", "due_at")]
    return [(*row[:3], row[3] / 1e6) for row in due.select(*days, "expected_micros").rows()]


def test_a_rental_is_the_price_with_tax_in_each_cycle() -> None:
    assert rated("line") == [
        ("01-01", "02-01", "01-01", 17.85), ("02-01", "03-01", "02-01", 17.85), ("03-01", "04-01", "03-01", 17.85),
    ]  # fmt: skip
    assert [row[:2] for row in rated("line", cycle_day=31)] == [
        ("12-31", "01-31"), ("01-31", "02-28"), ("02-28", "03-31"), ("03-31", "04-30"),
    ]  # fmt: skip


def test_days_are_counted_where_a_contract_begins_ends_rests_or_changes() -> None:
    # 16 of 31 days of 15.00 are 7.741935, with tax 9.212903.
    assert rated("line", active_at=datetime(2025, 1, 16, 18))[0] == ("01-01", "02-01", "01-16", 9.21)
    assert rated("line", ceased_at=datetime(2025, 1, 16, 18)) == [("01-01", "02-01", "01-01", 9.21)]
    assert rated("line", suspended_at=datetime(2025, 1, 17), resumed_at=datetime(2025, 3, 28)) == [
        ("01-01", "02-01", "01-01", 9.21), ("03-01", "04-01", "03-28", 2.3),
    ]  # fmt: skip
    # 15 days of 15.00 and 16 of 24.00; then the price of the new plan rises on the 11th of February.
    upgraded = rated("line", new_plan=MEDIUM, plan_at=datetime(2025, 1, 16, 12))
    assert [row[3] for row in upgraded] == [23.38, 30.09, 30.94]
    # A change of cycle on the 10th of January: 9 of 31 days, then 5 of the 31 of the next cycle.
    moved = rated("line", new_cycle_day=15, cycle_at=datetime(2025, 1, 10))
    assert moved[:3] == [("01-01", "01-10", "01-01", 5.18), ("01-10", "01-15", "01-10", 2.88), ("01-15", "02-15", "01-15", 17.85)]


def test_a_welcome_of_three_months_halves_the_rental() -> None:
    young = rated("line", plan=LARGE, new_plan=LARGE, active_at=datetime(2024, 11, 15, 9))
    # 45.22 a month; it ends with the 14th of February.
    assert [row[3] for row in young] == [22.61, 33.92, 45.22]
    assert [row[3] for row in rated("line", plan=LARGE, new_plan=LARGE)] == [45.22] * 3


def test_a_router_is_charged_by_thirtieths_in_arrears() -> None:
    # 3.60 until March, then 4.50. The last of February completes the thirty.
    assert rated("router", plan=MEDIUM, new_plan=MEDIUM) == [
        ("12-01", "01-01", "01-01", 3.6), ("01-01", "02-01", "02-01", 3.6), ("02-01", "03-01", "03-01", 3.6),
    ]  # fmt: skip
    assert rated("router", plan=MEDIUM, new_plan=MEDIUM, active_at=datetime(2025, 2, 28, 9)) == [("02-01", "03-01", "03-01", 0.36)]
    assert rated("router") == []


def test_fees_are_due_at_their_events() -> None:
    joined = {"active_at": datetime(2025, 1, 16, 18)}
    assert rated("activation_fee", **joined) == [("01-16", "", "01-16", 25.0)]
    assert rated("termination_fee", **joined, ceased_at=datetime(2025, 3, 1, 9)) == [("03-01", "", "03-01", 60.0)]
    committed = {"ceased_at": datetime(2025, 3, 1, 9), "active_at": datetime(2023, 3, 1, 9)}
    assert rated("termination_fee", **committed) == []


def test_contracts_and_a_chain_add_files_and_change_none(tmp_path: Path) -> None:
    plain, full = SimulationRequest(20, 1, 7), SimulationRequest(20, 1, 7, months=2, chain=True)
    before, after = (simulate(tmp_path / name, request) for name, request in (("plain", plain), ("full", full)))
    for path in (tmp_path / "plain").rglob("*"):
        if path.is_file() and path.name not in (FILE_NAME, "truth.parquet"):
            assert path.read_bytes() == (tmp_path / "full" / path.relative_to(tmp_path / "plain")).read_bytes()
    assert (before.item_charges, before.transit_records) == (0, 0)
    assert after.item_charges > 50 and after.transit_records > 50
    assert "--months 2 --chain" in (tmp_path / "full" / FILE_NAME).read_text("utf-8")
    truth = [pl.read_parquet(tmp_path / name / "truth.parquet").drop("leak_id") for name in ("plain", "full")]
    added = [kind.name for kind in (*ITEM_LEAKS, *CHAIN_LEAKS)]
    assert truth[1].filter(~pl.col("kind").is_in(added)).equals(truth[0])


BACK_BILLS = {
    "landing/billing": ("line_id,session_ref,account,service,msisdn,called_number,started_utc,quantity,partial,amount,currency,tariff,invoice,"
                        "billed_utc,corrects\n{line},{session_key},{account},{service},{subscriber},{peer},"
                        "{started_at:%Y-%m-%dT%H:%M:%S},,,{amount},{currency},,,,{finding_id}\n"),
    "landing/rentals": ("line_id,msisdn,account,item,period_from,period_to,billed_at,amount,corrects\n{line},{subscriber},{account},{item},"
                        "{period_from:%Y-%m-%dT%H:%M:%S},{period_to},,{amount},{finding_id}\n"),
    "landing/transit": ("record_id,call_id,carrier,start,seconds,amount,corrects\n{line},{session_key},{subscriber},{started_at},,{amount},"
                        "{finding_id}\n"),
}  # fmt: skip
SERVICES = {"landing/rentals": "rental", "landing/transit": "transit"}


def done(command: str, folder: Path, *more: str) -> None:
    assert main([command, *more, "--quiet", "--project", str(folder)] if command in ("ingest", "reconcile") else
                [command, *more, "--project", str(folder)]) == 0  # fmt: skip


@pytest.mark.slow
def test_every_decidable_mistake_is_found_and_its_back_bill_recovers_it(tmp_path: Path) -> None:
    folder = tmp_path / "operator"
    simulate(folder, SimulationRequest(300, 1, 22, months=3, chain=True))
    text = (folder / FILE_NAME).read_text("utf-8").replace("buckets = 16", "buckets = 4")
    text = text.replace('billed_at = "billed_utc"', 'billed_at = "billed_utc"\ncorrects = { column = "corrects", optional = true }')
    (folder / FILE_NAME).write_text(text, "utf-8")
    done("ingest", folder)
    done("score-controls", folder, "--check", "--brief")
    report = json.loads((folder / "score-controls.json").read_text("utf-8"))
    by_kind = {row["kind"]: row for row in report["leaks"]}
    decidable = {kind.name for kind in (*ITEM_LEAKS, *CHAIN_LEAKS)} - {"item_within_tolerance"}
    assert decidable <= set(by_kind)
    for kind in decidable:
        row = by_kind[kind]
        assert (row["found"], row["recall"], row["found_micros"]) == (row["decidable"], 1, row["decidable_micros"]), kind
        assert row["precision"] == 1 and row["named"] == row["to_name"]
        assert row["decidable"] == row["injected"] or kind == "item_never_billed"
    assert {row["kind"] for row in report["undecidable"]} >= {"item_within_tolerance"}
    assert [row["kind"] for row in report["hops"]] and {row["elsewhere"] for row in report["hops"]} == {0}
    assert {row["kind"] for row in report["hops"]} == set(HOPS) and report["stray_losses"] == []
    assert_recovered(folder)


def assert_recovered(folder: Path) -> None:
    """Deliver a back-bill of all open leakage: all of it is recovered, and nothing else moves."""
    query = "SELECT finding_id, service, status, impact_micros, cause, provisional FROM findings WHERE control IS NULL ORDER BY ALL"
    before = rows_of(folder, query)
    services = sorted({row["service"] for row in before})
    billed = list[str]()
    for service in services:
        place = next((place for place, name in SERVICES.items() if name == service), "landing/billing")
        (folder / "template.csv").write_text(BACK_BILLS[place], "utf-8")
        name = {"rental": "rentals-999999", "transit": "invoice-2"}.get(service, f"back-bill-{service}")
        out = folder / place / f"{name}.csv"
        done("recover", folder, "--service", service, "--template", str(folder / "template.csv"), "--out", str(out))
        billed += [line.rpartition(",")[2] for line in out.read_text("utf-8").splitlines()[1:]]
    for command in ("ingest", "reconcile"):
        done(command, folder)
    recovered = {"status": "recovered", "cause": "recovery"}
    leaking = [r["finding_id"] for r in before if r["status"] == "open" and r["impact_micros"] > 0 and not r["provisional"]]
    assert sorted(billed) == sorted(leaking) and len(billed) > 100
    assert rows_of(folder, query) == [row | recovered if row["finding_id"] in billed else row for row in before]
    assert rows_of(folder, "SELECT sum(abs(difference_micros)) AS difference FROM conservation") == [{"difference": 0}]


def rows_of(folder: Path, query: str) -> list[dict[str, Any]]:
    with open_warehouse(Project.load(folder)) as warehouse:
        return list(warehouse.connection.execute(query).to_arrow_table().to_pylist())
