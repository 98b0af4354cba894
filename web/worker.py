"""gunicorn's worker with threads, with a bounded queue in front of them.

gunicorn puts every connection that has something to say into the queue of its thread pool, however
long that is, and a thread then waits for the rest of the request, however slowly that comes. Here
requests are gathered first, on the worker's main thread, which waits for all clients at once
(`web.arrival`). What has arrived is for `Admission` to decide about: it runs, it waits, or it is
answered 503 by threads that do nothing else. Large bodies alone are read by the threads that answer
them: by half of these at most, and with bounded patience (`web.patience`).
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import takewhile

from gunicorn.http import get_parser
from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker
from werkzeug.exceptions import RequestTimeout

from search_api.json_format import json_bytes
from search_api.observing import observer_of
from search_api.overload import turning_away
from search_api.problems import HTTP_KINDS, TOO_SLOW
from web.admission import Admission, Decision
from web.arrival import Arrival, Arrived
from web.patience import PATIENCE_S, PatientSocket

__all__ = ["BoundedWorker"]

# Turning away takes a millisecond or so; more than one, for some clients are far away.
_N_TURNING_AWAY = 4
_RECEIVED_BYTES = 65_536
Handle = Callable[["Connection"], object]

_KIND = HTTP_KINDS[408]
_TOO_SLOW_BODY = json_bytes(
    {"type": _KIND.type, "title": _KIND.title, "status": _KIND.status, "detail": TOO_SLOW}
)
# Of a request that no application was asked about.
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nCache-Control: no-store\r\n"
    b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%b"
    % (len(_TOO_SLOW_BODY), _TOO_SLOW_BODY)
)


class Connection(TConn):  # type: ignore[misc]
    """A client's connection, and what of its next request has arrived."""

    sock: PatientSocket
    arrival: Arrival
    is_sending: bool = False
    """Whether a thread has to read the rest of the request at hand."""


