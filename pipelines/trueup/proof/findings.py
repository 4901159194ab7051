"""Check of findings, ledger and placements: compares them with those that the kernel derives again from the input streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from trueup.events.schema import MOVEMENTS
from trueup.log.lake import BucketRange
from trueup.policies.policy import KERNEL_VERSION
from trueup.proof.evidence import Check, Evidence, FaultCollector, format_value
from trueup.proof.statements import statement
from trueup.reconcile.domain.kinds import FEED_KINDS
from trueup.reconcile.log_io.commit import CONSUMER
from trueup.reconcile.log_io.load import frontier_of
from trueup.reconcile.results.finding_rows import BOOKING_MONEY, CHARGED_ITEM, HISTORY
from trueup.reconcile.results.outcome import Outcome
from trueup.reconcile.run_partition import bucket_ranges, reconcile_partition

CHECK = "findings"
_ROWS_PER_PARTITION = 1_000_000
_KEY = ["finding_id", "position", "action"]
_CELL = ["service", "day", "currency"]
_FEED = ["stream", "source", "currency"]


def check_findings(evidence: Evidence) -> Check:
    """Derive all findings again, one range of buckets at a time, and compare every change of every finding by column.

    The sums of ledger and placements are compared too. The kernel does not make findings on feeds, so they are not derived here.
    Findings committed beyond the consumer's position are from runs over single days: each must be among the derived ones.
    """
    lake = evidence.lake
    reconciled = lake.consumer_position(CONSUMER)
    other = _explain_other_kernels(evidence)
    if other:
        return Check(CHECK, 0, "change of a finding", not_made=other)
    faults, compared = FaultCollector(CHECK), 0
    outcomes = list[Outcome]()
    (first,) = evidence.rows("first_booking")
    for buckets in _list_ranges(evidence):
        outcome = _derive_outcome(evidence, buckets, reconciled)
        stored = _read_stored(evidence, buckets)
        compared += stored.height
        early = pl.col("position") <= reconciled
        _compare_findings(_blank_unstored_money(outcome.history, first), stored.filter(early), faults)
        late = stored.filter(~early)
        if late.height:
            newest = lake.last_position()
            derived = _derive_outcome(evidence, buckets, newest).history.join(late, on=_KEY, how="semi")
            _compare_findings(_blank_unstored_money(derived, first), late, faults)
        outcomes.append(Outcome(outcome.history.clear(), outcome.ledger, outcome.placement, 0))
    _compare_sums(evidence, "ledger", _CELL, [o.ledger for o in outcomes], faults)
    _compare_sums(evidence, "placement", _FEED, [o.placement for o in outcomes], faults)
    return Check(CHECK, compared, "change of a finding", faults.all())


def _explain_other_kernels(evidence: Evidence) -> str:
    """Return why findings cannot be derived, where an earlier version of the kernel committed some; empty otherwise."""
    contents = evidence.lake.read("declaration", columns=["kind", "content"]).filter(pl.col("kind") == "policy")["content"]
    versions = sorted(set(contents.str.json_path_match("$.kernel").drop_nulls()) - {str(KERNEL_VERSION)})
    if not versions:
        return ""
    return f"version {versions[0]} of the kernel derived some findings, this one is {KERNEL_VERSION}: verify them with that version"


def _list_ranges(evidence: Evidence) -> list[BucketRange]:
    rows = sum(evidence.lake.count(stream) for stream in MOVEMENTS)
    return bucket_ranges(evidence.lake.project.config.lake.buckets, -(-rows // _ROWS_PER_PARTITION))


def _derive_outcome(evidence: Evidence, buckets: BucketRange, upto: int) -> Outcome:
    return reconcile_partition(evidence.lake, frontier_of(evidence.lake, upto), buckets, after=0, upto=upto)


def _read_stored(evidence: Evidence, buckets: BucketRange) -> pl.DataFrame:
    query = statement("stored_findings", columns=", ".join(f"f.{name}" for name in HISTORY))
    values = {"first": buckets.first, "last": buckets.last, "feed_kinds": list(FEED_KINDS)}
    rows = evidence.lake.connection.execute(query, values).pl()
    return rows.select(pl.col(name).cast(dtype) for name, dtype in HISTORY.items())


def _blank_unstored_money(derived: pl.DataFrame, first: Mapping[str, Any]) -> pl.DataFrame:
    """Clear the money of the booking, and the item, before the first positions that have them: earlier versions stored none."""
    for columns, begin in ((BOOKING_MONEY, first["booking_position"]), (CHARGED_ITEM, first["item_position"])):
        stored = pl.lit(False) if begin is None else pl.col("position") >= begin
        derived = derived.with_columns(pl.when(stored).then(pl.col(name)).alias(name) for name in columns)
    return derived


def _compare_findings(derived: pl.DataFrame, stored: pl.DataFrame, faults: FaultCollector) -> None:
    if derived.height == stored.height and derived.sort(_KEY).equals(stored.sort(_KEY)):
        return
    for row in stored.join(derived, on=_KEY, how="anti").sort(_KEY).iter_rows(named=True):
        faults.tampered(
            _describe_change(row), f"the log has this {row['kind']} ({row['action']}), but the input streams do not yield it"
        )
    for row in derived.join(stored, on=_KEY, how="anti").sort(_KEY).iter_rows(named=True):
        faults.tampered(
            _describe_change(row), f"the input streams yield this {row['kind']} ({row['action']}), but the log lacks it"
        )
    for row in stored.filter(stored.select(_KEY).is_duplicated()).unique(_KEY).sort(_KEY).iter_rows(named=True):
        faults.tampered(_describe_change(row), f"the log has this change of the {row['kind']} more than once")
    both = derived.join(stored.unique(_KEY), on=_KEY, suffix="_stored")
    for row in both.sort(_KEY).iter_rows(named=True):
        names = [name for name in HISTORY if name not in _KEY and row[name] != row[f"{name}_stored"]]
        if names:
            detail = "; ".join(
                f"{name} is {_format_list(row[f'{name}_stored'])}, derived {_format_list(row[name])}" for name in names
            )
            faults.tampered(_describe_change(row), f"{row['kind']} ({row['action']}): {detail}")


def _describe_change(row: dict[str, Any]) -> str:
    return f"finding {row['finding_id'].hex()} at position {row['position']}"


def _format_list(value: object) -> str:
    return f"[{', '.join(format_value(part) for part in value)}]" if isinstance(value, list) else format_value(value)


def _compare_sums(evidence: Evidence, table: str, key: list[str], derived: Sequence[pl.DataFrame], faults: FaultCollector) -> None:
    """Compare a table's sums by `key`, derived and stored; positions are ignored, because they depend on the division into runs."""
    stored = evidence.lake.connection.execute(f"SELECT * FROM lake.events.{table}").pl()
    numbers = [name for name in stored.columns if name not in (*key, "position")]
    sums = [_sum_by_key(frame, key, numbers) for frame in (pl.concat(derived) if derived else stored.clear(), stored)]
    both = sums[0].join(sums[1], on=key, how="full", coalesce=True, nulls_equal=True, suffix="_stored").sort(key, nulls_last=True)
    for row in both.iter_rows(named=True):
        for name in numbers:
            derived_sum, stored_sum = row[name] or 0, row[f"{name}_stored"] or 0
            if derived_sum != stored_sum:
                where = f"{table} of {', '.join(str(row[part]) for part in key)}"
                faults.tampered(where, f"{name} adds up to {stored_sum}, derived {derived_sum}")


def _sum_by_key(frame: pl.DataFrame, key: list[str], numbers: list[str]) -> pl.DataFrame:
    if frame.is_empty():
        schema = {name: pl.Int128 if name in numbers else pl.Date if name == "day" else pl.String for name in (*key, *numbers)}
        return pl.DataFrame(schema=schema)
    return frame.group_by(key).agg(pl.col(name).cast(pl.Int128).sum() for name in numbers)
