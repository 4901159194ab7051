"""Cached control rows of a source: the parts that the log has, and the last link of the hash chain.

Each commit of a part needs both. Reading all control rows for each commit would take longer and longer, because each commit adds a
file to the log. A session therefore reads the control rows of a source once, and afterwards only new rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trueup.collect.statements import statement
from trueup.log.lake import Lake, Transaction


@dataclass
class SourceChain:
    """Parts of a source's units and the last link of its chain (sequence number and hash), as of a snapshot."""

    parts: set[str] = field(default_factory=set)
    last: tuple[int, str] | None = None
    snapshot: int = 0

    def has(self, source_id: str, part_no: int) -> bool:
        """Return whether the log has a part of a unit."""
        return f"{source_id}/{part_no}" in self.parts


def follow(lake: Lake, transaction: Transaction, source: str) -> SourceChain:
    """Return the chain of a source as an open transaction reads it.

    The chain holds only committed rows, so a rollback of the transaction does not invalidate the chain.
    """
    chain: SourceChain = lake.kept.setdefault(f"chain of {source}", SourceChain())
    snapshot = transaction.snapshot
    if chain.snapshot < snapshot:
        relation, values = lake.relation("control", chain.snapshot, snapshot)
        query = statement("control_since", relation=relation)
        ((parts, last_no, last_hash),) = transaction.connection.execute(
            query, [*values, source, chain.snapshot, snapshot]
        ).fetchall()
        chain.parts.update(parts)
        chain.last = chain.last if last_no is None else (last_no, last_hash)
        chain.snapshot = snapshot
    return chain
