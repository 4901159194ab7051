"""Findings of the fast path: each is raised once, about one record or about one usage record and one charge."""

from __future__ import annotations

import numpy as np
import polars as pl

from trueup.localtime import local_day
from trueup.reconcile.domain.tariff_terms import Terms
from trueup.reconcile.kernel.fast_path.candidates import Candidates, Rows

RAISED: dict[str, pl.DataType] = {
    "at": pl.Int64(),
    "cause": pl.String(),
    "kind": pl.String(),
    "reason": pl.String(),
    "expected_micros": pl.Int128(),
    "billed_micros": pl.Int128(),
    "charge": pl.Boolean(),  # true: about a charge without usage; false: about a session
    "usage_event_id": pl.Binary(),
    "charge_event_id": pl.Binary(),
    **dict.fromkeys(("scope", "session_key", "key_scope", "record_key", "service", "subscriber", "peer", "node"), pl.String()),
    "bucket": pl.Int16(),
    "currency": pl.String(),
    "started_us": pl.Int64(),
    "day": pl.Date(),
}
"""A raised finding. Columns from `scope` on are those of its first record; of a pair, the usage record."""
_OF_RECORD = ["scope", "session_key", "key_scope", "record_key", "service", "subscriber", "peer", "node", "bucket", "currency"]


def raised_by_pairs(found: pl.DataFrame, candidates: Candidates) -> pl.DataFrame:
    """Return the findings (`RAISED`) of pairs (`FOUND`). The arrival of the second record raises them and is their cause."""
    usage, charge = found["row"].to_numpy(), found["row_charge"].to_numpy()
    at = found["at"].to_numpy()
    arrived = [candidates.position[rows] == at for rows in (usage, charge)]
    is_late = (arrived[0] & _is_late(usage, candidates)) | (arrived[1] & _is_late(charge, candidates))
    cause = np.where(is_late, np.where(arrived[1], "late_charge", "late_usage"), "arrival")
    ids = {"usage_event_id": _read_event_ids(usage, candidates), "charge_event_id": _read_event_ids(charge, candidates)}
    return _raise_findings(
        found.with_columns(cause=pl.Series(cause, dtype=pl.String), charge=pl.lit(False), **ids), usage, candidates
    )


def raised_by_unmatched(final: pl.DataFrame, candidates: Candidates, terms: Terms) -> pl.DataFrame:
    """Return the findings (`RAISED`) of final records with money (`row`, `final_at`, `MONEY`) that have no partner in time."""
    final = final.filter(pl.col("expected_micros") != pl.col("billed_micros"))
    rows, at = final["row"].to_numpy(), final["final_at"].to_numpy()
    is_charge = pl.Series(candidates.is_charge[rows], dtype=pl.Boolean)
    moments = candidates.few(rows, ["subscriber", "position", "time_us"]).rename({"position": "at"})
    status = terms.states_at(moments)["billing_status"]
    late = pl.when(is_charge).then(pl.lit("late_charge")).otherwise(pl.lit("late_usage"))
    arrives, is_late = pl.Series(candidates.position[rows] == at), pl.Series(_is_late(rows, candidates))
    # The records arrived under the latest policy, so only tariff terms can come into force at the position that makes them final.
    declared = pl.col("at").replace_strict(dict(terms.causes), default="frontier", return_dtype=pl.String)
    event_id = _read_event_ids(rows, candidates)
    named = final.rename({"final_at": "at"}).with_columns(
        charge=is_charge, reason=pl.lit(None, pl.String),
        kind=pl.when(is_charge).then(pl.lit("charge_without_usage")).otherwise(pl.coalesce(status, pl.lit("unbilled"))),
        cause=pl.when(arrives & is_late).then(late).when(arrives).then(pl.lit("arrival")).otherwise(declared),
        usage_event_id=pl.when(~is_charge).then(event_id), charge_event_id=pl.when(is_charge).then(event_id),
    )  # fmt: skip
    return _raise_findings(named, rows, candidates)


def _is_late(rows: Rows, candidates: Candidates) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return whether each row's own stream had passed the row's time before the row arrived."""
    late: np.ndarray[tuple[int], np.dtype[np.bool_]] = candidates.own_passed_at(rows) < candidates.position[rows]
    return late


def _read_event_ids(rows: Rows, candidates: Candidates) -> pl.Series:
    return candidates.few(rows, ["event_id"])["event_id"]


def _raise_findings(findings: pl.DataFrame, first: Rows, candidates: Candidates) -> pl.DataFrame:
    """Return findings as `RAISED`, with the columns of the first record of each."""
    started_us, zone = pl.Series("started_us", candidates.time_us[first]), candidates.frontier.policies.all[-1].timezone
    named = findings.hstack([*candidates.few(first, _OF_RECORD), started_us]).with_columns(pl.col("service").fill_null(""))
    dayed = named.with_columns(day=local_day(pl.col("started_us"), zone))
    return dayed.select(pl.col(n).cast(t) for n, t in RAISED.items())
