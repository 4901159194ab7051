"""The controls over the log: a tick is declared, every tick not judged yet is judged, what changed is committed once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from trueup.log.lake import Lake, Transaction
from trueup.quality.completeness import read
from trueup.quality.completeness.history import history, standing
from trueup.quality.statements import statement

CONSUMER = "quality"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Controlled:
    """What a run of the controls did, and what stands after it (rows of `judge.STANDING`)."""

    from_position: int
    to_position: int
    raised: int
    revised: int
    resolved: int
    standing: pl.DataFrame


def control(lake: Lake) -> Controlled:
    """Judges all ticks since the last run, the one of now included; nothing new at the same time adds nothing."""
    _tick(lake)
    after, upto = lake.consumer_position(CONSUMER), lake.last_position()
    told = _told(lake, after)
    changes = derived(lake, after=after, upto=upto, told=told)

    def write(transaction: Transaction) -> bool:
        if lake.consumer_position(CONSUMER) != after or after == upto:
            return False
        transaction.append("finding", changes)
        transaction.consumed(CONSUMER, upto)
        return True

    wrote = lake.commit(write)
    actions = Counter(changes["action"].to_list() if wrote else [])
    return Controlled(after, upto, actions["raised"], actions["revised"], actions["resolved"], standing(_told(lake, upto)))


def derived(lake: Lake, *, after: int = 0, upto: int, told: pl.DataFrame | None = None) -> pl.DataFrame:
    """What the ticks in (after, upto] change, as rows of `history.TOLD`; commits nothing."""
    rules = read.rules_of(lake.project.config)
    seen = read.seen(lake, rules, after=after, upto=upto)
    return history(seen, rules, after=after, upto=upto, told=None if told is None else standing(told))


def _told(lake: Lake, upto: int) -> pl.DataFrame:
    return lake.connection.execute(statement("told"), {"upto": upto}).pl()


def _tick(lake: Lake) -> None:
    """Declares the clock, unless the newest position is a tick of this very moment."""
    now = lake.clock()
    at_us = (now - _EPOCH) // timedelta(microseconds=1)

    def declare(transaction: Transaction) -> None:
        newest = lake.last_position()
        ticks = transaction.connection.execute(statement("ticks"), {"upto": newest}).pl()
        if ticks.filter((pl.col("kind") == "tick") & (pl.col("position") == newest) & (pl.col("through_us") == at_us)).is_empty():
            transaction.declare("tick", through=now)

    lake.commit(declare)
