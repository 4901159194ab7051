"""The controls over the log: the clock is declared where it says something, every tick not judged yet is judged, once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import polars as pl

from trueup.log.lake import Lake, Transaction
from trueup.quality.completeness import read
from trueup.quality.completeness.frames import TICK, Rules, Seen
from trueup.quality.completeness.history import history, standing, ticks_of
from trueup.quality.completeness.judge import Tick
from trueup.quality.due import due
from trueup.quality.failures import CONTROL
from trueup.quality.statements import statement

CONSUMER = "quality"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Controlled:
    """What a run of the controls did, and what it looked at."""

    from_position: int
    to_position: int
    raised: int
    revised: int
    resolved: int
    seen: Seen


def control(lake: Lake) -> Controlled:
    """Judges all ticks since the last run, the one of now included.

    A tick of now is declared where something came since the last one, or where the clock alone changes what the controls or
    validation say: otherwise there is nothing to be known at it, and the log stays as it is.
    """
    rules = read.rules_of(lake.project.config)
    after, newest = lake.consumer_position(CONSUMER), lake.last_position()
    at_us = (lake.clock() - _EPOCH) // timedelta(microseconds=1)
    seen = read.seen(lake, rules, after=after, upto=newest)
    told = _told(lake, newest)
    now = Tick(newest + 1, at_us)
    if _speaks(seen, rules, now, told, after=after):
        position = _declared(lake)
        known = replace(seen, ticks=_with(seen.ticks, Tick(position, at_us)))
        # Where others were quicker, the tick stands behind what they brought.
        seen = known if position == now.position else read.seen(lake, rules, after=after, upto=position)
    upto = max(newest, int(seen.ticks["position"].max() or 0))  # type: ignore[arg-type]
    changes = history(seen, rules, after=after, upto=upto, told=told)

    def write(transaction: Transaction) -> bool:
        if lake.consumer_position(CONSUMER) != after or after == upto:
            return False
        transaction.append("finding", changes)
        transaction.consumed(CONSUMER, upto)
        return True

    actions = Counter(changes["action"].to_list() if lake.commit(write) else [])
    return Controlled(after, upto, actions["raised"], actions["revised"], actions["resolved"], seen)


def derived(lake: Lake, *, after: int = 0, upto: int) -> pl.DataFrame:
    """What the ticks in (after, upto] change, as rows of `history.TOLD`; commits nothing."""
    rules = read.rules_of(lake.project.config)
    seen = read.seen(lake, rules, after=after, upto=upto)
    return history(seen, rules, after=after, upto=upto, told=_told(lake, after))


def _speaks(seen: Seen, rules: Rules, now: Tick, told: pl.DataFrame, *, after: int) -> bool:
    """Whether a tick of now would say anything that the last one did not."""
    _, last = ticks_of(seen, after=now.position, upto=now.position)
    if last is None or last.position < now.position - 1:
        return True
    ticked = replace(seen, ticks=_with(seen.ticks, now))
    changes = history(ticked, rules, after=after, upto=now.position, told=told)
    return not changes.filter(pl.col("position") == now.position).is_empty() or bool(due(ticked, rules, now, last))


def _with(ticks: pl.DataFrame, tick: Tick) -> pl.DataFrame:
    return pl.concat([ticks, pl.DataFrame([(tick.position, tick.at_us)], TICK, orient="row")])


def _told(lake: Lake, upto: int) -> pl.DataFrame:
    """What stands of completeness at a position, as rows of `judge.STANDING`."""
    told = lake.connection.execute(statement("told"), {"upto": upto}).pl()
    return standing(told.filter(pl.col("control") != CONTROL))


def _declared(lake: Lake) -> int:
    now = lake.clock()
    return lake.commit(lambda transaction: transaction.declare("tick", through=now))
