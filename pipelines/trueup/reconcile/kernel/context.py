"""The context of an evaluation: what is known of frontiers, tariffs and allowance pools, and which positions count."""

from __future__ import annotations

from dataclasses import dataclass

from trueup.reconcile.domain.frontier import Frontier
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.pricing.allowance_pools import Pools


@dataclass(frozen=True)
class EvaluationContext:
    """What all steps of one evaluation share; changes are reported for positions in (after, upto]."""

    frontier: Frontier
    terms: Terms
    pools: Pools
    after: int
    upto: int
