"""Declare features by entity, window, aggregate and filter; training, batch and stream share one definition."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Literal

from trueup.errors import TrueupError

Aggregate = Literal["count", "sum", "distinct", "min", "max", "since_first", "since_last", "open"]
Owner = Literal["actor", "subscriber", "handset", "peer", "range", "pair"]
"""The party whose behaviour a feature describes; the actor is the subscriber or, for a received call, the peer."""
AGGREGATES = ("count", "sum", "distinct", "min", "max", "since_first", "since_last", "open")
_OF_NOTHING = ("count", "since_first", "since_last")
ENGINE_VERSION = 1
"""Part of every feature hash; a release raises it when the meaning of an aggregate changes."""


class FeatureError(TrueupError):
    """An invalid feature declaration, or events that a feature cannot be computed from."""


@dataclass(frozen=True)
class Feature:
    """One number about an entity's past, computed for each of its transactions.

    It counts the entity's transactions in (t − window, t] up to and including the current one. Of two transactions at the same
    time, the one with the lower event id is the earlier. On the track `label`, the feature counts labels instead, by the time at
    which they became known.

    The aggregates are:

    * `count`: how many,
    * `sum`, `min`, `max`, `distinct`: of a column, without missing values,
    * `since_first`, `since_last`: microseconds since the first, and since the last before this one,
    * `open`: how many other transactions have not ended, by a column with their end.

    `where` names a column of truth values; only rows where it is true count. `owner` is the party whose behaviour the feature
    describes.
    """

    name: str
    entity: tuple[str, ...]
    window_us: int
    aggregate: Aggregate
    of: str | None = None
    where: str | None = None
    track: Literal["event", "label"] = "event"
    owner: Owner = "actor"

    def __post_init__(self) -> None:
        if self.aggregate not in AGGREGATES:
            raise FeatureError(
                f"invalid aggregate: {self.aggregate!r}", where=self.name, todo=f"use one of {', '.join(AGGREGATES)}"
            )
        if self.window_us <= 0:
            raise FeatureError("a window must be longer than 0", where=self.name)
        if (self.of is None) != (self.aggregate in _OF_NOTHING):
            needs = "needs no column" if self.aggregate in _OF_NOTHING else "needs a column in `of`"
            raise FeatureError(f"{self.aggregate} {needs}", where=self.name)
        if not self.entity:
            raise FeatureError("a feature needs an entity: one column or several", where=self.name)


@dataclass(frozen=True)
class Ratio:
    """A weighted sum of columns, divided by another such sum; missing where the divisor is 0 or a column is missing.

    The columns are windowed features and columns of the transaction. An empty `under` divides by one.
    """

    name: str
    over: tuple[tuple[str, int], ...]
    under: tuple[tuple[str, int], ...] = ()


def ratio(name: str, over: str | Mapping[str, int], under: str | Mapping[str, int] = "") -> Ratio:
    """Return the `Ratio` of two column names, or of mappings from column to weight."""
    return Ratio(name, _list_terms(over), _list_terms(under))


def _list_terms(columns: str | Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    if isinstance(columns, str):
        return ((columns, 1),) if columns else ()
    return tuple(columns.items())


@dataclass(frozen=True)
class FeatureSet:
    """The inputs of a model per transaction: columns of the transaction, windowed features, and ratios of both.

    `facts_version` names the code that computes the event columns; it is part of the hash. The `hidden` features are computed only
    for ratios; the model does not get them.
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
        for declared in self.ratios:
            for column, _ in (*declared.over, *declared.under):
                if column not in names:
                    raise FeatureError(f"the ratio is of {column!r}, an unknown feature", where=declared.name)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the features that the model gets, in its order."""
        every = (*self.own, *(f.name for f in self.features), *(r.name for r in self.ratios))
        return tuple(n for n in every if n not in self.hidden)

    @cached_property
    def owners(self) -> dict[str, Owner]:
        """Return the owner of each feature, the party whose behaviour it describes; a ratio has the owner of its first column."""
        owners: dict[str, Owner] = dict.fromkeys(self.own, "actor")
        owners |= {f.name: f.owner for f in self.features}
        return owners | {r.name: owners[r.over[0][0]] for r in self.ratios}

    @property
    def entities(self) -> tuple[tuple[str, ...], ...]:
        """Return the distinct entities, in order of first use."""
        return tuple(dict.fromkeys(f.entity for f in self.features))

    @property
    def per_entity(self) -> tuple[FeatureSet, ...]:
        """Return one feature set per entity. One worker computes a set over the entity's events; another joins the results."""
        return tuple(FeatureSet((), self.of(entity), facts_version=self.facts_version) for entity in self.entities)

    @property
    def longest_window_us(self) -> int:
        """Return the longest window in microseconds; 0 without features."""
        return max((f.window_us for f in self.features), default=0)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the event columns that the features need, in addition to id, time, position and track."""
        used: list[str] = list(self.own)
        for f in self.features:
            used += [*f.entity, *(c for c in (f.of, f.where) if c is not None)]
        return tuple(dict.fromkeys(used))

    def of(self, entity: Sequence[str]) -> tuple[Feature, ...]:
        """Return the features of one entity."""
        return tuple(f for f in self.features if f.entity == tuple(entity))

    @cached_property
    def hash(self) -> str:
        """Return the SHA-256 of everything that decides the features' values and order; a model is valid for one hash."""
        declaration = {
            "engine": ENGINE_VERSION, "facts": self.facts_version, "own": self.own, "hidden": sorted(self.hidden),
            "features": [asdict(f) for f in self.features], "ratios": [asdict(r) for r in self.ratios],
        }  # fmt: skip
        return hashlib.sha256(json.dumps(declaration, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
