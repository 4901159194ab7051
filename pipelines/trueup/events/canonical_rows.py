"""Canonical forms of many rows at once, as `identity` defines them, and their SHA-256.

`identity` has the same form as a DuckDB expression, by which `verify` recomputes ids independently of this file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from trueup.events.schema import CORE, LATER

_ID_BYTES = 16
_FORMS_AT_ONCE = 2_048
"""How many forms are Python objects at once; few enough to stay in the processor's cache."""


def canonical_forms(frame: pl.DataFrame, stream: str, *, without: frozenset[str] = frozenset()) -> pl.Series:
    """Return the canonical form of each row of `stream`, without the columns `without`.

    Expects `key_scope` and the columns of `CORE[stream]`.
    """
    later = LATER.get(stream, {})
    first = [name for name in CORE[stream] if name not in without and name not in later]
    further = [frame[name] for name in later if frame[name].null_count() < frame.height]
    parts = [_choose_form_number(further), f";{stream};"]
    for name in ("key_scope", *first):
        parts += _encode_field(frame[name])
    for values in further:
        tagged = pl.concat_str(_merge_texts([f"{len(values.name)}:{values.name}", *_encode_complete(values)]))
        parts.append(pl.when(pl.col(values.name).is_not_null()).then(tagged).otherwise(pl.lit("")))
    # A form of constant texts alone has one row; adding it as a column repeats it for every row.
    return frame.with_columns(canonical_form=pl.concat_str(_merge_texts(parts)))["canonical_form"]


def sha256_start(forms: pl.Series) -> pl.Series:
    """Return the first 16 bytes of the SHA-256 of each text, as binary values.

    OpenSSL computes it by the processor's own instructions, in half the time of DuckDB.
    """
    digests = _hash_forms(forms).reshape(-1, hashlib.sha256().digest_size)[:, :_ID_BYTES].tobytes()
    offsets = np.arange(0, _ID_BYTES * len(forms) + 1, _ID_BYTES, dtype=np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(digests)]
    return pl.Series("event_id", pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(forms), buffers))


def _hash_forms(forms: pl.Series) -> np.ndarray:  # type: ignore[type-arg]
    sha256, texts = hashlib.sha256, forms.cast(pl.Binary)
    some = (texts.slice(begin, _FORMS_AT_ONCE).to_list() for begin in range(0, len(texts), _FORMS_AT_ONCE))
    return np.frombuffer(b"".join([sha256(form).digest() for forms in some for form in forms]), np.uint8)


def _choose_form_number(further: list[pl.Series]) -> str | pl.Expr:
    """Return the number of the form: 2 for a row with a column of `LATER`."""
    if not further:
        return "1"
    is_later = pl.any_horizontal(pl.col(values.name).is_not_null() for values in further)
    return pl.when(is_later).then(pl.lit("2")).otherwise(pl.lit("1"))


def _encode_field(values: pl.Series) -> list[str | pl.Expr]:
    """Return the parts of one column that is not in `LATER`; a column without values is the same text in every row."""
    nulls = values.null_count()
    if nulls == len(values):
        return ["~"]
    if not nulls:
        return _encode_complete(values)
    # Concatenating a missing value gives a missing value.
    return [pl.concat_str(_merge_texts(_encode_complete(values))).fill_null("~")]


def _encode_complete(values: pl.Series) -> list[str | pl.Expr]:
    """Return the parts of a column for rows that have a value."""
    column = pl.col(values.name)
    if values.dtype != pl.String:
        number = column.cast(pl.Int64) if isinstance(values.dtype, pl.Datetime) else column
        return [number.cast(pl.String), ";"]
    lengths = values.drop_nulls().str.len_bytes().to_numpy()
    least = int(lengths.min())
    # Keys of one system mostly have one length; then one constant text serves all rows.
    if least == lengths.max():
        return [f"{least}:", column]
    return [column.str.len_bytes().cast(pl.String), ":", column]


def _merge_texts(parts: list[str | pl.Expr]) -> Iterator[pl.Expr]:
    """Yield expressions for parts; adjacent constant texts are joined."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        if text:
            yield pl.lit(text)
            text = ""
        yield part
    if text:
        yield pl.lit(text)
