"""Read from the declarations of the log which model is in force at which positions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import polars as pl

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.fraud.features.feature_spec import FeatureSet
from trueup.fraud.features.telecom import telecom_features
from trueup.fraud.scoring.model import Model, load_model
from trueup.fraud.scoring.rules import rules_of
from trueup.log.lake import Lake
from trueup.warehouse.statements import statement

Role = Literal["champion", "challenger", "retired"]
ROLES = ("champion", "challenger", "retired")
SCORER = "score"
"""The consumer of the log that scores."""


@dataclass(frozen=True)
class ModelInterval:
    """A model in force for positions in (after, upto], with the declared threshold that replaces its own."""

    model_id: str
    role: str
    after: int
    upto: int
    threshold: float | None = None


@dataclass(frozen=True)
class Promotion:
    """A declared role: the position of the declaration, and the position after which it applies."""

    position: int
    since: int


def promote(
    lake: Lake, declared: FeatureSet, model_id: str, *, role: str = "champion", since: int | None = None,
    threshold: float | None = None,
) -> Promotion:  # fmt: skip
    """Declare the role of a model for all positions after `since`, which by default is the end of the log.

    Where nothing has been scored yet, the default is the beginning of the log. The scores of a challenger are counted but raise no
    alerts; a retired model scores nothing. Raises `TrueupError` for a model that cannot be used.
    """
    if role not in ROLES:
        raise TrueupError(f"invalid role of a model: {role!r}", todo=f"write one of {', '.join(ROLES)}")
    model = load_model(folder_of(lake.project, model_id), declared)
    _check_home(model, lake.project)
    since = _find_since(lake, role, since)
    content = {"model_id": model_id, "role": role, "since": since} | ({} if threshold is None else {"threshold": threshold})
    position = lake.commit(lambda transaction: transaction.declare("model", content=content))
    return Promotion(position, position if since is None else since)


def check_promotion(lake: Lake, model_id: str, role: str, since: int | None, *, has_threshold: bool = False) -> None:
    """Raise `TrueupError` for a challenger that is champion of the same records, and for a threshold of a model without alerts."""
    if has_threshold and role in ("challenger", "retired"):
        raise TrueupError(f"a {role} raises no alerts, so it has no threshold", where=model_id, todo="declare one for a champion")
    if role != "challenger":
        return
    end, begin = lake.last_position(), _find_since(lake, role, since)
    after = end if begin is None else begin
    for interval in model_intervals(lake, after=after, upto=max(after, end) + 1):
        if interval.role == "champion" and interval.model_id == model_id:
            raise TrueupError(
                f"the model is the champion of records after position {interval.after}, so it cannot be a challenger too",
                where=model_id, todo="first promote another model as champion, or retire this one (`--as retired`)",
            )  # fmt: skip


def _find_since(lake: Lake, role: str, since: int | None) -> int | None:
    """Return the position after which a role applies: the beginning where nothing is scored, else None for the end of the log."""
    return 0 if since is None and role != "retired" and lake.consumer_position(SCORER) == 0 else since


def declare_role(lake: Lake, model_id: str, role: Role, reason: Mapping[str, object]) -> int:
    """Declare a role that trueup itself has chosen, with the reason, from now on; return the position.

    Raises `TrueupError` for a model that cannot be used.
    """
    _check_home(load_model(folder_of(lake.project, model_id), telecom_features()), lake.project)
    content = {"model_id": model_id, "role": role, "since": None, **reason}
    return lake.commit(lambda transaction: transaction.declare("model", content=content))


def threshold_of(lake: Lake, model_id: str, *, before: int | None = None) -> float | None:
    """Return the last threshold declared for a model as champion before a snapshot; None where the model's own applies."""
    rows = lake.connection.execute(statement("queries/fraud/model_declarations").text).fetchall()
    contents = (json.loads(content) for _, content, snapshot in rows if before is None or snapshot < before)
    of_model = [c for c in contents if c["model_id"] == model_id and c["role"] == "champion"]
    return of_model[-1].get("threshold") if of_model else None


def threshold_in_force(lake: Lake, model_id: str) -> float:
    """Return the threshold last declared for a model as champion, or the model's own."""
    declared = threshold_of(lake, model_id)
    return load_model(folder_of(lake.project, model_id), telecom_features()).threshold if declared is None else declared


