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


def filled(n_threads: int, clock: Clock) -> Admission[int]:
    admission: Admission[int] = Admission(n_threads, clock=clock)
    for number in range(n_threads):
        assert admission.offer(-number) is Decision.RUN
    return admission


def offer_until_refused(admission: Admission[int]) -> int:
    for number in range(1000):
        if admission.offer(number) is Decision.TURN_AWAY:
            return number
    raise AssertionError


def test_fewer_may_wait_where_answers_take_longer() -> None:
    room = {}
    for between_s in (0.01, 0.1, 2.0):
        clock = Clock()
        admission = filled(4, clock)
        for _ in range(100):
            admission.offer(0)
            clock.now_s += between_s
            admission.left()
        while admission.n_waiting:
            admission.left()
        room[between_s] = offer_until_refused(admission)
    assert room[0.01] > room[0.1] > 0
    # Some may always wait, or a server that was slow once would stay closed.
    assert room[2.0] == 2


def test_who_came_first_runs_first_and_who_waits_too_long_is_turned_away() -> None:
    clock = Clock()
    admission = filled(1, clock)
    assert [admission.offer(number) for number in (1, 2)] == [Decision.WAIT] * 2
    assert admission.left() == 1
    assert admission.overdue() == []
    wait_s = admission.next_overdue_s()
    assert wait_s is not None
    clock.now_s += wait_s
    assert admission.overdue() == [2]
    assert admission.next_overdue_s() is None
    assert admission.left() is None
    assert admission.n_running == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(["offer", "left", "overdue"]), st.floats(0, 1)), max_size=200
    )
)
def test_nobody_is_lost_or_answered_twice(steps: list[tuple[str, float]]) -> None:
    clock = Clock()
    admission: Admission[int] = Admission(3, clock=clock)
    running, waiting, n_offered = 0, [], 0
    for step, passed_s in steps:
        clock.now_s += passed_s
        if step == "offer":
            decision = admission.offer(n_offered)
            running += decision is Decision.RUN
            if decision is Decision.WAIT:
                waiting.append(n_offered)
            n_offered += 1
        elif step == "left" and running:
            following = admission.left()
            if following is None:
                running -= 1
            else:
                assert following == waiting.pop(0)
        elif step == "overdue":
            found = admission.overdue()
            assert found == waiting[: len(found)]
            del waiting[: len(found)]
        assert (admission.n_running, admission.n_waiting) == (running, len(waiting))
        assert running <= 3
        assert not waiting or running == 3
