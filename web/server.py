"""The server: gunicorn with threads, where nothing is loaded before the fork.

A model used before a fork hangs the child, so each worker opens and warms its own searcher.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import replace

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.http import message

from ingest.errors import TrineError
from search_api.metrics import forget_process
from search_api.observing import observer_of
from search_api.snapshot import pool_of
from search_api.writing import keeper_of
from web.app import Settings, create_app
from web.counters_folder import counters_folder
from web.logs import ServerLogger, configure_logs
from web.worker import BoundedWorker

__all__ = ["DEFAULT_PORT", "listen", "serve_forever"]

DEFAULT_PORT = 8080
# A worker that neither answers nor opens its index within this long is replaced.
_WORKER_TIMEOUT_S = 180
_GRACEFUL_TIMEOUT_S = 10
# gunicorn takes no longer request line than 8,190 bytes; a query of 10,000 characters,
# percent-encoded, is longer, and shall get an answer from us.
_MAX_REQUEST_LINE_BYTES = 131_072

_logger = logging.getLogger(__name__)


def serve_forever(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    workers: int = 1,
    threads: int = 4,
    log_format: str = "none",
    when_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight are finished first.

    Leaves by ``SystemExit``, with status 0 when it was told to stop.

    Parameters
    ----------
    port
        0 takes any free port.
    log_format
        One of `web.logs.LOG_FORMATS`.
    when_ready
        Called with the server's address once the first worker can answer.

    Raises
    ------
    TrineError
        If the address cannot be listened on.
    """
    listener = listen(host, port)
    url = _url(host, listener.getsockname()[1])
    # Forked workers warn about, or wait for, tokenizer threads their parent never had.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    message.MAX_REQUEST_LINE = _MAX_REQUEST_LINE_BYTES
    configure_logs(log_format, log_queries=settings.observing.log_queries)
    # Where the workers' counters meet; also those of one, which may die and be replaced.
    with counters_folder() as counters:
        observing = replace(settings.observing, metrics_folder=counters, server=os.getpid())
        settings = replace(settings, observing=observing)

        def open_searcher(worker: BoundedWorker) -> None:
            _open_default(worker.wsgi)
            # Where anybody may hold a key that writes, the first write has it look.
            may_write = settings.writable or settings.keys_required
            keeper_of(worker.wsgi).start(at_once=may_write)
            if worker.age == 1:
                when_ready(url)

        options = {
            "bind": f"fd://{listener.detach()}",
            "workers": workers,
            "threads": threads,
            "worker_class": BoundedWorker,
            "timeout": _WORKER_TIMEOUT_S,
            "graceful_timeout": _GRACEFUL_TIMEOUT_S,
            # Files go through the socket that does not wait for slow clients without end.
            "sendfile": False,
            "limit_request_line": _MAX_REQUEST_LINE_BYTES,
            # What proxies say is for the application to believe, where it was told to.
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "loglevel": "warning",
            "logger_class": ServerLogger,
            "control_socket_disable": True,
            "post_worker_init": open_searcher,
            "worker_exit": lambda _server, worker: _close(worker.wsgi),
            "child_exit": lambda _server, worker: forget_process(counters, worker.pid),
        }
        _Server(settings, options).run()


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises
    ------
    TrineError
        If the address is taken, forbidden or not this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TrineError(
            f"cannot listen on {host} port {port}: {reason}; choose another with --port or --host"
        ) from error


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, told everything by us and nothing by files or the environment."""

    def __init__(self, settings: Settings, options: dict[str, object]) -> None:
        self._settings = settings
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(self._settings)


def _close(app: Flask) -> None:
    observer_of(app).close()
    keeper_of(app).close()
    pool_of(app).close()


def _open_default(app: Flask) -> None:
    try:
        pool_of(app).get()
    except TrineError as error:
        # Other collections, and a clear page about this one, can still be served.
        _logger.warning("%s", error)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
