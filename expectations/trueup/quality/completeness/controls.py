"""Run the completeness controls over the log: evaluate each tick once, and declare a tick where it changes a finding."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import polars as pl

from trueup.log.lake import Lake, Transaction
from trueup.quality.completeness import load
from trueup.quality.completeness.evaluate_tick import Tick
from trueup.quality.completeness.history import FINDING_CHANGE, history, open_findings, turns_of
from trueup.quality.completeness.inputs import TICK, CompletenessInputs, Rules
from trueup.quality.policy import ensure_quality_policy, policy_intervals
from trueup.quality.statements import statement
from trueup.quality.validation.expectation_findings import CONTROL
from trueup.quality.validation.validation_schedule import due

CONSUMER = "quality"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Controlled:
    """Outcome of a run of the controls: the numbers of findings that it raised, revised and resolved.

    `inputs` is None where the positions fall under more than one policy.
    """

    from_position: int
    to_position: int
    actions: Counter[str]
    inputs: CompletenessInputs | None


def control(lake: Lake) -> Controlled:
    """Evaluate all ticks since the last run and the current one, each under the policy that was in force.

    A current tick is declared where records arrived since the last one, or where the clock alone changes a finding or makes a
    day due. Otherwise the log stays as it is.
    """
    ensure_quality_policy(lake)
    after, newest = lake.consumer_position(CONSUMER), lake.last_position()
    now = Tick(newest + 1, (lake.clock() - _EPOCH) // timedelta(microseconds=1))
    changes, parts = [pl.DataFrame(schema=FINDING_CHANGE)], policy_intervals(lake, after=after, upto=now.position)
    past_changes, inputs = _read_completeness_findings(lake, newest), CompletenessInputs.of()
    for part in parts:
        rules, upto = part.policy.rules, part.upto
        inputs = load.load_inputs(lake, rules, after=part.after, upto=upto)
        if part is parts[-1]:
            inputs, upto = _add_current_tick(lake, inputs, rules, now, past_changes, after=part.after)
        changes.append(history(inputs, rules, after=part.after, upto=upto, open_before=open_findings(past_changes)))
        past_changes = pl.concat([past_changes, changes[-1]], how="diagonal_relaxed")
    every = pl.concat(changes)

    def write(transaction: Transaction) -> bool:
        if lake.consumer_position(CONSUMER) != after or after == upto:
            return False
        transaction.append("finding", every)
        transaction.set_consumer_position(CONSUMER, upto)
        return True

    actions = Counter[str](every["action"].to_list() if lake.commit(write) else [])
    looked_at = inputs if len(parts) == 1 else None
    return Controlled(after, upto, actions, looked_at)


def derived(lake: Lake, *, after: int = 0, upto: int) -> pl.DataFrame:
    """Return what the ticks in (after, upto] change, as rows of `history.FINDING_CHANGE`, without a commit."""
    changes, past_changes = [pl.DataFrame(schema=FINDING_CHANGE)], _read_completeness_findings(lake, after)
    for part in policy_intervals(lake, after=after, upto=upto):
        rules = part.policy.rules
        inputs = load.load_inputs(lake, rules, after=part.after, upto=part.upto)
        changes.append(history(inputs, rules, after=part.after, upto=part.upto, open_before=open_findings(past_changes)))
        past_changes = pl.concat([past_changes, changes[-1]], how="diagonal_relaxed")
    return pl.concat(changes)


def _add_current_tick(
    lake: Lake, inputs: CompletenessInputs, rules: Rules, now: Tick, past_changes: pl.DataFrame, *, after: int
) -> tuple[CompletenessInputs, int]:
    """Return the inputs, with a current tick where that changes a finding, and their last position."""
    if not _check_finding_changes(inputs, rules, now, open_findings(past_changes), after=after):
        return inputs, now.position - 1
    position = _declare_current_tick(lake)
    if position == now.position:
        return replace(inputs, ticks=_add_tick(inputs.ticks, now)), position
    # Another writer may have committed first; the tick comes after its records.
    return load.load_inputs(lake, rules, after=after, upto=position), position


def _check_finding_changes(inputs: CompletenessInputs, rules: Rules, now: Tick, open_before: pl.DataFrame, *, after: int) -> bool:
    """Return whether a current tick would change a finding or make a day due."""
    ticked = replace(inputs, ticks=_add_tick(inputs.ticks, now))
    (turn,) = turns_of(ticked, after=now.position - 1, upto=now.position)
    last = turn.last
    if last is None or last.position < now.position - 1:
        return True
    changes = history(ticked, rules, after=after, upto=now.position, open_before=open_before)
    return not changes.filter(pl.col("position") == now.position).is_empty() or bool(due(ticked, rules, now, last))


def _add_tick(ticks: pl.DataFrame, tick: Tick) -> pl.DataFrame:
    return pl.concat([ticks, pl.DataFrame([(tick.position, tick.at_us, None)], TICK, orient="row")])


def _read_completeness_findings(lake: Lake, upto: int) -> pl.DataFrame:
    """Return the changes of completeness findings up to a position, as rows of `events.finding`."""
    return lake.connection.execute(statement("feed_findings"), {"upto": upto}).pl().filter(pl.col("control") != CONTROL)


def _declare_current_tick(lake: Lake) -> int:
    now = lake.clock()
    return lake.commit(lambda transaction: transaction.declare("tick", through=now))
