"""When a request is worth a thread, however its bytes come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.arrival import GATHERED_BYTES, Arrival, Arrived

HEAD = b"POST /api/v1/search HTTP/1.1\r\nHost: x\r\n"
WHOLE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    HEAD + b"Content-Length: 12\r\n\r\n" + b"x" * 12,
    HEAD + b"CONTENT-LENGTH:12\r\n\r\n" + b"x" * 12,
    HEAD + b"Content-Length: 12\r\nExpect: 100-continue\r\n\r\n" + b"x" * 12,
    HEAD + b"Content-Length: 0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
]


def state(received: bytes) -> Arrived:
    return Arrival(received).state()


@pytest.mark.parametrize("request_bytes", WHOLE)
def test_a_whole_request_has_arrived_and_no_beginning_of_it(request_bytes: bytes) -> None:
    assert state(request_bytes) is Arrived.ALL
    waits = b"Expect:" in request_bytes
    for end in range(len(request_bytes)):
        begun = state(request_bytes[:end])
        assert begun is (
            Arrived.ENOUGH if waits and b"\r\n\r\n" in request_bytes[:end] else Arrived.TOO_LITTLE
        )


@given(st.sampled_from(WHOLE), st.lists(st.integers(1, 20)), st.binary(max_size=20))
def test_how_it_is_cut_up_makes_no_difference(
    request_bytes: bytes, cuts: list[int], following: bytes
) -> None:
    arrival = Arrival()
    rest = request_bytes
    for cut in cuts:
        arrival.add(rest[:cut])
        arrival.state()
        rest = rest[cut:]
    arrival.add(rest)
    assert arrival.state() is Arrived.ALL
    arrival.add(following)
    assert arrival.state() is not Arrived.TOO_LITTLE
    assert arrival.received == request_bytes + following


@pytest.mark.parametrize(
    "received",
    [
        # Longer than is held: a head, a body, a body of unknown length.
        b"GET /?q=" + b"x" * GATHERED_BYTES,
        HEAD + b"Content-Length: 50000000\r\n\r\n" + b"x" * GATHERED_BYTES,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffff\r\n" + b"x" * GATHERED_BYTES,
        # What the parser may find out of order, or a trailer after it.
        HEAD + b"Content-Length: 1\r\nContent-Length: 100\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n",
    ],
)
def test_what_is_large_or_odd_is_left_to_a_thread(received: bytes) -> None:
    assert state(received) is Arrived.ENOUGH


@given(st.binary(max_size=300))
def test_whatever_comes_is_told(received: bytes) -> None:
    assert Arrival(received).state() in Arrived
