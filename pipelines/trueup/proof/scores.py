"""Scores, their counts and their spread against what scoring derives anew from the same log, models and settings."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from trueup.config import Project
from trueup.errors import ConfigError, TrueupError
from trueup.proof.evidence import Check, Evidence, Found
from trueup.proof.units import shown

if TYPE_CHECKING:
    from trueup.fraud.derive import Runs

CHECK = "scores"
_KEY = ["event_id", "source", "name", "position"]
_COUNTED = {
    "scoring": (["source", "name", "role", "day"], ["transactions", "suspicious"]),
    "drift": (["name", "day", "feature", "bin"], ["transactions"]),
}  # fmt: skip


def check_scores(evidence: Evidence) -> Check:
    """Derives the scores of every run anew and compares them column by column, and the counts of runs added up.

    Not made without the extra `fraud`. Where the log did not record the settings of a run and today's make other scores, that
    proves nothing: a note says so.
    """
    stored = evidence.lake.count("score") + evidence.lake.count("scoring")
    if importlib.util.find_spec("xgboost") is None:
        return Check(CHECK, 0, "score", not_made="comes with trueup[fraud]" if stored else "")
    from trueup.fraud.derive import runs_of

    found, notes = Found(CHECK), list[str]()
    runs = runs_of(evidence.lake)
    for part in runs:
        _one(evidence, part, found, notes)
    _strays(evidence, runs, found)
    return Check(CHECK, stored, "score", found.all(), tuple(notes))


def _one(evidence: Evidence, runs: Runs, found: Found, notes: list[str]) -> None:
    from trueup.fraud.derive import derive

    recorded = runs.runs[0].configuration
    where = f"scores of positions {runs.after + 1} to {runs.upto}"
    try:
        project = _project_of(evidence, recorded)
        derived = derive(evidence.lake, project, runs)
    except ConfigError as error:
        found.unavailable(where, str(error))
        return
    except TrueupError as error:
        # A model that is not there, or damaged.
        found.unavailable(where, f"a model cannot be used: {error}")
        return
    faults = Found(CHECK)
    _compare(derived.score, _stored(evidence, "score", runs.snapshots), faults)
    for table, frame in (("scoring", derived.scoring), ("drift", derived.drift)):
        _compare_counts(table, frame, _stored(evidence, table, runs.snapshots), faults)
    if recorded is None and faults.faults:
        notes.append(f"{where}: the log did not record their settings, and today's make others; not proven")
    else:
        found.faults.extend(faults.all())


def _project_of(evidence: Evidence, recorded: str | None) -> Project:
    """The project with the settings by which a run scored; raises `ConfigError` where they cannot be read."""
    from trueup.fraud.record import read_scoring

    project = evidence.lake.project
    if recorded is None:
        return project
    texts = {row["configuration"]: row["content"] for row in evidence.rows("configurations")}
    if texts.get(recorded) is None:
        raise ConfigError(f"the log does not hold the configuration {recorded}")
    fraud = read_scoring(texts[recorded], project.config.fraud)
    return Project(project.directory, project.config.model_copy(update={"fraud": fraud}))


def _stored(evidence: Evidence, table: str, snapshots: Sequence[int]) -> pl.DataFrame:
    query = f"SELECT s.* FROM lake.events.{table} AS s WHERE s.snapshot_id IN (SELECT unnest(?))"
    return evidence.lake.connection.execute(query, [list(snapshots)]).pl()


def _strays(evidence: Evidence, runs: Sequence[Runs], found: Found) -> None:
    """Scores that came in no commit of scoring."""
    snapshots = [snapshot for part in runs for snapshot in part.snapshots]
    for table in ("score", *_COUNTED):
        query = f"SELECT count(*) FROM lake.events.{table} AS s WHERE s.snapshot_id NOT IN (SELECT unnest(?))"
        counted = evidence.lake.connection.execute(query, [snapshots]).fetchone()
        if counted and counted[0]:
            found.tampered(f"table {table}", f"{counted[0]} rows came in no commit of scoring: added, or changed in place")


def _compare(derived: pl.DataFrame, stored: pl.DataFrame, found: Found) -> None:
    columns = [name for name in stored.columns if name not in _KEY]
    made = derived if derived.width else stored.clear()
    made = made.select(pl.col(name).cast(dtype) if name in made.columns else pl.lit(None, dtype).alias(name)
                       for name, dtype in stored.schema.items())  # fmt: skip
    for row in stored.join(made, on=_KEY, how="anti", nulls_equal=True).sort(_KEY).iter_rows(named=True):
        found.tampered(_where(row), f"the log holds this score of {row['source']} {row['name']}, but scoring does not make it")
    for row in made.join(stored, on=_KEY, how="anti", nulls_equal=True).sort(_KEY).iter_rows(named=True):
        found.tampered(_where(row), f"scoring makes this score of {row['source']} {row['name']}, but it is missing from the log")
    for row in stored.filter(stored.select(_KEY).is_duplicated()).unique(_KEY).sort(_KEY).iter_rows(named=True):
        found.tampered(_where(row), f"the log holds this score of {row['source']} {row['name']} more than once")
    both = made.join(stored.unique(_KEY), on=_KEY, suffix="_stored", nulls_equal=True)
    for row in both.sort(_KEY).iter_rows(named=True):
        names = [name for name in columns if row[name] != row[f"{name}_stored"]]
        if names:
            told = "; ".join(f"{name} is {shown(row[f'{name}_stored'])}, derived {shown(row[name])}" for name in names)
            found.tampered(_where(row), f"score of {row['source']} {row['name']}: {told}")


def _where(row: dict[str, Any]) -> str:
    return f"score of event {row['event_id'].hex()} at position {row['position']}"


def _compare_counts(table: str, derived: pl.DataFrame, stored: pl.DataFrame, found: Found) -> None:
    """The counts of runs added up: how runs divided the log does not matter."""
    key, numbers = _COUNTED[table]
    made = _summed(derived if derived.width else stored.clear(), key, numbers)
    both = made.join(_summed(stored, key, numbers), on=key, how="full", coalesce=True, nulls_equal=True, suffix="_stored")
    for row in both.sort(key, nulls_last=True).iter_rows(named=True):
        for name in numbers:
            if (row[name] or 0) != (row[f"{name}_stored"] or 0):
                where = f"{table} of {', '.join(str(row[part]) for part in key)}"
                found.tampered(where, f"{name} adds up to {row[f'{name}_stored'] or 0}, derived {row[name] or 0}")


def _summed(rows: pl.DataFrame, key: list[str], numbers: list[str]) -> pl.DataFrame:
    return rows.group_by(key).agg(pl.col(name).cast(pl.Int64).sum() for name in numbers)
