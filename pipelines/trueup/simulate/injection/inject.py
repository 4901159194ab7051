"""Leaks with truth in a copy of somebody's own log, by the mechanisms of the simulated operator.

The original is only read. Its log is written anew, commit by commit at the same positions, into a branch of its own; charges are
left out, changed, moved to a later commit, made twice or made up, and records sent again, each on a pair that stood clean (see
`cleanpairs`). Control rows tell what they told of times, so that every stream is complete exactly when it was. Findings the
original has already are in the truth as `found_before`, not decidable: whether they are leaks, nobody wrote down.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from trueup.config import FILE_NAME, MOST_TOML_BYTES, Project
from trueup.errors import LogError
from trueup.events.identity import with_event_ids
from trueup.events.schema import COLLECTED, EVENT, UTC_TIME
from trueup.frames import query_frames
from trueup.log.lake import Lake
from trueup.reconcile.domain.policies import Policy
from trueup.regular import read_regular
from trueup.simulate.checks import SimulationError, check_target
from trueup.simulate.injection.branch import Changes, branch_text, replay, write_config
from trueup.simulate.injection.matched_pairs import CleanPairs, clean_pairs
from trueup.simulate.injection.rates import CONDITIONED, DRAWN, INJECTED
from trueup.simulate.leaks import leak_mechanisms
from trueup.simulate.leaks.leak_mechanisms import MICROS
from trueup.simulate.statements import statement
from trueup.simulate.truth.evidence import evidence_of, seen_times
from trueup.simulate.truth.ledger import TRUTH

_STREAM = 17
"""Sets the random numbers of injection apart from those of the simulator's stages."""
_PREFIX_CHARACTERS = 4
"""A destination is told by so many first characters of the peer."""
_HOUR_US = 3_600_000_000
_BUSIEST = 3
_RESENT_PERMILLE = 800
_BY_FRONTIER = ("unbilled_random", *CONDITIONED, "late_charge", "phantom_charge")

FOUND_BEFORE = "found_before"


@dataclass(frozen=True)
class KindSummary:
    """What became of one kind: how many pairs qualified, how many leak now, their money, and why there are none (else empty)."""

    kind: str
    rate: float
    qualified: int
    injected: int
    impact_micros: int
    note: str


@dataclass(frozen=True)
class InjectionSummary:
    """What was written: a branch of `positions` commits in `directory`, and the leaks in it."""

    directory: Path
    seed: int
    positions: int
    clean_pairs: int
    found_before: int
    kinds: tuple[KindSummary, ...]


@dataclass(frozen=True)
class Plan:
    """What shall leak: the truth without found-before rows, the changes to the log, and a summary per kind."""

    truth: pl.DataFrame
    changes: Changes
    kinds: tuple[KindSummary, ...]


def inject(
    project: Project,
    directory: Path,
    *,
    rates: Mapping[str, float],
    seed: int,
    on_commit: Callable[[int, int], None] = lambda *_: None,
) -> InjectionSummary:
    """Writes a branch of a project's log with leaks, and `truth.parquet` beside it, into an empty or new folder.

    `rates` as `rates.rates_of` gives them. The same log, rates and seed give the same branch. Raises `SimulationError` or
    `LogError` before anything is written: for a target with files in it, a log that is not reconciled to its end or under
    another policy than trueup.toml asks for, and one with too little data for any of the leaks.
    """
    check_target(directory)
    if not 0 <= seed < 2**63:
        raise SimulationError(f"{seed} is no seed", where="--seed", todo="choose a whole number from 0 on")
    text = branch_text(
        read_regular(project.directory / FILE_NAME, most_bytes=MOST_TOML_BYTES).decode("utf-8"),
        where=str(project.directory / FILE_NAME),
    )
    with Lake.open(project, read_only=True) as lake:
        _check_reconciled(lake)
        pairs = clean_pairs(lake)
        _check_policy(lake, pairs)
        plan = planned(lake, pairs, rates, seed)
        if plan.truth.is_empty():
            why = "; ".join(f"{k.kind}: {k.note}" for k in plan.kinds)
            raise SimulationError(
                f"there is too little to inject into: {pairs.frame.height} clean pairs of usage and charge ({why})",
                where=str(project.directory), todo="raise the rates, choose other kinds or take in more data",
            )  # fmt: skip
        before = _found_before(lake)
        truth = _numbered(pl.concat([plan.truth, before]))
        try:
            replay(lake, directory, text, plan.changes, on_commit=on_commit)
            truth.write_parquet(directory / "truth.parquet", compression="zstd")
            write_config(directory, text)
        except BaseException:
            # Half a branch is no use to anybody; the folder was empty before.
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return InjectionSummary(directory, seed, pairs.end, pairs.frame.height, before.height, plan.kinds)


