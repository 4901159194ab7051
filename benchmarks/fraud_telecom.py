"""Measure fraud detection on simulated operators that nothing was fitted to: detectors, the starter model, own decisions.

    python benchmarks/fraud_telecom.py FOLDER [--budget N] [--write-starter] [--many]

Protocol. The detectors' limits and the starter are chosen on the operators of `TRAIN`. The operators of `TEST` have other seeds,
sizes and lengths. Each has every kind of fraud, hard variants, and look-alikes. With --many, the thirty operators of `MANY` replace
the operators of `TEST`. On the first day of an operator no label is known, so features count none. Three ways of finding cases are
measured. (a) The detectors alone. (b) The starter alone, at its own threshold. (c) Two weeks of (a) and (b) with BUDGET right
decisions a day. On the later days the detectors run with the operator's own model, whose trees are added to those of the starter.

A case is a party on a day. The first BUDGET cases of each day are reviewed. A fraud is caught when one of its records is in a
reviewed case. The money of the fraud is stopped from one hour after its first record in such a case. Precision is the share of
reviewed cases with a record of any fraud. FOLDER keeps the operators and the measurements of each, so a stopped run continues.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.fraud.features.feature_engine import history
from trueup.fraud.features.telecom import telecom_features, transactions
from trueup.fraud.load import usage_of
from trueup.fraud.scoring.accused import both_accused, first_is_peer
from trueup.fraud.scoring.detectors import detector_rules
from trueup.fraud.scoring.model import Model, ModelError, load_model, matrix
from trueup.fraud.scoring.model_score import contributions, margins
from trueup.fraud.scoring.rules import rule_matches
from trueup.fraud.training.folds import Table, table_of
from trueup.fraud.training.train import DAY_US, Settings, train_model
from trueup.log.lake import Lake
from trueup.simulate import SimulationRequest, simulate
from trueup.simulate.incidents.frauds import FRAUD_SCRIPTS
from trueup.simulate.market.services import NAMES, flat_price

TRAIN = ("101-400-21", "102-300-21", "103-500-21", "104-200-30", "105-600-14", "106-350-28")
TEST = ("201-300-21", "202-150-30", "203-600-14", "204-400-21")
"""Operators by seed, subscribers and days."""
EARLIER = ("301-350-21", "302-600-28", "303-200-24", "304-200-60", "305-600-14", "306-200-21", "307-350-28", "308-600-24")
"""Operators on which an earlier version of (c) was measured; they showed that (c) did not keep its budget."""
SIZES, LENGTHS = (150, 150, 200), (14, 21, 28, 24)
MANY = tuple(f"{seed}-{SIZES[seed % 3]}-{LENGTHS[seed % 4] if seed % 11 else 60}" for seed in range(401, 423)) + EARLIER
"""Thirty further operators, the small ones first, which neither limits, starter nor settings were chosen on."""
STARTER = Path(__file__).parents[1] / "models/trueup/fraud/starter"
LABEL_DELAY_US = 7 * DAY_US
REACTION_US = 3_600_000_000
LEARNING_DAYS = 14
ONE_IN = 4
SUSPICIOUS = 0.5
"""The starter's threshold: the transaction is more likely fraud than not."""


@dataclass
class Operator:
    """One operator: its transactions with features, and the records of its frauds and look-alikes."""

    name: str
    events: pl.DataFrame
    features: pl.DataFrame
    frauds: pl.DataFrame

    @property
    def fraud_rows(self) -> pl.DataFrame:
        return self.frauds.filter(pl.col("category") == "fraud").select("event_id", "kind").unique("event_id", keep="first")


def operator(folder: Path, name: str) -> Operator:
    """Simulate an operator once, and compute its features without any label."""
    seed, subscribers, days = (int(part) for part in name.split("-"))
    directory = folder / name
    if not (directory / "taken").exists():
        simulate(directory, SimulationRequest(subscribers=subscribers, days=days, seed=seed))
        sources = [s.name for s in Project.load(directory).config.source if s.stream == "usage"]
        assert not ingest(Project.load(directory), sources=sources).errors
        (directory / "taken").touch()
    project = Project.load(directory)
    with Lake.open(project) as lake:
        usage = usage_of(lake, upto=lake.last_position())
    # All records get one position: features follow event time, not the order of files in the single ingest run.
    events = transactions(usage.with_columns(position=pl.lit(1, pl.Int64)), project.config.fraud)
    frauds = fraud_records(pl.read_parquet(directory / "truth.parquet"), usage, name)
    stored = directory / f"features-{telecom_features().hash[:12]}.parquet"
    if not stored.exists():
        history(telecom_features(), events).write_parquet(stored)
    return Operator(name, events, pl.read_parquet(stored), frauds)


