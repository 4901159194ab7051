"""The context of an evaluation: the known frontiers and prices, and the positions of interest."""

from __future__ import annotations

from dataclasses import dataclass

from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.pricing.price_table import PriceTable


@dataclass(frozen=True)
class EvaluationContext:
    """The inputs that all steps of one evaluation share; changes are reported for positions in (after, upto].

    With `keeps_totals`, the totals of periods are returned too.
    """

    frontier: Frontier
    prices: PriceTable
    after: int
    upto: int
    keeps_totals: bool = False