def _check_reconciled(lake: Lake) -> None:
    position, last = lake.consumer_position("reconcile"), lake.last_position()
    if last == 0:
        raise SimulationError("the log is empty", where=str(lake.project.directory), todo="run `trueup ingest` first")
    if position < last:
        raise LogError(
            f"the log goes to position {last} and is reconciled up to {position}", where=str(lake.project.directory),
            todo="run `trueup reconcile` first, so that it is known what stands clean",
        )  # fmt: skip


def _check_policy(lake: Lake, pairs: CleanPairs) -> None:
    declared, wanted = pairs.frontier.policies.all[-1], Policy.of(lake.project.config)
    if declared.content() != wanted.content():
        raise LogError(
            "trueup.toml asks for another policy than the log was reconciled by", where=str(lake.project.directory),
            todo="run `trueup ingest` and `trueup reconcile` first",
        )  # fmt: skip


# --- who leaks --------------------------------------------------------------------------------------------------------


def planned(lake: Lake, pairs: CleanPairs, rates: Mapping[str, float], seed: int) -> Plan:
    """Draws the leaks and makes them: nothing is written."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(_STREAM,))))
    ready = _qualified(lake, pairs)
    drawn, notes = _draw(rng, ready, rates)
    maker = _Maker(lake, pairs, rng)
    made = {kind: maker.make(kind, ready.filter(pl.Series(drawn == kind))) for kind in INJECTED if rates.get(kind)}
    truth = pl.concat([_truth_of(kind, one.truth, lake, pairs) for kind, one in made.items()])
    removed = pl.concat([one.removed for one in made.values()])
    added = {s: pl.concat([one.added[s] for one in made.values()]) for s in ("usage", "charge")}
    kinds = tuple(_summary(kind, rates[kind], ready, truth.filter(pl.col("kind") == kind), notes.get(kind, "")) for kind in made)
    return Plan(truth, Changes(removed, _placed(lake, added)), kinds)


def _summary(kind: str, rate: float, ready: pl.DataFrame, truth: pl.DataFrame, note: str) -> KindSummary:
    qualified = int(ready[f"fits_{kind}"].sum())
    why = note or ("" if truth.height else _why_none(kind, qualified))
    return KindSummary(kind, rate, qualified, truth.height, int(truth["impact_micros"].cast(pl.Int128).sum() or 0), why)


_LACKS = {
    "under_quantity": "no charge tied by a key carries a quantity", "over_quantity": "no charge tied by a key carries a quantity",
    "duplicate_charge": "no charge is tied to its usage by a key, or none has an amount",
    "phantom_charge": "the log does not say by its end that usage is complete for the time of any charge",
    "late_charge": "no later unit of the charges' source comes after their usage would be unbilled",
    "conflicting_usage": "no usage is one record with a key of its own and a quantity",
    "conflicting_charge": "no charge has a line id of its own (identity = \"key\") and an amount",
    "wrong_amount": "no session has a price above 0",
    "unbilled_node": "no record names a node", "unbilled_tariff": "no charge names a tariff",
    "unbilled_destination": "no record names a peer",
}  # fmt: skip


def _why_none(kind: str, qualified: int) -> str:
    if qualified:
        return f"none was drawn of {qualified} that qualify"
    return f"skipped: {_LACKS.get(kind, 'by the end of the log no session would be unbilled without its charge')}"


def _qualified(lake: Lake, pairs: CleanPairs) -> pl.DataFrame:
    """The pairs with `destination`, `late_position` and, for each kind, whether it fits (`fits_KIND`)."""
    own_keys = [source.name for source in lake.project.config.source if source.identity == "key"]
    frame = pairs.frame.with_columns(
        destination=pl.col("peer").str.slice(0, _PREFIX_CHARACTERS), late_position=_late_positions(lake, pairs)
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


def _late_positions(lake: Lake, pairs: CleanPairs) -> pl.Series:
    """For each pair the first later commit of the charge's source at which its charge would find the session unbilled."""
    frame, end = pairs.frame, pairs.end
    control = lake.read("control", columns=["source"], upto=end)
    found = np.full(frame.height, end + 1)
    for (source,), group in control.group_by("source"):
        mine = (frame["charge_source"] == source).to_numpy()
        positions = np.append(np.sort(group["position"].unique().to_numpy()), end + 1)
        after = np.minimum(frame["unbilled_at"].to_numpy()[mine], end)
        found[mine] = positions[np.searchsorted(positions[:-1], after, side="right")]
    # A charge that comes behind the horizon is matched with nothing.
    horizon = np.full(frame.height, pairs.frontier.policies.all[-1].horizon_us)
    policy = np.full(frame.height, len(pairs.frontier.policies.all) - 1)
    side = np.ones(frame.height, dtype=np.bool_)
    time = frame["charge_us"].fill_null(2**61).to_numpy()
    behind = pairs.frontier.passed_at(side, time, horizon, horizon, policy)
    usable = (found <= end) & (behind >= found)
    return pl.Series(found).set(pl.Series(~usable), None)