def fraud_records(truth: pl.DataFrame, usage: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return one row per record of each fraud and look-alike: case, kind, variant, side and money."""
    kinds = truth.filter(pl.col("category").is_in(["fraud", "lookalike"]) & (pl.col("decided_by") == "fraud"))
    case = pl.lit(f"{name} ") + pl.col("leak_id")
    records = kinds.select("kind", "variant", "category", case=case, record_key="usage_record_keys")
    records = records.explode("record_key", empty_as_null=False, keep_nulls=False)
    matched = records.join(usage.select("record_key", "event_id", "service", "quantity_micros"), on="record_key")
    service = matched["service"].replace_strict(NAMES, range(len(NAMES)), return_dtype=pl.Int64).to_numpy()
    money = flat_price(service, matched["quantity_micros"].to_numpy() // 1_000_000)
    return matched.with_columns(money_micros=pl.Series(money)).drop("service", "quantity_micros", "record_key")


def training_table(one: Operator) -> Table:
    """Return the transactions of an operator with the labels of its truth, all known."""
    facts = one.events.select(
        "event_id", "at_us", "day", "is_received", party=pl.lit(f"{one.name} ") + pl.col("subscriber"),
        peer=pl.lit(f"{one.name} ") + pl.col("peer"), honest_us=pl.col("at_us") + LABEL_DELAY_US,
    )  # fmt: skip
    rows = facts.join(one.fraud_rows.rename({"kind": "type"}), on="event_id", how="left")
    fraud = pl.col("type").is_not_null()
    rows = rows.with_columns(fraud=fraud, decided_us=pl.when(fraud).then("honest_us"))
    return table_of(telecom_features(), one.features, rows)


def merged(tables: list[Table]) -> Table:
    rows = pl.concat([t.rows for t in tables])
    order = np.argsort(rows["at_us"].to_numpy(), kind="stable")
    return Table(np.concatenate([t.values for t in tables])[order], rows[order])


def alerts_by_rules(one: Operator) -> pl.DataFrame:
    """Return the matches of the detectors: `event_id`, `day`, `party`, `at_us`, `score`."""
    matches = rule_matches(detector_rules("alert"), one.events, one.features, telecom_features().owners)
    return _alerts(one, matches.select("event_id", "side").unique().with_columns(score=pl.lit(0.5)))


def alerts_by_model(one: Operator, model: Model, threshold: float) -> pl.DataFrame:
    """Return the transactions that a model finds suspicious, in the columns of `alerts_by_rules`, a row for each accused end."""
    declared = telecom_features()
    probability = model.calibration.probability(margins(model.booster(), matrix(one.features, declared.names)))
    suspicious = one.features.filter(pl.Series(probability >= threshold))
    added = contributions(model, suspicious)[:, :-1]
    facts = suspicious.select("event_id", "is_received").join(one.events.select("event_id", "peer"), on="event_id", how="left")
    received, has_peer = facts["is_received"].cast(pl.Boolean).to_numpy(), facts["peer"].is_not_null().to_numpy()
    owners = [declared.owners[n] for n in declared.names]
    peer_first = first_is_peer(added, owners, received, has_peer)
    both = both_accused(added, owners, received, has_peer)
    found = suspicious.select("event_id", score=pl.Series(probability[probability >= threshold]))
    first = found.with_columns(side=pl.Series(np.where(peer_first, "peer", "subscriber")))
    second = found.with_columns(side=pl.Series(np.where(peer_first, "subscriber", "peer"))).filter(pl.Series(both))
    return _alerts(one, pl.concat([first, second]))


def _alerts(one: Operator, found: pl.DataFrame) -> pl.DataFrame:
    party = pl.when(pl.col("side") == "peer").then("peer").otherwise("subscriber")
    facts = one.events.select("event_id", "day", "at_us", "subscriber", "peer")
    return found.join(facts, on="event_id", how="left").select("event_id", "day", "at_us", "score", party=party)


def reviewed(alerts: pl.DataFrame, budget: int) -> pl.DataFrame:
    """Return the alerts in the first cases of each day: by score, then by number of transactions."""
    cases = alerts.group_by("day", "party").agg(pl.col("score").max(), count=pl.len())
    cases = cases.sort(["day", "score", "count", "party"], descending=[False, True, True, False])
    top = cases.group_by("day", maintain_order=True).head(budget).select("day", "party")
    return alerts.join(top, on=["day", "party"], how="semi")


def outcome(one: Operator, alerts: pl.DataFrame, budget: int, *, first_day: int = 0) -> dict[str, Any]:
    """Return the plain results of one way at one operator from a day on: the reviewed cases, and each fraud and look-alike.

    A fraud that began before that day is not counted as found or missed, but a case about the fraud is right.
    """
    first = one.events["day"].min()
    days = one.events.group_by("day").agg(n=pl.len()).filter(pl.col("n") >= 0.5 * pl.col("n").median())["day"]
    since = (pl.col("day") - pl.lit(first)).dt.total_days() >= first_day
    kept = alerts.filter(since)
    in_budget = reviewed(kept, budget)
    tested = sum((day - first).days >= first_day for day in days)
    guilty = one.fraud_rows["event_id"]
    right = in_budget.group_by("day", "party").agg(pl.col("event_id").is_in(guilty.implode()).any().alias("right"))
    rows = one.frauds.join(one.events.select("event_id", "at_us", "day"), on="event_id")
    begun = rows.group_by("case").agg(begun=pl.col("day").min())
    begun = begun.filter((pl.col("begun") - pl.lit(first)).dt.total_days() >= first_day)
    rows = rows.join(begun, on="case", how="semi")
    rows = rows.with_columns(hit=pl.col("event_id").is_in(in_budget["event_id"].unique().implode()))
    rows = rows.join(rows.filter("hit").group_by("case").agg(first_us=pl.col("at_us").min()), on="case", how="left")
    stopped = pl.when(pl.col("at_us") > pl.col("first_us") + REACTION_US).then("money_micros").otherwise(0)
    cases = rows.group_by("category", "kind", "variant", "case").agg(
        caught=pl.col("hit").any(), money_micros=pl.col("money_micros").sum(), stopped_micros=stopped.sum()
    )  # fmt: skip
    return {
        "reviewed": right.height, "reviewed_a_day": right.height / max(1, tested), "right": int(right["right"].sum()),
        "cases_a_day": kept.select("day", "party").n_unique() / max(1, tested), "cases": cases.sort("case").to_dicts(),
    }  # fmt: skip


def shown(title: str, outcomes: list[dict[str, Any]], budget: int) -> tuple[pl.DataFrame, float]:
    """Print the sums of a way over all operators; return its counts by kind and variant, and its precision."""
    reviewed_cases, right = (sum(o[name] for o in outcomes) for name in ("reviewed", "right"))
    precision = right / max(1, reviewed_cases)
    a_day = ", ".join(f"{o['cases_a_day']:.1f}" for o in outcomes)
    print(f"\n{title}: precision {precision:.2f} of {reviewed_cases} reviewed cases; cases a day {a_day} (budget {budget})")
    cases = pl.DataFrame([case for o in outcomes for case in o["cases"]], infer_schema_length=None)
    counted = cases.group_by("category", "kind", "variant").agg(
        cases=pl.len(), caught=pl.col("caught").sum(), money=pl.col("money_micros").sum(), stopped=pl.col("stopped_micros").sum()
    ).sort("category", "kind", pl.col("variant") == "hard")  # fmt: skip
    for category, kind, variant, count, caught, money, stopped in counted.iter_rows():
        print(f"  {category:<10}{kind:<20}{variant:<7}{caught:>3} of {count:<3} caught, money stopped {_share(stopped, money)}")
    plain = counted.filter((pl.col("category") == "fraud") & (pl.col("variant") == "plain")).sum()
    of_plain = _share(plain["stopped"][0], plain["money"][0])
    print(f"  plain frauds: {plain['caught'][0]} of {plain['cases'][0]} caught, {of_plain} of their money stopped")
    return counted, precision


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "no money"


def show_table(found: dict[str, list[dict[str, Any]]], counted: dict[str, tuple[pl.DataFrame, float]]) -> None:
    """Print the ways side by side, as a table of Markdown: for each kind the caught cases, and the stopped share of their money."""
    ways = [way for way in TABLE_WAYS if way in counted]
    print(f"\n| kind | {' | '.join(ways)} |\n|---|{'---:|' * len(ways)}")
    rows = counted[ways[0]][0].select("category", "kind", "variant").iter_rows()
    for category, kind, variant in rows:
        cells = []
        for way in ways:
            of = counted[way][0].filter((pl.col("kind") == kind) & (pl.col("variant") == variant))
            caught = f"{of['caught'].sum()} of {of['cases'].sum()}"
            cells.append(f"{caught}, {_share(of['stopped'].sum(), of['money'].sum())}" if category == "fraud" else caught)
        name = f"{kind.replace('_', ' ')}{'' if variant == 'plain' else f', {variant}'}"
        print(f"| {name if category == 'fraud' else f'look-alike: {name}'} | {' | '.join(cells)} |")
    print(f"| precision of reviewed cases | {' | '.join(f'{counted[way][1]:.2f}' for way in ways)} |")
    for title, measure_of in (("least", min), ("median", lambda v: sorted(v)[len(v) // 2]), ("most", max)):
        a_day = (measure_of([o["cases_a_day"] for o in found[way]]) for way in ways)
        print(f"| cases a day before the cut, {title} | {' | '.join(f'{value:.1f}' for value in a_day)} |")
        within = (measure_of([o["reviewed_a_day"] for o in found[way]]) for way in ways)
        print(f"| cases a day within the budget, {title} | {' | '.join(f'{value:.1f}' for value in within)} |")


def after_decisions(one: Operator, alerts: pl.DataFrame, budget: int, *, by_rules: pl.DataFrame, start: Model | None) -> Model:
    """Return the operator's own model, trained on two weeks of decisions on the reviewed cases."""
    end_us = int(one.events["at_us"].min()) + LEARNING_DAYS * DAY_US  # type: ignore[arg-type]
    decided = reviewed(alerts.filter(pl.col("at_us") < end_us), budget)["event_id"].unique()
    table = training_table(one)
    is_decided = pl.col("event_id").is_in(decided.implode())
    # Decisions are made within a day. Frauds without a decision are not known, so they count as honest.
    rows = table.rows.with_columns(
        fraud=pl.col("fraud") & is_decided, decided_us=pl.when(is_decided).then(pl.min_horizontal(pl.col("at_us") + DAY_US, end_us))
    )
    known = (rows["decided_us"].is_not_null() | (rows["honest_us"] <= end_us)) & (rows["at_us"] < end_us)
    at, later = np.flatnonzero(known.to_numpy()), np.flatnonzero((~known & (rows["at_us"] < end_us)).to_numpy())
    by_rules = by_rules.filter(pl.col("at_us") < end_us)
    taken = by_rules.select("day", party=pl.lit(f"{one.name} ") + pl.col("party"), rule=pl.lit("detectors")).unique()
    settings = Settings(alerts_per_day=budget, label_delay_us=LABEL_DELAY_US, trials=1, start=start, taken=taken)
    known_table = Table(table.values[at], rows[at])
    return train_model(telecom_features(), known_table, settings, recent=Table(table.values[later], rows[later]), now_us=end_us)


RULES, STARTER_ALONE, BOTH = "(a) detectors", "(b) starter", "(a) and (b)"
OWN = "(c) own labels"
TABLE_WAYS = (RULES, STARTER_ALONE, OWN)


def measure(one: Operator, starter: Model, budget: int) -> dict[str, dict[str, Any]]:
    """Return the results of each way at one operator; (c) needs a week after the two weeks of decisions, and frauds in those."""
    by_rules, by_starter = alerts_by_rules(one), alerts_by_model(one, starter, starter.threshold)
    both = pl.concat([by_rules, by_starter])
    found = {way: outcome(one, alerts, budget) for way, alerts in ((RULES, by_rules), (STARTER_ALONE, by_starter), (BOTH, both))}
    if one.events["day"].n_unique() < LEARNING_DAYS + 7:
        return found
    try:
        model = after_decisions(one, both, budget, by_rules=by_rules, start=starter)
    except ModelError as error:
        print(f"{one.name}: no own model, {error}")
    else:
        later = pl.concat([alerts_by_model(one, model, model.threshold), by_rules])
        found[OWN] = outcome(one, later, budget, first_day=LEARNING_DAYS)
    return found


def measured_once(folder: Path, name: str, starter: Model, budget: int) -> dict[str, dict[str, Any]]:
    """Measure an operator, or read what an earlier run with the same starter and code measured."""
    path = folder / name / f"measured-{starter.model_id}-{budget}-{_code()}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = measure(operator(folder, name), starter, budget)
        # Written at once, so that a stopped run leaves no partial file.
        path.with_suffix(".new").write_text(json.dumps(found), "utf-8")
        path.with_suffix(".new").replace(path)
    return dict(json.loads(path.read_text("utf-8")))


def described(starter: Model, measured: dict[str, dict[str, int]], precision: float, budget: int) -> Model:
    """Return the starter with a card that shows only the quality on operators that the starter was not trained on."""
    frauds = {kind: m for kind, m in measured.items() if kind.partition(" ")[0] in FRAUD_SCRIPTS}
    card = {k: v for k, v in starter.card.items() if k not in ("intervals", "reliability", "by_type", "evaluated")}
    caught, cases = (sum(m[n] for m in frauds.values()) for n in ("caught", "cases"))
    card |= {"measured_on": list(TEST), "alerts_per_day": budget, "cases_caught": measured}
    card["metrics"] = {"share_of_frauds_caught_within_the_budget": caught / cases, "precision_within_the_budget": precision}
    missed = [f"{kind}: {m['caught']} of {m['cases']} cases caught" for kind, m in frauds.items() if m["caught"] < m["cases"]]
    mistaken = [f"{kind}: {m['caught']} of {m['cases']} such innocent parties were among its cases" for kind, m in measured.items()
                if kind not in frauds and m["caught"]]  # fmt: skip
    real = "what real operators have and the simulator has not: it was trained and measured on simulated operators only"
    card["blind_spots"] = [real, *(s for s in card["blind_spots"] if "calibration" not in s), *missed, *mistaken]
    return replace(starter, card=card)


def train_starter(operators: list[Operator], budget: int) -> Model:
    """Train on all frauds and one honest transaction in `ONE_IN`; the calibration corrects for the transactions left out."""
    table = merged([training_table(one) for one in operators])
    sampled = np.flatnonzero(table.fraud | (np.arange(len(table.fraud)) % ONE_IN == 0))
    settings = Settings(alerts_per_day=budget * len(operators), label_delay_us=DAY_US, trials=1, folds=2)
    card = {"snapshot": f"simulated operators of 200 to 600 subscribers and 14 to 30 days: {', '.join(TRAIN)}"}
    model = train_model(telecom_features(), table.take(sampled), settings, card=card)
    shifted = replace(model.calibration, shift=model.calibration.shift - float(np.log(ONE_IN)))
    return replace(model, threshold=SUSPICIOUS, calibration=shifted)


@cache
def _code() -> str:
    """Return a hash of the code that decides what is measured."""
    files = (Path(__file__), *sorted((STARTER.parent).rglob("*.py")))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def show_all(folder: Path, names: Sequence[str], starter: Model, budget: int) -> tuple[pl.DataFrame, float]:
    """Measure operators one after the other, print every way, and return the counts and precision of the starter."""
    measured = [measured_once(folder, name, starter, budget) for name in names]
    found = {way: [m[way] for m in measured if way in m] for way in (RULES, STARTER_ALONE, BOTH, OWN)}
    counted = {way: shown(way, outcomes, budget) for way, outcomes in found.items() if outcomes}
    show_table(found, counted)
    return counted[STARTER_ALONE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", type=int, default=5)
    parser.add_argument("--write-starter", action="store_true", help="train the starter again and store it in the package")
    parser.add_argument("--many", action="store_true", help="measure on the operators of MANY instead of TEST")
    parser.add_argument("--most", type=int, default=len(MANY), metavar="N", help="only the first N of MANY")
    options = parser.parse_args()
    if options.many and options.write_starter:
        parser.error("the starter's card is of the operators of TEST: leave out --many")
    begun = time.process_time()
    starter = load_model(STARTER, telecom_features()) if not options.write_starter else None
    if starter is None:
        starter = train_starter([operator(options.folder, name) for name in TRAIN], options.budget)
        print(
            f"trained the starter on {starter.card['transactions']} transactions, {time.process_time() - begun:.0f} s of processor"
        )
    names = MANY[: options.most] if options.many else TEST
    cases, precision = show_all(options.folder, names, starter, options.budget)
    if options.write_starter:
        of_kinds = {f"{kind} ({variant})": {"cases": n, "caught": caught} for _, kind, variant, n, caught, *_ in cases.iter_rows()}
        described_starter = described(starter, of_kinds, precision, options.budget)
        stored = described_starter.save(STARTER.parent / "starter.new")
        STARTER.mkdir(exist_ok=True)
        for file in stored.iterdir():
            file.replace(STARTER / file.name)
        stored.rmdir()
        stored.parent.rmdir()
    print(f"{time.process_time() - begun:.0f} s of processor")


if __name__ == "__main__":
    main()
