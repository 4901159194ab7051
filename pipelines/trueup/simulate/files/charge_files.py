"""Write charge files: billing delivers the charges rated in each block of the UTC day when the block has ended."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from trueup.simulate.catalogue import CODES
from trueup.simulate.files.billing import CHARGE
from trueup.simulate.files.feeds import FIRST_LINE, Names, billing_rows
from trueup.simulate.files.write import write_rows
from trueup.simulate.leaks import leak_mechanisms
from trueup.simulate.market.period import DAY_US, moment
from trueup.simulate.traffic.sessions import numbers

RESENT_PERMILLE = 900
_DELIVERED = (
    "line", "session_key", "service", "subscriber", "peer", "started_at", "quantity_micros", "partial_no", "amount_micros",
    "currency", "tariff", "billed_at",
)  # fmt: skip


@dataclass
class ChargeFiles:
    """Holds charges until their file is due; a file covers one region and one of `blocks` equal parts of a UTC day."""

    root: Path
    names: Names
    blocks: int
    file_format: str
    manifest: list[dict[str, object]] = field(default_factory=list)
    lines: int = 0
    files: int = 0
    records: int = 0
    _pending: dict[tuple[int, int], list[pl.DataFrame]] = field(default_factory=lambda: defaultdict(list))
    _sent: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def block_us(self) -> int:
        """Return the length of a block in microseconds."""
        return DAY_US // self.blocks

    def number_lines(self, charges: pl.DataFrame) -> pl.DataFrame:
        """Return charges with `line`, billing's running number."""
        first = FIRST_LINE + self.lines
        self.lines += len(charges)
        return charges.select(list(CHARGE)).with_columns(line=pl.Series(first + np.arange(len(charges), dtype=np.int64)))

    def copies_of(self, rng: np.random.Generator, charges: pl.DataFrame, rate: float) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return conflicting re-sends and plain retransmissions of numbered charges; both go into the next file."""
        conflicting = leak_mechanisms.resend_with_less(
            charges.filter(pl.col("leak") == CODES["conflicting_charge"]), RESENT_PERMILLE
        )
        return conflicting, charges.filter(pl.Series(rng.random(len(charges)) < rate, dtype=pl.Boolean))

    def hold(self, region: int, charges: pl.DataFrame, *, blocks_later: int = 0) -> None:
        """Hold numbered charges for the file of the block in which they were billed, or of the one `blocks_later` blocks later."""
        if charges.is_empty():
            return
        charges = charges.select(_DELIVERED)
        block = charges["billed_at"].cast(pl.Int64).to_numpy() // self.block_us + blocks_later
        ordered = charges.with_columns(block=pl.Series(block)).sort("block", maintain_order=True)
        values, first, counts = np.unique(numbers(ordered, "block"), return_index=True, return_counts=True)
        for value, begin, count in zip(values, first, counts, strict=True):
            self._pending[int(value), region].append(ordered[int(begin) : int(begin + count)].drop("block"))

    def deliver(self, until_us: int | None) -> None:
        """Write the files of all blocks that end by an instant; with None, write all that are held."""
        due = sorted(k for k in self._pending if until_us is None or (k[0] + 1) * self.block_us <= until_us)
        for block, region in due:
            charges = pl.concat(self._pending.pop((block, region)))
            begin = moment(block * self.block_us)
            self._sent[region] += 1
            node = f"BILL{region + 1:02d}"
            name = f"{begin:%Y%m%dT%H%MZ}-{node}-{self._sent[region]:06d}.{self.file_format}"
            write_rows(billing_rows(charges, self.names), self.root / "billing" / name, self.file_format)
            self.manifest.append(
                {"feed": "billing", "node": node, "file": name, "sequence": self._sent[region], "declared_records": len(charges)}
            )
            self.files += 1
            self.records += len(charges)