def _draw(
    rng: np.random.Generator, ready: pl.DataFrame, rates: Mapping[str, float]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.object_]], dict[str, str]]:
    """The kind of leak of each pair (empty: none), and what is worth saying of kinds."""
    leak = np.full(ready.height, "", dtype=object)
    notes: dict[str, str] = {}
    for kind, column in CONDITIONED.items():
        fits = ready[f"fits_{kind}"].to_numpy()
        dice, pick = rng.random(ready.height), rng.random()
        if not rates.get(kind) or not fits.any():
            continue
        busiest = (
            ready.filter(pl.Series(fits)).group_by(column).len().sort("len", column, descending=[True, False])[column][:_BUSIEST]
        )
        struck = busiest[int(pick * len(busiest))]
        chosen = fits & (ready[column] == struck).fill_null(value=False).to_numpy() & (leak == "") & (dice < rates[kind])
        leak[chosen] = kind
        if chosen.any():
            notes[kind] = f"of {column} {struck}" if column != "destination" else "of one destination"
    edges = np.cumsum([rates.get(kind, 0.0) for kind in DRAWN])
    number = np.searchsorted(edges, rng.random(ready.height), side="right")
    for n, kind in enumerate(DRAWN):
        leak[(number == n) & (leak == "") & ready[f"fits_{kind}"].to_numpy()] = kind
    return leak, notes


