"""Cut a record into pieces of one price: at band edges, at changes of price, increment by increment."""

from __future__ import annotations

import polars as pl

from trueup.localtime import DAY_US
from trueup.rating.bands import timelines
from trueup.rating.book import BY_START, NEVER_US, Book
from trueup.rating.slots import with_slots

SECOND = "s"
_YEAR_US = 366 * DAY_US
SEGMENT: dict[str, pl.DataType] = {
    "call": pl.Int64(),
    "piece": pl.Int64(),  # from 0 in each call
    "rate": pl.Int64(),
    "from_micros": pl.Int64(),  # quantity already charged before it
    "charged_micros": pl.Int64(),  # in whole increments, so often more than was used
    "increment_micros": pl.Int64(),  # NULL: the exact quantity
    "free_micros": pl.Int64(),  # the part of the charged quantity that is free at the beginning of a record
}
_NO_DAYS = pl.Series(dtype=pl.Int64)
_TIMED = (pl.col("unit") == SECOND).fill_null(False)
_START_TERMS = ["unit", "chargeable_from_micros", "free_first_micros", "priced_at"]
_INCREMENTS = ["first_increment_micros", "next_increment_micros", "unit", "rounding_stage"]


def segment_calls(calls: pl.DataFrame, found: pl.DataFrame, book: Book) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Cut calls into `SEGMENT`s; return them, and the calls without a valid rate (`call`, `begun`).

    `calls` has `call`, `start_us` and `quantity_micros`; `found` are the candidate rates of the calls. A record of quantity 0 has
    one piece of quantity 0. Increments are counted from the start of the record; the first increment occurs once. An increment is
    charged whole at the rate in force when it begins. A free quantity at the beginning of a record is a piece of its own, and
    increments begin after it. `begun` is true if some candidate had come into force by then, even if not at that time of day.
    """
    longest = pl.col("quantity_micros").clip(0, _YEAR_US)
    first_us, last_us = calls.select(pl.col("start_us").min(), last=(pl.col("start_us") + longest).max()).row(0)
    rates = book.priced.join(found.select("rate").unique(), on="rate", how="semi")
    since = rates.select("rate", valid_us="from_us")
    changing = rates.filter(pl.col("banded") | (pl.col("from_us") > first_us) | (pl.col("to_us") <= last_us))
    line = timelines(book, changing, _list_days(_add_latest_end(calls, found, book)) if changing["banded"].any() else _NO_DAYS)
    steady = rates.join(changing, on="rate", how="anti").select("rate", steady=pl.lit(True))
    found = found.join(since, on="rate").join(steady, on="rate", how="left").with_columns(pl.col("steady").fill_null(False))
    found = _drop_unreachable(found)
    terms = book.rates.select("rate", *_INCREMENTS)
    remaining = calls.select("call", "quantity_micros", at_us="start_us", done=pl.lit(0, pl.Int64))
    made, lost, number = [pl.DataFrame(schema=SEGMENT)], [pl.DataFrame(schema={"call": pl.Int64, "begun": pl.Boolean})], 0
    free = made[0]
    if book.has_start_terms:
        held, missed = _find_rate_in_force(remaining, found, line)
        lost.append(missed)
        begun = held.join(book.rates.select("rate", *_START_TERMS), on="rate")
        remaining, free, found = _cut_remainders(begun), _cut_free_pieces(begun), _fix_rates_at_start(found, begun)
    while not remaining.is_empty():
        held, missed = _find_rate_in_force(remaining, found, line)
        lost.append(missed)
        under = held.join(terms, on="rate")
        cut = _charge_increments(under if book.slots.is_empty() else with_slots(under, book.slots))
        numbered = cut.with_columns(piece=pl.lit(number, pl.Int64), free_micros=pl.lit(0, pl.Int64))
        made.append(numbered.select(*SEGMENT))
        charged = cut.with_columns(done=pl.col("from_micros") + pl.col("charged_micros"))
        left = charged.filter(pl.col("done") < pl.col("quantity_micros"))
        # A volume is used at one instant, whatever its quantity.
        moved = pl.when(_TIMED).then(pl.col("at_us") + pl.col("charged_micros")).otherwise("at_us")
        remaining, number = left.select("call", "quantity_micros", "done", at_us=moved), number + 1
    unpriced = pl.concat(lost)
    whole = pl.concat(made) if free.is_empty() else _prepend_free_pieces(pl.concat(made), free)
    return _merge_pieces(whole.join(unpriced, on="call", how="anti").sort("call", "piece")), unpriced


def _derive_uncharged_micros() -> pl.Expr:
    """Return the free quantity at the beginning of a record: the whole record where it is too short to be charged."""
    quantity = pl.col("quantity_micros")
    too_short = (quantity < pl.col("chargeable_from_micros")).fill_null(False)
    return pl.when(too_short).then(quantity).otherwise(pl.min_horizontal(quantity, pl.col("free_first_micros").fill_null(0)))


def _cut_free_pieces(begun: pl.DataFrame) -> pl.DataFrame:
    """Return the free beginnings of records as `SEGMENT`s; `rate` is the rate in force at the beginning."""
    free = begun.with_columns(charged_micros=_derive_uncharged_micros()).filter(pl.col("charged_micros") > 0)
    zero = pl.lit(0, pl.Int64)
    return free.with_columns(
        piece=zero - 1, from_micros=zero, increment_micros=pl.lit(None, pl.Int64), free_micros="charged_micros"
    ).select(*SEGMENT)  # fmt: skip


def _cut_remainders(begun: pl.DataFrame) -> pl.DataFrame:
    """Return the part of each record after its free beginning, as a record that begins there."""
    left = pl.col("quantity_micros") - pl.col("uncharged")
    at_us = pl.col("at_us") + pl.when(_TIMED).then("uncharged").otherwise(0)
    rest = begun.with_columns(uncharged=_derive_uncharged_micros()).filter((left > 0) | (pl.col("quantity_micros") == 0))
    return rest.select("call", "done", quantity_micros=left, at_us=at_us)


def _fix_rates_at_start(found: pl.DataFrame, begun: pl.DataFrame) -> pl.DataFrame:
    """Return the candidates; a record that is priced at its start keeps only the rate in force then, for its whole length."""
    fixed = begun.filter(pl.col("priced_at") == BY_START).select("call", fixed_rate="rate")
    marked = found.join(fixed, on="call", how="left")
    kept = marked.filter(pl.col("fixed_rate").is_null() | (pl.col("fixed_rate") == pl.col("rate")))
    return kept.with_columns(pl.col("steady") | pl.col("fixed_rate").is_not_null()).select(found.columns)


def _prepend_free_pieces(made: pl.DataFrame, free: pl.DataFrame) -> pl.DataFrame:
    """Return the pieces of records, preceded by their free beginnings."""
    behind = made.join(free.select("call", uncharged="charged_micros"), on="call", how="left")
    shifted = behind.with_columns(pl.col("from_micros") + pl.col("uncharged").fill_null(0)).select(*SEGMENT)
    both = pl.concat([free, shifted]).sort("call", "piece")
    return both.with_columns(piece=pl.int_range(pl.len()).over("call").cast(pl.Int64))


def _drop_unreachable(found: pl.DataFrame) -> pl.DataFrame:
    """Return the candidates that can ever be in force: drop those ranked after a candidate that holds throughout."""
    if found["steady"].all():
        return found.sort("call", "rank", "rate").unique("call", keep="first", maintain_order=True)
    sure = found.filter("steady").group_by("call").agg(sure=pl.col("rank").min())
    return found.join(sure, on="call", how="left").filter(pl.col("rank") <= pl.col("sure").fill_null(NEVER_US)).drop("sure")


def _merge_pieces(made: pl.DataFrame) -> pl.DataFrame:
    """Merge adjacent pieces of one rate that were cut only because another rate might have begun."""
    same = [pl.col("call"), pl.col("rate"), pl.col("increment_micros"), pl.col("free_micros") > 0]
    begins = pl.any_horizontal(of.ne_missing(of.shift(1)) for of in same)
    if made["call"].is_unique().all():
        return made
    runs = made.with_columns(run=begins.cum_sum()).group_by("run", maintain_order=True).agg(
        pl.col("call", "rate", "from_micros", "increment_micros", "free_micros").first(), pl.col("charged_micros").sum()
    )  # fmt: skip
    return runs.with_columns(piece=pl.int_range(pl.len()).over("call").cast(pl.Int64)).select(*SEGMENT)


def _add_latest_end(calls: pl.DataFrame, found: pl.DataFrame, book: Book) -> pl.DataFrame:
    """Add `end_us`, the latest possible end of a call: a volume is used at one instant, and no call lasts more than a year."""
    timed = found.join(book.rates.filter(_TIMED), on="rate", how="semi").select("call").unique()
    lasting = calls.join(timed, on="call", how="semi").with_columns(
        end_us=pl.col("start_us") + pl.col("quantity_micros").clip(0, _YEAR_US)
    )
    return pl.concat([lasting, calls.join(timed, on="call", how="anti").with_columns(end_us="start_us")])


def _list_days(calls: pl.DataFrame) -> pl.Series:
    """Return the days of calls, counted from 1970, with the day before and after each, so that every time zone is covered."""
    spans = calls.select(first=pl.col("start_us") // DAY_US - 1, last=pl.col("end_us") // DAY_US + 2).unique()
    return spans.select(pl.int_ranges("first", "last").explode()).to_series().unique().sort()


def _find_rate_in_force(remaining: pl.DataFrame, found: pl.DataFrame, line: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return calls with the `rate` in force and `edge_us`, before which the rate cannot change; and the calls without a rate.

    In `found` a candidate is `steady` if it holds throughout; `line` is the timeline of the other candidates.
    """
    at = remaining.join(found, on="call")
    always = at.filter("steady").with_columns(holds=pl.lit(True), next_us=pl.lit(NEVER_US, pl.Int64))
    now = at.filter(~pl.col("steady")).sort("at_us").join_asof(
        line.rename({"at_us": "since_us"}), left_on="at_us", right_on="since_us", by="rate", check_sortedness=False
    )  # fmt: skip
    states = pl.concat([always, now.select(always.columns)])
    if states["call"].is_unique().all() and states["holds"].all():
        return states.rename({"next_us": "edge_us"}), remaining.select("call", begun=pl.lit(True)).clear()
    best = states.group_by("call").agg(
        best=pl.col("rank").filter("holds").min(), begun=(pl.col("valid_us") <= pl.col("at_us")).any()
    )  # fmt: skip
    ranked = states.join(best.drop_nulls("best"), on="call")
    rates = ranked.filter(pl.col("rank") <= pl.col("best")).group_by("call").agg(
        pl.col("at_us", "quantity_micros", "done").first(),
        rate=pl.col("rate").filter((pl.col("rank") == pl.col("best")) & pl.col("holds")).min(), edge_us=pl.col("next_us").min(),
    )  # fmt: skip
    missed = remaining.join(rates, on="call", how="anti").select("call").join(best.select("call", "begun"), on="call", how="left")
    return rates, missed.with_columns(pl.col("begun").fill_null(False))


