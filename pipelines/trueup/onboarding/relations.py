"""Relations between samples of usage and of charges: the key that both share, their units, and prices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

import polars as pl

from trueup.onboarding.columns import Column
from trueup.onboarding.evidence import Fit
from trueup.onboarding.names import name_score
from trueup.onboarding.roles import Roles, overlap

_LEAST_OVERLAP = 0.4
_NO_KEY = ("started_at", "ended_at", "billed_at", "quantity", "amount", "peer", "currency", "service", "direction", "partial_no")
_MOST_PAIRS = 2_000
_DIGITS = 6
_LEAST_EXPLAINED = 2
_HALF_CENT = Decimal("0.005")


@dataclass(frozen=True)
class SharedKey:
    """A column of usage and a column of charges that hold the same keys."""

    usage: Column
    charge: Column
    fit: Fit


def shared_key(usage: tuple[Mapping[str, Column], Roles], charge: tuple[Mapping[str, Column], Roles]) -> SharedKey | None:
    """Return the columns of usage and charges that share most keys; None where no columns share enough.

    A column that distinguishes records is more likely the key: two files share all parties before they share all calls.
    """
    found: list[tuple[float, SharedKey]] = []
    for left in _select_key_columns(*usage):
        for right in _select_key_columns(*charge):
            names = min(name_score(left.name, "session_key"), name_score(right.name, "session_key"))
            if (left.is_counter or right.is_counter) and not names:
                # Line numbers of two files agree only by chance.
                continue
            fit = overlap(left, right)
            if (fit.share >= _LEAST_OVERLAP and fit.count > 1) or (fit.is_full and names):
                apart = max(left.distinct.share, right.distinct.share)
                found.append((fit.share * apart + names / 1_000, SharedKey(left, right, fit)))
    return max(found, key=lambda entry: entry[0])[1] if found else None


def _select_key_columns(columns: Mapping[str, Column], roles: Roles) -> list[Column]:
    held = [column for role, column in roles.columns.items() if role in _NO_KEY]
    parties = [roles.columns[role] for role in ("subscriber",) if role in roles.columns]
    return [
        column for column in columns.values()
        if column not in held and column not in parties and column.distinct.of and column.distinct.share > 0.2
        and not column.is_typed and not (column.times and not column.times[0][0].startswith("epoch"))
    ]  # fmt: skip


def pairs(usage: pl.DataFrame, charge: pl.DataFrame) -> pl.DataFrame:
    """Return the sums of usage and charges per key side by side, as texts: a session may have several records of each.

    `usage` has the columns `key`, `quantity` and `service`, `charge` has `key`, `quantity` and `amount`, all as texts.
    """
    keys = usage.select("key").join(charge.select("key"), on="key").unique(maintain_order=True).drop_nulls().head(_MOST_PAIRS)
    sums = [_sum_by_key(frame.join(keys, on="key", how="semi")) for frame in (usage, charge)]
    return sums[0].join(sums[1], on="key", suffix="_billed", maintain_order="left")


def _sum_by_key(frame: pl.DataFrame) -> pl.DataFrame:
    numbers = [name for name in ("quantity", "amount") if name in frame.columns]
    rows: dict[str, dict[str, str | None]] = {}
    for row in frame.iter_rows(named=True):
        held = rows.setdefault(row["key"], dict.fromkeys(frame.columns))
        texts = {name: value if name not in numbers else _add_texts(held[name], value) for name, value in row.items()}
        held.update({name: text for name, text in texts.items() if text is not None})
    return pl.DataFrame(list(rows.values()), schema=dict.fromkeys(frame.columns, pl.String))


def _add_texts(held: str | None, text: str | None) -> str | None:
    if held is None or text is None:
        return held if text is None else text
    return f"{Decimal(held) + Decimal(text):f}"


@dataclass(frozen=True)
class Price:
    """A price of `per` units of quantity, and how many of the amounts it explains."""

    price: Decimal
    fit: Fit
    per: int = 1


def prices(joined: pl.DataFrame, *, by_service: bool) -> dict[str, Price]:
    """Return a price per service that explains at least half of its pairs: the simplest of those that explain most."""
    found: dict[str, Price] = {}
    rows = joined.select(pl.col("service").fill_null("") if by_service else pl.lit("").alias("service"), "quantity", "amount")
    for (service,), group in rows.drop_nulls().group_by("service", maintain_order=True):
        numbers = [(Decimal(q), Decimal(a)) for q, a in group.select("quantity", "amount").iter_rows() if Decimal(q)]
        price = _price(numbers)
        if price is not None:
            found[str(service)] = price
    return found


def _price(numbers: list[tuple[Decimal, Decimal]]) -> Price | None:
    candidates: Counter[Decimal] = Counter()
    for quantity, amount in numbers[:500]:
        ratio = amount / quantity
        candidates.update({_round_to_digits(ratio, digits) for digits in range(1, _DIGITS + 1)} - {Decimal(0)})
    # An amount of less than a cent would agree with many prices.
    numbers = [(quantity, amount) for quantity, amount in numbers if abs(amount) > 2 * _HALF_CENT]
    best: tuple[int, int, Decimal] | None = None
    for candidate, _ in candidates.most_common(50):
        explained = sum(abs(amount - candidate * quantity) <= _HALF_CENT for quantity, amount in numbers)
        digits = len(candidate.normalize().as_tuple().digits)
        if best is None or (explained, -digits) > best[:2]:
            best = (explained, -digits, candidate)
    if best is None or best[0] < _LEAST_EXPLAINED or best[0] * 2 < len(numbers) or best[2] <= 0:
        return None
    return Price(best[2].normalize(), Fit(best[0], len(numbers)))


def _round_to_digits(number: Decimal, digits: int) -> Decimal:
    return Context(prec=digits, rounding=ROUND_HALF_EVEN).create_decimal(number).normalize()


def usual_ratio(joined: pl.DataFrame) -> tuple[int, Fit] | None:
    """Return the factor (such as 60 or 1,000) by which quantities of usage exceed those of charges in most pairs."""
    rows = joined.select("quantity", "quantity_billed").drop_nulls()
    ratios = [Decimal(q) / Decimal(b) for q, b in rows.iter_rows() if Decimal(b)]
    for factor in (60, 1_000, 1_024, 60_000, 1_000_000, 1_048_576):
        fit = Fit(sum(abs(ratio / factor - 1) < Decimal("0.02") for ratio in ratios), len(ratios))
        if fit.share >= 0.8:
            return factor, fit
    return None
