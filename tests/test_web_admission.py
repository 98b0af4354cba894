"""Who runs, who waits and who is turned away, with a clock of our own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from web.admission import Admission, Decision


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def served(between_s: float, clock: Clock) -> Admission[int]:
    """An admission of four threads that has seen answers leave that far apart, now idle."""
    admission: Admission[int] = Admission(4, clock=clock)
    running: list[int] = []
    for number in range(400):
        if admission.offer(number) is Decision.RUN:
            running.append(number)
        clock.now_s += between_s
        if len(running) >= 3:
            following = admission.left(running.pop(0))
            running += [] if following is None else [following]
    while running:
        following = admission.left(running.pop(0))
        running += [] if following is None else [following]
    return admission


def n_let_in(admission: Admission[int]) -> int:
    for number in range(1000):
        if admission.offer(1000 + number) is Decision.TURN_AWAY:
            return number
    raise AssertionError


def test_fewer_are_let_in_where_answers_take_longer() -> None:
    room = {between_s: n_let_in(served(between_s, Clock())) for between_s in (0.01, 0.03, 5.0)}
    assert room[0.01] > room[0.03] > room[5.0]
    # A handful always is.
    assert room[5.0] == 5


def test_one_request_that_takes_long_closes_nothing() -> None:
    clock = Clock()
    admission = served(0.01, clock)
    admission.offer(-1)
    clock.now_s += 60.0
    admission.left(-1)
    assert n_let_in(admission) > 5


def test_who_came_first_runs_first_and_who_waits_too_long_is_turned_away() -> None:
    clock = Clock()
    admission: Admission[int] = Admission(1, clock=clock)
    assert admission.offer(0) is Decision.RUN
    assert [admission.offer(number) for number in (1, 2)] == [Decision.WAIT] * 2
    assert admission.left(0) == 1
    assert admission.overdue() == []
    wait_s = admission.next_overdue_s()
    assert wait_s is not None
    clock.now_s += wait_s
    assert admission.overdue() == [2]
    assert admission.next_overdue_s() is None
    assert admission.left(1) is None
    assert admission.n_running == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(["offer", "left", "overdue"]), st.floats(0, 1)), max_size=200
    )
)
def test_nobody_is_lost_or_answered_twice(steps: list[tuple[str, float]]) -> None:
    clock = Clock()
    admission: Admission[int] = Admission(3, clock=clock)
    running: list[int] = []
    waiting: list[int] = []
    n_offered = 0
    for step, passed_s in steps:
        clock.now_s += passed_s
        if step == "offer":
            decision = admission.offer(n_offered)
            if decision is Decision.RUN:
                running.append(n_offered)
            elif decision is Decision.WAIT:
                waiting.append(n_offered)
            n_offered += 1
        elif step == "left" and running:
            following = admission.left(running.pop(0))
            if following is not None:
                assert following == waiting.pop(0)
                running.append(following)
        elif step == "overdue":
            found = admission.overdue()
            assert found == waiting[: len(found)]
            del waiting[: len(found)]
        assert (admission.n_running, admission.n_waiting) == (len(running), len(waiting))
        assert len(running) <= 3
        assert not waiting or len(running) == 3
