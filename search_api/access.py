"""Who may do what. Until there are keys: everybody may search, nobody else anything more.

Every operation of the contract goes through ``require`` before its request is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, current_app, request

from ingest.errors import TrineError

__all__ = ["SCOPES", "Access", "ForbiddenError", "init_app", "is_from_here", "require"]

SCOPES = ("search", "write", "admin")
_EXTENSION = "trine_access"


class ForbiddenError(TrineError):
    """A request asks for what it has no right to."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a server's operator allows.

    Parameters
    ----------
    write
        Whether requests from this machine may do what needs the scope write.
    admin
        Whether they may do what needs the scopes write and admin.
    """

    write: bool = False
    admin: bool = False


def init_app(app: Flask, access: Access) -> None:
    """Tell an application what its operator allows."""
    app.extensions[_EXTENSION] = access


def require(scope: str) -> None:
    """Let a request pass that has a scope.

    Parameters
    ----------
    scope
        ``"search"``, ``"write"`` or ``"admin"``.

    Raises
    ------
    ForbiddenError
        If it has not.
    """
    if scope == "search":
        return
    access: Access = current_app.extensions[_EXTENSION]
    allowed, option = access.admin, "--admin"
    if scope == "write":
        allowed, option = access.write or access.admin, "--writable"
    if not allowed:
        raise ForbiddenError(f"this needs the scope {scope}: start the server with {option}")
    # The host as well: a page elsewhere can give its own name this machine's address.
    if not (_is_loopback(request.remote_addr) and _is_loopback(_host_of(request.host))):
        raise ForbiddenError(f"this needs the scope {scope}: ask from this machine, by 127.0.0.1")
    # A browser sends some requests of any page's without asking; it says whose they are.
    origin = request.headers.get("Origin")
    if origin is not None and origin != request.host_url.rstrip("/"):
        raise ForbiddenError(f"this needs the scope {scope}: pages of other sites do not have it")


def is_from_here() -> bool:
    """Whether a request comes from this machine itself, and through no proxy that tells of it."""
    if any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "Via")):
        return False
    return _is_loopback(request.remote_addr) and _is_loopback(_host_of(request.host))


def _host_of(address: str) -> str | None:
    try:
        return urlsplit(f"//{address}").hostname
    except ValueError:
        return None


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False
