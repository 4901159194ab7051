"""Which snapshot brought which position, as far as it has been looked up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

_SCHEMA = {"position": pl.Int64, "snapshot_id": pl.Int64}


@dataclass(frozen=True)
class PositionCache:
    """Each position after `after` up to a last one, with its `snapshot_id`; both ascend. Of none nothing is known."""

    after: int = 0
    rows: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_SCHEMA))

    def going_on(self, after: int, upto: int, ask: Callable[[int, int], pl.DataFrame]) -> PositionCache:
        """With those in (after, upto] that there are; only those not here are asked for. What lies apart is let go."""
        last = self.after if self.rows.is_empty() else int(self.rows["position"][-1])
        if self.after <= after and upto <= last:
            return self
        if self.rows.is_empty() or after > last or upto < self.after:
            return PositionCache(after, ask(after, upto))
        before = [ask(after, self.after)] if after < self.after else []
        behind = [ask(last, upto)] if upto > last else []
        return PositionCache(min(after, self.after), pl.concat([*before, self.rows, *behind], rechunk=True))

    def of(self, after: int, upto: int) -> pl.DataFrame:
        """Those in (after, upto]."""
        low, high = np.searchsorted(self.rows["position"].to_numpy(), [after, upto], side="right")
        return self.rows[low:high]
