"""Find the billing error: try hypotheses in order, until one gives exactly the billed amount."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby

import polars as pl

from trueup.rating.amounts import amounts_of
from trueup.rating.book import BY_START, KEYS, NEVER_US, RATE, Book
from trueup.rating.rate import rateable, shares_of
from trueup.rating.segments import SECOND

ALTERNATIVE: dict[str, pl.DataType] = {"call": pl.Int64(), "cause": pl.String(), "sentence": pl.String()}
_SECOND_US, _HOUR_US = 1_000_000, 3_600_000_000
_INCREMENTS_S = ((60, 60), (30, 6), (60, 1), (1, 1), (6, 6), (30, 30), (10, 10), (None, None))
_ROUNDINGS = (("up", "up"), ("down", "down"), ("half_up", "half up"), ("half_even", "half to even"))
_DECIMALS = (2, 3, 4, 0, 1, 5)
_SHIFTS_H = (*range(-12, 0), *range(1, 15))
_MOST_AMOUNTS = 100_000
"""The largest number of amounts that are computed at once."""
_MOST_PLANS = 64
"""The largest number of plans that are tried one by one."""


def explain_billed_amount(
    calls: pl.DataFrame, billed: pl.DataFrame, book: Book, others: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return for each call (`CALL`) the first error that explains its amount in `billed` (`call`, `billed_micros`).

    The hypotheses are tried in this order: zero rated, another version of the tariff, a term of the tariff ignored, another
    increment, another rounding. Then come tax charged twice or never, the price of the start, and ignored allowances. The last are
    bands shifted by hours, another plan, and an amount in another currency. `cause` and `sentence` are NULL where no hypothesis
    gives the amount. `others` are records that share allowances or tiers with the calls. Each call is priced as a what-if in its
    order among them.
    """
    left = calls.join(billed, on="call")
    free = left.filter(pl.col("billed_micros") == 0).select("call")
    found = [free.select("call", cause=pl.lit("zero_rated"), sentence=pl.lit("billed as if it were free"))]
    left = left.join(free, on="call", how="anti")
    shares: dict[str, pl.DataFrame] = {}
    for _, alike in groupby(_list_mistakes(book) if left.height else (), key=lambda mistake: mistake.cut or object()):
        mistakes = list(alike)
        # Pricing a few records by many books costs little more than pricing them by one.
        size = max(1, _MOST_AMOUNTS // max(1, left.height))
        for first in range(0, len(mistakes), size):
            made = _match_hypotheses(left, mistakes[first : first + size], others, shares)
            found.append(made)
            left = left.join(made, on="call", how="anti")
        if left.is_empty():
            break
    return calls.select("call").join(pl.concat(found), on="call", how="left", maintain_order="left").select(*ALTERNATIVE)


@dataclass(frozen=True)
class _Mistake:
    """A hypothesis: price records by `book`, with the values in `columns` instead of the records' own values.

    Hypotheses with equal `cut` differ only in rounding, decimals or tax: their books give the same shares, and no column changes.
    """

    cause: str
    sentence: str
    book: Book
    columns: dict[str, str] = field(default_factory=dict)
    cut: str | None = None


def _match_hypotheses(
    left: pl.DataFrame, mistakes: Sequence[_Mistake], others: pl.DataFrame | None, shares: dict[str, pl.DataFrame]
) -> pl.DataFrame:
    """Return the calls whose billed amount equals the amount under a hypothesis, as `ALTERNATIVE`, with the first such hypothesis.

    Several `mistakes` must have one `cut`. `shares` caches, by `cut`, the shares of all calls that were unexplained when an earlier
    hypothesis was tried.
    """
    mistake = mistakes[0]
    # A hypothesis that changes no column of a record explains nothing.
    rows = left.filter(pl.all_horizontal(pl.lit(True), *(pl.col(n).ne_missing(pl.lit(v)) for n, v in mistake.columns.items())))
    rows = rows.with_columns(pl.lit(v).alias(n) for n, v in mistake.columns.items())
    tried = rows.drop("billed_micros")
    book = mistake.book
    able = rateable(tried, book)
    if able.is_empty() or book.rates.is_empty():
        return pl.DataFrame(schema=ALTERNATIVE)
    parts = shares.get(mistake.cut) if mistake.cut else None
    if parts is None:
        parts, _ = shares_of(able if others is None else rateable(pl.concat([tried, others]), book), book)
        shares |= {mistake.cut: parts} if mistake.cut else {}
    own = parts.join(able, on="call", how="semi", maintain_order="left")
    amounts = _price_by_each_book(own, able, [m.book for m in mistakes])
    hits = amounts.join(rows, on="call", maintain_order="left").filter(pl.col("amount_micros") == pl.col("billed_micros"))
    names = pl.DataFrame([(n, m.cause, m.sentence) for n, m in enumerate(mistakes)], ["n", "cause", "sentence"], orient="row")
    return hits.sort("n").unique("call", keep="first", maintain_order=True).join(names, on="n").select(*ALTERNATIVE)


def _price_by_each_book(parts: pl.DataFrame, able: pl.DataFrame, books: Sequence[Book]) -> pl.DataFrame:
    """Return `n`, `call` and `amount_micros` of calls with the shares `parts`, priced by each of the books; `n` numbers the books.

    All copies are priced at once: each book gives the calls and the rates of their shares numbers of its own.
    """
    base = books[0]
    calls = able.select(pl.col("call").max() + 1).item()
    rates = pl.concat([base.rates["rate"], base.slots["rate"]]).max() + 1  # type: ignore[operator]
    own_rates = pl.concat([book.rates.with_columns(pl.col("rate") + n * rates) for n, book in enumerate(books)])
    numbers = range(len(books))
    own_parts = pl.concat([parts.with_columns(pl.col("call") + n * calls, pl.col("base") + n * rates) for n in numbers])
    own_calls = pl.concat([able.with_columns(pl.col("call") + n * calls) for n in numbers])
    amounts = amounts_of(own_parts, own_calls, replace(base, rates=own_rates))
    return amounts.select(pl.col("call") % calls, "amount_micros", n=pl.col("call") // calls)


def _list_mistakes(book: Book) -> Iterator[_Mistake]:
    """Yield every hypothesis to try, in order."""
    yield from (_Mistake("former_version", f"billed at the price of before {day}", b) for day, b in _shift_versions(book, 1))
    yield from (_Mistake("coming_version", f"billed at the price of {day} on", b) for day, b in _shift_versions(book, -1))
    yield from _drop_each_term(book)
    for first_s, next_s in _INCREMENTS_S:
        sentence = "billed exactly, without increments" if first_s is None else f"billed in increments of {first_s}/{next_s} s"
        yield _Mistake("wrong_increment", sentence, _with_increments(book, first_s, next_s))
    for decimals in _DECIMALS:
        for rounding, name in _ROUNDINGS:
            terms = {"rounding": pl.lit(rounding), "decimals": pl.lit(decimals, pl.Int64), "rounding_stage": pl.lit("total")}
            sentence = f"billed rounded {name} to {decimals} decimals"
            yield _Mistake("wrong_rounding", sentence, replace(book, rates=book.rates.with_columns(**terms)), cut="total")
    yield from _vary_tax(book)
    if not book.bands.is_empty():
        at_start = book.rates.with_columns(priced_at=pl.lit(BY_START))
        yield _Mistake("priced_at_start", "billed at the price of its start", replace(book, rates=at_start))
    if not book.allowances.is_empty():
        yield _Mistake("allowance_ignored", "billed without free units", replace(book, allowances=book.allowances.clear()))
    for hours in _SHIFTS_H if not book.bands.is_empty() else ():
        sentence = f"billed as if the bands were {abs(hours)} h {'later' if hours < 0 else 'earlier'}"
        yield _Mistake("shifted_band", sentence, replace(book, shift_us=hours * _HOUR_US))
    plans = book.rates["plan"].drop_nulls().unique().sort().to_list()
    for plan in plans if len(plans) <= _MOST_PLANS else ():
        yield _Mistake("other_plan", f"billed as plan {plan}", book, {"plan": plan})
    for currency in pl.concat([book.exchange["currency"], book.exchange["to_currency"]]).unique().sort().to_list():
        yield _Mistake("other_currency", f"billed with the amount it has in {currency}", book, {"currency": currency})


def _shift_versions(book: Book, step: int) -> Iterator[tuple[str, Book]]:
    """Yield the day of a tariff change, and a book whose versions hold in the validity of the next (1) or previous (−1) one.

    Prices of different keys may change at different times, so each moment of change is an alternative of its own.
    """
    key = KEYS[RATE]
    ordered = book.rates.sort(*key, "from_us", nulls_last=True)
    neighbour = {n: pl.col(n).shift(-step).over(key) for n in ("from_us", "to_us")}
    change = "from_us" if step > 0 else "own_from_us"
    shifted = ordered.with_columns(own_from_us="from_us", **neighbour).drop_nulls("from_us")
    for moment in shifted[change].unique().sort().to_list():
        shifted_rates = shifted.filter(pl.col(change) == moment).select(ordered.columns)
        # Rates that did not change at that moment stay in the book, because other rates may fall back on them.
        others_unchanged = ordered.join(shifted_rates.select(key).unique(), on=key, how="anti", nulls_equal=True)
        yield _format_day(moment), replace(book, rates=_renumber_rates(pl.concat([shifted_rates, others_unchanged])))


def _renumber_rates(rates: pl.DataFrame) -> pl.DataFrame:
    return rates.drop("rate").with_row_index("rate").with_columns(pl.col("rate").cast(pl.Int64))


def _format_day(us: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=min(us, NEVER_US // 64))
    return f"{moment:%Y-%m-%d}" if moment.time().isoformat() == "00:00:00" else f"{moment:%Y-%m-%d %H:%M}Z"


def _with_increments(book: Book, first_s: int | None, next_s: int | None) -> Book:
    timed = pl.col("unit") == SECOND
    steps = {"first_increment_micros": first_s, "next_increment_micros": next_s}
    other = [pl.lit(None if s is None else s * _SECOND_US, pl.Int64) for s in steps.values()]
    changed = [pl.when(timed).then(value).otherwise(n).alias(n) for n, value in zip(steps, other, strict=True)]
    return replace(book, rates=book.rates.with_columns(changed))


def _drop_each_term(book: Book) -> Iterator[_Mistake]:
    """Yield books whose rates lack one term: one that limits the charged quantity, or one that selects the price."""
    sentences = {
        "free_first_micros": ("free_first_ignored", "billed with the first units, which are free"),
        "chargeable_from_micros": ("chargeable_from_ignored", "billed although it is too short to be charged"),
        "priced_at": ("priced_by_increment", "billed with a price that changed after its start"),
    }
    for column, (cause, sentence) in sentences.items():
        if book.rates[column].null_count() < book.rates.height:
            without = book.rates.with_columns(pl.lit(None, book.rates.schema[column]).alias(column))
            yield _Mistake(cause, sentence, replace(book, rates=without))
    if not book.ported.is_empty():
        yield _Mistake("ported_ignored", "billed as if its number were not ported", replace(book, ported=book.ported.clear()))
    if book.origins.height:
        of_any = book.rates.filter(pl.col("origin").is_null())
        yield _Mistake("origin_ignored", "billed as from any origin", replace(book, rates=_renumber_rates(of_any)))


def _vary_tax(book: Book) -> Iterator[_Mistake]:
    if (book.rates["tax_micros"] != 0).any():
        without = book.rates.with_columns(tax_micros=pl.lit(0, pl.Int64))
        yield _Mistake("tax_missing", "billed without tax", replace(book, rates=without), cut="own")
        # (1 + t)² = 1 + 2t + t²: exact where t² has no more than six decimals.
        tax = pl.col("tax_micros")
        added = pl.when("tax_included").then(tax).otherwise(tax * 2 + tax**2 // 1_000_000)
        twice = book.rates.with_columns(tax_micros=added, tax_included=pl.lit(False))
        yield _Mistake("tax_twice", "billed with tax on tax", replace(book, rates=twice), cut="own")
