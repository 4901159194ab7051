"""Raise the threshold of the model in force so far that its cases fit what rules leave of the daily budget."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.errors import TrueupError
from trueup.fraud.monitoring.ordinary import ordinary_days
from trueup.fraud.scoring.model_registry import threshold_in_force
from trueup.log.lake import Lake
from trueup.warehouse import install_views
from trueup.warehouse.query import Warehouse

_DAYS, _LEAST_DAYS = 14, 3
_DEVIATIONS = 2.0
"""How many standard deviations of a count the model's cases may exceed its part, before the threshold is corrected."""


@dataclass(frozen=True)
class Realised:
    """The cases of the last ordinary days on which a model was the champion, without days that it was trained on.

    `by_rules` counts the cases with a match of an alerting rule. `left` is what these leave of the budget. `probabilities` has the
    highest probability of each other case, of those that reach the threshold in force.
    """

    budget: int
    days: int
    by_rules: int
    left: int
    probabilities: NDArray[np.float64]

    @property
    def is_kept(self) -> bool:
        """Return whether the model added no more cases than rules left."""
        return len(self.probabilities) <= self.left

    @property
    def is_exceeded(self) -> bool:
        """Return whether the model added more cases than rules left, by more than chance; never on fewer than three days."""
        return self.days >= _LEAST_DAYS and len(self.probabilities) > self.left + _DEVIATIONS * sqrt(max(self.left, 1))

    @property
    def fitted(self) -> float:
        """Return the lowest threshold at which the model would have added no more cases than rules left."""
        from trueup.fraud.training.budget import lowest_within

        return lowest_within(self.probabilities, self.left)

    @property
    def shown(self) -> str:
        """Return the cases a day in words."""
        of_model, of_rules = len(self.probabilities) / self.days, self.by_rules / self.days
        days = f"{self.days} day" if self.days == 1 else f"{self.days} days"
        return f"{of_model + of_rules:.1f} cases a day in {days}, {of_rules:.1f} of them of rules"


def realised_cases(lake: Lake, model_id: str) -> Realised:
    """Return the cases of the last two weeks of ordinary days on which a model was the champion.

    The days are those of the log when the question is asked, without the newest, so no later record has a part in the answer.
    """
    from trueup.fraud.training.budget import left_by_rules

    install_views.set_variables(lake.connection, lake.project)
    warehouse, budget = Warehouse(lake, None), lake.project.config.fraud.alerts_per_day
    days, cases = (pl.DataFrame(warehouse.table(f"queries/fraud/{n}")) for n in ("cases_of_days", "scores_of_cases"))
    if not days.height:
        return Realised(budget, 0, 0, 0, np.zeros(0))
    last = ordinary_days(days).filter(pl.col("champion") == model_id).sort("day").tail(_DAYS)
    by_rules = last["rule_cases"].to_list()
    reaches = pl.col("probability") >= threshold_in_force(lake, model_id)
    counted = cases.join(last, on="day", how="semi").filter(~pl.col("has_rule") & (pl.col("model_id") == model_id) & reaches)
    probabilities = counted["probability"].cast(pl.Float64).to_numpy()
    return Realised(budget, last.height, sum(by_rules), left_by_rules(budget, by_rules), probabilities)


def fitted_threshold(lake: Lake, model_id: str) -> float:
    """Return the threshold at which a model would have kept to the budget of cases in its last two weeks of ordinary days.

    Cases of rules use the budget first; the model gets what they leave. The result is above the threshold in force. Raises
    `TrueupError` where no day counts, or where the model kept to its part.
    """
    realised = realised_cases(lake, model_id)
    if not realised.days:
        raise TrueupError(
            "no day is scored on which it was the champion and that it was not trained on", where=str(lake.project.directory),
            todo="score later days first: `trueup ingest`, then `trueup score`",
        )  # fmt: skip
    if realised.is_kept:
        over = realised.by_rules > realised.budget * realised.days
        raise TrueupError(
            f"the budget of {realised.budget} is {'exceeded by rules alone' if over else 'kept'}: {realised.shown}",
            where=str(lake.project.directory),
            todo="set shadow = true for a rule: see `trueup try-rules --by-day`" if over else "promote it without --fit-budget",
        )  # fmt: skip
    return realised.fitted
