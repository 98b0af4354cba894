"""What may be kept: an answer over a version is the same until another version is published.

The ETag is made of the versions asked and of the request, so a client that has an answer already
gets 304 before anything is searched. It is a weak one: times taken differ from answer to answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version as version_of

from flask import Response, request

from search_api.access import UnauthorizedError, asker
from search_api.json_format import json_response

__all__ = ["Answered", "answer_response"]

_PINNED_MAX_AGE_S = 3600
_NEVER = "no-store"
_BY_ASKER = "Authorization, X-API-Key, Cookie"
# Of one client alone: what is answered may depend on who asks. Asked again each time, or, where
# the request itself names the version, not for a while.
_REVALIDATED = "private, no-cache"
_KEPT = f"private, max-age={_PINNED_MAX_AGE_S}"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, not yet made.

    Parameters
    ----------
    make
        Makes the JSON-ready content.
    versions
        All that the content depends on beside the request; none where it may not be kept.
    pinned
        Whether the request named these versions itself.
    status
        HTTP status.
    headers
        What else the answer says (``Location``, say).
    """

    make: Callable[[], object]
    versions: Sequence[str] = ()
    pinned: bool = False
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def answer_response(answered: Answered) -> Response:
    """Write an answer, or 304 where the client has it."""
    if not answered.versions or request.method not in {"GET", "HEAD"}:
        response = json_response(answered.make())
        response.status_code = answered.status
        response.headers.update(answered.headers)
        response.headers["Cache-Control"] = _NEVER
        return response
    etag = _etag(answered.versions)
    known = request.if_none_match.contains_weak(etag)
    response = Response(status=304) if known else json_response(answered.make())
    response.set_etag(etag, weak=True)
    response.headers["Vary"] = _BY_ASKER
    response.headers["Cache-Control"] = _KEPT if answered.pinned else _REVALIDATED
    return response


@cache
def _release() -> str:
    """Another release may answer otherwise; asked once, for it is read from disk."""
    return version_of("trine")


def _bounds() -> str:
    """Tells those apart to whom the same request is answered otherwise."""
    try:
        who = asker()
    except UnauthorizedError:
        return ""
    return repr((who.collections, who.filter))


def _etag(versions: Sequence[str]) -> str:
    content = "\n".join((_release(), *versions, request.full_path, _bounds()))
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:32]
