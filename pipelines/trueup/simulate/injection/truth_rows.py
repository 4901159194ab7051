"""Write the truth of an injection: one row per injected leak, and one per finding of the original log."""

from __future__ import annotations

import polars as pl

from trueup.events.schema import UTC_TIME
from trueup.log.lake import Lake
from trueup.simulate.injection.matched_pairs import CleanPairs
from trueup.simulate.injection.rates import CONDITIONED, INJECTED
from trueup.simulate.truth.evidence import evidence_of, seen_times
from trueup.simulate.truth.ledger import TRUTH

_BY_FRONTIER = ("unbilled_random", *CONDITIONED, "late_charge", "phantom_charge")
"""Kinds whose finding becomes final only when the other stream is complete past the grace."""

FOUND_BEFORE = "found_before"


def truth_rows(kind: str, leaks: pl.DataFrame, lake: Lake, pairs: CleanPairs) -> pl.DataFrame:
    """Return the truth rows (columns `TRUTH`) of one kind of leak, `leak_id` still NULL."""
    leak_kind, late = INJECTED[kind], kind == "late_charge"
    last, grace = ("charge_started_us", "charge_grace_us") if kind == "phantom_charge" else ("last_us", "grace_us")
    by_frontier = pl.lit(kind in _BY_FRONTIER) | (pl.col("parts") > 1)
    delivered = pl.max_horizontal(pl.col("last_us"), pl.coalesce(pl.col("delivered_at").cast(pl.Int64), "charge_started_us"))
    knowable = pl.when(by_frontier).then(pl.col(last) + pl.col(grace)).otherwise(delivered)
    seen = seen_times(lake, pairs.end).rename({"position": "at"})
    rows = leaks.sort("at").join_asof(seen, on="at") if late else leaks
    return rows.with_columns(
        leak_id=pl.lit(None, pl.String), kind=pl.lit(kind), category=pl.lit("leak"), mechanism=pl.lit(leak_kind.mechanism),
        mechanism_source=pl.lit(leak_kind.source), variant=pl.lit("plain"), expected_kind=pl.lit(leak_kind.expected_kind),
        expected_status=pl.lit("resolved" if late else "open"), kernel_kind=pl.lit(leak_kind.kernel_kind),
        decided_by=pl.lit("kernel"), reason=pl.lit(None, pl.String), decidable=pl.lit(True),
        usage_record_keys="usage_keys", charge_record_keys="charge_keys",
        exposure_micros=pl.lit(0, pl.Int64), knowable_at=knowable.cast(UTC_TIME),
        resolved_at=pl.col("seen") if late else pl.lit(None, UTC_TIME),
        details=pl.struct(
            "node", "keyed", "parts", "expected_micros", "charged_micros", "destination", tariff="tariff_code", position="at",
        ).struct.json_encode(),
    ).select(pl.col(n).cast(t) for n, t in TRUTH.items())  # fmt: skip


_KNOWN = "the original log has this finding; whether it is a leak is not known"


def rows_found_before(lake: Lake) -> pl.DataFrame:
    """Return the original log's own findings as undecidable truth rows, since no ledger records whether they are leaks."""
    evidence = evidence_of(lake)
    keys = [
        evidence.members.filter(pl.col("stream") == stream).group_by("finding_id")
        .agg(pl.col("record_key").sort().alias(f"{stream}_record_keys"))
        for stream in ("usage", "charge")
    ]  # fmt: skip
    rows = evidence.findings.filter(pl.col("status") != "retracted")
    for side in keys:
        rows = rows.join(side, on="finding_id", how="left", maintain_order="left")
    no_keys = pl.lit([], pl.List(pl.String))
    text = pl.lit(None, pl.String)
    return rows.with_columns(
        pl.col("usage_record_keys", "charge_record_keys").fill_null(no_keys),
        leak_id=text, category=pl.lit("known"), mechanism=pl.lit(_KNOWN), mechanism_source=pl.lit("the original log"),
        variant=pl.lit("plain"), expected_kind="kind", expected_status="status", kernel_kind="kind", decided_by=pl.lit("kernel"),
        decidable=pl.lit(False), subscriber=text, exposure_micros=pl.lit(0, pl.Int64), knowable_at=pl.lit(None, UTC_TIME),
        resolved_at=pl.lit(None, UTC_TIME), details=pl.lit("{}"),
    ).with_columns(kind=pl.lit(FOUND_BEFORE)).select(pl.col(n).cast(t) for n, t in TRUTH.items())  # fmt: skip


def with_leak_ids(truth: pl.DataFrame) -> pl.DataFrame:
    """Return the truth in order of kind and time, each row with its `leak_id`."""
    kinds = [*INJECTED, FOUND_BEFORE]
    order = pl.col("kind").replace_strict(kinds, list(range(len(kinds))), return_dtype=pl.Int32)
    firsts = (pl.col("usage_record_keys").list.first(), pl.col("charge_record_keys").list.first(), "expected_kind")
    rows = truth.sort(order, "knowable_at", *firsts, nulls_last=True)
    count = pl.int_range(1, pl.len() + 1).over("kind").cast(pl.String).str.zfill(7)
    return rows.with_columns(leak_id=pl.col("kind") + "-" + count)
