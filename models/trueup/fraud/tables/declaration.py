"""Declare the columns of a table: a row's identity, its time, and whether it was fraud; all other columns are features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from trueup.errors import TrueupError
from trueup.fraud.features.feature_spec import FeatureSet
from trueup.fraud.scoring.model import ModelError

VERSION = "table 1"
"""Part of the feature hash; a release raises it when it turns columns into features in another way."""
OTHER = "another value"
MOST_LEVELS = 30
"""Number of the most frequent values of a category that get a feature of their own; all others share one feature."""


class TableError(TrueupError):
    """A table, or a declaration of its columns, that training or scoring cannot use."""


@dataclass(frozen=True)
class TableColumns:
    """The columns of a table by their role.

    `id` and `time` together identify a row. `party` is the column of the party of a case, by default the id. `known` is the column
    of the time at which the label was known; by default that is the label delay after the row. `money` is the amount lost if the
    row is fraud; it is also a feature.
    """

    id: str
    time: str
    label: str | None = None
    party: str | None = None
    known: str | None = None
    money: str | None = None
    category: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        single = [n for n in (self.id, self.time, self.label, self.known) if n is not None]
        every = [*single, *self.category, *self.ignore]
        for name in every:
            if every.count(name) > 1:
                raise TableError(f"the column {name!r} is declared twice", todo="declare each column once")
        if self.party is not None and self.party in (self.time, self.label, self.known):
            raise TableError(f"the party cannot be the column {self.party!r}, which is declared as something else")
        if self.money is not None and (self.money in single or self.money in self.category):
            raise TableError(f"the money cannot be the column {self.money!r}, which is declared as something else")

    @property
    def named(self) -> dict[str, tuple[str, ...]]:
        """Return all declared columns by their option."""
        facts = asdict(self)
        single = {n: (facts[n],) for n in ("id", "time", "label", "party", "known", "money") if facts[n] is not None}
        return single | {"category": self.category, "ignore": self.ignore}

    @property
    def not_features(self) -> frozenset[str]:
        """Return the columns that are not features."""
        single = (self.id, self.time, self.label, self.party, self.known)
        return frozenset(n for n in (*single, *self.category, *self.ignore) if n is not None)


@dataclass(frozen=True)
class TableFeatures:
    """The features of a table: numeric columns unchanged, and one feature for each frequent value of a category."""

    numbers: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]

    @property
    def declared(self) -> FeatureSet:
        """Return the features in the form that training takes."""
        own = [*self.numbers, *(f"{c} is {level}" for c, levels in self.levels.items() for level in (*levels, OTHER))]
        return FeatureSet(tuple(own), (), facts_version=VERSION)


def card_of_columns(columns: TableColumns, features: TableFeatures) -> dict[str, Any]:
    """Return the declaration in the form that a model's card stores."""
    levels = {c: list(values) for c, values in features.levels.items()}
    return {"columns": {n: list(c) for n, c in columns.named.items()}, "numbers": list(features.numbers), "levels": levels}


def columns_of_card(card: Mapping[str, Any], where: str) -> tuple[TableColumns, TableFeatures]:
    """Return the declaration that a model's card stores; raise `ModelError` for a model that was not trained on a table."""
    if "table" not in card:
        raise ModelError(
            "the model was not trained on a table",
            where=where,
            todo="score records with `trueup score`, or train with `train-table`",
        )
    try:
        stored, numbers, levels = (card["table"][n] for n in ("columns", "numbers", "levels"))
        label, party, known, money = (stored[n][0] if n in stored else None for n in ("label", "party", "known", "money"))
        declared = tuple(stored["category"]), tuple(stored["ignore"])
        columns = TableColumns(stored["id"][0], stored["time"][0], label, party, known, money, *declared)
        return columns, TableFeatures(tuple(numbers), {c: tuple(v) for c, v in levels.items()})
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ModelError(f"the card of the table is incomplete: {error}", where=where, todo="train the model again") from None
