"""The controls over the log: the clock is declared where it says something, every tick not judged yet is judged, once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import polars as pl

from trueup.log.lake import Lake, Transaction
from trueup.quality.completeness import load
from trueup.quality.completeness.evaluate_tick import Tick
from trueup.quality.completeness.history import TOLD, history, standing, turns_of
from trueup.quality.completeness.inputs import TICK, CompletenessInputs, Rules
from trueup.quality.policy import ensure_quality_policy, stretches_of
from trueup.quality.statements import statement
from trueup.quality.validation.expectation_findings import CONTROL
from trueup.quality.validation.validation_schedule import due

CONSUMER = "quality"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Controlled:
    """What a run of the controls did: how many findings it raised, revised and resolved.

    `seen` is what it looked at, None where that was under more than one policy.
    """

    from_position: int
    to_position: int
    actions: Counter[str]
    seen: CompletenessInputs | None


def control(lake: Lake) -> Controlled:
    """Judges all ticks since the last run, the one of now included, each under the policy that was in force.

    A tick of now is declared where something came since the last one, or where the clock alone changes what the controls or
    validation say: otherwise there is nothing to be known at it, and the log stays as it is.
    """
    ensure_quality_policy(lake)
    after, newest = lake.consumer_position(CONSUMER), lake.last_position()
    now = Tick(newest + 1, (lake.clock() - _EPOCH) // timedelta(microseconds=1))
    changes, parts = [pl.DataFrame(schema=TOLD)], stretches_of(lake, after=after, upto=now.position)
    told, seen = _told(lake, newest), CompletenessInputs.of()
    for part in parts:
        rules, upto = part.policy.rules, part.upto
        seen = load.seen(lake, rules, after=part.after, upto=upto)
        if part is parts[-1]:
            seen, upto = _with_now(lake, seen, rules, now, told, after=part.after)
        changes.append(history(seen, rules, after=part.after, upto=upto, told=standing(told)))
        told = pl.concat([told, changes[-1]], how="diagonal_relaxed")
    every = pl.concat(changes)

    def write(transaction: Transaction) -> bool:
        if lake.consumer_position(CONSUMER) != after or after == upto:
            return False
        transaction.append("finding", every)
        transaction.set_consumer_position(CONSUMER, upto)
        return True

    actions = Counter[str](every["action"].to_list() if lake.commit(write) else [])
    one = seen if len(parts) == 1 else None
    return Controlled(after, upto, actions, one)


def derived(lake: Lake, *, after: int = 0, upto: int) -> pl.DataFrame:
    """What the ticks in (after, upto] change, as rows of `history.TOLD`; commits nothing."""
    changes, told = [pl.DataFrame(schema=TOLD)], _told(lake, after)
    for part in stretches_of(lake, after=after, upto=upto):
        rules = part.policy.rules
        seen = load.seen(lake, rules, after=part.after, upto=part.upto)
        changes.append(history(seen, rules, after=part.after, upto=part.upto, told=standing(told)))
        told = pl.concat([told, changes[-1]], how="diagonal_relaxed")
    return pl.concat(changes)


def _with_now(
    lake: Lake, seen: CompletenessInputs, rules: Rules, now: Tick, told: pl.DataFrame, *, after: int
) -> tuple[CompletenessInputs, int]:
    """What is looked at, with a tick of now where that says something; and up to which position."""
    if not _speaks(seen, rules, now, standing(told), after=after):
        return seen, now.position - 1
    position = _declared(lake)
    if position == now.position:
        return replace(seen, ticks=_with(seen.ticks, now)), position
    # Others were quicker: the tick stands behind what they brought.
    return load.seen(lake, rules, after=after, upto=position), position


def _speaks(seen: CompletenessInputs, rules: Rules, now: Tick, told: pl.DataFrame, *, after: int) -> bool:
    """Whether a tick of now would say anything that the last one did not."""
    ticked = replace(seen, ticks=_with(seen.ticks, now))
    (turn,) = turns_of(ticked, after=now.position - 1, upto=now.position)
    last = turn.last
    if last is None or last.position < now.position - 1:
        return True
    changes = history(ticked, rules, after=after, upto=now.position, told=told)
    return not changes.filter(pl.col("position") == now.position).is_empty() or bool(due(ticked, rules, now, last))


def _with(ticks: pl.DataFrame, tick: Tick) -> pl.DataFrame:
    return pl.concat([ticks, pl.DataFrame([(tick.position, tick.at_us, None)], TICK, orient="row")])


def _told(lake: Lake, upto: int) -> pl.DataFrame:
    """What was told of completeness up to a position, as rows of `events.finding`."""
    return lake.connection.execute(statement("told"), {"upto": upto}).pl().filter(pl.col("control") != CONTROL)


def _declared(lake: Lake) -> int:
    now = lake.clock()
    return lake.commit(lambda transaction: transaction.declare("tick", through=now))
