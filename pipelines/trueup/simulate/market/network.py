"""Build the network elements of each region: switches, data gateways, roaming partners and IoT platforms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trueup.simulate.market.profile import Profile

FEEDS = ("msc", "pgw", "tap", "iot")


@dataclass(frozen=True)
class Network:
    """All elements in one numbering; element n serves `feed[n]` (an index into `FEEDS`) of `region[n]`.

    `skew_s[n]` is how many seconds its clock is ahead of true time. Switch s of a region has the cells
    s × `cells` … s × `cells` + `cells` − 1 of that region.
    """

    names: pl.Series
    feed: NDArray[np.int64]
    region: NDArray[np.int64]
    skew_s: NDArray[np.int64]
    cells: int
    switches: int
    cell_names: pl.Series

    def elements(self, region: int, feed: str) -> NDArray[np.int64]:
        """Return the numbers of the elements of one feed in a region."""
        return np.flatnonzero((self.region == region) & (self.feed == FEEDS.index(feed)))

    def cell_of(self, switch: NDArray[np.int64], index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the cell number of the `index`-th cell of a switch (an element number)."""
        region = self.region[switch]
        order = switch - np.array([self.elements(int(r), "msc")[0] for r in range(int(self.region.max()) + 1)])[region]
        cell: NDArray[np.int64] = (region * self.switches + order) * self.cells + index
        return cell


def network_of(profile: Profile, regions: int) -> Network:
    """Build the elements that a profile has in each of its regions."""
    names, feed, region, skew, cells = [], [], [], [], []
    counts = {"msc": profile.switches, "pgw": profile.gateways, "tap": profile.partners, "iot": 1}
    for r in range(regions):
        for number, name in enumerate(FEEDS):
            for k in range(counts[name]):
                names.append(f"{name.upper()}{r + 1:02d}{k + 1:02d}")
                feed.append(number)
                region.append(r)
                # Switches differ from billing by a second at most; gateways, whose records share a key, by more.
                skew.append({"pgw": 7 * (k + 1), "iot": 0}.get(name, (k + r) % 3 - 1))
        cells += [f"C{r + 1:02d}{s + 1:02d}{c:04d}" for s in range(profile.switches) for c in range(profile.cells)]
    return Network(
        pl.Series("node", names), np.array(feed), np.array(region), np.array(skew), profile.cells, profile.switches,
        pl.Series("cell", cells),
    )  # fmt: skip
