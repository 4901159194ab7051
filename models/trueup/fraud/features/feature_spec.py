"""Features by declaration: entity, window, aggregate, filter. One definition serves training, batch and stream."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Literal

from trueup.errors import TrueupError

Aggregate = Literal["count", "sum", "distinct", "min", "max", "since_first", "since_last", "open"]
AGGREGATES = ("count", "sum", "distinct", "min", "max", "since_first", "since_last", "open")
_OF_NOTHING = ("count", "since_first", "since_last")
ENGINE_VERSION = 1
"""Part of every feature hash: raised when the meaning of an aggregate changes."""


class FeatureError(TrueupError):
    """A feature that is declared wrongly, or events it cannot be computed from."""


@dataclass(frozen=True)
class Feature:
    """One number about an entity's past, seen from each of its transactions.

    It is over the entity's transactions in (t − window, t] up to and including the one it is seen from: earlier in time, or at
    the same time with a lower event id. On the track `label` it is over labels instead, by the time they became known.

    `count`: how many; `sum`, `min`, `max`, `distinct`: of a column, missing values left out; `since_first`, `since_last`:
    microseconds since the first, and since the last before this one; `open`: how many others have not ended, their end being
    a column of times. `where` names a column of truth values that must hold.
    """

    name: str
    entity: tuple[str, ...]
    window_us: int
    aggregate: Aggregate
    of: str | None = None
    where: str | None = None
    track: Literal["event", "label"] = "event"

    def __post_init__(self) -> None:
        if self.aggregate not in AGGREGATES:
            raise FeatureError(f"{self.aggregate!r} is no aggregate", where=self.name, todo=f"use one of {', '.join(AGGREGATES)}")
        if self.window_us <= 0:
            raise FeatureError("a window must be longer than nothing", where=self.name)
        if (self.of is None) != (self.aggregate in _OF_NOTHING):
            needs = "needs no column" if self.aggregate in _OF_NOTHING else "needs a column in `of`"
            raise FeatureError(f"{self.aggregate} {needs}", where=self.name)
        if not self.entity:
            raise FeatureError("a feature needs an entity: one column or several", where=self.name)


@dataclass(frozen=True)
class Ratio:
    """A weighted sum of columns divided by another one; missing where the divisor is 0 or a part is missing.

    The columns are windowed features and the transaction's own; an empty `under` divides by one.
    """

    name: str
    over: tuple[tuple[str, int], ...]
    under: tuple[tuple[str, int], ...] = ()


def ratio(name: str, over: str | Mapping[str, int], under: str | Mapping[str, int] = "") -> Ratio:
    """A `Ratio` of column names, or of mappings from column to weight."""
    return Ratio(name, _terms(over), _terms(under))


def _terms(told: str | Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    if isinstance(told, str):
        return ((told, 1),) if told else ()
    return tuple(told.items())


@dataclass(frozen=True)
class FeatureSet:
    """What a model sees of a transaction: its own columns, windowed features, and ratios of both.

    `facts_version` names the code that makes the columns the features are of; it is part of the hash. `hidden` are computed
    for ratios alone and are not shown to the model.
    """

    own: tuple[str, ...]
    features: tuple[Feature, ...]
    ratios: tuple[Ratio, ...] = ()
    facts_version: str = "1"
    hidden: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        names = [*self.own, *(f.name for f in self.features), *(r.name for r in self.ratios)]
        for name in names:
            if names.count(name) > 1:
                raise FeatureError(f"two features are named {name!r}")
        for one in self.ratios:
            for column, _ in (*one.over, *one.under):
                if column not in names:
                    raise FeatureError(f"the ratio is of {column!r}, which is no feature", where=one.name)

    @property
    def names(self) -> tuple[str, ...]:
        """What the model sees, in its order."""
        every = (*self.own, *(f.name for f in self.features), *(r.name for r in self.ratios))
        return tuple(n for n in every if n not in self.hidden)

    @property
    def entities(self) -> tuple[tuple[str, ...], ...]:
        """The different entities, in order of first mention."""
        return tuple(dict.fromkeys(f.entity for f in self.features))

    @property
    def apart(self) -> tuple[FeatureSet, ...]:
        """For each entity, its features alone: what a host computes where that entity's events meet, to be joined afterwards."""
        return tuple(FeatureSet((), self.of(entity), facts_version=self.facts_version) for entity in self.entities)

    @property
    def longest_window_us(self) -> int:
        """How far back any feature looks; 0 where there is none."""
        return max((f.window_us for f in self.features), default=0)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of events it is computed from, beside id, time, position and track."""
        used: list[str] = list(self.own)
        for f in self.features:
            used += [*f.entity, *(c for c in (f.of, f.where) if c is not None)]
        return tuple(dict.fromkeys(used))

    def of(self, entity: Sequence[str]) -> tuple[Feature, ...]:
        """The features of one entity."""
        return tuple(f for f in self.features if f.entity == tuple(entity))

    @cached_property
    def hash(self) -> str:
        """SHA-256 over everything that decides a feature's value and place; a model is only good for one."""
        told = {
            "engine": ENGINE_VERSION, "facts": self.facts_version, "own": self.own, "hidden": sorted(self.hidden),
            "features": [asdict(f) for f in self.features], "ratios": [asdict(r) for r in self.ratios],
        }  # fmt: skip
        return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
