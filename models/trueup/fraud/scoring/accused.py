"""Choose the party that a suspicious transaction accuses: the one whose behaviour explains its score.

A feature describes the subscriber of a record, the peer at its other end, or the transaction itself. Features of the transaction
itself count for its actor: the subscriber or, for a received call, the peer. Both ends are accused if both explain the score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trueup.fraud.features.feature_spec import Owner

Side = Literal["subscriber", "peer"]
_SIDE_OF: dict[Owner, Side] = {"subscriber": "subscriber", "handset": "subscriber", "peer": "peer", "range": "peer"}
_SECOND_SHARE = 0.5
"""The other end is accused too if its features contribute at least this share of the first end's contribution."""
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Accusation:
    """One end of a transaction and its rank; rank 1 explains more of the score."""

    side: Side
    rank: int


def side_of(owner: Owner, actor: Side) -> Side:
    """Return the end of a transaction that a feature describes."""
    return _SIDE_OF.get(owner, actor)


def actor_of(*, is_received: bool) -> Side:
    """Return the end that acts: the caller of a received call, else the subscriber."""
    return "peer" if is_received else "subscriber"


def accused(contributions: Mapping[Side, float], *, actor: Side, has_peer: bool) -> tuple[Accusation, ...]:
    """Return the accused ends of a transaction, by the contribution of each end's features to the margin.

    >>> accused({"subscriber": 0.2, "peer": 3.0}, actor="peer", has_peer=True)
    (Accusation(side='peer', rank=1),)
    >>> [a.side for a in accused({"subscriber": 2.0, "peer": 3.0}, actor="peer", has_peer=True)]
    ['peer', 'subscriber']

    A transaction without a peer accuses its subscriber:

    >>> [a.side for a in accused({"subscriber": 0.2, "peer": 3.0}, actor="subscriber", has_peer=False)]
    ['subscriber']
    """
    if not has_peer:
        return (Accusation("subscriber", 1),)
    other: Side = "subscriber" if actor == "peer" else "peer"
    first, second = (actor, other) if contributions[actor] >= contributions[other] else (other, actor)
    both = contributions[second] > 0 and contributions[second] >= _SECOND_SHARE * contributions[first]
    return (Accusation(first, 1), Accusation(second, 2)) if both else (Accusation(first, 1),)


def contributions_by_side(added: Floats, owners: Sequence[Owner], actor: Side) -> dict[Side, float]:
    """Return the contribution of each end's features to a margin."""
    sums: dict[Side, float] = {"subscriber": 0.0, "peer": 0.0}
    for owner, value in zip(owners, added, strict=True):
        sums[side_of(owner, actor)] += float(value)
    return sums


def first_is_peer(added: Floats, owners: Sequence[Owner], is_received: Bools, has_peer: Bools) -> Bools:
    """Return whether the peer is the first accused, for each row of contributions (without their base)."""
    subscriber, peer = _sum_by_side(added, owners, is_received)
    more: Bools = np.where(is_received, peer >= subscriber, peer > subscriber) & has_peer
    return more


def both_accused(added: Floats, owners: Sequence[Owner], is_received: Bools, has_peer: Bools) -> Bools:
    """Return whether both ends are accused, for each row of contributions (without their base); see `accused`."""
    subscriber, peer = _sum_by_side(added, owners, is_received)
    first, second = np.maximum(subscriber, peer), np.minimum(subscriber, peer)
    both: Bools = (second > 0) & (second >= _SECOND_SHARE * first) & has_peer
    return both


def _sum_by_side(added: Floats, owners: Sequence[Owner], is_received: Bools) -> tuple[Floats, Floats]:
    """Return for each row the contributions of the subscriber's and of the peer's features."""
    of = np.array([_SIDE_OF.get(o, "actor") for o in owners])
    subscriber, peer, actor = (added[:, of == name].sum(axis=1) for name in ("subscriber", "peer", "actor"))
    return subscriber + np.where(is_received, 0.0, actor), peer + np.where(is_received, actor, 0.0)
