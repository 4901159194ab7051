"""The life of completeness findings along the log: raised, revised and resolved from tick to tick.

Each tick is evaluated on the log up to its position, once, and after the previous tick. So the findings depend on the log alone,
and not on how runs divide the positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from trueup.events.schema import STATES
from trueup.localtime import local_day
from trueup.quality.completeness.evaluate_tick import KEY, OPEN_FINDING, Tick, Turn, evaluate_tick, no_findings
from trueup.quality.completeness.inputs import CompletenessInputs, Rules
from trueup.reconcile.results.finding_rows import BOOKING_MONEY, CHARGED_ITEM, HISTORY, MONEY, with_finding_ids

FINDING_CHANGE: dict[str, pl.DataType] = {
    **{n: dtype for n, dtype in HISTORY.items() if not isinstance(dtype, pl.List) and n not in {**BOOKING_MONEY, **CHARGED_ITEM}},
    "stream": pl.String(), "source": pl.String(), "control": pl.String(), "subject": pl.String(),
    "records_low": pl.Int64(), "records_high": pl.Int64(), "impact_low_micros": MONEY, "impact_high_micros": MONEY,
}  # fmt: skip
"""A row of `events.finding` about a feed; it names no single records."""
ORDER = ["position", "finding_id"]
_BY_TIME = ("volume", "mix", "schedule", "expectations")
"""Controls that raise findings because time has passed; all others raise them because records arrived."""
_NONE = pl.lit(None, pl.String)
NO_TIME_US = -(2**61)
"""The clock before the first tick in force: no day is over and no feed is late."""
_TickRow = tuple[int, int, int | None]
"""A row of `inputs.TICK`: position, time, and the position from which the tick is void."""


def history(
    inputs: CompletenessInputs, rules: Rules, *, after: int, upto: int, open_before: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return the changes of findings by the ticks in (after, upto], as rows of `FINDING_CHANGE`.

    `open_before` are the findings that are open at `after` (rows of `OPEN_FINDING`).
    """
    current = no_findings() if open_before is None else open_before
    changes = [pl.DataFrame(schema=FINDING_CHANGE)]
    for turn in turns_of(inputs, after=after, upto=upto):
        now = evaluate_tick(inputs, rules, turn.tick, turn.before, current)
        changes.append(changed(current, now, rules, turn.tick, renewed(inputs, rules, turn)))
        current = now
    return pl.concat(changes)


def turns_of(inputs: CompletenessInputs, *, after: int, upto: int) -> list[Turn]:
    """Return the evaluations in (after, upto], in order: one at each tick, and one where ticks are superseded."""
    rows = inputs.ticks.sort("position").select("position", "at_us", "superseded_at").rows()
    moments = {position: Tick(position, at_us) for position, at_us, _ in rows}
    superseding = {at for _, _, at in rows if at is not None}
    turns, last = list[Turn](), None
    for position in sorted(moments.keys() | superseding):
        turn = _supersede(rows, position, last) if position in superseding else Turn(moments[position], last, last)
        turns.append(turn)
        last = turn.tick
    return [turn for turn in turns if after < turn.tick.position <= upto]


def _supersede(rows: list[_TickRow], position: int, last: Tick | None) -> Turn:
    """Return the turn at which ticks become void: the clock returns to the last tick still in force."""
    in_force = [Tick(p, at) for p, at, void_from in rows if p < position and not (void_from is not None and void_from <= position)]
    first_void = min(p for p, _, void_from in rows if void_from == position)
    before = next((tick for tick in reversed(in_force) if tick.position < first_void), None)
    at_us = in_force[-1].at_us if in_force else NO_TIME_US
    return Turn(Tick(position, at_us), before, last, superseded=True)


