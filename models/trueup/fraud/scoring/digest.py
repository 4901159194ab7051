"""Digest features and scores, independent of row order."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl


def score_digest(scores: pl.DataFrame) -> str:
    """Return the SHA-256 of scores in canonical order: event id, source, name, margin to its last bit, accused party and its rank.

    Scores of earlier versions, which accused one party only, have no rank; their line still ends with the margin.
    """
    rows = scores.select("event_id", "source", "name", "margin", "party_rank", "party")
    digest = hashlib.sha256()
    for event_id, source, name, margin, rank, party in rows.sort("event_id", "source", "name", "party_rank").iter_rows():
        margin_hex = "~" if margin is None else float(margin).hex()
        accused = "" if rank is None else f";{rank};{party}"
        digest.update(f"{bytes(event_id).hex()};{source};{name};{margin_hex}{accused}\n".encode())
    return digest.hexdigest()


def features_digest(features: pl.DataFrame) -> str:
    """Return the SHA-256 of features in the order of event ids."""
    digest = hashlib.sha256()
    ordered = features.sort("event_id")
    for name in ordered.columns:
        series = ordered[name]
        digest.update(f"{name};".encode())
        if series.dtype == pl.Binary:
            digest.update(b"".join(series.to_list()))
            continue
        is_present = series.is_not_null().to_numpy()
        digest.update(np.packbits(is_present).tobytes())
        digest.update(series.cast(pl.Float64).fill_null(0.0).to_numpy().tobytes())
    return digest.hexdigest()
