"""Hash chains of control rows, one per source, checked from the first link to the last."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from trueup.collect.commit.chain import CONTROL, hash_of
from trueup.proof.evidence import Check, Evidence, FaultCollector

CHECK = "chains"


def check_chains(evidence: Evidence) -> Check:
    """Recompute every control row's hash along each source's chain, and name the first wrong link."""
    faults, rows = FaultCollector(CHECK), evidence.rows("chain")
    assert not rows or set(CONTROL) <= set(rows[0]), "the chain covers all columns of a control row"
    for source, chain in groupby(rows, lambda row: str(row["source"])):
        _check_chain(source, list(chain), faults)
    return Check(CHECK, len(rows), "control row", faults.all())


def _check_chain(source: str, chain: list[dict[str, Any]], faults: FaultCollector) -> None:
    previous = ""
    for number, row in enumerate(chain):
        where = f"source {source}, control row {number} ({row['path']})"
        if row["sequence_no"] != number:
            return faults.tampered(where, f"its sequence number is {row['sequence_no']}: a control row was removed or repeated")
        if row["previous_hash"] != previous:
            return faults.tampered(where, "it lacks the hash of the previous row: one of the two was changed")
        if row["hash"] != hash_of(row):
            return faults.tampered(where, "its hash is not that of its columns: a column was changed")
        previous = row["hash"]
    return None
