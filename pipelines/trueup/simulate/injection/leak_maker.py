"""Make leaks of the selected pairs: events to remove from the log, events to add, and the money of each leak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from trueup.events.identity import with_event_ids
from trueup.events.schema import COLLECTED, EVENT
from trueup.frames import query_frames
from trueup.log.lake import Lake
from trueup.simulate.injection.matched_pairs import CleanPairs
from trueup.simulate.leaks import leak_mechanisms
from trueup.simulate.statements import statement
from trueup.units import MICROS

_HOUR_US = 3_600_000_000
_RESENT_PERMILLE = 800


@dataclass(frozen=True)
class KindLeaks:
    """The leaks of one kind, as changes to the log.

    `truth` holds the leaking pairs with `impact_micros`, `charged_micros`, `charge_keys`, `usage_keys`, `delivered_at`,
    `charge_started_us` and `at` (a position). `removed` holds the event_id of charges. `added` holds events as `COLLECTED` with
    `position` and `is_additional`: false where the event replaces a row of its source unit.
    """

    truth: pl.DataFrame
    removed: pl.DataFrame
    added: dict[str, pl.DataFrame]


_ADDED = {s: {**c, "position": pl.Int64(), "is_additional": pl.Boolean()} for s, c in COLLECTED.items()}


class LeakMaker:
    """Turns drawn pairs into leaks; one generator supplies the random numbers, kind after kind."""

    def __init__(self, lake: Lake, pairs: CleanPairs, rng: np.random.Generator) -> None:
        self._lake, self._pairs, self._rng = lake, pairs, rng

    def make(self, kind: str, pairs: pl.DataFrame) -> KindLeaks:
        """Return the leaks of one kind from the pairs drawn for it, without leaks that would raise no finding."""
        charges = self._read_charges(pairs)
        if kind.startswith("unbilled"):
            return self._collect_leaks(pairs, charges.clear(), impact=pl.col("expected_micros"), removed=True, charge_keys=False)
        if kind == "late_charge":
            moved = charges.with_columns(
                position=pairs["late_position"],
                source_id=self._find_units(pairs["charge_source"], pairs["late_position"]),
                is_additional=True,
            )
            return self._collect_leaks(pairs, moved, impact=pl.col("expected_micros"), removed=True)
        if kind == "duplicate_charge":
            after = pl.Series(self._rng.integers(_HOUR_US // 4, 5 * _HOUR_US, pairs.height), dtype=pl.Int64)
            second = leak_mechanisms.duplicate_charges(charges, after).with_columns(
                record_key=pl.col("record_key") + "~2", is_additional=True
            )
            return self._collect_leaks(pairs, second, impact=-pl.col("amount_micros"))
        if kind == "phantom_charge":
            return self._make_phantom_charges(pairs, charges)
        if kind == "conflicting_charge":
            again = leak_mechanisms.resend_with_less(charges, _RESENT_PERMILLE).with_columns(is_additional=True)
            return self._collect_leaks(pairs, again, impact=pl.lit(0, pl.Int64))
        if kind == "conflicting_usage":
            again = leak_mechanisms.resend_with_less(self._read_usage(pairs), _RESENT_PERMILLE).with_columns(is_additional=True)
            return self._collect_leaks(pairs, again, impact=pl.lit(0, pl.Int64), stream="usage")
        return self._change_in_place(kind, pairs, charges)

    def _change_in_place(self, kind: str, pairs: pl.DataFrame, charges: pl.DataFrame) -> KindLeaks:
        """Return charges with a smaller or greater quantity or a wrong amount, where reconciliation can detect the change."""
        if kind == "wrong_amount":
            low, high = self._rng.integers(500, 901, pairs.height), self._rng.integers(1_100, 1_501, pairs.height)
            permille = pl.Series(np.where(self._rng.random(pairs.height) < 0.5, low, high))
            other = pl.coalesce("charged_micros", "expected_micros")
            changed = charges.with_columns(amount_micros=leak_mechanisms.scale_amounts(pairs.select(other).to_series(), permille))
            new = changed["amount_micros"]
            # A flat price accepts amounts between both prices; a tariff accepts the price of the charged quantity only.
            own = pl.when(_is_flat()).then("expected_micros").otherwise(other)
            least = pl.min_horizontal(own, other) - pl.col("amount_tolerance_micros")
            most = pl.max_horizontal(own, other) + pl.col("amount_tolerance_micros")
            shows = (pl.lit(new) < least) | (pl.lit(new) > most)
            due = own
        else:
            bounds = (300, 851) if kind == "under_quantity" else (1_200, 2_501)
            permille = pl.Series(self._rng.integers(*bounds, pairs.height), dtype=pl.Int64)
            changed = _scale_charges(charges, permille)
            due = pl.col("expected_micros")
            repriced = pairs.with_columns(new_quantity=changed["quantity_micros"])
            price = self._pairs.price(repriced, "new_quantity").cast(pl.Int64)
            flat = pairs.select(flat=_is_flat()).to_series()
            # Under a tariff, a charge of a wrong quantity has the correct price of that quantity.
            changed = changed.with_columns(amount_micros=changed["amount_micros"].zip_with(flat | price.is_null(), price))
            new = changed["amount_micros"]
            difference = (pl.col("quantity_micros") - pl.lit(changed["quantity_micros"]).cast(pl.Int128)).abs()
            short = pl.col("expected_micros") > pl.lit(new) if kind == "under_quantity" else pl.col("expected_micros") < pl.lit(new)
            shows = (difference > pl.col("quantity_tolerance_micros")) & short
        mask = pairs.select(shows.fill_null(value=False)).to_series()
        leaking = pairs.with_columns(new_micros=new, due_micros=due).filter(mask)
        events = changed.with_columns(is_additional=pl.lit(False)).filter(mask)
        return self._collect_leaks(leaking, events, impact=pl.col("due_micros") - pl.col("new_micros"), removed=True)

    def _make_phantom_charges(self, pairs: pl.DataFrame, charges: pl.DataFrame) -> KindLeaks:
        """Return copies of clean charges, one to three hours earlier and under unused keys."""
        shift = pl.Series(-self._rng.integers(_HOUR_US, 3 * _HOUR_US, pairs.height), dtype=pl.Int64)
        keys = charges.select(pl.col("session_key") + "~phantom").to_series()
        made = leak_mechanisms.make_phantoms(charges, shift, keys).with_columns(
            record_key=pl.col("record_key") + "~phantom", is_additional=True
        )
        tolerance_us = self._pairs.frontier.policies.frame.filter("by_nearest")["start_tolerance_us"].max()
        # A phantom must match no usage: neither by a session key nor within the start tolerance.
        candidates = made.select("subscriber", "started_at", "session_key", "record_key").with_row_index("row_no")
        taken = query_frames(
            self._lake.connection, statement("used_nearby"), {"tolerance_us": tolerance_us or 0}, candidates=candidates
        )["row_no"]
        unmatched = ~candidates["row_no"].is_in(taken.implode())
        phantoms = self._collect_leaks(pairs.filter(unmatched), made.filter(unmatched), impact=-pl.col("amount_micros"))
        without_usage = phantoms.truth.with_columns(usage_keys=pl.lit([], pl.List(pl.String)), expected_micros=pl.lit(0, pl.Int64))
        return KindLeaks(without_usage, phantoms.removed, phantoms.added)

    def _collect_leaks(
        self, pairs: pl.DataFrame, events: pl.DataFrame, *, impact: pl.Expr, removed: bool = False, charge_keys: bool = True,
        stream: str = "charge",
    ) -> KindLeaks:  # fmt: skip
        is_charge = stream == "charge" and events.height == pairs.height
        keys = events["record_key"] if is_charge else pairs["charge_record_key"]
        charged = events["amount_micros"] if is_charge else (pairs["amount_micros"] if charge_keys else pairs["amount_micros"] * 0)
        started = (
            events.select(pl.coalesce("started_at", "billed_at").cast(pl.Int64)).to_series() if is_charge else pairs["charge_us"]
        )
        truth = pairs.with_columns(
            impact_micros=impact, charged_micros=charged, usage_keys=pl.col("usage_record_keys"), charge_started_us=started,
            charge_keys=pl.concat_list(keys) if charge_keys else pl.lit([], pl.List(pl.String)),
            delivered_at=events["billed_at"] if is_charge else pairs["billed_at"],
            at=events["position"] if is_charge else pairs["charge_position"],
        )  # fmt: skip
        removed_ids = pairs.select(event_id="charge_event_id") if removed else pairs.select(event_id="charge_event_id").clear()
        added = {s: pl.DataFrame(schema=_ADDED[s]) for s in _ADDED}
        if events.height:
            added[stream] = events.select(pl.col(n).cast(t) for n, t in _ADDED[stream].items())
        return KindLeaks(truth, removed_ids, added)

    def _read_charges(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Return the complete charges of pairs, in the order of the pairs, with their `position`."""
        ids = pairs.select(event_id="charge_event_id", position="charge_position")
        events = query_frames(self._lake.connection, statement("charges_of"), ids=ids.select("event_id"))
        return ids.join(events, on="event_id", how="left", maintain_order="left").with_columns(is_additional=pl.lit(False))

    def _read_usage(self, pairs: pl.DataFrame) -> pl.DataFrame:
        ids = pairs.select(event_id=pl.col("usage_event_ids").list.first(), position="usage_position")
        events = query_frames(self._lake.connection, statement("usage_of"), ids=ids.select("event_id"))
        return ids.join(events, on="event_id", how="left", maintain_order="left")

    def _find_units(self, sources: pl.Series, positions: pl.Series) -> pl.Series:
        control = self._lake.read("control", columns=["source", "source_id"], upto=self._pairs.end)
        units = control.unique(["source", "position"], keep="first", maintain_order=True)
        lookups = pl.DataFrame({"source": sources, "position": positions.cast(pl.Int64)})
        return lookups.join(units, on=["source", "position"], how="left", maintain_order="left")["source_id"]


