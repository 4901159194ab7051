"""The hash chains of control rows, one for each source, walked from their first link to their last."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from trueup.collect.commit.chain import CONTROL, hash_of
from trueup.proof.evidence import Check, Evidence, Found

CHECK = "chains"


def check_chains(evidence: Evidence) -> Check:
    """Computes every control row's hash again, along each source's chain; names the first link that does not hold."""
    found, rows = Found(CHECK), evidence.rows("chain")
    assert not rows or set(CONTROL) <= set(rows[0]), "the chain is over all columns of a control row"
    for source, chain in groupby(rows, lambda row: str(row["source"])):
        _walk(source, list(chain), found)
    return Check(CHECK, len(rows), "control row", found.all())


def _walk(source: str, chain: list[dict[str, Any]], found: Found) -> None:
    previous = ""
    for number, row in enumerate(chain):
        where = f"source {source}, control row {number} ({row['path']})"
        if row["sequence_no"] != number:
            return found.tampered(where, f"its sequence number is {row['sequence_no']}: a control row was removed or repeated")
        if row["previous_hash"] != previous:
            return found.tampered(where, "it does not hold the hash of the row before: one of the two was changed")
        if row["hash"] != hash_of(row):
            return found.tampered(where, "its hash is not the one that its columns make: a column was changed")
        previous = row["hash"]
    return None
