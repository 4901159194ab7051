"""Sums of the records that the fast path books: ledger changes and record counts, grouped by numeric codes instead of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.localtime import local_day
from trueup.policies.policy import UNKNOWN_TIME_US
from trueup.reconcile.kernel.fast_path.candidates import Candidates, Rows

_SUMS = ("expected_micros", "billed_micros", "impact_micros", "tolerated_micros", "pending_micros")
MONEY: dict[str, pl.DataType] = {"expected_micros": pl.Int128(), "billed_micros": pl.Int128()}
BOOKED: dict[str, pl.DataType] = {
    "charge": pl.Boolean(), "position": pl.Int64(), "source": pl.String(), "currency": pl.String(), "records": pl.Int64(),
    "quantity_micros": pl.Int128(), "amount_micros": pl.Int128(),
}  # fmt: skip
"""Counts of booked records; `currency` is the charge's own."""
_MOST_CELLS = 2**62
_NOT_FINAL = 0
"""Placeholder position, before all others, for records that are not final yet."""
_Cells = Mapping[str, NDArray[np.int64] | NDArray[np.int32]]
"""Integer codes of each row, by which sums are grouped."""


@dataclass(frozen=True)
class Codes:
    """Text columns encoded as small numbers: each number of `column(name)` is an index into `names(name)`."""

    candidates: Candidates

    def column(self, name: str) -> NDArray[np.int32]:
        """Return the numbers of a column of all rows."""
        return self._encode_column(name)[0]

    def names(self, name: str) -> pl.Series:
        """Return the texts of the codes, including NULL."""
        return self._encode_column(name)[1]

    def _encode_column(self, name: str) -> tuple[NDArray[np.int32], pl.Series]:
        if name not in self._known:
            self._known[name] = _encode_values(self.candidates.rows[name])
        return self._known[name]

    @cached_property
    def _known(self) -> dict[str, tuple[NDArray[np.int32], pl.Series]]:
        return {}


def _encode_values(values: pl.Series) -> tuple[NDArray[np.int32], pl.Series]:
    """Return values as indices of their names, and the names."""
    # Rows are ordered by file, so most columns have few values, in long runs.
    begins = np.flatnonzero(values.ne_missing(values.shift(1)).to_numpy())
    begins = begins if len(begins) and begins[0] == 0 else np.append(0, begins)
    if len(begins) == 1:
        return np.zeros(len(values), dtype=np.int32), values.head(1)
    runs = values.gather(begins)
    names = runs.unique().drop_nulls()
    of_runs = runs.replace_strict(names, pl.int_range(len(names), eager=True), default=len(names), return_dtype=pl.Int32)
    numbers = np.repeat(of_runs.to_numpy(), np.diff(begins, append=len(values)))
    return numbers, names.extend_constant(None, 1)


def pair_deltas(pairs: pl.DataFrame, candidates: Candidates, codes: Codes, *, into: str) -> pl.DataFrame:
    """Return the changes of sums on the arrival of the first and of the second record of each pair.

    Rows are (position, service, day, currency and sums). `pairs` are (`row`, `row_charge`, `expected_micros`, `billed_micros`).
    The difference of each pair is added to the sum `into`: `tolerated_micros`, or `impact_micros` for pairs with a finding.
    """
    usage, charge = pairs["row"].to_numpy(), pairs["row_charge"].to_numpy()
    zone = candidates.frontier.policies.all[-1].timezone
    service, currency = codes.column("service"), codes.column("currency")
    cells: _Cells = {
        "position": candidates.position[usage], "position_charge": candidates.position[charge], "service": service[usage],
        "service_charge": service[charge], "currency": currency[usage], "day": _number_days(candidates, usage, zone),
        "day_charge": _number_days(candidates, charge, zone),
    }  # fmt: skip
    summed = _sum_by_cell(cells, {name: pairs[name] for name in MONEY})
    of_cells = summed.with_columns(
        *(codes.names("service").gather(summed[side]).alias(side) for side in ("service", "service_charge")),
        currency=codes.names("currency").gather(summed["currency"]),
    )  # fmt: skip
    return _build_pair_deltas(of_cells, into)


def unmatched_deltas(unmatched: pl.DataFrame, candidates: Candidates, codes: Codes, *, upto: int) -> pl.DataFrame:
    """Return the changes of sums when unmatched records (`row`, `final_at`, `MONEY`) arrive, and when they become final."""
    rows, final_at = unmatched["row"].to_numpy(), unmatched["final_at"].to_numpy()
    cells: _Cells = {
        "position": candidates.position[rows], "service": codes.column("service")[rows], "currency": codes.column("currency")[rows],
        "day": _number_days(candidates, rows, candidates.frontier.policies.all[-1].timezone),
        "final_at": np.where(final_at <= upto, final_at, _NOT_FINAL),
    }  # fmt: skip
    summed = _sum_by_cell(cells, {name: unmatched[name] for name in MONEY})
    of_cells = summed.with_columns(
        service=codes.names("service").gather(summed["service"]), currency=codes.names("currency").gather(summed["currency"])
    )
    impact, zero = pl.col("expected_micros") - pl.col("billed_micros"), pl.lit(0, pl.Int128)
    arriving = _build_deltas(
        of_cells, pl.col("position"), _build_cell(),
        expected_micros=pl.col("expected_micros"), billed_micros=pl.col("billed_micros"), pending_micros=impact,
    )  # fmt: skip
    final = of_cells.filter(pl.col("final_at") != _NOT_FINAL)
    return pl.concat(
        [arriving, _build_deltas(final, pl.col("final_at"), _build_cell(), impact_micros=impact, pending_micros=zero - impact)]
    )


