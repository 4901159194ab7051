"""A clock that runs back or leaps ahead: refused where it would commit, and what accepts or repairs it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trueup.clock import BEHIND, LATE_START, check_clock, describe_span
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
    assert not refused(NOON - BEHIND, NOON)
    assert refused(NOON - BEHIND - SECOND, NOON)


def test_a_clock_may_leap_a_day_and_the_time_a_daily_run_may_start_late() -> None:
    assert not refused(NOON + DAY + LATE_START, NOON)
    assert refused(NOON + DAY + LATE_START + SECOND, NOON)
    assert not refused(NOON + 7 * DAY + LATE_START, NOON, 7 * DAY)


def test_before_the_first_commit_every_clock_is_accepted() -> None:
    assert not refused(NOON, None)


@pytest.mark.parametrize(
    ("now", "said"), [(NOON - timedelta(hours=2), "2 h 0 min behind"), (NOON + 40 * DAY, "40 d 0 h ahead")]
)  # fmt: skip
def test_a_refusal_says_both_times_and_what_to_do(now: datetime, said: str) -> None:
    with pytest.raises(ClockError) as told:
        check_clock(now, NOON, longest_jump=DAY, where="here")
    assert said in str(told.value) and "2024-06-01 12:00:00Z" in str(told.value)
    assert "set the machine's clock" in told.value.todo


@pytest.mark.parametrize(
    ("span", "said"), [(timedelta(seconds=9), "9 s"), (timedelta(minutes=70), "1 h 10 min"), (400 * DAY, "400 d 0 h"), (-BEHIND, "5 min")]
)  # fmt: skip
def test_a_span_is_described_in_its_largest_units(span: timedelta, said: str) -> None:
    assert describe_span(span) == said


# --- a lake -----------------------------------------------------------------------------------------------------------


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path, parse("[lake]\nbuckets = 2\n"))
    Lake.create(made)
    return made


def tick(project: Project, hands: Hands) -> int:
    with Lake.open(project, clock=hands) as lake:
        return lake.commit(lambda transaction: transaction.declare("tick", through=hands()))


def kinds(project: Project) -> list[str]:
    with Lake.open(project, read_only=True) as lake:
        return [row[0] for row in lake.connection.execute("SELECT kind FROM lake.events.position ORDER BY position").fetchall()]


def test_a_commit_of_a_wrong_clock_is_refused_and_leaves_nothing(project: Project, hands: Hands) -> None:
    tick(project, hands)
    for now in (NOON - timedelta(hours=1), NOON + 3 * DAY):
        hands.now = now
        with pytest.raises(ClockError):
            tick(project, hands)
    assert kinds(project) == ["tick"]


def test_a_longer_jump_is_a_setting(tmp_path: Path, hands: Hands) -> None:
    weekly = Project(tmp_path, parse('[lake]\nbuckets = 2\n[project]\nmax_clock_jump = "7d"\n'))
    Lake.create(weekly)
    tick(weekly, hands)
    hands.now = NOON + 7 * DAY
    assert tick(weekly, hands) == 2


def test_a_jump_ahead_is_accepted_once_and_a_clock_behind_only_where_asked(project: Project, hands: Hands) -> None:
    tick(project, hands)
    assert accept_clock(project, clock=hands) is None, "the clock is right"
    hands.now = NOON + 3 * DAY
    accepted = accept_clock(project, clock=hands)
    assert accepted is not None and (accepted.position, accepted.through) == (2, hands.now)
    assert tick(project, hands) == 3
    hands.now = NOON
    with pytest.raises(ClockError):
        accept_clock(project, clock=hands)
    assert accept_clock(project, clock=hands, may_be_behind=True) is not None
    assert tick(project, hands) == 5
    assert kinds(project) == ["tick", CLOCK, "tick", CLOCK, "tick"]


def test_after_a_wrong_tick_is_superseded_the_right_clock_is_accepted_again(project: Project, hands: Hands) -> None:
    tick(project, hands)
    hands.now = NOON + timedelta(hours=25)
    wrong = tick(project, hands)
    hands.now = NOON + timedelta(hours=1)
    with pytest.raises(ClockError):
        tick(project, hands)
    (declared,) = supersede(project, [wrong], clock=hands)
    assert (declared.position, declared.supersedes, declared.through) == (3, wrong, hands.now)
    assert tick(project, hands) == 4
    with Lake.open(project, read_only=True) as lake:
        assert read_ticks(lake).select("position", "superseded_at").rows() == [(4, None), (2, 3), (1, None)]


@pytest.mark.parametrize(("position", "said"), [(9, "there is no position 9; the newest is 3"), (0, "there is no position 0"), (1, "its kind is policy"), (2, "superseded already, by position 3")])  # fmt: skip
def test_only_a_tick_that_is_in_force_can_be_superseded(project: Project, hands: Hands, position: int, said: str) -> None:
    with Lake.open(project, clock=hands) as lake:
        lake.commit(lambda transaction: transaction.declare("policy", content={}))
    supersede(project, [tick(project, hands)], clock=hands)
    with pytest.raises(LogError, match=said):
        supersede(project, [position], clock=hands)
    assert kinds(project) == ["policy", "tick", CLOCK]


def test_where_one_of_several_positions_is_no_tick_none_is_superseded(project: Project, hands: Hands) -> None:
    tick(project, hands)
    with pytest.raises(LogError):
        supersede(project, [1, 2], clock=hands)
    assert kinds(project) == ["tick"]


def test_runs_that_find_nothing_new_leave_a_trace_of_the_time(project: Project, hands: Hands) -> None:
    tick(project, hands)
    hands.now = NOON + timedelta(hours=11)
    with Lake.open(project, clock=hands) as lake:
        assert declare_idle(lake) is None
    for day in range(1, 6):
        hands.now = NOON + day * DAY
        with Lake.open(project, clock=hands) as lake:
            assert declare_idle(lake) == day + 1
    assert tick(project, hands) == 7
