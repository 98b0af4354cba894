"""How much of a request has arrived, told from its bytes before a thread is spent on it.

Nothing is refused here: what cannot be told is for the parser, which a thread runs.
"""

from __future__ import annotations

import re
from enum import Enum, auto

__all__ = ["GATHERED_BYTES", "Arrival", "Arrived"]

GATHERED_BYTES = 32_768
"""What of a request is held in memory while no thread is there to read it, or little more."""

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(
    rb"^content-length:[ \t]*([0-9]{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)
_CHUNKED = re.compile(rb"^transfer-encoding:", re.IGNORECASE | re.MULTILINE)
_WAITS = re.compile(rb"^expect:", re.IGNORECASE | re.MULTILINE)
_LAST_CHUNK = rb"\r\n0+[ \t]*(?:;[^\r\n]*)?\r\n"
_END_OF_CHUNKS = re.compile(_LAST_CHUNK + rb"\r\n\Z")
# Trailers, which few clients send, or another request; or the chunks hold something like it.
_AFTER_CHUNKS = re.compile(_LAST_CHUNK + rb"(?:[^\r]|\r[^\n]|\r\n.)", re.DOTALL)


class Arrived(Enum):
    """How much of a request has arrived."""

    ALL = auto()
    """All of it: a thread has nothing to wait for."""
    ENOUGH = auto()
    """More than is held, or what has no known end: a thread is to read the rest."""
    TOO_LITTLE = auto()
    """Something is missing, and there is no need of a thread before it comes."""


class Arrival:
    r"""A request that arrives.

    Parameters
    ----------
    received
        What came of it together with the end of the one before.

    Examples
    --------
    >>> request = Arrival(b"POST / HTTP/1.1\r\nContent-")
    >>> request.add(b"Length: 2\r\n\r\n")
    >>> request.state().name
    'TOO_LITTLE'
    >>> request.add(b"{}")
    >>> request.state().name
    'ALL'
    """

    def __init__(self, received: bytes = b"") -> None:
        self._received = bytearray(received)
        self._n_searched = 0
        self._head: bytes | None = None
        self._n_wanted: int | None = None

    @property
    def received(self) -> bytes:
        """All that came, and perhaps the beginning of what follows it."""
        return bytes(self._received)

    def add(self, received: bytes) -> None:
        """Take in what came."""
        self._received += received

    def state(self) -> Arrived:
        """Tell how much there is."""
        if self._head is None:
            self._look_for_end_of_head()
        if self._head is not None:
            found = self._state_of_body(self._head)
            if found is not Arrived.TOO_LITTLE:
                return found
        is_much = len(self._received) >= GATHERED_BYTES
        return Arrived.ENOUGH if is_much else Arrived.TOO_LITTLE

    def _look_for_end_of_head(self) -> None:
        end = self._received.find(_END_OF_HEAD, max(0, self._n_searched - len(_END_OF_HEAD)))
        self._n_searched = len(self._received)
        if end >= 0:
            self._head = bytes(self._received[:end])
            lengths = _LENGTH.findall(self._head)
            if len(lengths) < 2 and not _CHUNKED.search(self._head):
                n_body = int(lengths[0]) if lengths else 0
                self._n_wanted = end + len(_END_OF_HEAD) + n_body

    def _state_of_body(self, head: bytes) -> Arrived:
        if self._n_wanted is not None and len(self._received) >= self._n_wanted:
            return Arrived.ALL
        if _WAITS.search(head):
            # It sends no more before it is told to.
            return Arrived.ENOUGH
        if self._n_wanted is not None:
            return Arrived.TOO_LITTLE
        if not _CHUNKED.search(head):
            return Arrived.ENOUGH
        if _AFTER_CHUNKS.search(self._received, len(head)):
            return Arrived.ENOUGH
        ended = _END_OF_CHUNKS.search(self._received, len(head))
        return Arrived.ALL if ended else Arrived.TOO_LITTLE
