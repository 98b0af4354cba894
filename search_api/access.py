"""Who asks, and what they may do: one answer for pages and API alike.

Whoever shows a key is that key's holder, and no more. Who shows none is anybody: they may search
where the server asks for no keys, and from this machine what its operator allows; elsewhere they
may do nothing. Every operation of the contract goes through ``require`` before its request is read,
and what a request can reach at all comes from ``asker`` (``search_api/snapshot.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, current_app, g, request

from ingest.errors import TrineError
from search_api.keys import SCOPES, ApiKey, KeyStore

__all__ = [
    "BAD_KEY",
    "NO_KEY",
    "SCOPES",
    "Access",
    "Asker",
    "ForbiddenError",
    "UnauthorizedError",
    "asker",
    "init_app",
    "is_from_here",
    "is_loopback",
    "is_own_page",
    "key_in",
    "key_of_request",
    "keys_are_required",
    "may",
    "require",
    "shows_key",
    "sign_in_by",
]

_EXTENSION = "trine_access"
NO_KEY = "this needs an API key: give it as Authorization: Bearer KEY"
BAD_KEY = "this API key is not known here, or was revoked"


class ForbiddenError(TrineError):
    """A request asks for what it has no right to."""


class UnauthorizedError(TrineError):
    """A request shows no key where one is needed, or one that opens nothing."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a server's operator allows those who show no key.

    Parameters
    ----------
    write
        Whether requests from this machine may do what needs the scope write.
    admin
        Whether they may do what needs the scopes write and admin.
    keys_required
        Whether they may do nothing at all.
    """

    write: bool = False
    admin: bool = False
    keys_required: bool = False


@dataclass(frozen=True, slots=True)
class Asker:
    """Who sent a request.

    Parameters
    ----------
    key
        The key they showed; ``None`` for anybody.
    by_session
        Whether a browser showed it by itself, for somebody who signed in.
    """

    key: ApiKey | None = None
    by_session: bool = False

    @property
    def collections(self) -> tuple[str, ...]:
        """The only collections there are for them; all when empty."""
        return self.key.collections if self.key else ()

    @property
    def filter(self) -> str | None:
        """Condition on the only documents there are for them; ``None`` for all."""
        return self.key.filter if self.key else None


@dataclass(slots=True)
class _State:
    """What one application knows of access."""

    allowed: Access
    keys: KeyStore
    sessions: list[Callable[[], str | None]] = field(default_factory=list)


def init_app(app: Flask, access: Access, keys: KeyStore) -> None:
    """Tell an application what its operator allows, and where its keys are."""
    app.extensions[_EXTENSION] = _State(access, keys)


def sign_in_by(app: Flask, session: Callable[[], str | None]) -> None:
    """Have askers who show no key known by their session.

    Parameters
    ----------
    session
        Tells the id of the key that signed in, or ``None``, for the current request.
    """
    _state(app).sessions.append(session)


def asker() -> Asker:
    """Who sent the current request.

    Raises
    ------
    UnauthorizedError
        If they show a key that opens nothing, or none where one is needed.
    """
    if "trine_asker" not in g:
        g.trine_asker = _identified()
    known: Asker = g.trine_asker
    return known


def key_of_request() -> str | None:
    """The key a request shows in its headers, whether or not there is such a key."""
    headers = request.headers
    return key_in(headers.get("Authorization"), headers.get("X-API-Key"))


def key_in(authorization: str | None, api_key: str | None) -> str | None:
    """The key that these two headers show, whether or not there is such a key."""
    scheme, _, given = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    # Another scheme may be a proxy's own affair.
    return api_key


def keys_are_required() -> bool:
    """Whether the server answers nothing to those who show no key."""
    return _state(current_app).allowed.keys_required


def shows_key() -> bool:
    """Whether the current request was found to show a key that is known, in whatever way."""
    who: Asker | None = g.get("trine_asker")
    return who is not None and who.key is not None


def may(scope: str) -> bool:
    """Whether the current request has a scope."""
    try:
        require(scope)
    except (ForbiddenError, UnauthorizedError):
        return False
    return True


def require(scope: str) -> None:
    """Let a request pass that has a scope.

    Parameters
    ----------
    scope
        ``"search"``, ``"write"`` or ``"admin"``.

    Raises
    ------
    UnauthorizedError
        If it needs a key and shows none that is known.
    ForbiddenError
        If it has not the scope.
    """
    who = asker()
    if who.key is None:
        _require_of_anybody(scope)
        return
    if scope not in who.key.scopes:
        raise ForbiddenError(f"this needs the scope {scope}, which the key does not have")
    # A browser sends the session with what other sites' pages ask, too.
    changes = request.method not in {"GET", "HEAD", "OPTIONS"}
    if who.by_session and changes and not is_own_page(named=True):
        raise ForbiddenError("this must come from a page of this server itself")


def is_own_page(*, named: bool = False) -> bool:
    """Whether a request comes from this server's own pages, or from no page.

    Parameters
    ----------
    named
        Whether it has to say so: browsers do with everything that changes something.
    """
    origin = request.headers.get("Origin")
    return not named if origin is None else origin == request.host_url.rstrip("/")


def is_loopback(host: str | None) -> bool:
    """Whether an address, or ``localhost``, is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False


def _identified() -> Asker:
    state = _state(current_app)
    if (shown := key_of_request()) is not None:
        if (known := state.keys.find(shown)) is None:
            raise UnauthorizedError(BAD_KEY)
        return Asker(known)
    for session in state.sessions:
        key_id = session()
        if key_id is not None and (known := state.keys.get(key_id)) is not None:
            return Asker(known, by_session=True)
    if state.allowed.keys_required:
        raise UnauthorizedError(NO_KEY)
    return Asker()


def _require_of_anybody(scope: str) -> None:
    if scope == "search":
        return
    access = _state(current_app).allowed
    allowed, option = access.admin, "--admin"
    if scope == "write":
        allowed, option = access.write or access.admin, "--writable"
    if not allowed:
        raise ForbiddenError(f"this needs the scope {scope}: start the server with {option}")
    # The host as well: a page elsewhere can give its own name this machine's address.
    if not (is_loopback(request.remote_addr) and is_loopback(_host_of(request.host))):
        raise ForbiddenError(f"this needs the scope {scope}: ask from this machine, by 127.0.0.1")
    # A browser sends some requests of any page's without asking; it says whose they are.
    if not is_own_page():
        raise ForbiddenError(f"this needs the scope {scope}: pages of other sites do not have it")


def _state(app: Flask) -> _State:
    state: _State = app.extensions[_EXTENSION]
    return state


def is_from_here() -> bool:
    """Whether a request comes from this machine itself, and through no proxy that tells of it."""
    if any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "Via")):
        return False
    return is_loopback(request.remote_addr) and is_loopback(_host_of(request.host))


def _host_of(address: str) -> str | None:
    try:
        return urlsplit(f"//{address}").hostname
    except ValueError:
        return None