def first_day_before(lake: Lake, position: int) -> date | None:
    """Return the day of the first record at or before a position; None where there is none."""
    first = (
        lake.read("control", columns=["stream", "first_time"], upto=position)
        .filter(pl.col("stream") == "usage")["first_time"]
        .min()
    )
    return first.date() if isinstance(first, datetime) else None


def _check_home(model: Model, project: Project) -> None:
    """Raise `TrueupError` for a model that was trained with other domestic prefixes, by which calls abroad could be domestic."""
    trained, home = model.card.get("home_prefixes"), list(project.config.fraud.home_prefixes)
    if trained is not None and sorted(trained) != sorted(home):
        raise TrueupError(
            f"the model was trained with home_prefixes {trained}, and the project has {home}", where=model.model_id,
            todo="train a model with the settings of this project",
        )  # fmt: skip


def model_intervals(lake: Lake, *, after: int, upto: int, before: int | None = None) -> list[ModelInterval]:
    """Return the models in force in (after, upto]: one champion at a time, and any challengers.

    `before` limits the declarations to those committed before that snapshot.
    """
    rows = lake.connection.execute(statement("queries/fraud/model_declarations").text).fetchall()
    champion: list[tuple[int, str | None, float | None]] = []
    intervals: list[ModelInterval] = []
    challengers: dict[str, int] = {}
    for position, content, snapshot in rows:
        if before is not None and snapshot >= before:
            continue
        declaration = json.loads(content)
        begin = int(position if declaration["since"] is None else declaration["since"])
        model_id, role = declaration["model_id"], declaration["role"]
        if model_id in challengers:
            intervals.append(ModelInterval(model_id, "challenger", challengers.pop(model_id), begin))
        if role == "champion":
            champion = [c for c in champion if c[0] < begin] + [(begin, model_id, declaration.get("threshold"))]
        elif role == "challenger":
            challengers[model_id] = begin
        elif champion and champion[-1][1] == model_id:
            champion.append((begin, None, None))
    intervals += [ModelInterval(model_id, "challenger", begin, upto) for model_id, begin in challengers.items()]
    ends = [*(begin for begin, _, _ in champion[1:]), upto][: len(champion)]
    champions = zip(champion, ends, strict=True)
    intervals += [ModelInterval(m, "champion", begin, end, limit) for (begin, m, limit), end in champions if m is not None]
    cut = [replace(s, after=max(s.after, after), upto=min(s.upto, upto)) for s in intervals]
    return sorted((s for s in cut if s.after < s.upto), key=lambda s: (s.after, s.role, s.model_id))


def no_model(project: Project) -> str:
    """Return why no model is in force, and the next command: `promote` where a model is trained, else `train`."""
    folder = project.resolve(project.config.fraud.models)
    trained = sorted(folder.glob("*/card.json"), key=lambda card: card.stat().st_mtime_ns) if folder.is_dir() else []
    if not trained:
        return "no model is in force; `trueup train` trains one from decisions; without decisions, run `trueup promote starter`"
    return f"no model is in force; next: trueup promote {trained[-1].parent.name} --project {project.directory}"


def active_models(lake: Lake, *, after: int, upto: int) -> list[ModelInterval] | None:
    """Return the models in force in (after, upto]; None where there is neither a model nor a rule.

    A model that is in force only for later positions is included; it gives earlier positions no score.
    """
    intervals = model_intervals(lake, after=after, upto=upto)
    if intervals or rules_of(lake.project.config.fraud) or model_intervals(lake, after=upto, upto=upto + 1):
        return intervals
    return None


def folder_of(project: Project, model_id: str) -> Path:
    """Return the folder of a model."""
    return project.resolve(project.config.fraud.models) / model_id


def models_of(project: Project, declared: FeatureSet, parts: list[ModelInterval]) -> dict[str, Model]:
    """Return the models of intervals, each loaded once; raise `TrueupError` for one that cannot be used with these settings."""
    models = {s.model_id: load_model(folder_of(project, s.model_id), declared) for s in parts}
    for model in models.values():
        _check_home(model, project)
    return models


def within(position: str, interval: ModelInterval) -> pl.Expr:
    """Return whether the position of a row is within a model interval."""
    return (pl.col(position) > interval.after) & (pl.col(position) <= interval.upto)