def booked_records(rows: Rows, candidates: Candidates, codes: Codes) -> pl.DataFrame:
    """Count `rows`, all of which are booked, as `BOOKED`."""
    cells: _Cells = {
        "charge": candidates.is_charge[rows].astype(np.int32), "position": candidates.position[rows],
        "source": codes.column("source")[rows], "currency": codes.column("charge_currency")[rows],
    }  # fmt: skip
    summed = _sum_by_cell(cells, candidates.columns_of(rows, ["quantity_micros", "amount_micros"]).to_dict())
    return summed.with_columns(
        charge=pl.col("charge") == 1, source=codes.names("source").gather(summed["source"]),
        currency=codes.names("charge_currency").gather(summed["currency"]),
    ).select(pl.col(n).cast(t) for n, t in BOOKED.items())  # fmt: skip


def _number_days(candidates: Candidates, rows: Rows, zone: str) -> NDArray[np.int32]:
    """Return the local day of each row as a number; 0 for a row without a time, which no sum by day contains."""
    times = candidates.time_us[rows]
    known = pl.DataFrame({"time_us": np.where(times == UNKNOWN_TIME_US, 0, times)})
    return known.select(local_day(pl.col("time_us"), zone).cast(pl.Int32)).to_series().to_numpy()


def _sum_by_cell(cells: _Cells, sums: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Return `sums` (as Int128) and the number of `records` added up by `cells`.

    The codes are combined into one number, because grouping by one column is quicker.
    """
    narrowed = {name: _narrow_values(column) for name, column in sums.items()}
    frame = pl.DataFrame({**cells, **{f"{name} ": column for name, column in narrowed.items()}})
    if frame.is_empty():
        return frame.select(*cells, *(pl.col(f"{name} ").cast(pl.Int128).alias(name) for name in sums), records=pl.lit(0))
    spans = {name: (int(column.min()), int(column.max()) - int(column.min()) + 1) for name, column in cells.items()}
    cell, count = pl.lit(0, pl.Int64), 1
    for name, (least, width) in spans.items():
        cell, count = cell * width + (pl.col(name).cast(pl.Int64) - least), count * width
    by = [cell.alias("cell ")] if count < _MOST_CELLS else list(cells)
    kept = [pl.col(name).first() for name in cells] if count < _MOST_CELLS else []
    added = [pl.col(f"{name} ").sum().cast(pl.Int128).alias(name) for name in sums]
    return frame.group_by(by).agg(*kept, *added, records=pl.len()).drop("cell ", strict=False)


def _narrow_values(values: pl.Series) -> pl.Series:
    """Return values as 64-bit numbers where every sum of them fits 64 bits, which is quicker; otherwise as 128-bit numbers."""
    least, greatest = values.min(), values.max()
    if least is None or greatest is None:
        return values.cast(pl.Int64)
    assert isinstance(least, int) and isinstance(greatest, int)
    return values.cast(pl.Int64 if max(-least, greatest) * len(values) < _MOST_CELLS else pl.Int128)


def _build_pair_deltas(pairs: pl.DataFrame, into: str) -> pl.DataFrame:
    """Return the changes of sums of pairs that are already added up by cell."""
    usage_first, charge_first = pl.col("position") < pl.col("position_charge"), pl.col("position_charge") < pl.col("position")
    expected, billed, zero = pl.col("expected_micros"), pl.col("billed_micros"), pl.lit(0, pl.Int128)
    matched_at = pl.max_horizontal("position", "position_charge")
    usage_cell, charge_cell = _build_cell(), _build_cell("_charge")
    usage_pending, charge_pending = pairs.filter(usage_first), pairs.filter(charge_first)
    of_usage, of_charge = (
        {"expected_micros": expected, "pending_micros": expected},
        {"billed_micros": billed, "pending_micros": zero - billed},
    )
    matched = {"expected_micros": expected, "billed_micros": billed, into: expected - billed}
    return pl.concat(
        [
            _build_deltas(usage_pending, pl.col("position"), usage_cell, **of_usage),
            _build_deltas(usage_pending, matched_at, usage_cell, **_negate_sums(of_usage)),
            _build_deltas(charge_pending, pl.col("position_charge"), charge_cell, **of_charge),
            _build_deltas(charge_pending, matched_at, charge_cell, **_negate_sums(of_charge)),
            _build_deltas(pairs, matched_at, usage_cell, **matched),
        ]
    )


def _negate_sums(sums: Mapping[str, pl.Expr]) -> dict[str, pl.Expr]:
    return {name: pl.lit(0, pl.Int128) - amount for name, amount in sums.items()}


def _build_cell(suffix: str = "") -> dict[str, pl.Expr]:
    """Return the cell of a record; both records of a pair have one currency."""
    day = pl.col(f"day{suffix}").cast(pl.Date)
    return {"service": pl.col(f"service{suffix}").fill_null(""), "day": day, "currency": pl.col("currency")}


def _build_deltas(rows: pl.DataFrame, at: pl.Expr, cell: Mapping[str, pl.Expr], **sums: pl.Expr) -> pl.DataFrame:
    """Return the changes of sums by rows; sums that are not named do not change."""
    zero = pl.lit(0, pl.Int128)
    named = rows.select(position=at, **cell, **{name: sums.get(name, zero) for name in _SUMS})
    added = named.group_by("position", "service", "day", "currency").agg(pl.col(_SUMS).sum())
    return added.with_columns(unrated_records=pl.lit(0, pl.Int64))
