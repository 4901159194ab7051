"""Compose the reasons of a score for each accused end: the sentences that matter, the kind of fraud, and what to do."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trueup.fraud.features.feature_spec import Owner
from trueup.fraud.scoring.accused import Accusation, accused, actor_of, contributions_by_side, side_of
from trueup.fraud.scoring.reason_text import OF_ONE_TRANSACTION, Usual, sentence
from trueup.fraud.scoring.typology import typology_of

_REASONS = 3
_LEAST_SHARE = 0.1
"""A reason is shown if it contributes at least this share of the greatest contribution."""
_LOW_MATTERS = (
    "sub_age",
    "in_out",
    "called_back",
    "rung_ago",
    "cells_per_call",
    "mean_seconds",
    "short_share",
    "hour",
)
"""Features whose low values are suspicious; any other feature is shown only if it is above the usual value."""
_NO_FEATURE = "no single feature raises the score; it only ranks above other transactions"
_KINDS = (("is_received", "received"), ("is_message", "message"), ("is_call", "call"))


@dataclass(frozen=True)
class Reasons:
    """The reasons for which one end of a transaction is accused, as JSON."""

    accusation: Accusation
    text: str


def kind_of(row: Mapping[str, object]) -> str:
    """Return the kind of a transaction; its features are compared with those of other transactions of the same kind."""
    return next((kind for name, kind in _KINDS if row.get(name)), "other")


def kinds_of(names: Sequence[str], values: NDArray[np.float32]) -> NDArray[np.str_]:
    """Return the kind of each row of a feature matrix."""
    kinds = np.full(len(values), "other", dtype="U8")
    for name, kind in reversed(_KINDS):
        if name in names:
            kinds[values[:, list(names).index(name)] > 0] = kind
    return kinds


def reasons_of(
    names: Sequence[str], owners: Sequence[Owner], added: NDArray[np.float64], row: Mapping[str, object],
    usual: Mapping[str, Mapping[str, Usual]], *, has_peer: bool,
) -> list[Reasons]:  # fmt: skip
    """Return the accused ends of one transaction with their reasons; `added` has the contributions of features, then the base."""
    actor = actor_of(is_received=bool(row.get("is_received")))
    contributed = contributions_by_side(added[:-1], owners, actor)
    adds = {names[i]: round(float(added[i]), 6) for i in np.flatnonzero(added[:-1])}
    found = []

    def say(i: int) -> str | None:
        of_name = usual.get(kind_of(row), usual.get("other", {})).get(names[i])
        return sentence(names[i], row, of_name) if _is_unusual(names[i], row, of_name) else None

    for accusation in accused(contributed, actor=actor, has_peer=has_peer):
        own = [i for i in range(len(names)) if added[i] > 0 and side_of(owners[i], actor) == accusation.side]
        leading = sorted(own, key=lambda i: (-added[i], i))
        sentences = leading_sentences(leading, added, say, weak=[i for i in own if names[i] in OF_ONE_TRANSACTION])
        kind = typology_of([names[i] for i in leading[:_REASONS]], row, accusation.side)
        content = {
            "sentences": sentences,
            "typology": kind.name,
            "action": kind.action,
            "base": round(float(added[-1]), 6),
            "adds": adds,
        }
        found.append(Reasons(accusation, json.dumps(content, separators=(",", ":"))))
    return found


def leading_sentences(
    leading: Sequence[int], added: NDArray[np.float64], say: Callable[[int], str | None], *, weak: Collection[int] = ()
) -> list[str]:
    """Return the sentences of the features that contribute most, the greatest first; `say` returns None where a feature has none.

    A feature of a single transaction means little without the behaviour of its party. So at most one such `weak` feature is shown,
    as the last, unless no other feature raises the score. A sentence that repeats the amount of an earlier one is left out.
    """
    named = [i for i in leading if added[i] >= _LEAST_SHARE * added[leading[0]]]
    texts: dict[str, tuple[bool, str]] = {}
    for i in named:
        text = say(i)
        if text:
            texts.setdefault(_extract_amount(text), (i in weak, text))
    strong = [text for is_weak, text in texts.values() if not is_weak]
    first_weak = next((n for n, (is_weak, _) in enumerate(texts.values()) if is_weak), _REASONS)
    facts = [text for is_weak, text in texts.values() if is_weak]
    if facts and not strong:
        behaviour = (say(i) for i in leading if i not in weak)
        strong = list(itertools.islice((t for t in behaviour if t), 1))
    # A weak feature among the first three stays among the three.
    room = _REASONS - 1 if first_weak < _REASONS else _REASONS
    return [*strong[:room], *facts[: _REASONS - min(room, len(strong))]] or [_NO_FEATURE]


def _extract_amount(text: str) -> str:
    """Return the amount in a sentence without its party: `150 rings of ten seconds or less`, from a number or from its range."""
    return text.partition(";")[0].partition(" by ")[0].partition(" from this ")[0].replace(" of free data", " of data")


def _is_unusual(name: str, row: Mapping[str, object], usual: Usual) -> bool:
    value = row.get(name)
    if name.startswith("pair_count") and value == 1:
        return True
    if usual is None or not isinstance(value, int | float) or any(part in name for part in _LOW_MATTERS):
        return True
    return float(value) > usual[0]
