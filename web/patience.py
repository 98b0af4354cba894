"""How long a thread waits for a client that sends, or takes its answer, slowly.

Either way it is a token bucket: who makes a thread wait uses up ten seconds, and every byte that
passes gives some of them back, up to those ten. So whoever keeps up a least rate may take as long
as there is something to send, and whoever drips is let go after little more than ten seconds.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from functools import partial

from werkzeug.exceptions import RequestTimeout

from web.arrival import GATHERED_BYTES

__all__ = ["LEAST_BYTES_A_S", "PATIENCE_S", "Patience", "PatientSocket"]

PATIENCE_S = 10.0
LEAST_BYTES_A_S = GATHERED_BYTES / PATIENCE_S
"""Less than a modem's; what is gathered without a thread in that time has the same rate."""

# Zero would mean not to wait for the kernel either.
_SHORTEST_S = 0.001


class Patience:
    """What is left of the seconds one may be kept waiting.

    Parameters
    ----------
    most_s
        How many that are at most, and to begin with.
    """

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self._left_s = most_s

    @property
    def left_s(self) -> float:
        """Seconds for the next step."""
        return max(self._left_s, _SHORTEST_S)

    def passed(self, n_bytes: int, took_s: float) -> None:
        """Note that so many bytes passed, in so many seconds."""
        self._left_s = min(self._most_s, self._left_s - took_s + n_bytes / LEAST_BYTES_A_S)


class PatientSocket(socket.socket):
    """A client's socket that lets go of a client who keeps a thread waiting.

    Bounds apply while it blocks; where it has a time-out of its own, that counts alone.

    Parameters
    ----------
    fileno
        The socket, which is taken over.
    patience_s
        Seconds of waiting a client may use up, and as many again for its answer.
    """

    def __init__(self, *, fileno: int, patience_s: float = PATIENCE_S) -> None:
        super().__init__(fileno=fileno)
        self._patience_s = patience_s
        self.forgive()

    def forgive(self) -> None:
        """Begin anew, as with another request."""
        self._to_receive = Patience(self._patience_s)
        self._to_send = Patience(self._patience_s)

    def recv(self, n_bytes: int, flags: int = 0) -> bytes:
        """Receive something.

        Raises
        ------
        RequestTimeout
            If the client sends too slowly. It is no ``OSError``, which werkzeug would take for a
            client that left, so the application answers it, with 408.
        """
        receive = super().recv
        if self.gettimeout() is not None:
            return receive(n_bytes, flags)
        received = b""

        def step() -> int:
            nonlocal received
            received = receive(n_bytes, flags)
            return len(received)

        try:
            self._wait(self._to_receive, step)
        except TimeoutError:
            raise RequestTimeout from None
        return received

    def sendall(self, data: bytes, flags: int = 0) -> None:  # type: ignore[override]
        """Send everything.

        Raises
        ------
        ConnectionResetError
            If the client takes it too slowly: there is nobody left to tell.
        """
        send = super().send
        if self.gettimeout() is not None:
            super().sendall(data, flags)
            return
        with memoryview(data) as rest:
            n_sent = 0
            while n_sent < len(rest):
                try:
                    n_sent += self._wait(self._to_send, partial(send, rest[n_sent:], flags))
                except TimeoutError:
                    message = "the client does not take its answer"
                    raise ConnectionResetError(errno.ECONNRESET, message) from None

    def _wait(self, patience: Patience, step: Callable[[], int]) -> int:
        """Take a step that moves so many bytes, in the time that is left for it."""
        began_s = time.monotonic()
        self.settimeout(patience.left_s)
        try:
            n_bytes = step()
        finally:
            self.setblocking(True)
        patience.passed(n_bytes, time.monotonic() - began_s)
        return n_bytes
