"""Who asks over MCP by HTTP: the holder of the key that each request shows, or anybody.

The SDK's own way of asking for tokens supposes an authorization server that gives them out; keys
are given out by ``trine keys``, so that the headers are read here, as the API reads them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from ingest.errors import TrineError
from search_api.access import BAD_KEY, NO_KEY, Asker, ForbiddenError, UnauthorizedError, key_in
from search_api.keys import KeyStore
from search_api.problems import CHALLENGE, kind_of

__all__ = ["KeyGate", "asker_in"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

_ASKER = "trine.asker"

_logger = logging.getLogger(__name__)


class KeyGate:
    """An ASGI application that lets those pass to another who may search.

    A key that is shown counts, whether or not one is required: its holder has what it opens, and
    no more. It is looked up with every request, so that a revoked one is refused at once.

    Parameters
    ----------
    app
        The application behind it.
    keys
        The keys there are.
    required
        Whether those who show none are refused.
    """

    def __init__(self, app: Application, keys: KeyStore, *, required: bool) -> None:
        self._app = app
        self._keys = keys
        self._required = required

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] == "http":
            try:
                scope[_ASKER] = self._asker(scope)
            except TrineError as error:
                await _refuse(send, error)
                return
        await self._app(scope, receive, send)

    def _asker(self, scope: Message) -> Asker:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        shown = key_in(headers.get(b"authorization"), headers.get(b"x-api-key"))
        if shown is None:
            if self._required:
                raise UnauthorizedError(NO_KEY)
            return Asker()
        known = self._keys.find(shown)
        if known is None:
            raise UnauthorizedError(BAD_KEY)
        if "search" not in known.scopes:
            raise ForbiddenError("this needs the scope search, which the key does not have")
        return Asker(known)


def asker_in(scope: Message) -> Asker:
    """Who sent a request that came through a ``KeyGate``.

    Raises
    ------
    UnauthorizedError
        If it did not.
    """
    found = scope.get(_ASKER)
    if not isinstance(found, Asker):
        raise UnauthorizedError(NO_KEY)
    return found


async def _refuse(send: Send, error: TrineError) -> None:
    kind = kind_of(type(error))
    if kind.detail is not None:
        # It may name files: that is for the log.
        _logger.warning("%s", error)
    told = {"type": kind.type, "title": kind.title, "status": kind.status}
    body = json.dumps({**told, "detail": kind.detail or str(error)}).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if kind.status == 401:
        headers.append((b"www-authenticate", CHALLENGE.encode()))
    await send({"type": "http.response.start", "status": kind.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
