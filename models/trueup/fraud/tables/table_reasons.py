"""Write sentences on why a row of a table is suspicious, about the features that raise its score most compared with honest rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from trueup.fraud.scoring.model import Model
from trueup.fraud.scoring.model_score import contributions
from trueup.fraud.scoring.reason_text import Usual, plain_number
from trueup.fraud.scoring.reasons import kind_of, leading_sentences


def sentences_of(model: Model, features: pl.DataFrame) -> list[list[str]]:
    """Return up to three sentences for each row of features."""
    added, names = contributions(model, features), model.feature_names
    found = []
    for values, contributed in zip(features.select(names).iter_rows(), added, strict=True):
        row = dict(zip(names, values, strict=True))
        usual = model.usual.get(kind_of(row), model.usual.get("other", {}))
        order = np.argsort(-contributed[:-1], kind="stable").tolist()
        leading = [i for i in order if contributed[i] > 0]
        found.append(leading_sentences(leading, contributed, _build_sentence_writer(names, row, usual)))
    return found


def _build_sentence_writer(
    names: Sequence[str], row: Mapping[str, float | None], usual: Mapping[str, Usual]
) -> Callable[[int], str | None]:
    return lambda i: table_sentence(names[i], row[names[i]], usual.get(names[i]))


def table_sentence(name: str, value: float | None, usual: Usual = None) -> str | None:
    """Return the sentence of one feature; None where its value is the median of honest rows.

    >>> table_sentence("amount", 950.0, (40.0, 300.0))
    'amount is 950; honest rows: 40, one in 100 above 300'
    >>> table_sentence("channel is web", 1.0)
    'channel is web'
    >>> table_sentence("channel is web", 0.0)
    'not: channel is web'
    """
    if value is None:
        return f"{name} is missing"
    if " is " in name and value in (0.0, 1.0):
        return name if value else f"not: {name}"
    if usual and value == usual[0]:
        return None
    others = f"; honest rows: {plain_number(usual[0])}, one in 100 above {plain_number(usual[1])}" if usual else ""
    return f"{name} is {plain_number(value)}{others}"
