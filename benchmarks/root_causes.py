"""How often the first eight cases are the eight causes of a simulated operator, with nearly all of their money.

    .venv/bin/python benchmarks/root_causes.py --seeds 50 --records 60000

Each seed draws records of an operator and eight causes at once: six of unbilled usage, two of overbilled usage, of one or two
dimensions each, that fail 30 to 100 % of their records. Causes overlap; each has
at least 150 failing records of its own. In the background one record in 500 fails for no cause.
A case is a cause where its pattern selects the same records, by a share of 95 %. All are found where the eight cases with the most
money are the eight causes, and have at least 95 % of the money of all causes.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import polars as pl

from trueup.config import Project, parse
from trueup.investigation.patterns import matches
from trueup.investigation.root_causes import assign

VALUES = {
    "node": [f"MSC{n:02}" for n in range(12)], "plan": [f"P{n}" for n in range(6)], "service": ["voice", "sms", "data"],
    "hour": [f"{n:02}" for n in range(24)], "destination_4": [f"+4{n:02}" for n in range(40)],
    "tariff_code": [f"T{n}" for n in range(10)], "cell": [], "usage_file": [],
}  # fmt: skip
CAUSES = 8
BACKGROUND = 0.002
SAME = 0.95
LEAST = 150


def simulate(seed: int, records: int) -> tuple[pl.DataFrame, pl.DataFrame, list[pl.Series]]:
    """Return the findings, each with its `cause` (-1: none), all records, and which records each cause concerns."""
    rng = np.random.default_rng(seed)
    columns = {name: rng.choice(values, records) for name, values in VALUES.items() if values}
    node = columns["node"]
    # The cells and files of a node are its own.
    columns["cell"] = np.array([f"{n}-{c}" for n, c in zip(node, rng.integers(0, 8, records), strict=True)])
    columns["usage_file"] = np.array([f"{n}-{c}.csv" for n, c in zip(node, rng.integers(0, 10, records), strict=True)])
    amount = np.round(rng.lognormal(0, 0.8, records) * 1_000_000).astype(np.int64)
    cause = np.where(rng.random(records) < BACKGROUND, -1, -2)
    concerned: list[pl.Series] = []
    while (number := len(concerned)) < CAUSES:
        dimensions = rng.choice(list(VALUES), rng.integers(1, 3), replace=False)
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


def measure(seed: int, records: int) -> tuple[int, float]:
    """Return how many causes are among the first eight cases, and the share of the money of all causes that these have."""
    findings, rows, concerned = simulate(seed, records)
    project = Project.__new__(Project)
    object.__setattr__(project, "config", parse(""))
    openings, filed = assign(findings, rows, [], project)
    money = findings.join(filed, on="finding_id").group_by("case_id").agg(pl.col("money").sum()).sort("money", descending=True)
    first = money["case_id"].head(CAUSES).to_list()
    patterns = [opening.pattern[1:] for opening in openings if opening.case_id in first]
    selected = [matches(rows, pattern) for pattern in patterns if pattern]
    found = sum(any((own & one).sum() >= SAME * (own | one).sum() for one in selected) for own in concerned)
    caused = findings.filter(pl.col("cause") >= 0)
    caught = caused.join(filed.filter(pl.col("case_id").is_in(first)), on="finding_id", how="semi")
    return found, int(caught["money"].sum()) / int(caused["money"].sum())


def main() -> None:
    """Print the causes found of each seed, and the totals."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--records", type=int, default=60_000)
    options = parser.parse_args()
    begun = time.process_time()
    results = [measure(seed, options.records) for seed in range(options.seeds)]
    print(" ".join(f"{found}/{CAUSES} {share:.3f}" for found, share in results))
    complete = sum(found == CAUSES and share >= SAME for found, share in results)
    total = sum(found for found, _ in results)
    seconds = (time.process_time() - begun) / options.seeds
    print(f"all causes found in {complete} of {options.seeds} seeds, {total} of {CAUSES * options.seeds} causes")
    print(f"{seconds:.1f} s of processor a seed")


if __name__ == "__main__":
    main()
