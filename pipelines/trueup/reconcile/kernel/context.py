"""The context of an evaluation: what is known of frontiers and prices, and which positions count."""

from __future__ import annotations

from dataclasses import dataclass

from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.pricing.price_table import PriceTable


@dataclass(frozen=True)
class EvaluationContext:
    """What all steps of one evaluation share; changes are reported for positions in (after, upto].

    `keeps_totals` says whether the totals of periods are returned.
    """

    frontier: Frontier
    prices: PriceTable
    after: int
    upto: int
    keeps_totals: bool = False
