"""Which requests a worker takes on: a few run, a few wait, all others are turned away at once.

How many may be there at once follows from how fast they are answered. By Little's law (J. D. C.
Little, 1961, doi:10.1287/opre.9.3.383) the time a request is there is their number times the time
between two answers, so as many are let in as keep that short. What nevertheless waited too long is
turned away as well: whoever asked has an answer in bounded time, and no queue grows.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable
from enum import Enum, auto
from typing import Generic, TypeVar

__all__ = ["Admission", "Decision"]

# On average; the slowest of a hundred is measured to take not quite twice as long.
_IN_ALL_S = 0.5
# A handful of clients is not refused, however slow the machine, and waits a little longer then.
_LEAST_ROOM = 5
_LEAST_WAIT_S = 0.25
_MOST_WAITING = 64
_FIRST_GUESS_S = 0.03
_WEIGHT_OF_NEWEST = 0.1
# A request that waits for something else on purpose says nothing about the others.
_LONGEST_COUNTED_S = 0.5
Item = TypeVar("Item", bound=Hashable)


class Decision(Enum):
    """What becomes of a request."""

    RUN = auto()
    WAIT = auto()
    TURN_AWAY = auto()


class Admission(Generic[Item]):
    """The requests of one worker that run and that wait; for one thread.

    Parameters
    ----------
    n_threads
        How many may run at once.
    clock
        Seconds that never go back.
    """

    def __init__(self, n_threads: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._n_threads = n_threads
        self._clock = clock
        # When each began to run, and how many ran then.
        self._running: dict[Item, tuple[float, int]] = {}
        self._waiting: deque[tuple[Item, float]] = deque()
        self._between_s = _FIRST_GUESS_S

    @property
    def n_waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def n_running(self) -> int:
        """How many run."""
        return len(self._running)

    def offer(self, item: Item) -> Decision:
        """Decide about a request, which is kept unless it is turned away."""
        if self.n_running + self.n_waiting >= self._room():
            return Decision.TURN_AWAY
        if self.n_running < self._n_threads:
            self._run(item)
            return Decision.RUN
        self._waiting.append((item, self._clock()))
        return Decision.WAIT

    def left(self, item: Item) -> Item | None:
        """Note that a request was answered; returns the one to run in its place, if any waits."""
        began_s, n_then = self._running[item]
        took_s = min(self._clock() - began_s, _LONGEST_COUNTED_S)
        # Those that run share the processors: together they are answered so much more often.
        between_s = took_s / ((n_then + self.n_running) / 2)
        self._between_s += _WEIGHT_OF_NEWEST * (between_s - self._between_s)
        del self._running[item]
        if not self._waiting:
            return None
        following, _ = self._waiting.popleft()
        self._run(following)
        return following

    def overdue(self) -> list[Item]:
        """Take out what has waited too long."""
        oldest_s = self._clock() - self._longest_wait_s()
        found = []
        while self._waiting and self._waiting[0][1] <= oldest_s:
            found.append(self._waiting.popleft()[0])
        return found

    def next_overdue_s(self) -> float | None:
        """In how many seconds there will be something overdue; ``None`` where nothing waits."""
        if not self._waiting:
            return None
        return max(0.0, self._waiting[0][1] + self._longest_wait_s() - self._clock())

    def _run(self, item: Item) -> None:
        self._running[item] = self._clock(), self.n_running + 1

    def _room(self) -> int:
        room = int(_IN_ALL_S / max(self._between_s, 1e-6))
        return min(max(room, _LEAST_ROOM), self._n_threads + _MOST_WAITING)

    def _longest_wait_s(self) -> float:
        return max(_IN_ALL_S - self.n_running * self._between_s, _LEAST_WAIT_S)