# --- how they leak ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """The leaks of one kind.

    `truth`: the pairs that leak, with `impact_micros`, `charged_micros`, `charge_keys`, `usage_keys`, `delivered_at`,
    `charge_started_us` and `at`; `removed`: event_id of charges; `added`: events as `COLLECTED` with `position`, and `fresh`,
    whether they stand beside what their unit holds already.
    """

    truth: pl.DataFrame
    removed: pl.DataFrame
    added: dict[str, pl.DataFrame]


_ADDED = {s: {**c, "position": pl.Int64(), "fresh": pl.Boolean()} for s, c in COLLECTED.items()}


class _Maker:
    """Makes leaks of pairs of a log; draws what is left to chance from one generator, kind after kind."""

    def __init__(self, lake: Lake, pairs: CleanPairs, rng: np.random.Generator) -> None:
        self._lake, self._pairs, self._rng = lake, pairs, rng

    def make(self, kind: str, pairs: pl.DataFrame) -> Made:
        """The leaks of one kind from the pairs drawn for it; those that would not show are left out."""
        charges = self._charges(pairs)
        if kind.startswith("unbilled"):
            return self._made(pairs, charges.clear(), impact=pl.col("expected_micros"), removed=True, charge_keys=False)
        if kind == "late_charge":
            moved = charges.with_columns(
                position=pairs["late_position"],
                source_id=self._units_at(pairs["charge_source"], pairs["late_position"]),
                fresh=True,
            )
            return self._made(pairs, moved, impact=pl.col("expected_micros"), removed=True)
        if kind == "duplicate_charge":
            after = pl.Series(self._rng.integers(_HOUR_US // 4, 5 * _HOUR_US, pairs.height), dtype=pl.Int64)
            second = leak_mechanisms.duplicated(charges, after).with_columns(record_key=pl.col("record_key") + "~2", fresh=True)
            return self._made(pairs, second, impact=-pl.col("amount_micros"))
        if kind == "phantom_charge":
            return self._phantoms(pairs, charges)
        if kind == "conflicting_charge":
            again = leak_mechanisms.resent(charges, _RESENT_PERMILLE).with_columns(fresh=True)
            return self._made(pairs, again, impact=pl.lit(0, pl.Int64))
        if kind == "conflicting_usage":
            again = leak_mechanisms.resent(self._usage(pairs), _RESENT_PERMILLE).with_columns(fresh=True)
            return self._made(pairs, again, impact=pl.lit(0, pl.Int64), stream="usage")
        return self._changed(kind, pairs, charges)

    def _changed(self, kind: str, pairs: pl.DataFrame, charges: pl.DataFrame) -> Made:
        """Under- and over-quantity and wrong amounts: charges changed in their place, where the change shows."""
        if kind == "wrong_amount":
            low, high = self._rng.integers(500, 901, pairs.height), self._rng.integers(1_100, 1_501, pairs.height)
            permille = pl.Series(np.where(self._rng.random(pairs.height) < 0.5, low, high))
            other = pl.coalesce("charged_micros", "expected_micros")
            changed = charges.with_columns(
                amount_micros=leak_mechanisms.at_another_price(pairs.select(other).to_series(), permille)
            )
            new = changed["amount_micros"]
            # A flat price is judged by the interval between both prices, a tariff by that of the charged quantity alone.
            own = pl.when(_is_flat()).then("expected_micros").otherwise(other)
            least = pl.min_horizontal(own, other) - pl.col("amount_tolerance_micros")
            most = pl.max_horizontal(own, other) + pl.col("amount_tolerance_micros")
            shows = (pl.lit(new) < least) | (pl.lit(new) > most)
            due = own
        else:
            bounds = (300, 851) if kind == "under_quantity" else (1_200, 2_501)
            permille = pl.Series(self._rng.integers(*bounds, pairs.height), dtype=pl.Int64)
            changed = _rescaled(charges, permille)
            due = pl.col("expected_micros")
            asked = pairs.with_columns(new_quantity=changed["quantity_micros"])
            price = self._pairs.price(asked, "new_quantity").cast(pl.Int64)
            flat = pairs.select(flat=_is_flat()).to_series()
            # By a tariff the charge is right for its quantity: nothing but the quantity is wrong.
            changed = changed.with_columns(amount_micros=changed["amount_micros"].zip_with(flat | price.is_null(), price))
            new = changed["amount_micros"]
            apart = (pl.col("quantity_micros") - pl.lit(changed["quantity_micros"]).cast(pl.Int128)).abs()
            short = pl.col("expected_micros") > pl.lit(new) if kind == "under_quantity" else pl.col("expected_micros") < pl.lit(new)
            shows = (apart > pl.col("quantity_tolerance_micros")) & short
        mask = pairs.select(shows.fill_null(value=False)).to_series()
        told = pairs.with_columns(new_micros=new, due_micros=due).filter(mask)
        made = changed.with_columns(fresh=pl.lit(False)).filter(mask)
        return self._made(told, made, impact=pl.col("due_micros") - pl.col("new_micros"), removed=True)

    def _phantoms(self, pairs: pl.DataFrame, charges: pl.DataFrame) -> Made:
        """Charges modelled on clean ones, one to three hours before them, under keys that no record has."""
        shift = pl.Series(-self._rng.integers(_HOUR_US, 3 * _HOUR_US, pairs.height), dtype=pl.Int64)
        keys = charges.select(pl.col("session_key") + "~phantom").to_series()
        made = leak_mechanisms.phantom(charges, shift, keys).with_columns(record_key=pl.col("record_key") + "~phantom", fresh=True)
        near = self._pairs.frontier.policies.frame.filter("by_nearest")["start_tolerance_us"].max()
        # Without a time of its own there is nothing to be near to; without a key, nothing but time.
        asked = made.select("subscriber", "started_at", "session_key", "record_key").with_row_index("row_no")
        taken = query_frames(self._lake.connection, statement("used_nearby"), {"apart_us": near or 0}, made=asked)["row_no"]
        kept = ~asked["row_no"].is_in(taken.implode())
        told = self._made(pairs.filter(kept), made.filter(kept), impact=-pl.col("amount_micros"))
        without = told.truth.with_columns(usage_keys=pl.lit([], pl.List(pl.String)), expected_micros=pl.lit(0, pl.Int64))
        return Made(without, told.removed, told.added)

    def _made(
        self, pairs: pl.DataFrame, events: pl.DataFrame, *, impact: pl.Expr, removed: bool = False, charge_keys: bool = True,
        stream: str = "charge",
    ) -> Made:  # fmt: skip
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
        gone = pairs.select(event_id="charge_event_id") if removed else pairs.select(event_id="charge_event_id").clear()
        added = {s: pl.DataFrame(schema=_ADDED[s]) for s in _ADDED}
        if events.height:
            added[stream] = events.select(pl.col(n).cast(t) for n, t in _ADDED[stream].items())
        return Made(truth, gone, added)

    def _charges(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """The whole charges of pairs, in their order, with the `position` they came at."""
        asked = pairs.select(event_id="charge_event_id", position="charge_position")
        found = query_frames(self._lake.connection, statement("charges_of"), wanted=asked.select("event_id"))
        return asked.join(found, on="event_id", how="left", maintain_order="left").with_columns(fresh=pl.lit(False))

    def _usage(self, pairs: pl.DataFrame) -> pl.DataFrame:
        asked = pairs.select(event_id=pl.col("usage_event_ids").list.first(), position="usage_position")
        found = query_frames(self._lake.connection, statement("usage_of"), wanted=asked.select("event_id"))
        return asked.join(found, on="event_id", how="left", maintain_order="left")

    def _units_at(self, sources: pl.Series, positions: pl.Series) -> pl.Series:
        control = self._lake.read("control", columns=["source", "source_id"], upto=self._pairs.end)
        units = control.unique(["source", "position"], keep="first", maintain_order=True)
        asked = pl.DataFrame({"source": sources, "position": positions.cast(pl.Int64)})
        return asked.join(units, on=["source", "position"], how="left", maintain_order="left")["source_id"]


def _is_flat() -> pl.Expr:
    """Whether a pair's service has a flat price; else a tariff prices it."""
    return pl.col("price_micros").is_not_null()


