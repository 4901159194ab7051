"""The built-in expectations of each stream, one module per stream."""

from __future__ import annotations

from trueup.quality.expectation import Expectation
from trueup.quality.suites.charge import CHARGE
from trueup.quality.suites.invoice import INVOICE
from trueup.quality.suites.stage import STAGE
from trueup.quality.suites.subscriber import SUBSCRIBER
from trueup.quality.suites.tariff import TARIFF
from trueup.quality.suites.usage import USAGE

SUITES: dict[str, tuple[Expectation, ...]] = {
    "usage": USAGE, "charge": CHARGE, "stage": STAGE, "invoice": INVOICE, "subscriber": SUBSCRIBER,
    "tariff": TARIFF,
}  # fmt: skip
"""The expectations that every project has, by stream; a project adds its own."""
