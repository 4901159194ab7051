"""Simulate losses between systems: decide which stages each call reaches, with which quantity and amount, and record the truth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from trueup.simulate.catalogue import HOPS, KINDS
from trueup.simulate.files.write import TIME_FORMAT

SERVICE = "transit"
STAGES = ("switch", "mediation", "rating", "invoice")
PRICE_MICROS = 2_000
"""The price of one second."""
GRACE = timedelta(hours=24)
SHARE = 0.02
"""The share of calls that each kind of loss affects."""
_AFTER = timedelta(days=4)
"""Time from the end to the last call, which advances the frontiers of all stages."""


@dataclass(frozen=True)
class Transit:
    """The records of each stage (`record_id`, `call_id`, `carrier`, `start`, `seconds`, `amount_micros`), and rows of the truth."""

    stages: dict[str, pl.DataFrame]
    truth: pl.DataFrame

    @property
    def records(self) -> int:
        """Return the number of records of all stages."""
        return sum(frame.height for frame in self.stages.values())


def draw_transit(rng: np.random.Generator, calls: int, carriers: pl.Series, begin: datetime, end: datetime) -> Transit:
    """Return calls of carriers in [begin, end), some with a loss, and one call without a loss some days later."""
    seconds = int((end - begin).total_seconds())
    starts = np.sort(rng.integers(0, seconds, calls))
    draw, kinds = rng.random(calls), list(HOPS)
    number = np.where(draw < SHARE * len(kinds), np.floor(draw / SHARE), -1).astype(np.int64)
    drawn = pl.DataFrame({
        "call": np.arange(calls + 1), "carrier": carriers.gather(rng.integers(0, len(carriers), calls + 1)),
        "after_s": np.append(starts, seconds + int(_AFTER.total_seconds())), "seconds": rng.integers(4, 3_600, calls + 1),
        "kind": np.append(number, -1),
    }).with_columns(
        call_id=pl.format("X{}", pl.col("call") + 10_000_000), start=pl.lit(begin) + pl.duration(seconds="after_s"),
        kind=pl.col("kind").replace_strict(list(range(len(kinds))), kinds, default=None, return_dtype=pl.String),
    )  # fmt: skip
    stages = _apply_losses(drawn)
    return Transit(stages, _record_truth(drawn, stages))


def _apply_losses(calls: pl.DataFrame) -> dict[str, pl.DataFrame]:
    kind, seconds = pl.col("kind").fill_null(""), pl.col("seconds")
    used, cut = seconds, pl.when(kind == "chain_cut_by_mediation").then(seconds - seconds // 4).otherwise(seconds)
    right = cut * PRICE_MICROS
    rated = pl.when(kind == "chain_misrated").then(right - right // 4).otherwise(right)
    billed = pl.when(kind == "chain_cut_by_invoice").then(right // 2).otherwise(rated)
    never = pl.lit(None, pl.Int64)
    ghost = kind == "chain_ghost_of_rating"
    lost = {stage: [name for name, hop in HOPS.items() if hop[2] == "lost" and STAGES.index(hop[1]) <= at]
            for at, stage in enumerate(STAGES)}  # fmt: skip
    reached = {
        "switch": calls.filter(~ghost).with_columns(seconds=used, amount_micros=never),
        "mediation": calls.filter(~ghost).with_columns(seconds=cut, amount_micros=never),
        "rating": calls.with_columns(seconds=cut, amount_micros=rated),
        "invoice": calls.with_columns(seconds=cut, amount_micros=billed),
    }
    kept = {name: frame.filter(~kind.is_in(lost[name])) for name, frame in reached.items()}
    kept["invoice"] = pl.concat([kept["invoice"], kept["invoice"].filter(kind == "chain_twice_by_invoice")])
    return {name: _number_records(frame, name) for name, frame in kept.items()}


def _number_records(frame: pl.DataFrame, stage: str) -> pl.DataFrame:
    ordered = frame.sort("start", "call", maintain_order=True).with_row_index("number")
    record_id = pl.format(f"{stage[0].upper()}{{}}", pl.col("number").cast(pl.Int64) + 10_000_000)
    return ordered.select("kind", "call_id", "carrier", "start", "seconds", "amount_micros", record_id=record_id)


def _record_truth(calls: pl.DataFrame, stages: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Return one row of the truth per call with a loss, with the hop at which the loss happens."""
    sides = [
        stages[stage].drop_nulls("kind").group_by("call_id").agg(
            pl.col("record_id").sort().alias(f"{stream}_record_keys"), pl.col("record_id").max().alias(f"{stream}_last"),
            pl.col("amount_micros").sum().alias(f"{stream}_micros"),
        )
        for stage, stream in (("switch", "usage"), ("invoice", "charge"))
    ]  # fmt: skip
    rows = calls.drop_nulls("kind")
    for side in sides:
        rows = rows.join(side, on="call_id", how="left", maintain_order="left")
    expected = pl.when(pl.col("usage_record_keys").is_not_null()).then(pl.col("seconds") * PRICE_MICROS).otherwise(0)
    is_twice = pl.col("kind") == "chain_twice_by_invoice"
    names = {n: pl.col("kind").replace_strict(list(KINDS), [getattr(k, n) for k in KINDS.values()], return_dtype=pl.String)
             for n in ("expected_kind", "kernel_kind")}  # fmt: skip
    hop = pl.col("kind").replace_strict(list(HOPS), [" > ".join(h[:2]) for h in HOPS.values()], return_dtype=pl.String)
    no_keys = pl.lit([], pl.List(pl.String))
    return rows.select(
        "kind", **names, expected_status=pl.lit("open"), service=pl.lit(SERVICE), subscriber="carrier",
        usage_record_keys=pl.col("usage_record_keys").fill_null(no_keys),
        # The later one of two equal lines is the excess.
        charge_record_keys=pl.when(is_twice).then(pl.concat_list("charge_last")).otherwise("charge_record_keys").fill_null(no_keys),
        impact_micros=expected - pl.col("charge_micros").fill_null(0), knowable_at=pl.col("start") + GRACE,
        details=pl.struct("call_id", hop=hop, start=pl.col("start").dt.strftime(f"{TIME_FORMAT}Z")).struct.json_encode(),
    )  # fmt: skip
