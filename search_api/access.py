"""Who may do what. Until there are keys: everybody may search, nobody else anything more.

Every operation of the contract goes through ``require`` before its request is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, current_app, request

from ingest.errors import TrineError

__all__ = ["SCOPES", "Access", "ForbiddenError", "init_app", "require"]

SCOPES = ("search", "write", "admin")
_EXTENSION = "trine_access"


class ForbiddenError(TrineError):
    """A request asks for what it has no right to."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a server's operator allows.

    Parameters
    ----------
    admin
        Whether requests from this machine may do what needs the scopes write and admin.
    """

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
    if not access.admin:
        raise ForbiddenError(f"this needs the scope {scope}: start the server with --admin")
    # The host as well: a page elsewhere can give its own name this machine's address.
    if not (_is_loopback(request.remote_addr) and _is_loopback(_host_asked())):
        raise ForbiddenError(f"this needs the scope {scope}: ask from this machine, by 127.0.0.1")


def _host_asked() -> str | None:
    try:
        return urlsplit(f"//{request.host}").hostname
    except ValueError:
        return None


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False