def _rescaled(charges: pl.DataFrame, permille: pl.Series) -> pl.DataFrame:
    """Quantities and amounts in proportion: whole units stay whole, finer ones stay exact to the millionth."""
    if charges.is_empty():
        return charges
    whole = (charges["quantity_micros"] % MICROS) == 0
    rows = charges.with_row_index("row_no")
    parts = [
        leak_mechanisms.scaled(rows.filter(mask), permille.filter(mask), unit_micros=unit)
        for mask, unit in ((whole, MICROS), (~whole, 1))
        if mask.any()
    ]
    return pl.concat(parts).sort("row_no").drop("row_no")


def _placed(lake: Lake, added: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Events with their ids, buckets and days, and with places in their units that no other record has."""
    config = lake.project.config.lake
    control = lake.read("control", columns=["source_id", "records"])
    ends = control.group_by("source_id").agg(end=pl.col("records").sum())
    told = {}
    for stream, frame in added.items():
        rows = frame.join(ends, on="source_id", how="left", maintain_order="left")
        order = pl.struct("position", "record_key").rank("ordinal").over("source_id", "fresh").cast(pl.Int64) - 1
        placed = rows.with_columns(
            source_row=pl.when("fresh").then(pl.col("end") + order).otherwise("source_row"),
            source_offset=pl.when(~pl.col("fresh")).then("source_offset"),
            source_length=pl.when(~pl.col("fresh")).then("source_length"),
        )  # fmt: skip
        made = with_event_ids(
            lake.connection, placed.select(list(COLLECTED[stream])), stream, bucket_by=config.bucket_by, buckets=config.buckets
        )
        told[stream] = made.select(list(EVENT[stream])).with_columns(placed["position"])
    return told


# --- the truth --------------------------------------------------------------------------------------------------------


def _truth_of(kind: str, made: pl.DataFrame, lake: Lake, pairs: CleanPairs) -> pl.DataFrame:
    """The rows of the truth of one kind, without their `leak_id`."""
    what, late = INJECTED[kind], kind == "late_charge"
    last, grace = ("charge_started_us", "charge_grace_us") if kind == "phantom_charge" else ("last_us", "grace_us")
    waits = pl.lit(kind in _BY_FRONTIER) | (pl.col("parts") > 1)
    delivered = pl.max_horizontal(pl.col("last_us"), pl.coalesce(pl.col("delivered_at").cast(pl.Int64), "charge_started_us"))
    known = pl.when(waits).then(pl.col(last) + pl.col(grace)).otherwise(delivered)
    seen = seen_times(lake, pairs.end).rename({"position": "at"})
    rows = made.sort("at").join_asof(seen, on="at") if late else made
    return rows.with_columns(
        leak_id=pl.lit(None, pl.String), kind=pl.lit(kind), category=pl.lit("leak"), mechanism=pl.lit(what.mechanism),
        mechanism_source=pl.lit(what.source), variant=pl.lit("plain"), expected_kind=pl.lit(what.expected_kind),
        expected_status=pl.lit("resolved" if late else "open"), kernel_kind=pl.lit(what.kernel_kind), decided_by=pl.lit("kernel"),
        reason=pl.lit(None, pl.String), decidable=pl.lit(True), usage_record_keys="usage_keys", charge_record_keys="charge_keys",
        exposure_micros=pl.lit(0, pl.Int64), knowable_at=known.cast(UTC_TIME),
        resolved_at=pl.col("seen") if late else pl.lit(None, UTC_TIME),
        details=pl.struct(
            "node", "keyed", "parts", "expected_micros", "charged_micros", "destination", tariff="tariff_code", position="at",
        ).struct.json_encode(),
    ).select(pl.col(n).cast(t) for n, t in TRUTH.items())  # fmt: skip


_KNOWN = "the original log has this finding; whether it is a leak is not known"


def _found_before(lake: Lake) -> pl.DataFrame:
    """The findings the original has already, as rows of the truth that nobody can decide."""
    evidence = evidence_of(lake)
    keys = [
        evidence.members.filter(pl.col("stream") == stream).group_by("finding_id")
        .agg(pl.col("record_key").sort().alias(f"{stream}_record_keys"))
        for stream in ("usage", "charge")
    ]  # fmt: skip
    rows = evidence.findings.filter(pl.col("status") != "retracted")
    for side in keys:
        rows = rows.join(side, on="finding_id", how="left", maintain_order="left")
    none = pl.lit([], pl.List(pl.String))
    text = pl.lit(None, pl.String)
    return rows.with_columns(
        pl.col("usage_record_keys", "charge_record_keys").fill_null(none),
        leak_id=text, category=pl.lit("known"), mechanism=pl.lit(_KNOWN), mechanism_source=pl.lit("the original log"),
        variant=pl.lit("plain"), expected_kind="kind", expected_status="status", kernel_kind="kind", decided_by=pl.lit("kernel"),
        decidable=pl.lit(False), subscriber=text, exposure_micros=pl.lit(0, pl.Int64), knowable_at=pl.lit(None, UTC_TIME),
        resolved_at=pl.lit(None, UTC_TIME), details=pl.lit("{}"),
    ).with_columns(kind=pl.lit(FOUND_BEFORE)).select(pl.col(n).cast(t) for n, t in TRUTH.items())  # fmt: skip


def _numbered(truth: pl.DataFrame) -> pl.DataFrame:
    """The truth in its order, each row with a name of its own."""
    kinds = [*INJECTED, FOUND_BEFORE]
    order = pl.col("kind").replace_strict(kinds, list(range(len(kinds))), return_dtype=pl.Int32)
    firsts = (pl.col("usage_record_keys").list.first(), pl.col("charge_record_keys").list.first(), "expected_kind")
    rows = truth.sort(order, "knowable_at", *firsts, nulls_last=True)
    count = pl.int_range(1, pl.len() + 1).over("kind").cast(pl.String).str.zfill(7)
    return rows.with_columns(leak_id=pl.col("kind") + "-" + count)
