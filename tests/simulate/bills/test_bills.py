"""Bills of contracts: lines for several services, invoices and credit notes, and the findings about their mistakes."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trueup.cli import main
from trueup.config import FILE_NAME
from trueup.errors import TrueupError
from trueup.reconcile.domain.invoice_kinds import INVOICE_KINDS
from trueup.simulate import SimulationRequest, simulate
from trueup.simulate.bills.bill_files import amount_text
from trueup.simulate.bills.bundle_draw import PRICE_MICROS, draw_bundles
from trueup.simulate.bills.invoice_draw import assign_bills, collect_charges, net_of, tax_of
from trueup.simulate.bills.invoice_mistakes import SHARES, draw_invoice_mistakes, make_credit_notes, make_invoices
from trueup.simulate.bills.invoice_truth import UNDECIDABLE, record_invoice_truth
from trueup.simulate.catalogue import COVER_LEAKS, INVOICE_LEAKS, KINDS
from trueup.simulate.contracts.contract_draw import Months
from trueup.simulate.contracts.contract_files import Contracts, draw_billed_contracts
from trueup.simulate.invoice_key import invoice_key
from trueup.simulate.truth.invoice_scores import INVOICE_FINDING, score_invoices

QUARTER = Months(date(2025, 1, 1), date(2025, 3, 20), date(2025, 3, 31))


@pytest.fixture(scope="module")
def contracts() -> Contracts:
    return draw_billed_contracts(np.random.default_rng(1), 400, QUARTER)


def test_every_line_of_a_sound_cycle_is_the_price_of_its_usage(contracts: Contracts) -> None:
    made = draw_bundles(np.random.default_rng(2), contracts.contracts, contracts.due, QUARTER)
    price = pl.col("service").replace_strict(list(PRICE_MICROS), list(PRICE_MICROS.values()), return_dtype=pl.Int64)
    # Cycles that are not over two days before the end have no lines yet.
    over = contracts.due.filter((pl.col("item") == "line") & (pl.col("period_to") <= pl.lit(QUARTER.last - timedelta(days=2))))
    until = over.join(contracts.contracts, on="contract").group_by("msisdn").agg(until=pl.col("period_to").max())
    used = made.usage.join(until, on="msisdn").filter(pl.col("start") < pl.col("until"))
    sums = used.group_by("msisdn").agg(used=(pl.col("quantity") * price).sum())
    billed = made.lines.group_by("msisdn").agg(billed=pl.col("amount_micros").sum())
    sound = sums.join(billed, on="msisdn").filter(~pl.col("msisdn").is_in(made.truth["subscriber"].implode()))
    assert sound.height > 200 and (sound["used"] == sound["billed"]).all()
    assert set(made.truth["kind"]) == {kind.name for kind in COVER_LEAKS}
    assert made.truth.filter(~pl.col("decidable"))["kind"].unique().to_list() == ["cover_within_tolerance"]


def test_tax_is_rounded_to_cents_and_net_and_tax_add_up() -> None:
    totals = pl.DataFrame({"total": [0, 1, 11_900_000, 17_853_217, -1_190_000]})
    rows = totals.select("total", net=net_of(pl.col("total")), tax=tax_of(net_of(pl.col("total"))))
    assert rows["net"].to_list() == [0, 0, 10_000_000, 15_000_000, -1_000_000]
    assert rows["tax"].to_list() == [0, 0, 1_900_000, 2_850_000, -190_000]
    text = pl.DataFrame({"micros": [0, 1, -1_190_000]}).select(amount_text("micros"))
    assert text.to_series().to_list() == ["0.000000", "0.000001", "-1.190000"]


def test_only_invoices_with_that_mistake_do_not_add_up(contracts: Contracts) -> None:
    lines = draw_bundles(np.random.default_rng(2), contracts.contracts, contracts.due, QUARTER).lines
    bills, charges = assign_bills(contracts.contracts, contracts.due, collect_charges(contracts.bills.charges, lines), QUARTER)
    mistaken = draw_invoice_mistakes(np.random.default_rng(3), bills, QUARTER.first)
    invoices = make_invoices(mistaken)
    notes = make_credit_notes(invoices)
    sound = invoices.filter(pl.col("kind").is_null())
    charged = charges.filter(pl.col("currency") == "EUR").group_by("bill").agg(charged=pl.col("amount_micros").sum())
    rows = sound.join(charged, on="bill", how="left").with_columns(pl.col("charged").fill_null(0))
    assert rows.height > 500 and (rows["charged"] == rows["total_micros"]).all()
    assert (rows["net_micros"] + rows["tax_micros"] == rows["total_micros"]).all()
    assert sound["number"].is_unique().all() and notes["number"].is_unique().all()
    numbers = invoices.filter(pl.col("number").str.starts_with("R"))["number"].str.slice(6).cast(pl.Int64)
    gaps = mistaken.filter(pl.col("kind") == "invoice_missing_number")["skipped"].sum()
    assert int(numbers.max()) == numbers.n_unique() + gaps  # type: ignore[arg-type]
    truth = record_invoice_truth(mistaken, pl.concat([invoices, notes]), charges)
    assert set(truth["kind"]) == set(SHARES) - {"invoice_missing_not_due"} and {kind.name for kind in INVOICE_LEAKS} <= set(SHARES)
    # The simulated billing reissues no invoice under the number of another account.
    made = set(INVOICE_KINDS) - {"replaces_without_invoice"}
    assert {KINDS[kind].expected_kind for kind in SHARES if KINDS[kind].category == "leak"} == made
    assert set(truth.filter(~pl.col("decidable"))["kind"]) == {"invoice_tax_within_tolerance"} <= set(UNDECIDABLE)


def scored(findings: list[tuple[object, ...]], **mistake: object) -> tuple[dict[str, object], int]:
    """Return the score of one missing invoice of 5.00, and how many findings are stray."""
    row = {
        "kind": "invoice_missing", "expected_kind": "missing_invoice", "currency": "EUR", "decidable": True, "category": "leak",
        "decided_by": "invoices", "impact_micros": 5_000_000, "usage_record_keys": ["A 2025-01-01"],
    } | mistake  # fmt: skip
    found = pl.DataFrame(findings, schema=INVOICE_FINDING, orient="row")
    scores, stray = score_invoices(pl.DataFrame([row]), found)
    return scores.row(0, named=True), stray.height


def test_a_mistake_is_found_by_the_one_finding_about_it_with_its_money() -> None:
    right = ("missing_invoice", None, "A", date(2025, 1, 1), "EUR", 5_000_000, "charges_known")
    score, stray = scored([right])
    assert (score["found"], score["recall"], score["precision"], stray) == (1, 1.0, 1.0, 0)
    score, stray = scored([(*right[:5], 4_000_000, None), ("missing_invoice", None, "B", *right[3:])])
    assert (score["found"], score["wrong_money"], score["precision"], stray) == (0, 1, 0.5, 1)
    score, stray = scored([("lines_differ", "R1", *right[2:])])
    assert (score["missed"], score["recall"], score["precision"], stray) == (1, 0.0, None, 1)
    assert scored([right, right])[0]["wrong_money"] == 1
    assert scored([(*right[:4], "USD", *right[5:])])[0]["wrong_money"] == 1


def test_unknown_money_is_null_and_undecidable_mistakes_are_counted_separately() -> None:
    unknown = ("missing_invoice", None, "A", date(2025, 1, 1), None, None, "no_charges")
    assert scored([unknown], impact_micros=None)[0]["found"] == 1
    assert scored([(*unknown[:5], 0, None)], impact_micros=None)[0]["wrong_money"] == 1
    score, _ = scored([], decidable=False)
    assert (score["injected"], score["decidable"], score["missed"], score["recall"]) == (1, 0, 0, None)


def test_a_finding_concerns_a_number_or_an_account_and_its_period() -> None:
    rows = [("tax_differs", "R1", "A", date(2025, 1, 1)), ("uninvoiced_charge", "R1", "A", date(2025, 1, 1))]
    frame = pl.DataFrame(rows, schema=["kind", "number", "account", "period_from"], orient="row")
    assert frame.select(invoice_key("kind", "number", "account", "period_from")).to_series().to_list() == ["R1", "A 2025-01-01"]


def test_invoices_need_months(tmp_path: Path) -> None:
    with pytest.raises(TrueupError, match="invoices need months"):
        simulate(tmp_path / "operator", SimulationRequest(20, 1, 7, invoices=True))
    assert not (tmp_path / "operator").exists()


def test_adding_invoices_changes_no_file_but_the_rentals(tmp_path: Path) -> None:
    plain, full = SimulationRequest(20, 1, 7, months=2), SimulationRequest(20, 1, 7, months=2, invoices=True)
    before, after = (simulate(tmp_path / name, request) for name, request in (("plain", plain), ("full", full)))
    for path in (tmp_path / "plain").rglob("*"):
        if path.is_file() and path.name not in (FILE_NAME, "truth.parquet") and path.parent.name != "rentals":
            assert path.read_bytes() == (tmp_path / "full" / path.relative_to(tmp_path / "plain")).read_bytes()
    assert "--months 2 --invoices" in (tmp_path / "full" / FILE_NAME).read_text("utf-8")
    assert before.invoices == 0 and after.invoices > 20 and after.bundle_usage > 20 and after.bundle_lines > 20
    again = simulate(tmp_path / "again", full)
    assert again.as_json() | {"directory": ""} == after.as_json() | {"directory": ""}
    for path in (tmp_path / "full" / "landing").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "full")).read_bytes()


def assert_measured(folder: Path, request: SimulationRequest, kinds: set[str]) -> None:
    """Simulate, reconcile and measure: every decidable mistake is found with its money, and every finding has one."""
    simulate(folder, request)
    text = (folder / FILE_NAME).read_text("utf-8").replace("buckets = 16", "buckets = 4")
    (folder / FILE_NAME).write_text(text, "utf-8")
    assert main(["ingest", "--quiet", "--project", str(folder)]) == 0
    assert main(["score-controls", "--check", "--project", str(folder)]) == 0
    report = json.loads((folder / "score-controls.json").read_text("utf-8"))
    by_kind = {row["kind"]: row for row in (*report["leaks"], *report["invoices"])}
    assert kinds <= set(by_kind)
    for kind in set(by_kind) & {kind.name for kind in (*COVER_LEAKS, *INVOICE_LEAKS)}:
        row = by_kind[kind]
        assert (row["found"], row["found_micros"]) == (row["decidable"], row["decidable_micros"]), kind
        assert (row["recall"], row["precision"]) == ((1, 1) if row["decidable"] else (None, None)) or row["precision"] == 1, kind
    assert report["passed"] and report["stray_invoices"] == []


def test_a_small_operator_is_measured_with_its_invoices(tmp_path: Path) -> None:
    assert_measured(tmp_path / "operator", SimulationRequest(40, 1, 5, months=3, invoices=True), {"invoice_uninvoiced_charge"})


@pytest.mark.slow
def test_every_kind_of_mistake_about_bills_is_found_with_its_money(tmp_path: Path) -> None:
    kinds = {kind.name for kind in (*COVER_LEAKS, *INVOICE_LEAKS)}
    request = SimulationRequest(400, 1, 31, months=3, invoices=True)
    assert_measured(tmp_path / "operator", request, kinds - {"cover_within_tolerance"})
