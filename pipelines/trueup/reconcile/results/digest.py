"""Fingerprints of findings: what stands, and everything that ever happened to it."""

from __future__ import annotations

import hashlib

import polars as pl

from trueup.reconcile.domain.kinds import FEED_KINDS

_RETRACTED = ["retracted", "resolved"]
_FINDING = ["finding_id", "kind", "service", "day", "currency", "expected_micros", "billed_micros"]


def open_findings(history: pl.DataFrame) -> pl.DataFrame:
    """The findings that stand after a history: the last change of each that is not gone."""
    last = history.sort("position").unique("finding_id", keep="last", maintain_order=True)
    return last.filter(~pl.col("action").is_in(_RETRACTED))


def digests(history: pl.DataFrame) -> dict[str, str]:
    """SHA-256 of the canonical, ordered rows of a history (rows of `events.finding`).

    Findings about feeds are not the kernel's and in neither.

    `state` is over what stands: finding id, kind, service, day, currency, expected, billed, impact; neither positions, causes
    nor decisions. `history` is over every raise, revision and retraction, with its position and cause.
    """
    history = history.filter(~pl.col("kind").is_in(FEED_KINDS))
    impact = pl.col("expected_micros").cast(pl.Int128) - pl.col("billed_micros").cast(pl.Int128)
    moments = ["position", "action", "cause"]
    told = history.with_columns(finding_id=pl.col("finding_id").bin.encode("hex"), impact_micros=impact)
    return {
        "state": _sha256(open_findings(told), [*_FINDING, "impact_micros"]),
        "history": _sha256(told, [*moments, *_FINDING, "impact_micros"]),
    }


def _sha256(rows: pl.DataFrame, columns: list[str]) -> str:
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