def renewed(inputs: CompletenessInputs, rules: Rules, turn: Turn) -> list[str]:
    """Return the sources without new records since the last turn, whose findings only rules or superseded ticks can change."""
    tick, last = turn.tick, turn.last
    if last is None or (rules.since <= last.position and not turn.superseded):
        return []
    new = pl.col("position").is_between(last.position + 1, tick.position)
    came = {*inputs.units.filter(new)["source"], *inputs.states.filter(new)["source"]}
    return [name for name in {*inputs.units["source"], *inputs.states["source"]} if name not in came]


def changed(before: pl.DataFrame, now: pl.DataFrame, rules: Rules, tick: Tick, by_rules: Sequence[str] = ()) -> pl.DataFrame:
    """Compare the findings `before` and `now` (rows of `OPEN_FINDING`); return the changes as rows of `FINDING_CHANGE`.

    Changes of sources in `by_rules` have the cause `policy_change`.
    """
    content = [n for n in OPEN_FINDING if n not in KEY]
    compared = before.with_columns(was=pl.lit(True)).join(
        now.with_columns(is_open=pl.lit(True)), on=KEY, how="full", suffix="_new", coalesce=True, nulls_equal=True
    )
    was, is_open = pl.col("was").fill_null(False), pl.col("is_open").fill_null(False)
    differs = pl.any_horizontal(pl.col(n).ne_missing(pl.col(f"{n}_new")) for n in content)
    action = pl.when(~was).then(pl.lit("raised")).when(~is_open).then(pl.lit("resolved")).otherwise(pl.lit("revised"))
    timed = pl.col("control").is_in(_BY_TIME)
    longer = is_open & (pl.col("to_us") != pl.col("to_us_new"))
    state = pl.col("stream").is_in(list(STATES))
    late = pl.when(state).then(pl.format("{}_change", "stream")).otherwise(pl.format("late_{}", "stream"))
    cause = (
        pl.when(pl.col("source").is_in(list(by_rules))).then(pl.lit("policy_change"))
        .when(~was).then(pl.when(timed).then(pl.lit("frontier")).otherwise(pl.lit("arrival")))
        .when(timed & longer).then(pl.lit("frontier")).otherwise(late)
    )  # fmt: skip
    differing = compared.filter(~(was & is_open) | differs).with_columns(action=action, cause=cause)
    shown = differing.select(*KEY, "action", "cause", *(pl.when(is_open).then(f"{n}_new").otherwise(n).alias(n) for n in content))
    return _build_history_rows(shown, rules, tick)


def _build_history_rows(rows: pl.DataFrame, rules: Rules, tick: Tick) -> pl.DataFrame:
    named = rows.with_columns(
        about=pl.lit("feed"), id_scope="source", id_currency=_NONE, id_service="service", id_subscriber=_NONE, name="node",
        name_scope="control", period="subject",
    )  # fmt: skip
    zero = pl.lit(0, pl.Int128)
    return with_finding_ids(named).with_columns(
        position=pl.lit(tick.position, pl.Int64), bucket=pl.lit(0), subscriber=_NONE, peer=_NONE,
        day=local_day(pl.col("from_us"), rules.timezone), started_at="from_us", ended_at="to_us", expected_micros=zero,
        billed_micros=zero, impact_low_micros="money_low", impact_high_micros="money_high",
    ).select(pl.col(n).cast(t) for n, t in FINDING_CHANGE.items()).sort(ORDER)  # fmt: skip


def open_findings(changes: pl.DataFrame) -> pl.DataFrame:
    """Return the findings open after a history (rows of `FINDING_CHANGE`), as rows of `OPEN_FINDING`."""
    last = changes.sort("position").unique("finding_id", keep="last", maintain_order=True)
    open_rows = last.filter(pl.col("action").is_in(["raised", "revised"]))
    return open_rows.with_columns(
        from_us=pl.col("started_at").cast(pl.Int64), to_us=pl.col("ended_at").cast(pl.Int64),
        money_low="impact_low_micros", money_high="impact_high_micros",
    ).select(pl.col(n).cast(t) for n, t in OPEN_FINDING.items()).sort(KEY)  # fmt: skip
