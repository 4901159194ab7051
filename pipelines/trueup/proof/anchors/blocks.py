"""Blocks of commits: digests of a table's commits, folded so that a few digests cover any number of commits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FAN_OUT = 16
"""Number of blocks of one size that are folded into one block of the next size."""

_HEAD = b"trueup block 1\n"


@dataclass(frozen=True)
class Block:
    """Consecutive commits of one table.

    Parameters
    ----------
    commits:
        Number of commits that it covers, a power of `FAN_OUT`; commits without a row of the table do not count.
    rows:
        Number of rows of these commits.
    upto_snapshot:
        The snapshot of its last commit. Its first commit follows the previous block.
    sha256:
        Of one commit: the digest of its rows, in hexadecimal. Of more: SHA-256 over the digests of its `FAN_OUT` parts.
    """

    commits: int
    rows: int
    upto_snapshot: int
    sha256: str


def extend(blocks: Sequence[Block], commits: Iterable[Block]) -> list[Block]:
    """Append blocks of one commit each, and fold `FAN_OUT` blocks of one size into one.

    The result depends only on the commits, not on the number of calls: of n commits at most
    `(FAN_OUT - 1) * (1 + log n / log FAN_OUT)` blocks remain.
    """
    extended = list(blocks)
    for commit in commits:
        extended.append(commit)
        while len(extended) >= FAN_OUT and extended[-FAN_OUT].commits == extended[-1].commits:
            extended[-FAN_OUT:] = [_fold_blocks(extended[-FAN_OUT:])]
    return extended


def block_of(commits: Sequence[Block]) -> Block | None:
    """Return the single block that covers exactly these commits; None where their number is not a power of `FAN_OUT`."""
    folded = extend([], commits)
    return folded[0] if len(folded) == 1 else None


def _fold_blocks(parts: Sequence[Block]) -> Block:
    digest = hashlib.sha256(_HEAD + b"".join(bytes.fromhex(part.sha256) for part in parts)).hexdigest()
    return Block(sum(p.commits for p in parts), sum(p.rows for p in parts), parts[-1].upto_snapshot, digest)
