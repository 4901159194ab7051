"""Digests of findings: one over the open findings, one over all changes."""

from __future__ import annotations

import hashlib

import polars as pl

from trueup.reconcile.domain.kinds import FEED_KINDS

_RETRACTED = ["retracted", "resolved"]
_FINDING = ["finding_id", "kind", "service", "day", "currency", "expected_micros", "billed_micros"]


def open_findings(history: pl.DataFrame) -> pl.DataFrame:
    """Return the findings that are open after a history: the last change of each that is not retracted."""
    last = history.sort("position").unique("finding_id", keep="last", maintain_order=True)
    return last.filter(~pl.col("action").is_in(_RETRACTED))


def digests(history: pl.DataFrame) -> dict[str, str]:
    """Return SHA-256 digests of the canonical, ordered rows of a history (rows of `events.finding`).

    Neither digest contains findings about feeds, because the kernel does not raise them. `state` is over the open findings: finding
    id, kind, service, day, currency, expected, billed, impact; without positions, causes and decisions. `history` is over every
    change, with its position, action and cause.
    """
    history = history.filter(~pl.col("kind").is_in(FEED_KINDS))
    impact = pl.col("expected_micros").cast(pl.Int128) - pl.col("billed_micros").cast(pl.Int128)
    change = ["position", "action", "cause"]
    rows = history.with_columns(finding_id=pl.col("finding_id").bin.encode("hex"), impact_micros=impact)
    return {
        "state": _hash_rows(open_findings(rows), [*_FINDING, "impact_micros"]),
        "history": _hash_rows(rows, [*change, *_FINDING, "impact_micros"]),
    }


def _hash_rows(rows: pl.DataFrame, columns: list[str]) -> str:
    texts = rows.select(pl.col("expected_micros", "billed_micros").cast(pl.Int128), pl.exclude("expected_micros", "billed_micros"))
    cells = [
        pl.coalesce(pl.col(n).cast(pl.String).str.len_bytes().cast(pl.String) + ":" + pl.col(n).cast(pl.String), pl.lit("~"))
        for n in columns
    ]
    lines = texts.select(line=pl.concat_str(cells)).sort("line")["line"]
    digest = hashlib.sha256()
    for part in lines.to_frame().iter_slices(100_000):
        digest.update("".join(f"{line}\n" for line in part["line"].to_list()).encode())
    return digest.hexdigest()
