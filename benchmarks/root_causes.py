"""Count how often the first eight cases are the eight causes of a simulated operator, with nearly all of the money.

    .venv/bin/python benchmarks/root_causes.py --seeds 50 --records 60000
    .venv/bin/python benchmarks/root_causes.py --seeds 50 --records 30000 --pipeline --results causes.ndjson

Each seed draws records of an operator and eight causes at once: six of unbilled usage, two of overbilled usage. Each cause has
one or two dimensions, and fails 30 to 100 % of its records. Causes overlap; each has at least 150 failing records of its own. In
the background one record in 500 fails for no cause.
With `--pipeline` the records are files of usage, charges and subscriptions, which are ingested, reconciled and searched for causes
as by `trueup run`. Causes then name no tariff code, because unbilled usage has no charge with a tariff code. With `--results` the
result of each seed is written to a file, and a later run measures the seeds that the file lacks. A case is a cause where its
pattern selects the same records, by a share of 95 %. All causes are found where the eight cases with the most money are the eight
causes. These cases must have at least 95 % of the money of all causes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl

from trueup.collect.ingest import ingest
from trueup.config import FILE_NAME, Project, parse
from trueup.investigation.patterns import Pattern, matches
from trueup.investigation.root_causes import assign, investigate
from trueup.reconcile.run import reconcile_little
from trueup.units import MICROS
from trueup.warehouse.close import close
from trueup.warehouse.query import with_retries

VALUES = {
    "node": [f"MSC{n:02}" for n in range(12)], "plan": [f"P{n}" for n in range(6)], "service": ["voice", "sms", "data"],
    "hour": [f"{n:02}" for n in range(24)], "destination_4": [f"+4{n:02}" for n in range(40)],
    "tariff_code": [f"T{n}" for n in range(10)], "cell": [], "usage_file": [],
}  # fmt: skip
CAUSES = 8
BACKGROUND = 0.002
SAME = 0.95
LEAST = 150
FILES_OF_NODE, LANDED_FILES_OF_NODE = 10, 4
"""Usage files of each node; fewer with `--pipeline`, where each file costs a commit."""


NOW = datetime(2024, 3, 5, tzinfo=UTC)
TOML = """
[project]
currency = "EUR"
[lake]
buckets = 8
[[source]]
name = "msc"
stream = "usage"
path = "landing/usage/*.csv"
[source.columns]
record_key = "id"
session_key = "id"
subscriber = "who"
peer = "to"
started_at = "start"
quantity = "seconds"
node = "node"
cell = "cell"
service = "service"
[[source]]
name = "billing"
stream = "charge"
path = "landing/charges.csv"
[source.columns]
record_key = "id"
session_key = "id"
subscriber = "who"
started_at = "start"
quantity = "seconds"
amount = "amount"
service = "service"
[[source]]
name = "states"
stream = "subscriber"
path = "landing/states.csv"
identity = "content"
columns = { system = "system", subscriber = "who", plan = "plan", status = "status", valid_from = "from" }
"""
SERVICE = '[reconcile.{service}]\nmatch = ["session_key"]\nprice = "1"\ngrace = "1h"\n'
QUERY = """SELECT m.case_id, u.record_key AS finding_id FROM case_members m JOIN findings f ON f.finding_id = m.member_id
JOIN lake.events.usage u ON lower(hex(u.event_id)) = f.usage_event_id"""
Searched = tuple[dict[str, Pattern], pl.DataFrame]
"""The patterns of cases without the dimension `side`, and the case of each finding: `finding_id`, `case_id`."""


def simulate(
    seed: int, records: int, names: tuple[str, ...] = tuple(VALUES), files: int = FILES_OF_NODE
) -> tuple[pl.DataFrame, pl.DataFrame, list[pl.Series]]:
    """Return the findings, each with its `cause` (-1: none), all records, and which records each cause concerns."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.choice(values, records) for name, values in VALUES.items() if values}
    node = columns["node"]
    # No cell or file is shared between nodes.
    columns["cell"] = np.array([f"{n}-{c}" for n, c in zip(node, rng.integers(0, 8, records), strict=True)])
    columns["usage_file"] = np.array([f"{n}-{c}.csv" for n, c in zip(node, rng.integers(0, files, records), strict=True)])
    amount = np.round(rng.lognormal(0, 0.8, records) * 1_000_000).astype(np.int64)
    cause = np.where(rng.random(records) < BACKGROUND, -1, -2)
    concerned: list[pl.Series] = []
    while (number := len(concerned)) < CAUSES:
        dimensions = rng.choice(list(names), rng.integers(1, 3), replace=False)
        inside = np.ones(records, bool)
        for name in dimensions:
            inside &= columns[name] == rng.choice(columns[name][inside])
        fails = inside & (rng.random(records) < rng.uniform(0.3, 1)) & (cause < 0)
        if int(fails.sum()) < LEAST:
            continue
        cause[fails] = number
        concerned.append(pl.Series(inside))
    rows = pl.DataFrame({**columns, "money": amount, "cause": cause}).with_row_index("row")
    findings = rows.filter(pl.col("cause") > -2).with_columns(
        finding_id=pl.col("row").cast(pl.String).cast(pl.Binary), currency=pl.lit("EUR"), reason=pl.lit(None, pl.String),
        kind=pl.when(pl.col("cause").is_in([6, 7])).then(pl.lit("overbilled")).otherwise(pl.lit("unbilled")),
        side=pl.when(pl.col("cause").is_in([6, 7])).then(pl.lit("overcharge")).otherwise(pl.lit("leakage")),
    )  # fmt: skip
    return findings, rows.with_columns(stream=pl.lit("usage"), weight=pl.lit(1.0)), concerned


