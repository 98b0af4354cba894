"""A thread waits only so long for a client that drips."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from werkzeug.exceptions import RequestTimeout

from web.patience import LEAST_BYTES_A_S, Patience, PatientSocket

PATIENCE_S = 0.2


@pytest.fixture
def pair() -> Iterator[tuple[PatientSocket, socket.socket]]:
    ours, client = socket.socketpair()
    with PatientSocket(fileno=ours.detach(), patience_s=PATIENCE_S) as patient, client:
        patient.setblocking(True)
        yield patient, client


def drip(client: socket.socket, stop: threading.Event) -> None:
    """Send a byte now and then, soon enough for any limit on a single wait."""
    while not stop.wait(PATIENCE_S / 10):
        try:
            client.send(b"x")
        except OSError:
            return


def receive_all(patient: PatientSocket) -> None:
    while patient.recv(10_000):
        pass


def test_who_drips_is_let_go(pair: tuple[PatientSocket, socket.socket]) -> None:
    patient, client = pair
    stop = threading.Event()
    dripping = threading.Thread(target=drip, args=(client, stop))
    dripping.start()
    try:
        with pytest.raises(RequestTimeout):
            receive_all(patient)
    finally:
        stop.set()
        dripping.join()


def test_who_stops_after_much_is_let_go_as_soon(pair: tuple[PatientSocket, socket.socket]) -> None:
    patient, client = pair
    client.sendall(b"x" * 50_000)
    with pytest.raises(RequestTimeout):
        receive_all(patient)


def test_who_keeps_up_the_rate_may_take_as_long_as_there_is_to_send() -> None:
    patience = Patience(10.0)
    for _ in range(1_000):
        patience.passed(int(LEAST_BYTES_A_S * 9.5), 9.5)
        assert patience.left_s > 9.0


def test_what_was_sent_fast_is_no_credit_for_dripping() -> None:
    patience = Patience(10.0)
    patience.passed(50_000_000, 1.0)
    waited_s = 0.0
    while patience.left_s > 2.0:
        patience.passed(1, 2.0)
        waited_s += 2.0
    assert waited_s <= 10.0


def test_who_does_not_take_its_answer_is_let_go(pair: tuple[PatientSocket, socket.socket]) -> None:
    patient, _ = pair
    with pytest.raises(ConnectionResetError):
        patient.sendall(b"x" * 10_000_000)


def test_all_of_a_large_answer_is_sent(pair: tuple[PatientSocket, socket.socket]) -> None:
    patient, client = pair
    answer = bytes(range(256)) * 10_000
    received = bytearray()

    def take() -> None:
        while len(received) < len(answer):
            received.extend(client.recv(65_536))

    taking = threading.Thread(target=take)
    taking.start()
    patient.sendall(answer)
    taking.join()
    assert received == answer