class BoundedWorker(ThreadWorker):  # type: ignore[misc]
    """A worker that takes on no more than it can answer in time."""

    def init_process(self) -> None:
        """Begin to work; returns when the worker ends."""
        self._admission: Admission[Connection] = Admission(self.cfg.threads)
        # Requests that arrive, in the order in which their time is over, and those of which a
        # thread reads the rest, or is to.
        self._arriving: dict[Connection, float] = {}
        self._sending: set[Connection] = set()
        self._most_sending = max(1, self.cfg.threads // 2)
        self._turning_away = ThreadPoolExecutor(_N_TURNING_AWAY, "trine-turning-away")
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection; it takes no thread before it has something to say."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            # Another worker was faster, or the client left.
            return
        self.nr_conns += 1
        patient = PatientSocket(fileno=client.detach())
        conn = Connection(self.cfg, patient, address, listener.getsockname())
        self._await(conn, self.on_pending_socket_readable)

    def enqueue_req(self, conn: Connection) -> None:
        """Take in what a client says; called when its next request begins to arrive."""
        conn.sock.setblocking(False)
        # A body that was read may have brought the beginning of what follows it.
        read_ahead = conn.parser.unreader.take_buffered() if conn.parser else b""
        conn.arrival = Arrival(read_ahead)
        if self._receive(conn):
            self._take_on(conn)
        else:
            self._arriving[conn] = time.monotonic() + PATIENCE_S
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._receive_more, conn))

    def handle_request(self, req: Request, conn: Connection) -> object:
        """Answer a request."""
        if conn.is_sending:
            # Where the next one would begin is known only once all of this one was read.
            req.force_close()
        return super().handle_request(req, conn)

    def handle_error(self, req: Request, client: socket.socket, addr: object, exc: object) -> None:
        """Answer what gunicorn itself could not read."""
        if isinstance(exc, RequestTimeout):
            client.sendall(_TOO_SLOW)
        else:
            super().handle_error(req, client, addr, exc)

    def finish_request(self, conn: Connection, handled: Future[object]) -> None:
        """Keep a connection for its next request, or close it."""
        if handled.exception() is None and handled.result():
            super().finish_request(conn, handled)
            return
        self._hang_up(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for something to do, and do it."""
        overdue_s = self._admission.next_overdue_s()
        super().wait_for_and_dispatch_events(
            timeout if overdue_s is None else min(timeout, overdue_s)
        )
        for conn in self._admission.overdue():
            self._sending.discard(conn)
            self._turn_away(conn)
            self._tell_waiting()
        self._give_up_slow()

    def run(self) -> None:
        """Serve until told to stop."""
        super().run()
        self._turning_away.shutdown(wait=False)

    def _await(self, conn: Connection, then: Callable[..., None]) -> None:
        """Wait, for some seconds and on no thread, until the client says something."""
        conn.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(then, conn))

    def _receive(self, conn: Connection) -> bool:
        """Take in what came of a request; returns whether there is no more to wait for."""
        try:
            received = conn.sock.recv(_RECEIVED_BYTES)
        except BlockingIOError:
            is_open = True
        except OSError:
            is_open = False
        else:
            is_open = bool(received)
            conn.arrival.add(received)
        return not is_open or conn.arrival.state() is not Arrived.TOO_LITTLE

    def _receive_more(self, conn: Connection, _: socket.socket) -> None:
        if self._receive(conn):
            self._no_longer_arriving(conn)
            self._take_on(conn)

    def _take_on(self, conn: Connection) -> None:
        """Go on with what came of a request, after which no more is gathered."""
        arrived = conn.arrival.state()
        if arrived is Arrived.TOO_LITTLE:
            # Who only says goodbye shall take nobody's place.
            self._forget(conn)
            return
        conn.is_sending = arrived is Arrived.ENOUGH
        if conn.parser is None:
            conn.parser = get_parser(self.cfg, conn.sock, conn.client)
        conn.parser.unreader.unread(conn.arrival.received)
        self._offer(conn)

    def _no_longer_arriving(self, conn: Connection) -> None:
        del self._arriving[conn]
        self.poller.unregister(conn.sock)

    def _offer(self, conn: Connection) -> None:
        """Have a request answered, now, later or with 503."""
        if conn.is_sending and len(self._sending) >= self._most_sending:
            self._turn_away(conn)
            return
        decision = self._admission.offer(conn)
        if decision is Decision.TURN_AWAY:
            self._turn_away(conn)
            return
        if conn.is_sending:
            self._sending.add(conn)
        if decision is Decision.RUN:
            self._run(conn)
        else:
            self._tell_waiting()

    def _give_up_slow(self) -> None:
        """Tell those that they are too slow whose request did not arrive in time."""
        now_s = time.monotonic()
        slow = list(takewhile(lambda conn: self._arriving[conn] <= now_s, self._arriving))
        for conn in slow:
            self._no_longer_arriving(conn)
            with suppress(OSError):
                conn.sock.send(_TOO_SLOW)
            self._hang_up(conn)

    def _hang_up(self, conn: Connection) -> None:
        """Close a connection once the client has had what it was sent."""
        # gunicorn would wait here, and nobody be answered meanwhile, until the client closes too.
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
        except OSError:
            self._forget(conn)
        else:
            self._await(conn, self._drain)

    def _drain(self, conn: Connection, client: socket.socket) -> None:
        """Read what comes until the client closes: closing first could cost it the answer."""
        try:
            ended = not client.recv(_RECEIVED_BYTES)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self.poller.unregister(client)
            self.pending_conns.remove(conn)
            self._forget(conn)

    def _tell_waiting(self) -> None:
        observer_of(self.wsgi).metrics.waiting.set(self._admission.n_waiting)

    def _forget(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()

    def _run(self, conn: Connection) -> None:
        self._submit(self.tpool, self.handle, conn, self._left)

    def _turn_away(self, conn: Connection) -> None:
        self._submit(self._turning_away, self._handle_turning_away, conn, self.finish_request)

    def _submit(
        self, pool: ThreadPoolExecutor, handle: Handle, conn: Connection, then: Callable[..., None]
    ) -> None:
        conn.sock.forgive()
        handled: Future[object] = pool.submit(handle, conn)
        handled.add_done_callback(lambda done: self.method_queue.defer(then, conn, done))

    def _handle_turning_away(self, conn: Connection) -> object:
        with turning_away():
            return self.handle(conn)

    def _left(self, conn: Connection, handled: Future[object]) -> None:
        self._sending.discard(conn)
        if (following := self._admission.left(conn)) is not None:
            self._run(following)
            self._tell_waiting()
        self.finish_request(conn, handled)
