"""Which requests a worker takes on: a few run, a few wait, all others are turned away at once.

How many may wait follows from how fast requests leave. By Little's law (J. D. C. Little, 1961,
doi:10.1287/opre.9.3.383) one that finds ``n`` before it waits ``n + 1`` times the time between two
departures, so it is let in only where that is short. What nevertheless waited too long is turned
away as well: whoever asked has an answer in bounded time, and no queue grows.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Generic, TypeVar

__all__ = ["Admission", "Decision"]

# A search takes some 20 ms alone and, where all threads of a busy machine search, ten times that.
# With the wait that leaves the slowest of a hundred answers under a second.
_WAIT_S = 0.3
_LONGEST_WAIT_S = 0.5
# So many may always wait, or nothing would ever be learnt about a server that got faster.
_LEAST_WAITING = 2
_MOST_WAITING = 64
_FIRST_GUESS_S = 0.05
_WEIGHT_OF_NEWEST = 0.1
Item = TypeVar("Item")


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
        self._n_running = 0
        self._waiting: deque[tuple[Item, float]] = deque()
        self._between_s = _FIRST_GUESS_S
        # When the last one left, if others waited then: only what follows tells how fast they go.
        self._left_s: float | None = None

    @property
    def n_waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def n_running(self) -> int:
        """How many run."""
        return self._n_running

    def offer(self, item: Item) -> Decision:
        """Decide about a request; one that is to wait is kept."""
        if self._n_running < self._n_threads:
            self._n_running += 1
            return Decision.RUN
        if len(self._waiting) >= self._room():
            return Decision.TURN_AWAY
        self._waiting.append((item, self._clock()))
        return Decision.WAIT

    def left(self) -> Item | None:
        """Note that a request was answered; returns the one to run in its place, if any waits."""
        now = self._clock()
        if self._left_s is not None:
            between_s = now - self._left_s
            self._between_s += _WEIGHT_OF_NEWEST * (between_s - self._between_s)
        self._left_s = now if self._waiting else None
        if self._waiting:
            return self._waiting.popleft()[0]
        self._n_running -= 1
        return None

    def overdue(self) -> list[Item]:
        """Take out what has waited too long."""
        oldest_s = self._clock() - _LONGEST_WAIT_S
        found = []
        while self._waiting and self._waiting[0][1] <= oldest_s:
            found.append(self._waiting.popleft()[0])
        return found

    def next_overdue_s(self) -> float | None:
        """In how many seconds there will be something overdue; ``None`` where nothing waits."""
        if not self._waiting:
            return None
        return max(0.0, self._waiting[0][1] + _LONGEST_WAIT_S - self._clock())

    def _room(self) -> int:
        room = int(_WAIT_S / max(self._between_s, 1e-6))
        return min(max(room, _LEAST_WAITING), _MOST_WAITING)
