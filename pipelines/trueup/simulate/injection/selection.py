"""Select the clean pairs that leak: find the kinds that fit each pair, and draw one of them by the seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from trueup.log.lake import Lake
from trueup.simulate.injection.matched_pairs import CleanPairs
from trueup.simulate.injection.rates import CONDITIONED, DRAWN

_PREFIX_CHARACTERS = 4
"""How many leading characters of the peer's number name its destination."""
_BUSIEST = 3
"""The failing node, tariff or destination is drawn among this many of the busiest ones."""


def with_qualified_kinds(lake: Lake, pairs: CleanPairs) -> pl.DataFrame:
    """Return the clean pairs with `destination`, `late_position` and one boolean column `fits_KIND` per kind of leak."""
    own_keys = [source.name for source in lake.project.config.source if source.identity == "key"]
    frame = pairs.frame.with_columns(
        destination=pl.col("peer").str.slice(0, _PREFIX_CHARACTERS), late_position=_find_late_positions(lake, pairs)
    )
    priced, paid = pl.col("expected_micros") > 0, pl.col("amount_micros") > 0
    unbilled = priced & (pl.col("unbilled_at") <= pairs.end)
    counted = pl.col("keyed") & paid & priced & (pl.col("charge_quantity_micros") > 0)
    fits = {
        "unbilled_random": unbilled,
        **{kind: unbilled & pl.col(column).is_not_null() for kind, column in CONDITIONED.items()},
        "under_quantity": counted, "over_quantity": counted, "wrong_amount": priced,
        "duplicate_charge": pl.col("keyed") & paid,
        "phantom_charge": paid & (pl.col("phantom_at") <= pairs.end) & pl.col("charge_partial_no").is_null(),
        "late_charge": unbilled & pl.col("late_position").is_not_null(),
        "conflicting_usage": (pl.col("parts") == 1) & (pl.col("quantity_micros") > 0) & pl.col("usage_source").is_in(own_keys),
        "conflicting_charge": paid & pl.col("charge_source").is_in(own_keys),
    }  # fmt: skip
    return frame.with_columns(expr.fill_null(value=False).alias(f"fits_{kind}") for kind, expr in fits.items())


def _find_late_positions(lake: Lake, pairs: CleanPairs) -> pl.Series:
    """Return, per pair, the first commit of the charge's source after the position at which the session counts as unbilled."""
    frame, end = pairs.frame, pairs.end
    control = lake.read("control", columns=["source"], upto=end)
    late = np.full(frame.height, end + 1)
    for (source,), group in control.group_by("source"):
        of_source = (frame["charge_source"] == source).to_numpy()
        positions = np.append(np.sort(group["position"].unique().to_numpy()), end + 1)
        after = np.minimum(frame["unbilled_at"].to_numpy()[of_source], end)
        late[of_source] = positions[np.searchsorted(positions[:-1], after, side="right")]
    # A charge beyond the horizon matches nothing, so its late delivery would not resolve the finding.
    horizon = np.full(frame.height, pairs.frontier.policies.all[-1].horizon_us)
    policy = np.full(frame.height, len(pairs.frontier.policies.all) - 1)
    side = np.ones(frame.height, dtype=np.bool_)
    time = frame["charge_us"].fill_null(2**61).to_numpy()
    beyond_horizon = pairs.frontier.passed_at(side, time, horizon, horizon, policy)
    usable = (late <= end) & (beyond_horizon >= late)
    return pl.Series(late).set(pl.Series(~usable), None)


def draw_kinds(
    rng: np.random.Generator, ready: pl.DataFrame, rates: Mapping[str, float]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.object_]], dict[str, str]]:
    """Return the kind of leak of each pair (empty: none) and, by kind, a note for the summary."""
    leak = np.full(ready.height, "", dtype=object)
    notes: dict[str, str] = {}
    for kind, column in CONDITIONED.items():
        fits = ready[f"fits_{kind}"].to_numpy()
        draw, pick = rng.random(ready.height), rng.random()
        if not rates.get(kind) or not fits.any():
            continue
        busiest = (
            ready.filter(pl.Series(fits)).group_by(column).len().sort("len", column, descending=[True, False])[column][:_BUSIEST]
        )
        failing = busiest[int(pick * len(busiest))]
        chosen = fits & (ready[column] == failing).fill_null(value=False).to_numpy() & (leak == "") & (draw < rates[kind])
        leak[chosen] = kind
        if chosen.any():
            notes[kind] = f"of {column} {failing}" if column != "destination" else "of one destination"
    edges = np.cumsum([rates.get(kind, 0.0) for kind in DRAWN])
    number = np.searchsorted(edges, rng.random(ready.height), side="right")
    for n, kind in enumerate(DRAWN):
        leak[(number == n) & (leak == "") & ready[f"fits_{kind}"].to_numpy()] = kind
    return leak, notes


_LACKS = {
    "under_quantity": "no charge matched by session key carries a quantity",
    "over_quantity": "no charge matched by session key carries a quantity",
    "duplicate_charge": "no charge is matched to its usage by session key, or none has an amount",
    "phantom_charge": "at the end of the log usage is not complete for the time of any charge",
    "late_charge": "no later source unit of the charges follows the time at which their usage counts as unbilled",
    "conflicting_usage": "no session is a single record with a quantity from a source with identity = \"key\"",
    "conflicting_charge": "no charge from a source with identity = \"key\" has an amount",
    "wrong_amount": "no session has a price above 0",
    "unbilled_node": "no record names a node", "unbilled_tariff": "no charge names a tariff",
    "unbilled_destination": "no record names a peer",
}  # fmt: skip


def reason_for_none(kind: str, qualified: int) -> str:
    """Return why no leak of a kind was injected."""
    if qualified:
        return f"none of {qualified} qualifying pairs was drawn"
    return f"skipped: {_LACKS.get(kind, 'at the end of the log no session would count as unbilled without its charge')}"
