"""How much one client may ask: so many requests a second, minute or hour, over all workers.

A token bucket (the generic cell rate algorithm of pyrate-limiter) is one number a client, so what
is kept does not grow with requests. It lies in a SQLite file that all worker processes share; a
check is one transaction of some 50 microseconds and waits for no disk: what a power cut loses is
worth nothing after it.

References
----------
Header fields ``RateLimit-Policy`` and ``RateLimit``: draft-ietf-httpapi-ratelimit-headers-10,
https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import math
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, Response, g, request
from pyrate_limiter import GCRA, Rate

from ingest.errors import IndexFolderError, QueryError, TrineError
from search_api.access import UnauthorizedError, asker

__all__ = ["RateLimit", "RateLimiter", "Spent", "TooManyRequestsError", "init_app"]

_UNITS_MS = {"second": 1000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_RATE = re.compile(r"([0-9]{1,7})/(second|minute|hour|day)")
_FORGET_EVERY_S = 60.0
_BUSY_WAITS_S = 1.0
_TABLE = "CREATE TABLE IF NOT EXISTS spent (client TEXT PRIMARY KEY, until_us INTEGER NOT NULL)"
_KEEP = "INSERT OR REPLACE INTO spent VALUES (?, ?)"
_logger = logging.getLogger(__name__)


class TooManyRequestsError(TrineError):
    """A client asks more than it may for now.

    Parameters
    ----------
    headers
        When it may ask again.
    """

    def __init__(self, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.headers = headers


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many requests in so much time, as many of them at once as one likes.

    Examples
    --------
    >>> RateLimit.parse("100/minute")
    RateLimit(limit=100, interval_ms=60000)
    """

    limit: int
    interval_ms: int

    @classmethod
    def parse(cls, text: str) -> RateLimit:
        """Read ``100/minute``; the other units are second, hour and day.

        Raises
        ------
        QueryError
            If it is anything else.
        """
        match = _RATE.fullmatch(text.strip())
        if match is None or not int(match[1]):
            raise QueryError(f"the rate limit {text!r} cannot be read: write it as 100/minute")
        return cls(int(match[1]), _UNITS_MS[match[2]])


@dataclass(frozen=True, slots=True)
class Spent:
    """What a check found.

    Parameters
    ----------
    retry_after_s
        Seconds until the next request is let through; ``None`` where this one is.
    remaining
        Requests that may follow at once.
    reset_s
        Seconds until all of them may again.
    """

    retry_after_s: float | None
    remaining: int
    reset_s: float


class RateLimiter:
    """Counts the requests of clients; right among threads and processes that share the file.

    Opens nothing before the first check, so it may be made before a fork.

    Parameters
    ----------
    path
        The file; made where it is not there.
    clock
        Seconds since 1970.
    """

    def __init__(
        self, path: Path, limit: RateLimit, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.limit = limit
        self._path = path
        self._clock = clock
        self._rates = [Rate(limit.limit, limit.interval_ms)]
        self._policy = GCRA()
        self._local = threading.local()
        self._forget_s = 0.0

    def check(self, client: str) -> Spent:
        """Count one request of a client.

        Raises
        ------
        IndexFolderError
            If the file cannot be used.
        """
        try:
            connection = self._connection()
            with contextlib.closing(connection.cursor()) as cursor:
                return self._check(cursor, client)
        except sqlite3.Error as error:
            raise IndexFolderError(f"{self._path} cannot be used: {error}") from error

    def _check(self, cursor: sqlite3.Cursor, client: str) -> Spent:
        # Read and written under one lock: no two workers give away the same place.
        cursor.execute("BEGIN IMMEDIATE")
        try:
            now_s = self._clock()
            now_ms = int(now_s * 1000)
            found = cursor.execute("SELECT until_us FROM spent WHERE client = ?", (client,))
            (kept_us,) = found.fetchone() or (0,)
            # No further ahead than a clock that was not set back can have brought it.
            until_us = min(kept_us, (now_ms + self.limit.interval_ms) * 1000)
            (after,), decision = self._policy.step(self._rates, (until_us,), now_ms, 1)
            if after != kept_us:
                cursor.execute(_KEEP, (client, int(after)))
            if now_s >= self._forget_s:
                # Who has all of it again need not be known.
                cursor.execute("DELETE FROM spent WHERE until_us < ?", (now_ms * 1000,))
                self._forget_s = now_s + _FORGET_EVERY_S
            cursor.execute("COMMIT")
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        used = self._policy.consumed(self._rates, (after,), now_ms)
        wait_ms = None if decision.allowed else decision.retry_after_ms or self.limit.interval_ms
        return Spent(
            None if wait_ms is None else wait_ms / 1000,
            max(0, self.limit.limit - used),
            max(0.0, (after / 1000 - now_ms) / 1000),
        )

    def _connection(self) -> sqlite3.Connection:
        held: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if held is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            held = sqlite3.connect(self._path, isolation_level=None, timeout=_BUSY_WAITS_S)
            held.execute("PRAGMA journal_mode = WAL")
            held.execute("PRAGMA synchronous = OFF")
            held.execute(_TABLE)
            self._path.chmod(0o600)
            self._local.connection = held
        return held


def init_app(app: Flask, limiter: RateLimiter | None, *, exempt: Callable[[], bool]) -> None:
    """Have an application count requests before it answers them.

    Parameters
    ----------
    limiter
        Counts; nothing is counted when ``None``.
    exempt
        Whether the current request does not count.
    """
    if limiter is None:
        return

    def count() -> None:
        if exempt():
            return
        try:
            spent = limiter.check(_client())
        except IndexFolderError as error:
            # Searching goes on where only the counting cannot.
            _logger.warning("requests are not counted: %s", error)
            return
        g.trine_spent = spent
        if spent.retry_after_s is not None:
            limit, interval = limiter.limit.limit, limiter.limit.interval_ms // 1000
            raise TooManyRequestsError(
                f"at most {limit} requests in {interval} seconds are answered; try again later",
                (("Retry-After", str(max(1, math.ceil(spent.retry_after_s)))),),
            )

    def tell(response: Response) -> Response:
        spent: Spent | None = g.get("trine_spent")
        if spent is not None:
            limit = limiter.limit
            response.headers["RateLimit-Policy"] = (
                f'"requests";q={limit.limit};w={limit.interval_ms // 1000}'
            )
            reset_s = math.ceil(spent.reset_s)
            response.headers["RateLimit"] = f'"requests";r={spent.remaining};t={reset_s}'
        return response

    app.before_request(count)
    app.after_request(tell)


def _client() -> str:
    """Whose requests these are: a key's, or else an address's."""
    try:
        key = asker().key
    except UnauthorizedError:
        key = None
    if key is not None:
        return f"key:{key.key_id}"
    address = request.remote_addr or ""
    with contextlib.suppress(ValueError):
        parsed = ipaddress.ip_address(address)
        if isinstance(parsed, ipaddress.IPv6Address):
            # Whoever has one address has 2**64 of them.
            address = str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
    return f"address:{address}"
