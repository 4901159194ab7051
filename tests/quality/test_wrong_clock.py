"""Findings of a wrong clock, and their life after its tick is superseded."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from test_controls import DAYS, NOW, START, TOML, charge_file, controlled, project, usage_file

from trueup.collect.ingest import ingest
from trueup.config import Project
from trueup.log.lake import Lake
from trueup.log.ticks import supersede
from trueup.quality.completeness.controls import derived
from trueup.quality.completeness.evaluate_tick import Tick
from trueup.quality.completeness.history import turns_of
from trueup.quality.completeness.inputs import CompletenessInputs, Feed, Rules
from trueup.quality.run import quality

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
WRONG = NOW + timedelta(hours=40)


def whole(folder: Path) -> Project:
    made = project(folder)
    (folder / "landing/msc/M1-002.csv").write_text(usage_file(2))
    return made


def last_tick(made: Project) -> int:
    with Lake.open(made, read_only=True) as lake:
        query = "SELECT max(position) FROM lake.events.position WHERE kind = 'tick'"
        return int(lake.connection.execute(query).fetchall()[0][0])


def changes_of(rows: pl.DataFrame) -> list[tuple[str, ...]]:
    return rows.select("kind", "action", "cause").rows()


def test_a_stale_feed_of_a_wrong_clock_is_resolved_where_its_tick_is_superseded(tmp_path: Path) -> None:
    made = whole(tmp_path)
    assert controlled(made).is_empty()
    assert changes_of(controlled(made, WRONG)) == [("stale_feed", "raised", "frontier")]
    (declared,) = supersede(made, [last_tick(made)], clock=lambda: NOW + timedelta(hours=1))
    rows = controlled(made, NOW + timedelta(hours=1))
    assert changes_of(rows)[1:] == [("stale_feed", "resolved", "policy_change")]
    assert rows["position"].to_list()[1] == declared.position
    # The finding is raised again when the feed is late by the right clock. One run gives the same history.
    rows = controlled(made, NOW + timedelta(hours=30)).vstack(controlled(made, NOW + timedelta(hours=41)).clear())
    rows = controlled(made, NOW + timedelta(hours=41))
    assert changes_of(rows)[2:] == [("stale_feed", "raised", "frontier")]
    with Lake.open(made, read_only=True) as lake:
        columns = ["position", "finding_id", "action", "cause"]
        anew = derived(lake, upto=lake.last_position()).select(columns)
    assert anew.sort(columns).equals(rows.select(columns).sort(columns))


def test_days_that_a_wrong_clock_had_validated_early_are_validated_when_they_are_over(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    for name in ("msc", "billing"):
        (folder / "landing" / name).mkdir(parents=True)
    rule = (
        '\n[[expectation]]\nname = "calls are long"\nstream = "usage"\ntype = "expect_column_min_to_be_between"\n'
        'arguments = { column = "quantity_micros", min_value = 3000000 }\nseverity = "mark"\nnotes = "Short calls are misread."\n'
    )
    (folder / "trueup.toml").write_text(TOML + rule)
    made = Project.load(folder)
    for day in range(DAYS):
        (folder / f"landing/msc/M1-00{day}.csv").write_text(usage_file(day))
        (folder / f"landing/billing/00{day}.csv").write_text(charge_file(day))
    early = NOW - timedelta(hours=2)

    def failed(now: object) -> list[tuple[str, ...]]:
        with Lake.open(made, read_only=True) as lake:
            query = (
                "SELECT CAST(day AS VARCHAR), action, cause FROM lake.events.finding "
                "WHERE kind = 'failed_expectation' AND source = 'msc' AND reason LIKE 'calls%' AND day = ? ORDER BY position"
            )
            return lake.connection.execute(query, [now]).fetchall()

    last_day = (START + timedelta(days=DAYS - 1)).date()
    ingest(made, clock=lambda: early)
    quality(made, clock=lambda: early)
    assert failed(last_day) == []
    quality(made, clock=lambda: early + timedelta(hours=20))
    assert [row[1:] for row in failed(last_day)] == [("raised", "frontier")]
    supersede(made, [last_tick(made)], clock=lambda: early)
    quality(made, clock=lambda: early)
    assert [row[1:] for row in failed(last_day)] == [("raised", "frontier"), ("resolved", "policy_change")]
    summary = quality(made, clock=lambda: NOW)
    assert {v.day for v in summary.validated if v.source == "msc"} == {last_day}
    assert [row[1:] for row in failed(last_day)][2:] == [("raised", "frontier")]


def test_a_superseding_is_evaluated_from_the_last_tick_before_the_wrong_one_by_the_clock_in_force() -> None:
    rows = [(2, 20, None), (4, 900, 9), (6, 25, None), (8, 950, 11)]
    inputs = CompletenessInputs.of(ticks=pl.DataFrame(rows, schema=["position", "at_us", "superseded_at"], orient="row"))
    turns = turns_of(inputs, after=4, upto=20)
    assert [(t.tick, t.before, t.last, t.superseded) for t in turns] == [
        (Tick(6, 25), Tick(4, 900), Tick(4, 900), False),
        (Tick(8, 950), Tick(6, 25), Tick(6, 25), False),
        (Tick(9, 950), Tick(2, 20), Tick(8, 950), True),
        (Tick(11, 25), Tick(6, 25), Tick(9, 950), True),
    ]
    assert Rules({"a": Feed("a", "usage")}).since == 0
