"""The life of completeness findings along the log: raised, revised and resolved from tick to tick.

The controls look at each tick, at what was known at its position. So what they say depends on the log alone: however the
positions are divided among runs, each tick is judged once, after the one before.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from trueup.events.schema import STATES
from trueup.localtime import local_day
from trueup.quality.completeness.evaluate_tick import KEY, STANDING, Tick, Turn, evaluate_tick, nothing
from trueup.quality.completeness.inputs import CompletenessInputs, Rules
from trueup.reconcile.results.finding_rows import BOOKING_MONEY, HISTORY, MONEY, with_finding_ids

TOLD: dict[str, pl.DataType] = {
    **{name: dtype for name, dtype in HISTORY.items() if not isinstance(dtype, pl.List) and name not in BOOKING_MONEY},
    "stream": pl.String(), "source": pl.String(), "control": pl.String(), "subject": pl.String(),
    "records_low": pl.Int64(), "records_high": pl.Int64(), "impact_low_micros": MONEY, "impact_high_micros": MONEY,
}  # fmt: skip
"""Rows of `events.finding` that tell of completeness; they name no single record."""
ORDER = ["position", "finding_id"]
_BY_TIME = ("volume", "mix", "schedule", "expectations")
"""Controls that speak because time has passed; the others speak because something came."""
_NONE = pl.lit(None, pl.String)
NO_TIME_US = -(2**61)
"""The clock where no tick is in force: no day is over and no feed is late."""
_TickRow = tuple[int, int, int | None]
"""A row of `frames.TICK`: position, time, the position it is void from."""


def history(seen: CompletenessInputs, rules: Rules, *, after: int, upto: int, told: pl.DataFrame | None = None) -> pl.DataFrame:
    """What the ticks in (after, upto] change, as rows of `TOLD`; `told` is what stands at `after` (rows of `STANDING`)."""
    standing = nothing() if told is None else told
    changes = [pl.DataFrame(schema=TOLD)]
    for turn in turns_of(seen, after=after, upto=upto):
        now = evaluate_tick(seen, rules, turn.tick, turn.before, standing)
        changes.append(changed(standing, now, rules, turn.tick, renewed(seen, rules, turn)))
        standing = now
    return pl.concat(changes)


def turns_of(seen: CompletenessInputs, *, after: int, upto: int) -> list[Turn]:
    """The judgements in (after, upto], in order: one at each tick, and one where ticks are superseded."""
    rows = seen.ticks.sort("position").select("position", "at_us", "superseded_at").rows()
    moments = {position: Tick(position, at_us) for position, at_us, _ in rows}
    superseding = {at for _, _, at in rows if at is not None}
    turns, last = list[Turn](), None
    for position in sorted(moments.keys() | superseding):
        turn = _superseding(rows, position, last) if position in superseding else Turn(moments[position], last, last)
        turns.append(turn)
        last = turn.tick
    return [turn for turn in turns if after < turn.tick.position <= upto]


def _superseding(rows: list[_TickRow], position: int, last: Tick | None) -> Turn:
    """The turn at which ticks are void for the first time: the clock is again what the last tick in force says."""
    in_force = [Tick(p, at) for p, at, void_from in rows if p < position and not (void_from is not None and void_from <= position)]
    first_void = min(p for p, _, void_from in rows if void_from == position)
    before = next((tick for tick in reversed(in_force) if tick.position < first_void), None)
    at_us = in_force[-1].at_us if in_force else NO_TIME_US
    return Turn(Tick(position, at_us), before, last, superseded=True)


def renewed(seen: CompletenessInputs, rules: Rules, turn: Turn) -> list[str]:
    """The sources of which only the rules, or a superseded tick, can have changed what is told at a turn: those that brought
    nothing since the last one."""
    tick, last = turn.tick, turn.last
    if last is None or (rules.since <= last.position and not turn.superseded):
        return []
    new = pl.col("position").is_between(last.position + 1, tick.position)
    came = {*seen.units.filter(new)["source"], *seen.states.filter(new)["source"]}
    return [name for name in {*seen.units["source"], *seen.states["source"]} if name not in came]


def changed(before: pl.DataFrame, now: pl.DataFrame, rules: Rules, tick: Tick, by_rules: Sequence[str] = ()) -> pl.DataFrame:
    """What became of what stood before, at a tick, as rows of `TOLD`; both frames are rows of `STANDING`.

    Of the sources `by_rules` it is new rules that changed it.
    """
    content = [n for n in STANDING if n not in KEY]
    both = before.with_columns(was=pl.lit(True)).join(
        now.with_columns(stands=pl.lit(True)), on=KEY, how="full", suffix="_new", coalesce=True, nulls_equal=True
    )
    was, stands = pl.col("was").fill_null(False), pl.col("stands").fill_null(False)
    differs = pl.any_horizontal(pl.col(n).ne_missing(pl.col(f"{n}_new")) for n in content)
    action = pl.when(~was).then(pl.lit("raised")).when(~stands).then(pl.lit("resolved")).otherwise(pl.lit("revised"))
    timed = pl.col("control").is_in(_BY_TIME)
    longer = stands & (pl.col("to_us") != pl.col("to_us_new"))
    state = pl.col("stream").is_in(list(STATES))
    late = pl.when(state).then(pl.format("{}_change", "stream")).otherwise(pl.format("late_{}", "stream"))
    cause = (
        pl.when(pl.col("source").is_in(list(by_rules))).then(pl.lit("policy_change"))
        .when(~was).then(pl.when(timed).then(pl.lit("frontier")).otherwise(pl.lit("arrival")))
        .when(timed & longer).then(pl.lit("frontier")).otherwise(late)
    )  # fmt: skip
    moved = both.filter(~(was & stands) | differs).with_columns(action=action, cause=cause)
    shown = moved.select(*KEY, "action", "cause", *(pl.when(stands).then(f"{n}_new").otherwise(n).alias(n) for n in content))
    return _rows(shown, rules, tick)


def _rows(rows: pl.DataFrame, rules: Rules, tick: Tick) -> pl.DataFrame:
    named = rows.with_columns(
        about=pl.lit("feed"), id_scope="source", id_currency=_NONE, id_service="service", id_subscriber=_NONE, name="node",
        name_scope="control", period="subject",
    )  # fmt: skip
    zero = pl.lit(0, pl.Int128)
    return with_finding_ids(named).with_columns(
        position=pl.lit(tick.position, pl.Int64), bucket=pl.lit(0), subscriber=_NONE, peer=_NONE,
        day=local_day(pl.col("from_us"), rules.timezone), started_at="from_us", ended_at="to_us", expected_micros=zero,
        billed_micros=zero, impact_low_micros="money_low", impact_high_micros="money_high",
    ).select(pl.col(n).cast(t) for n, t in TOLD.items()).sort(ORDER)  # fmt: skip


def standing(told: pl.DataFrame) -> pl.DataFrame:
    """What stands after a history (rows of `TOLD`), as rows of `STANDING`."""
    last = told.sort("position").unique("finding_id", keep="last", maintain_order=True)
    stands = last.filter(pl.col("action").is_in(["raised", "revised"]))
    return stands.with_columns(
        from_us=pl.col("started_at").cast(pl.Int64), to_us=pl.col("ended_at").cast(pl.Int64),
        money_low="impact_low_micros", money_high="impact_high_micros",
    ).select(pl.col(n).cast(t) for n, t in STANDING.items()).sort(KEY)  # fmt: skip
