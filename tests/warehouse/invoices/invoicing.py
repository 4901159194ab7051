"""A project with feeds of invoices, charges and states; the files of a test are lists of rows."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from trueup.collect.ingest import ingest
from trueup.config import FILE_NAME, Project
from trueup.warehouse.close import close
from trueup.warehouse.install_views import create_views
from trueup.warehouse.query import open_warehouse

NOW = datetime(2026, 5, 20, tzinfo=UTC)
RULES = """
[invoice]
series = ['^R(?P<sequence>[0-9]+)$', '^C(?P<sequence>[0-9]+)$']
except_segments = ["prepaid"]

[[invoice.tax]]
currency = "EUR"
valid_from = 2020-01-01
rate = "0.19"
"""
INVOICE = (
    "id", "number", "account", "kind", "period_from", "period_to", "net", "tax", "total", "currency", "due_at", "billed_at",
    "refers_to", "replaces", "record_version",
)  # fmt: skip
CHARGE = (
    "id", "account", "subscriber", "service", "started_at", "quantity", "amount", "currency", "invoice_id", "item", "period_from",
    "period_to", "billed_at", "session_key",
)  # fmt: skip
STATE = ("id", "system", "subscriber", "account", "plan", "segment", "status", "valid_from", "valid_to", "cycle_day", "timezone")
USAGE = ("id", "session_key", "account", "subscriber", "service", "started_at", "quantity")
_STREAMS = {
    "usage": ("usage", USAGE),
    "invoices": ("invoice", INVOICE),
    "charges": ("charge", CHARGE),
    "states": ("subscriber", STATE),
}
Row = dict[str, str]


def toml(rules: str = RULES) -> str:
    """Return the settings of the project."""
    text = '[project]\ntimezone = "UTC"\ncurrency = "EUR"\n[lake]\nbuckets = 2\n'
    for name, (stream, columns) in _STREAMS.items():
        mapped = "".join(f'{column} = "{column}"\n' for column in columns[1:])
        text += f'[[source]]\nname = "{name}"\nstream = "{stream}"\npath = "{name}/*.csv"\n[source.columns]\nrecord_key = "id"\n{mapped}'
    return text + rules


def invoice(number: str, account: str, amounts: str, **columns: str) -> Row:
    """Return an invoice of March 2026, issued on 2 April; `amounts` are net, tax and total."""
    net, tax, total = amounts.split()
    march = {
        "period_from": "2026-03-01",
        "period_to": "2026-04-01",
        "billed_at": "2026-04-02",
        "currency": "EUR",
        "kind": "invoice",
    }
    return march | {"id": number, "number": number, "account": account, "net": net, "tax": tax, "total": total} | columns


def credit(number: str, account: str, amounts: str, refers_to: str, **columns: str) -> Row:
    """Return a credit note that was issued on 5 April."""
    return invoice(number, account, amounts, kind="credit_note", billed_at="2026-04-05", refers_to=refers_to) | columns


def charge(invoice_id: str, account: str, amount: str, **columns: str) -> Row:
    """Return a charge of usage on 10 March."""
    march = {"service": "voice", "started_at": "2026-03-10", "quantity": "1", "currency": "EUR"}
    return march | {"invoice_id": invoice_id, "account": account, "amount": amount} | columns


def state(account: str, **columns: str) -> Row:
    """Return a state in billing, active since January, of the one subscription of an account."""
    return {
        "system": "billing", "subscriber": f"S-{account}", "account": account, "status": "active", "valid_from": "2026-01-01",
    } | columns  # fmt: skip


class Invoicing:
    """A project in a folder."""

    def __init__(self, folder: Path, rules: str = RULES) -> None:
        (folder / FILE_NAME).write_text(toml(rules), "utf-8")
        self.project = Project.load(folder)
        self._files = 0

    def deliver(self, **feeds: Sequence[Row]) -> None:
        """Ingest one file for each feed; a row without an id has one of its own."""
        for name, rows in feeds.items():
            self._files += 1
            folder = self.project.directory / name
            folder.mkdir(exist_ok=True)
            with (folder / f"{self._files}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, _STREAMS[name][1])
                writer.writeheader()
                writer.writerows({"id": f"{name}-{self._files}-{number}"} | row for number, row in enumerate(rows))
        summary = ingest(self.project, clock=lambda: NOW, choose=lambda *_: True)
        assert not summary.errors

    def close(self, source: str, day: date) -> None:
        """Declare a feed complete up to the end of a day."""
        close(self.project, source, day, clock=lambda: NOW)

    def ask(self, query: str, as_of: str | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a query over the views."""
        with open_warehouse(self.project, as_of) as warehouse:
            # Only the views that the query reads.
            create_views(warehouse.lake.connection, query)
            return warehouse.lake.connection.execute(query).fetchall()

    def findings(self, of: str = "TRUE", as_of: str | None = None) -> list[tuple[Any, ...]]:
        """Return account, kind, numbers, amounts as text, currency, reason and records of the findings that meet a condition."""
        return self.ask(
            "SELECT account, kind, number, other_number, expected::VARCHAR, billed::VARCHAR, impact::VARCHAR, currency, reason, records "
            f"FROM invoice_findings WHERE {of} ORDER BY ALL",
            as_of,
        )