def _charge_increments(held: pl.DataFrame) -> pl.DataFrame:
    """Charge the remaining increments of a call that begin before the edge."""
    first = (pl.col("done") == 0) & pl.col("first_increment_micros").is_not_null()
    alone = first & (pl.col("rounding_stage") == "increment") | (first & pl.col("next_increment_micros").is_null())
    step = pl.when(first).then("first_increment_micros").otherwise(
        pl.coalesce("next_increment_micros", pl.when(pl.col("done") == 0).then("first_increment_micros"))
    )  # fmt: skip
    room = pl.when(_TIMED).then(pl.col("edge_us") - pl.col("at_us")).otherwise(NEVER_US)
    left = pl.col("quantity_micros") - pl.col("done")
    reach = pl.min_horizontal(left, room, *(["slot_room"] if "slot_room" in held.columns else []))
    after = pl.max_horizontal(reach - pl.col("first_increment_micros"), 0)
    run = pl.col("next_increment_micros")
    more = pl.when(alone).then(0).otherwise(-(-after // run) * run)
    charged = (
        pl.when(left <= 0).then(0).when(step.is_null()).then(reach)
        .when(first).then(pl.col("first_increment_micros") + more).otherwise(-(-reach // step) * step)
    )  # fmt: skip
    return held.with_columns(from_micros="done", charged_micros=charged, increment_micros=step)
