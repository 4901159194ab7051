"""Raise the threshold of the model in force so far that its cases fit the daily budget."""

from __future__ import annotations

import polars as pl

from trueup.errors import TrueupError
from trueup.fraud.monitoring.ordinary import ordinary_days
from trueup.log.lake import Lake
from trueup.warehouse import install_views
from trueup.warehouse.query import Warehouse

_DAYS = 14


def fitted_threshold(lake: Lake, model_id: str) -> float:
    """Return the threshold at which a model would have kept to the budget of cases in its last two weeks of ordinary days.

    Cases of rules take up to half of the budget first. Days that the model was trained on do not count. Raises `TrueupError` where
    no day counts, or where the budget was kept.
    """
    from trueup.fraud.training.budget import left_by_rules, lowest_within

    install_views.set_variables(lake.connection, lake.project)
    warehouse, budget = Warehouse(lake, None), lake.project.config.fraud.alerts_per_day
    days, cases = (pl.DataFrame(warehouse.table(f"queries/fraud/{n}")) for n in ("cases_of_days", "scores_of_cases"))
    if not days.height:
        raise TrueupError(
            "no day is scored that the model was not trained on", where=str(lake.project.directory),
            todo="score later days first: `trueup ingest`, then `trueup score`",
        )  # fmt: skip
    last = ordinary_days(days).sort("day").tail(_DAYS)
    counted = cases.join(last, on="day", how="semi")
    by_rules = counted.filter("has_rule").height
    of_model = counted.filter(~pl.col("has_rule") & (pl.col("model_id") == model_id))["probability"].to_numpy()
    allowed = left_by_rules(budget * last.height, by_rules)
    if len(of_model) <= allowed:
        a_day = (len(of_model) + by_rules) / last.height
        kept = f"the budget of {budget} is kept: {a_day:.1f} cases a day in {last.height} days"
        raise TrueupError(kept, todo="promote it without --fit-budget")
    return lowest_within(of_model.astype("float64"), allowed)
