"""Position cache: the snapshots of positions that were read so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

_SCHEMA = {"position": pl.Int64, "snapshot_id": pl.Int64}


@dataclass(frozen=True)
class PositionCache:
    """Rows of `position` and `snapshot_id`, both ascending, for every position after `after` up to the last row."""

    after: int = 0
    rows: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_SCHEMA))

    def extend(self, after: int, upto: int, read: Callable[[int, int], pl.DataFrame]) -> PositionCache:
        """Return a cache that covers (after, upto]; only missing positions are read. A range beyond a gap replaces the old one."""
        last = self.after if self.rows.is_empty() else int(self.rows["position"][-1])
        if self.after <= after and upto <= last:
            return self
        if self.rows.is_empty() or after > last or upto < self.after:
            return PositionCache(after, read(after, upto))
        earlier = [read(after, self.after)] if after < self.after else []
        later = [read(last, upto)] if upto > last else []
        return PositionCache(min(after, self.after), pl.concat([*earlier, self.rows, *later], rechunk=True))

    def slice(self, after: int, upto: int) -> pl.DataFrame:
        """Return the rows in (after, upto]."""
        low, high = np.searchsorted(self.rows["position"].to_numpy(), [after, upto], side="right")
        return self.rows[low:high]
