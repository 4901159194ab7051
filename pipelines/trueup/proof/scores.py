"""Check of scores, counts and distributions: compares them with those that scoring derives again from log, models and settings."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from trueup.config import Project
from trueup.errors import ConfigError, TrueupError
from trueup.proof.evidence import Check, Evidence, FaultCollector, format_value

if TYPE_CHECKING:
    from trueup.fraud.derive import Runs

CHECK = "scores"
_KEY = ["event_id", "source", "name", "position", "party_rank"]
_COUNTED = {
    "scoring": (["source", "name", "role", "day"], ["transactions", "suspicious", "in_sample"]),
    "drift": (["name", "day", "feature", "bin"], ["transactions"]),
}  # fmt: skip


def check_scores(evidence: Evidence) -> Check:
    """Derive the scores of every run again, compare them column by column, and compare the sums of the runs' counts.

    The check needs the extra `fraud`. If the log did not record a run's settings, differences under the present settings prove
    nothing; they become a note.
    """
    stored = evidence.lake.count("score") + evidence.lake.count("scoring")
    if importlib.util.find_spec("xgboost") is None:
        return Check(CHECK, 0, "score", not_made="comes with trueup[fraud]" if stored else "")
    from trueup.fraud.derive import runs_of

    faults, notes = FaultCollector(CHECK), list[str]()
    runs = runs_of(evidence.lake)
    for part in runs:
        _check_run(evidence, part, faults, notes)
    _report_strays(evidence, runs, faults)
    return Check(CHECK, stored, "score", faults.all(), tuple(notes))


def _check_run(evidence: Evidence, runs: Runs, faults: FaultCollector, notes: list[str]) -> None:
    from trueup.fraud.derive import derive

    recorded = runs.runs[0].configuration
    where = f"scores of positions {runs.after + 1} to {runs.upto}"
    try:
        project = _rebuild_project(evidence, recorded)
        derived = derive(evidence.lake, project, runs)
    except ConfigError as error:
        faults.unavailable(where, str(error))
        return
    except TrueupError as error:
        # The model is missing or damaged.
        faults.unavailable(where, f"a model cannot be used: {error}")
        return
    run_faults = FaultCollector(CHECK)
    _compare_scores(derived.score, _read_stored(evidence, "score", runs.snapshots), run_faults)
    for table, frame in (("scoring", derived.scoring), ("drift", derived.drift)):
        _compare_counts(table, frame, _read_stored(evidence, table, runs.snapshots), run_faults)
    if recorded is None and run_faults.faults:
        notes.append(f"{where}: the log did not record their settings, and the present ones yield other scores; not proven")
    else:
        faults.faults.extend(run_faults.all())


def _rebuild_project(evidence: Evidence, recorded: str | None) -> Project:
    """Return the project with the settings by which a run scored; raise `ConfigError` where they cannot be read."""
    from trueup.fraud.record import read_scoring

    project = evidence.lake.project
    if recorded is None:
        return project
    texts = {row["configuration"]: row["content"] for row in evidence.rows("configurations")}
    if texts.get(recorded) is None:
        raise ConfigError(f"the log lacks the configuration {recorded}")
    fraud = read_scoring(texts[recorded], project.config.fraud)
    return Project(project.directory, project.config.model_copy(update={"fraud": fraud}))


def _read_stored(evidence: Evidence, table: str, snapshots: Sequence[int]) -> pl.DataFrame:
    query = f"SELECT s.* FROM lake.events.{table} AS s WHERE s.snapshot_id IN (SELECT unnest(?))"
    return evidence.lake.connection.execute(query, [list(snapshots)]).pl()


def _report_strays(evidence: Evidence, runs: Sequence[Runs], faults: FaultCollector) -> None:
    """Add a fault for scores outside the commits of scoring."""
    snapshots = [snapshot for part in runs for snapshot in part.snapshots]
    for table in ("score", *_COUNTED):
        query = f"SELECT count(*) FROM lake.events.{table} AS s WHERE s.snapshot_id NOT IN (SELECT unnest(?))"
        counted = evidence.lake.connection.execute(query, [snapshots]).fetchone()
        if counted and counted[0]:
            faults.tampered(f"table {table}", f"{counted[0]} rows are outside the commits of scoring: added, or changed in place")


def _compare_scores(derived: pl.DataFrame, stored: pl.DataFrame, faults: FaultCollector) -> None:
    columns = [name for name in stored.columns if name not in _KEY]
    rescored = derived if derived.width else stored.clear()
    rescored = rescored.select(pl.col(name).cast(dtype) if name in rescored.columns else pl.lit(None, dtype).alias(name)
                       for name, dtype in stored.schema.items())  # fmt: skip
    for row in stored.join(rescored, on=_KEY, how="anti", nulls_equal=True).sort(_KEY).iter_rows(named=True):
        faults.tampered(
            _describe_score(row), f"the log has this score of {row['source']} {row['name']}, but scoring does not yield it"
        )
    for row in rescored.join(stored, on=_KEY, how="anti", nulls_equal=True).sort(_KEY).iter_rows(named=True):
        faults.tampered(
            _describe_score(row), f"scoring yields this score of {row['source']} {row['name']}, but it is missing from the log"
        )
    for row in stored.filter(stored.select(_KEY).is_duplicated()).unique(_KEY).sort(_KEY).iter_rows(named=True):
        faults.tampered(_describe_score(row), f"the log has this score of {row['source']} {row['name']} more than once")
    both = rescored.join(stored.unique(_KEY), on=_KEY, suffix="_stored", nulls_equal=True)
    for row in both.sort(_KEY).iter_rows(named=True):
        names = [name for name in columns if row[name] != row[f"{name}_stored"]]
        if names:
            detail = "; ".join(
                f"{name} is {format_value(row[f'{name}_stored'])}, derived {format_value(row[name])}" for name in names
            )
            faults.tampered(_describe_score(row), f"score of {row['source']} {row['name']}: {detail}")


def _describe_score(row: dict[str, Any]) -> str:
    return f"score of event {row['event_id'].hex()} at position {row['position']}"


def _compare_counts(table: str, derived: pl.DataFrame, stored: pl.DataFrame, faults: FaultCollector) -> None:
    """Compare the sums of the runs' counts, independent of the division of the log into runs."""
    key, numbers = _COUNTED[table]
    rescored = _sum_by_key(derived if derived.width else stored.clear(), key, numbers)
    both = rescored.join(_sum_by_key(stored, key, numbers), on=key, how="full", coalesce=True, nulls_equal=True, suffix="_stored")
    for row in both.sort(key, nulls_last=True).iter_rows(named=True):
        for name in numbers:
            if (row[name] or 0) != (row[f"{name}_stored"] or 0):
                where = f"{table} of {', '.join(str(row[part]) for part in key)}"
                faults.tampered(where, f"{name} adds up to {row[f'{name}_stored'] or 0}, derived {row[name] or 0}")


def _sum_by_key(rows: pl.DataFrame, key: list[str], numbers: list[str]) -> pl.DataFrame:
    return rows.group_by(key).agg(pl.col(name).cast(pl.Int64).sum() for name in numbers)
