"""Several regions, written one after the other, form one operator."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from trueup.simulate import PROFILES, SimulationRequest, simulate


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an operator of four regions with files of three hours."""
    directory = tmp_path_factory.mktemp("regions") / "world"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "regions", replace(PROFILES["small"], name="regions", region_subscribers=40, blocks=8))
        simulate(directory, SimulationRequest(subscribers=150, days=2, seed=3, profile="regions", file_format="parquet"))
    return directory


def test_each_region_has_elements_and_a_billing_run_of_its_own(regions: Path) -> None:
    for feed in ("msc", "pgw", "tap", "iot", "billing"):
        elements = {path.name.split("-")[1] for path in (regions / "landing" / feed).iterdir()}
        assert {name[-4:-2] if feed != "billing" else name[-2:] for name in elements} == {"01", "02", "03", "04"}


def test_an_element_numbers_its_records_in_the_order_of_its_files(regions: Path) -> None:
    seen: dict[str, list[int]] = defaultdict(list)
    for path in sorted((regions / "landing" / "msc").glob("*0?.parquet")):
        rows = pl.read_parquet(path).unique("record_id", maintain_order=True)
        counts = rows["record_id"].str.split("-").list.last().cast(pl.Int64)
        assert rows["node"].n_unique() == 1
        # Records sent again are at the end of a file and belong to an earlier one.
        seen[rows["node"][0]] += [n for n in counts if n > max(seen[rows["node"][0]], default=0)]
    assert len(seen) == 8
    assert all(a < b for counts in seen.values() for a, b in pairwise(counts))


def test_no_charge_or_session_is_in_two_regions(regions: Path) -> None:
    regions_of: dict[str, set[str]] = defaultdict(set)
    for path in (regions / "landing" / "billing").iterdir():
        for line in pl.read_parquet(path)["line_id"]:
            regions_of[line].add(path.name.split("-")[1])
    assert all(len(found) == 1 for found in regions_of.values())


def test_subscribers_call_into_other_regions(regions: Path) -> None:
    home: dict[str, str] = {}
    calls = pl.concat([pl.read_parquet(p) for p in (regions / "landing" / "msc").iterdir()])
    for who, node in calls.select("served_number", "node").iter_rows():
        home[who] = node[3:5]
    across = [home[a] != home[b] for a, b in calls.select("served_number", "other_number").iter_rows() if b in home]
    assert 0.02 < sum(across) / len(across) < 0.9
