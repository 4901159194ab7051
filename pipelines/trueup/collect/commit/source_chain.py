"""Parts that the log has of a source, and the end of its chain of control rows, followed from commit to commit.

Each commit of a part needs both. Reading them anew would take longer with each commit, because each one adds a file to the log.
A session therefore reads the control rows of a source once, and then only those that any session committed later.
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

    It holds committed rows only, so it stays true when the transaction is rolled back.
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