def _is_flat() -> pl.Expr:
    """Return whether a pair's service has a flat price; else a tariff prices it."""
    return pl.col("price_micros").is_not_null()


def _scale_charges(charges: pl.DataFrame, permille: pl.Series) -> pl.DataFrame:
    """Scale quantities and amounts by `permille`. Whole units stay whole; fractions stay exact to the millionth."""
    if charges.is_empty():
        return charges
    in_units = (charges["quantity_micros"] % MICROS) == 0
    rows = charges.with_row_index("row_no")
    parts = [
        leak_mechanisms.scale_quantities(rows.filter(mask), permille.filter(mask), unit_micros=unit)
        for mask, unit in ((in_units, MICROS), (~in_units, 1))
        if mask.any()
    ]
    return pl.concat(parts).sort("row_no").drop("row_no")


def complete_events(lake: Lake, added: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return events with ids, buckets and days, each at a row of its source unit that no other record has."""
    config = lake.project.config.lake
    control = lake.read("control", columns=["source_id", "records"])
    ends = control.group_by("source_id").agg(end=pl.col("records").sum())
    completed = {}
    for stream, frame in added.items():
        rows = frame.join(ends, on="source_id", how="left", maintain_order="left")
        order = pl.struct("position", "record_key").rank("ordinal").over("source_id", "is_additional").cast(pl.Int64) - 1
        placed = rows.with_columns(
            source_row=pl.when("is_additional").then(pl.col("end") + order).otherwise("source_row"),
            source_offset=pl.when(~pl.col("is_additional")).then("source_offset"),
            source_length=pl.when(~pl.col("is_additional")).then("source_length"),
        )  # fmt: skip
        identified = with_event_ids(
            lake.connection, placed.select(list(COLLECTED[stream])), stream, bucket_by=config.bucket_by, buckets=config.buckets
        )
        completed[stream] = identified.select(list(EVENT[stream])).with_columns(placed["position"])
    return completed
