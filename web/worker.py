"""gunicorn's worker with threads, with a bounded queue in front of them.

gunicorn puts every connection that has something to say into the queue of its thread pool, however
long that is. Here `Admission` decides, before anything is read of a request: it runs, it waits, or
it is answered 503 by threads that do nothing else. All decisions are made on the worker's main
thread, where connections become readable and requests end.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from gunicorn.workers.gthread import TConn, ThreadWorker

from search_api.observing import observer_of
from search_api.overload import turning_away
from web.admission import Admission, Decision

__all__ = ["RECEIVE_TIMEOUT_S", "BoundedWorker", "PatientSocket"]

RECEIVE_TIMEOUT_S = 10.0

# Turning away takes a millisecond or so; more than one, for some clients send slowly.
_N_TURNING_AWAY = 4
_DRAINED_BYTES = 65_536
Handle = Callable[[TConn], object]


class PatientSocket(socket.socket):
    """A client's socket that counts as closed once the client stops in the middle of a request.

    gunicorn's threads wait for the rest of a request without end, and there are few of them.
    """

    def recv(self, n_bytes: int, flags: int = 0) -> bytes:
        """Receive, for ten seconds at most where a thread waits for it."""
        if self.gettimeout() is not None:
            return super().recv(n_bytes, flags)
        self.settimeout(RECEIVE_TIMEOUT_S)
        try:
            return super().recv(n_bytes, flags)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client sends nothing more") from None
        finally:
            self.setblocking(True)


class BoundedWorker(ThreadWorker):  # type: ignore[misc]
    """A worker that takes on no more than it can answer in time."""

    def init_process(self) -> None:
        """Begin to work; returns when the worker ends."""
        self._admission: Admission[TConn] = Admission(self.cfg.threads)
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
        conn = TConn(self.cfg, patient, address, listener.getsockname())
        self._await(conn, self.on_pending_socket_readable)

    def enqueue_req(self, conn: TConn) -> None:
        """Have a request answered, now, later or with 503."""
        if _is_closed(conn):
            self._forget(conn)
            return
        decision = self._admission.offer(conn)
        if decision is Decision.RUN:
            self._run(conn)
        elif decision is Decision.TURN_AWAY:
            self._turn_away(conn)
        else:
            self._tell_waiting()

    def finish_request(self, conn: TConn, handled: Future[object]) -> None:
        """Keep a connection for its next request, or close it."""
        if handled.exception() is None and handled.result():
            super().finish_request(conn, handled)
            return
        # gunicorn would wait here, and nobody be answered meanwhile, until the client closes too.
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
        except OSError:
            self._forget(conn)
        else:
            self._await(conn, self._drain)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for something to do, and do it."""
        overdue_s = self._admission.next_overdue_s()
        super().wait_for_and_dispatch_events(
            timeout if overdue_s is None else min(timeout, overdue_s)
        )
        for conn in self._admission.overdue():
            self._turn_away(conn)
            self._tell_waiting()

    def run(self) -> None:
        """Serve until told to stop."""
        super().run()
        self._turning_away.shutdown(wait=False)

    def _await(self, conn: TConn, then: Callable[..., None]) -> None:
        """Wait, for some seconds and on no thread, until the client says something."""
        conn.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(then, conn))

    def _drain(self, conn: TConn, client: socket.socket) -> None:
        """Read what comes until the client closes: closing first could cost it the answer."""
        try:
            ended = not client.recv(_DRAINED_BYTES)
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

    def _forget(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()

    def _run(self, conn: TConn) -> None:
        self._submit(self.tpool, self.handle, conn, self._left)

    def _turn_away(self, conn: TConn) -> None:
        self._submit(self._turning_away, self._handle_turning_away, conn, self.finish_request)

    def _submit(
        self, pool: ThreadPoolExecutor, handle: Handle, conn: TConn, then: Callable[..., None]
    ) -> None:
        handled: Future[object] = pool.submit(handle, conn)
        handled.add_done_callback(lambda done: self.method_queue.defer(then, conn, done))

    def _handle_turning_away(self, conn: TConn) -> object:
        with turning_away():
            return self.handle(conn)

    def _left(self, conn: TConn, handled: Future[object]) -> None:
        if (following := self._admission.left(conn)) is not None:
            self._run(following)
            self._tell_waiting()
        self.finish_request(conn, handled)


def _is_closed(conn: TConn) -> bool:
    """Whether the client is gone; who only says goodbye shall take nobody's place."""
    if conn.initialized and conn.parser.unreader.buf.getvalue():
        return False  # it has sent its next request already
    try:
        conn.sock.setblocking(False)
        return not conn.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
