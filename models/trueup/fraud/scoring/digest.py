"""Fingerprints of features and scores: equal for equal content, whatever order it came in."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl


def score_digest(scores: pl.DataFrame) -> str:
    """SHA-256 of scores in canonical order: event id, source, name and margin to its last bit."""
    rows = scores.select("event_id", "source", "name", "margin").sort("event_id", "source", "name")
    digest = hashlib.sha256()
    for event_id, source, name, margin in rows.iter_rows():
        told = "~" if margin is None else float(margin).hex()
        digest.update(f"{bytes(event_id).hex()};{source};{name};{told}\n".encode())
    return digest.hexdigest()


def features_digest(features: pl.DataFrame) -> str:
    """SHA-256 of features in the order of event ids, whatever order they came in."""
    digest = hashlib.sha256()
    ordered = features.sort("event_id")
    for name in ordered.columns:
        series = ordered[name]
        digest.update(f"{name};".encode())
        if series.dtype == pl.Binary:
            digest.update(b"".join(series.to_list()))
            continue
        there = series.is_not_null().to_numpy()
        digest.update(np.packbits(there).tobytes())
        digest.update(series.cast(pl.Float64).fill_null(0.0).to_numpy().tobytes())
    return digest.hexdigest()
