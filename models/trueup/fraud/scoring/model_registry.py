"""Read from the declarations of the log which model is in force at which positions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from trueup.config import Project
from trueup.errors import TrueupError
from trueup.fraud.features.feature_spec import FeatureSet
from trueup.fraud.scoring.model import Model, load_model
from trueup.log.lake import Lake
from trueup.warehouse.statements import statement

Role = Literal["champion", "challenger", "retired"]
ROLES = ("champion", "challenger", "retired")


@dataclass(frozen=True)
class ModelInterval:
    """A model in force for records of positions in (after, upto]."""

    model_id: str
    role: str
    after: int
    upto: int


def promote(lake: Lake, declared: FeatureSet, model_id: str, *, role: str = "champion", since: int | None = None) -> int:
    """Declare a model in force from this commit on, or for all positions after `since`; return the declaration's position.

    A challenger is counted and raises no alert; a retired model does neither. Raises `TrueupError` for a model that cannot be used.
    """
    if role not in ROLES:
        raise TrueupError(f"invalid role of a model: {role!r}", todo=f"write one of {', '.join(ROLES)}")
    load_model(folder_of(lake.project, model_id), declared)
    content = {"model_id": model_id, "role": role, "since": since}
    return lake.commit(lambda transaction: transaction.declare("model", content=content))


def model_intervals(lake: Lake, *, after: int, upto: int, before: int | None = None) -> list[ModelInterval]:
    """Return the models in force in (after, upto]: one champion at a time, and any challengers.

    `before` limits the declarations to those committed before that snapshot.
    """
    rows = lake.connection.execute(statement("queries/fraud/model_declarations").text).fetchall()
    champion: list[tuple[int, str | None]] = []
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
            champion = [c for c in champion if c[0] < begin] + [(begin, model_id)]
        elif role == "challenger":
            challengers[model_id] = begin
        elif champion and champion[-1][1] == model_id:
            champion.append((begin, None))
    intervals += [ModelInterval(model_id, "challenger", begin, upto) for model_id, begin in challengers.items()]
    ends = [*(begin for begin, _ in champion[1:]), upto][: len(champion)]
    intervals += [ModelInterval(m, "champion", begin, end) for (begin, m), end in zip(champion, ends, strict=True) if m is not None]
    cut = [ModelInterval(s.model_id, s.role, max(s.after, after), min(s.upto, upto)) for s in intervals]
    return sorted((s for s in cut if s.after < s.upto), key=lambda s: (s.after, s.role, s.model_id))


NO_MODEL = "no model is in force; `trueup train` makes one, `trueup promote` declares it"


def active_models(lake: Lake, *, after: int, upto: int) -> list[ModelInterval] | None:
    """Return the models in force in (after, upto]; None where there is neither a model nor a rule."""
    intervals = model_intervals(lake, after=after, upto=upto)
    return intervals if intervals or lake.project.config.fraud.rule else None


def folder_of(project: Project, model_id: str) -> Path:
    """Return the folder of a model."""
    return project.resolve(project.config.fraud.models) / model_id


def models_of(project: Project, declared: FeatureSet, parts: list[ModelInterval]) -> dict[str, Model]:
    """Return the models of intervals, each read once; raises `ModelError` for one that cannot be used."""
    return {s.model_id: load_model(folder_of(project, s.model_id), declared) for s in parts}


def within(position: str, interval: ModelInterval) -> pl.Expr:
    """Return whether the position of a row is within a model interval."""
    return (pl.col(position) > interval.after) & (pl.col(position) <= interval.upto)