def measure(seed: int, records: int, *, pipeline: bool) -> tuple[int, float]:
    """Return how many causes are among the first eight cases, and their share of the money of all causes."""
    names = tuple(name for name in VALUES if not (pipeline and name == "tariff_code"))
    findings, rows, concerned = simulate(seed, records, names, LANDED_FILES_OF_NODE if pipeline else FILES_OF_NODE)
    if pipeline:
        findings, rows = _with_parties(findings), _with_parties(rows)
    search: Callable[[pl.DataFrame, pl.DataFrame], Searched] = _search_files if pipeline else _search_frames
    patterns, filed = search(findings, rows)
    money = findings.join(filed, on="finding_id").group_by("case_id").agg(pl.col("money").sum()).sort("money", descending=True)
    first = money["case_id"].head(CAUSES).to_list()
    selected = [matches(rows, patterns[case_id]) for case_id in first if patterns[case_id]]
    found = sum(any((own & one).sum() >= SAME * (own | one).sum() for one in selected) for own in concerned)
    caused = findings.filter(pl.col("cause") >= 0)
    caught = caused.join(filed.filter(pl.col("case_id").is_in(first)), on="finding_id", how="semi")
    return found, int(caught["money"].sum()) / int(caused["money"].sum())


def _search_frames(findings: pl.DataFrame, rows: pl.DataFrame) -> Searched:
    project = Project.__new__(Project)
    object.__setattr__(project, "config", parse(""))
    openings, filed = assign(findings, rows, [], project)
    return {opening.case_id.hex(): opening.pattern[1:] for opening in openings}, filed.with_columns(
        pl.col("case_id").bin.encode("hex")
    )


