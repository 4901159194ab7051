"""`[cases]`: settings of root causes, decisions on money and notifications."""

from __future__ import annotations

from trueup.config.values import Table, Tolerance
from trueup.units import MICROS


class CasesConfig(Table):
    """`[cases]`: how findings are grouped by root cause, and who decides on their money."""

    second_person_above: Tolerance = 1_000 * MICROS
    """The money above which a write-off needs a second person."""
