"""Invalid invoices: each is quarantined with a rule; and invalid settings are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.warehouse.invoices.invoicing import NOW, Invoicing, Row, charge, credit, invoice, toml

from trueup.collect.ingest import ingest
from trueup.config import parse
from trueup.errors import ConfigError, TrueupError
from trueup.log.lake import Lake
from trueup.proof.verify import verify
from trueup.warehouse.audit import audit
from trueup.warehouse.query import open_warehouse

BAD: list[tuple[Row, str, str]] = [
    (invoice("R1", "", "1 0 1"), "missing_required", "account: is there"),
    (invoice("R1", "a", "1 0 1", billed_at=""), "missing_required", "billed_at: is there"),
    (invoice("R1", "a", "1 0 1", tax=""), "missing_required", "tax: is there"),
    (invoice("R1", "a", "1 0 1", kind="bill"), "value_out_of_range", "kind: is invoice or credit_note"),
    (invoice("R1", "a", "1 0 1", period_from=""), "missing_required", "period_from: is there, for an invoice"),
    (invoice("R1", "a", "1 0 1", period_to=""), "missing_required", "period_to: is there, for an invoice"),
    (invoice("R1", "a", "1 0 1", period_to="2026-02-28"), "value_out_of_range", "period_to: is not before period_from"),
    (credit("C1", "a", "1 0 1", "R1"), "inconsistent", "total: is not above zero, for a credit note"),
    (credit("C1", "a", "-1 0 -1", "C1"), "inconsistent", "refers_to: is another number"),
    (invoice("R1", "a", "1 0 1", refers_to="R0"), "inconsistent", "refers_to: is missing, for an invoice"),
    (invoice("R1", "a", "1 0 1", replaces="R1"), "inconsistent", "replaces: is another number"),
    (invoice("R1", "a", "1 0 1", currency="XXY"), "unknown_currency", "currency: is a currency of ISO 4217"),
    (invoice("R1", "a", "1 0 1", billed_at="2027-01-01"), "time_out_of_range", "billed_at: lies within max_age and a day ahead"),
    (invoice("R1", "a", "one 0 1"), "unparsable", "net: is a decimal number"),
]  # fmt: skip


def test_an_invoice_that_cannot_be_meant_is_quarantined_with_its_rule(tmp_path: Path) -> None:
    made = Invoicing(tmp_path)
    made.deliver(invoices=[row for row, _, _ in BAD])
    assert made.ask("SELECT reason, rule FROM quarantine ORDER BY source_row") == [(reason, rule) for _, reason, rule in BAD]
    assert made.findings() == []


def test_an_invoice_is_due_in_the_future_and_the_last_version_of_it_counts(tmp_path: Path) -> None:
    made = Invoicing(tmp_path)
    made.deliver(
        invoices=[
            invoice("R1", "a", "9 1.71 10.71", record_version="2", due_at="2026-12-31"), invoice("R1", "a", "8 8 8", record_version="1"),
        ],
        charges=[charge("R1", "a", "5", id="k"), charge("R1", "a", "9", id="k", quantity="2")],
    )  # fmt: skip
    assert made.findings("provisional_reason IS NULL") == []
    assert made.ask("SELECT net::VARCHAR, due_at::DATE::VARCHAR FROM invoices") == [("9.000000", "2026-12-31")]
    # Ids, counts and audits know the stream.
    with Lake.open(made.project, read_only=True) as lake:
        assert verify(lake).sound
    with open_warehouse(made.project) as warehouse:
        assert all(found.passed for found in audit(warehouse, ["control_counts", "records_accounted", "positions"]))
    again = ingest(made.project, clock=lambda: NOW, choose=lambda *_: True)
    assert {unit.outcome for unit in again.units} == {"known"}


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("[invoice]\nseries = ['R[0-9]+']", "must have a group (?P<sequence>"),
        ("[invoice]\nseries = ['R(?=1)(?P<sequence>[0-9]+)']", "cannot use"),
        ("[invoice]\nseries = ['(?P<a>R)(?P<sequence>[0-9]+)']", "and no other"),
        ("[invoice]\nseries = ['(?P<sequence>[0-9]+)', '(?P<sequence>[0-9]+)']", "names one value twice"),
        ('[[invoice.tax]]\ncurrency = "EUR"\nvalid_from = 2026-01-01\nrate = "1.9"', "must lie between '0' and '1'"),
        ('[[invoice.tax]]\ncurrency = "EUR"\nvalid_from = 2026-01-01\nrate = 0.19', "in quotes"),
        ('[[invoice.tax]]\ncurrency = "EUR"\nvalid_from = 2026-01-01\nrate = "0.1"\n' * 2, "two taxes of EUR hold from 2026-01-01"),
        ('[invoice]\nperiod_to = "open"', "period_to"),
        ('[invoice]\nthreshold = "-1"', "must not be negative"),
    ],
)
def test_a_setting_of_invoices_that_cannot_be_meant_is_refused(rules: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(toml(rules + "\n"))
    assert message in str(refused.value)


def test_a_project_with_invoices_of_an_older_lake_opens(tmp_path: Path) -> None:
    made = Invoicing(tmp_path)
    made.deliver(charges=[charge("", "a", "1")])
    with Lake.open(made.project, clock=lambda: NOW) as lake:
        lake.connection.execute("DROP TABLE lake.events.invoice")
    with pytest.raises(TrueupError):
        made.findings()
    made.deliver(invoices=[invoice("R1", "a", "0 0 0")])
    assert made.ask("SELECT number FROM invoices") == [("R1",)]