def _with_parties(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that files have beside the dimensions: ids, subscribers of one plan each, peers, and the names of files."""
    number = pl.col("row").cast(pl.String).str.zfill(6)
    peer = pl.col("destination_4") + number.str.slice(2)
    return rows.with_columns(
        finding_id=number, usage_file="landing/usage/" + pl.col("usage_file"), peer=peer, day=pl.lit("2024-03-01"),
        subscriber=pl.lit("+49") + pl.col("plan").str.slice(1) + (pl.col("row") % 997).cast(pl.String).str.zfill(4),
        start=pl.lit("2024-03-01 ") + pl.col("hour") + pl.lit(":00:00"),
        **{f"destination_{length}": peer.str.slice(0, length) for length in (3, 5, 6)},
    )  # fmt: skip


def _search_files(findings: pl.DataFrame, rows: pl.DataFrame) -> Searched:
    with tempfile.TemporaryDirectory() as folder:
        project = _written(Path(folder), rows)
        assert not ingest(project, clock=lambda: NOW).errors
        for source in ("msc", "billing"):
            close(project, source, date(2024, 3, 4), clock=lambda: NOW)
        if reconcile_little(project, clock=lambda: NOW) is None:
            from trueup.jobs.reconcile_batch import reconcile

            reconcile(project, clock=lambda: NOW)
        investigate(project, clock=lambda: NOW)
        filed = with_retries(project, lambda warehouse: pl.DataFrame(warehouse.connection.execute(QUERY).to_arrow_table()))
        cases = with_retries(project, lambda w: w.connection.execute("SELECT case_id, pattern FROM cases").fetchall())
    assert set(filed["finding_id"]) <= set(findings["finding_id"])
    return {
        case_id: tuple((n, v) for n, v in json.loads(pattern) if n not in ("side", "reason")) for case_id, pattern in cases
    }, filed


def _written(folder: Path, rows: pl.DataFrame) -> Project:
    """Write usage, charges and subscriptions: of unbilled usage no charge, of overbilled usage one of twice the quantity."""
    (folder / "landing/usage").mkdir(parents=True)
    (folder / FILE_NAME).write_text(TOML + "".join(SERVICE.format(service=name) for name in VALUES["service"]), "utf-8")
    seconds = pl.col("money").cast(pl.Decimal(38, 6)) / MICROS
    files = rows.with_columns(seconds=seconds.cast(pl.Decimal(38, 6)).cast(pl.String))
    names: list[pl.Expr] = [pl.col("finding_id").alias("id"), pl.col("subscriber").alias("who"), pl.col("start")]
    for (path,), part in files.partition_by("usage_file", as_dict=True).items():
        part.select(*names, pl.col("peer").alias("to"), "seconds", "node", "cell", "service").write_csv(folder / str(path))
    twice = pl.when(pl.col("cause").is_in([6, 7])).then(2).otherwise(1)
    charged = ((pl.col("money") * twice).cast(pl.Decimal(38, 6)) / MICROS).cast(pl.Decimal(38, 6)).cast(pl.String)
    billed = rows.filter((pl.col("cause") == -2) | pl.col("cause").is_in([6, 7])).with_columns(seconds=charged, amount=charged)
    billed.select(*names, "seconds", "amount", "service").write_csv(folder / "landing/charges.csv")
    states = rows.select(who="subscriber", plan="plan").unique().sort("who").with_columns(
        status=pl.lit("active"), **{"from": pl.lit("2024-01-01")}
    )  # fmt: skip
    pl.concat([states.with_columns(system=pl.lit(name)) for name in ("billing", "network")]).write_csv(
        folder / "landing/states.csv"
    )
    return Project.load(folder)


def main() -> None:
    """Print the number of causes found for each seed, and the totals."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--records", type=int, default=60_000)
    parser.add_argument("--pipeline", action="store_true", help="write files, ingest and reconcile them")
    parser.add_argument("--results", type=Path, help="a file with one line a seed, to continue from")
    options = parser.parse_args()
    begun = time.process_time()
    measured = _read_results(options.results, options.records, pipeline=options.pipeline)
    missing = [seed for seed in range(options.seeds) if seed not in measured]
    for seed in missing:
        measured[seed] = measure(seed, options.records, pipeline=options.pipeline)
        found, share = measured[seed]
        print(f"seed {seed}: {found}/{CAUSES} {share:.3f}", flush=True)
        if options.results is not None:
            row = {"seed": seed, "records": options.records, "pipeline": options.pipeline, "found": found, "share": share}
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    results = [measured[seed] for seed in range(options.seeds)]
    complete = sum(found == CAUSES and share >= SAME for found, share in results)
    total = sum(found for found, _ in results)
    least = min(share for _, share in results)
    print(f"all causes found in {complete} of {options.seeds} seeds, {total} of {CAUSES * options.seeds} causes")
    print(f"the first eight cases have at least {least:.1%} of the money of all causes")
    if missing:
        print(f"{(time.process_time() - begun) / len(missing):.1f} s of processor a seed")


def _read_results(path: Path | None, records: int, *, pipeline: bool) -> dict[int, tuple[int, float]]:
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {row["seed"]: (row["found"], row["share"]) for row in rows if row["records"] == records and row["pipeline"] == pipeline}


if __name__ == "__main__":
    main()
