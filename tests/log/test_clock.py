"""Wrong clocks: commits are refused, and the commands that accept a clock or supersede a tick."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trueup.clock import LATE_START_ALLOWANCE, MAX_CLOCK_LAG, check_clock, describe_span
from trueup.config import Project, parse
from trueup.errors import ClockError, LogError
from trueup.log.lake import CLOCK, Lake
from trueup.log.ticks import accept_clock, declare_idle, read_ticks, supersede

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def refused(now: datetime, newest: datetime | None, longest_jump: timedelta = DAY) -> bool:
    try:
        check_clock(now, newest, longest_jump=longest_jump, where="here")
    except ClockError:
        return True
    return False


def test_a_clock_may_be_five_minutes_behind_the_newest_commit_and_no_more() -> None:
    assert not refused(NOON - MAX_CLOCK_LAG, NOON)
    assert refused(NOON - MAX_CLOCK_LAG - SECOND, NOON)


def test_a_clock_may_jump_a_day_plus_the_delay_of_a_daily_run() -> None:
    assert not refused(NOON + DAY + LATE_START_ALLOWANCE, NOON)
    assert refused(NOON + DAY + LATE_START_ALLOWANCE + SECOND, NOON)
    assert not refused(NOON + 7 * DAY + LATE_START_ALLOWANCE, NOON, 7 * DAY)


def test_before_the_first_commit_every_clock_is_accepted() -> None:
    assert not refused(NOON, None)


@pytest.mark.parametrize(
    ("now", "message"), [(NOON - timedelta(hours=2), "2 h 0 min behind"), (NOON + 40 * DAY, "40 d 0 h ahead")]
)  # fmt: skip
def test_a_refusal_names_both_times_and_advice(now: datetime, message: str) -> None:
    with pytest.raises(ClockError) as raised:
        check_clock(now, NOON, longest_jump=DAY, where="here")
    assert message in str(raised.value) and "2024-06-01 12:00:00Z" in str(raised.value)
    assert "set the machine's clock" in raised.value.todo


@pytest.mark.parametrize(
    ("span", "message"), [(timedelta(seconds=9), "9 s"), (timedelta(minutes=70), "1 h 10 min"), (400 * DAY, "400 d 0 h"), (-MAX_CLOCK_LAG, "5 min")]
)  # fmt: skip
def test_a_span_is_described_in_its_largest_units(span: timedelta, message: str) -> None:
    assert describe_span(span) == message


# --- a lake -----------------------------------------------------------------------------------------------------------


class ManualClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path, parse("[lake]\nbuckets = 2\n"))
    Lake.create(project)
    return project


def tick(project: Project, manual_clock: ManualClock) -> int:
    with Lake.open(project, clock=manual_clock) as lake:
        return lake.commit(lambda transaction: transaction.declare("tick", through=manual_clock()))


def kinds(project: Project) -> list[str]:
    with Lake.open(project, read_only=True) as lake:
        return [row[0] for row in lake.connection.execute("SELECT kind FROM lake.events.position ORDER BY position").fetchall()]


def test_a_commit_at_a_wrong_clock_is_refused_and_leaves_no_row(project: Project, manual_clock: ManualClock) -> None:
    tick(project, manual_clock)
    for now in (NOON - timedelta(hours=1), NOON + 3 * DAY):
        manual_clock.now = now
        with pytest.raises(ClockError):
            tick(project, manual_clock)
    assert kinds(project) == ["tick"]


def test_the_longest_jump_is_a_setting(tmp_path: Path, manual_clock: ManualClock) -> None:
    weekly = Project(tmp_path, parse('[lake]\nbuckets = 2\n[project]\nmax_clock_jump = "7d"\n'))
    Lake.create(weekly)
    tick(weekly, manual_clock)
    manual_clock.now = NOON + 7 * DAY
    assert tick(weekly, manual_clock) == 2


def test_a_jump_ahead_is_accepted_once_and_a_clock_behind_only_on_request(project: Project, manual_clock: ManualClock) -> None:
    tick(project, manual_clock)
    assert accept_clock(project, clock=manual_clock) is None, "the clock is right"
    manual_clock.now = NOON + 3 * DAY
    accepted = accept_clock(project, clock=manual_clock)
    assert accepted is not None and (accepted.position, accepted.through) == (2, manual_clock.now)
    assert tick(project, manual_clock) == 3
    manual_clock.now = NOON
    with pytest.raises(ClockError):
        accept_clock(project, clock=manual_clock)
    assert accept_clock(project, clock=manual_clock, may_be_behind=True) is not None
    assert tick(project, manual_clock) == 5
    assert kinds(project) == ["tick", CLOCK, "tick", CLOCK, "tick"]


def test_after_a_wrong_tick_is_superseded_the_right_clock_is_accepted_again(project: Project, manual_clock: ManualClock) -> None:
    tick(project, manual_clock)
    manual_clock.now = NOON + timedelta(hours=25)
    wrong = tick(project, manual_clock)
    manual_clock.now = NOON + timedelta(hours=1)
    with pytest.raises(ClockError):
        tick(project, manual_clock)
    (declared,) = supersede(project, [wrong], clock=manual_clock)
    assert (declared.position, declared.supersedes, declared.through) == (3, wrong, manual_clock.now)
    assert tick(project, manual_clock) == 4
    with Lake.open(project, read_only=True) as lake:
        assert read_ticks(lake).select("position", "superseded_at").rows() == [(4, None), (2, 3), (1, None)]


@pytest.mark.parametrize(("position", "message"), [(9, "there is no position 9; the newest is 3"), (0, "there is no position 0"), (1, "its kind is policy"), (2, "superseded already, by position 3")])  # fmt: skip
def test_only_a_tick_in_force_can_be_superseded(project: Project, manual_clock: ManualClock, position: int, message: str) -> None:
    with Lake.open(project, clock=manual_clock) as lake:
        lake.commit(lambda transaction: transaction.declare("policy", content={}))
    supersede(project, [tick(project, manual_clock)], clock=manual_clock)
    with pytest.raises(LogError, match=message):
        supersede(project, [position], clock=manual_clock)
    assert kinds(project) == ["policy", "tick", CLOCK]


def test_one_position_that_is_not_a_tick_leaves_all_ticks_in_force(project: Project, manual_clock: ManualClock) -> None:
    tick(project, manual_clock)
    with pytest.raises(LogError):
        supersede(project, [1, 2], clock=manual_clock)
    assert kinds(project) == ["tick"]


def test_runs_without_new_files_declare_the_time(project: Project, manual_clock: ManualClock) -> None:
    tick(project, manual_clock)
    manual_clock.now = NOON + timedelta(hours=11)
    with Lake.open(project, clock=manual_clock) as lake:
        assert declare_idle(lake) is None
    for day in range(1, 6):
        manual_clock.now = NOON + day * DAY
        with Lake.open(project, clock=manual_clock) as lake:
            assert declare_idle(lake) == day + 1
    assert tick(project, manual_clock) == 7
