"""What went wrong, as RFC 9457 problem documents.

Every error of the tree in ``ingest/errors.py`` has one HTTP status, its own or that of its
nearest ancestor in the table below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote

from flask import Response, current_app, request
from werkzeug.exceptions import HTTPException

from ingest.errors import (
    CorpusError,
    DimensionMismatchError,
    DocumentNotFoundError,
    EncoderError,
    IndexFolderError,
    IndexLockedError,
    IndexNotFoundError,
    ModelNotFoundError,
    QueryError,
    QueryTimeoutError,
    TrineError,
    WriteLogFullError,
)
from search_api.access import ForbiddenError, UnauthorizedError
from search_api.json_format import json_bytes
from search_api.overload import OverloadedError
from search_api.rate_limits import TooManyRequestsError
from search_api.request_ids import request_id

__all__ = [
    "ALL_KINDS",
    "CHALLENGE",
    "ERROR_KINDS",
    "HTTP_KINDS",
    "INTERNAL_ERROR",
    "TOO_SLOW",
    "NoMapError",
    "NothingToReadError",
    "Problem",
    "ProblemKind",
    "UnknownIndexError",
    "UnknownTaskError",
    "UnsupportedBodyError",
    "kind_of",
    "problem_of",
    "problem_response",
]

_MEDIA_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="trine"'
"""What a client is told that needs a key (RFC 6750)."""
TOO_SLOW = (
    "The rest of the request did not come in time: send it again, all of it within ten seconds or "
    "at more than four kilobytes a second."
)
"""What a client is told that sends too slowly."""


class UnknownIndexError(IndexNotFoundError):
    """A request names a collection or a version that is not there.

    Parameters
    ----------
    parameter
        The parameter that names it; ``None`` where the address does.
    """

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class UnknownTaskError(TrineError, LookupError):
    """A request names a task that is not there, or no longer."""


class NothingToReadError(TrineError):
    """A collection that has no sources is to be read from them again."""


class NoMapError(TrineError):
    """A version has no map."""


class UnsupportedBodyError(QueryError):
    """A request's body is not of the one media type that is read."""


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of problem.

    Parameters
    ----------
    slug
        Last part of its stable ``type``, ``/problems/<slug>``.
    title
        The same few words whenever it happens.
    status
        HTTP status.
    detail
        What a client is told whenever it happens; the error's own message when ``None``. Where
        the server is at fault, messages name files, and are for its log.
    """

    slug: str
    title: str
    status: int
    detail: str | None = None

    @property
    def type(self) -> str:
        """URI reference that names this kind for good."""
        return f"/problems/{self.slug}"


# What HTTP demands beside a status.
_HEADERS: Mapping[type[TrineError], tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        WriteLogFullError: (("Retry-After", "10"),),
        OverloadedError: (("Retry-After", "1"),),
        UnauthorizedError: (("WWW-Authenticate", CHALLENGE),),
    }
)
_IN_THE_LOG = "The server's log says what is wrong."
INTERNAL_ERROR = ProblemKind("internal-error", "Something went wrong on this server", 500)

ERROR_KINDS = MappingProxyType(
    {
        QueryError: ProblemKind("query-error", "A parameter is not allowed", 400),
        UnsupportedBodyError: ProblemKind(
            "unsupported-media-type", "The body is of another type", 415
        ),
        CorpusError: ProblemKind("corpus-error", "The documents cannot be read", 400),
        DocumentNotFoundError: ProblemKind("document-not-found", "No such document", 404),
        NoMapError: ProblemKind("no-map", "This version has no map", 404),
        UnknownIndexError: ProblemKind("unknown-index", "No such collection or version", 404),
        IndexNotFoundError: ProblemKind(
            "index-not-found",
            "Nothing is indexed yet",
            503,
            "There is no current version to search: make one with trine index SOURCE..., "
            "or activate one (trine versions list).",
        ),
        IndexLockedError: ProblemKind("index-locked", "Another process is writing", 409),
        DimensionMismatchError: ProblemKind(
            "dimension-mismatch", "Embeddings and index do not fit", 500, _IN_THE_LOG
        ),
        WriteLogFullError: ProblemKind("write-log-full", "Too much waits to be indexed", 503),
        QueryTimeoutError: ProblemKind("query-timeout", "The query takes too long", 503),
        OverloadedError: ProblemKind("overloaded", "The server is busy", 503),
        UnknownTaskError: ProblemKind("unknown-task", "No such task", 404),
        NothingToReadError: ProblemKind("no-sources", "There are no sources to read", 409),
        UnauthorizedError: ProblemKind("unauthorized", "This needs a valid API key", 401),
        TooManyRequestsError: ProblemKind(
            "too-many-requests", "More requests than are allowed for now", 429
        ),
        ForbiddenError: ProblemKind("forbidden", "This needs a right the request lacks", 403),
        IndexFolderError: ProblemKind(
            "index-unreadable", "The index cannot be used", 503, _IN_THE_LOG
        ),
        ModelNotFoundError: ProblemKind("model-not-found", "A model is missing", 503, _IN_THE_LOG),
        EncoderError: ProblemKind(
            "encoder-error", "An encoder cannot do its work", 500, _IN_THE_LOG
        ),
    }
)

HTTP_KINDS = MappingProxyType(
    {
        kind.status: kind
        for kind in (
            ProblemKind("bad-request", "The request cannot be read", 400),
            ProblemKind("not-found", "There is nothing at this address", 404),
            ProblemKind("method-not-allowed", "This address does not take this method", 405),
            ProblemKind("request-timeout", "The request came too slowly", 408),
            ProblemKind("request-too-large", "The request is too large", 413),
            ProblemKind("unsupported-media-type", "The body is of another type", 415),
        )
    }
)

ALL_KINDS = tuple(
    sorted(
        {
            kind.type: kind
            for kind in (*HTTP_KINDS.values(), *ERROR_KINDS.values(), INTERNAL_ERROR)
        }.values(),
        key=lambda kind: (kind.status, kind.slug),
    )
)
"""Every kind there is, by status."""

_HTTP_DETAILS = MappingProxyType(
    {
        400: "The request cannot be read as HTTP.",
        404: "Nothing is at this address; please check its spelling.",
        405: "The header Allow names the methods this address takes.",
        408: TOO_SLOW,
        413: "The body may have at most {limit:,} bytes.",
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong.

    Parameters
    ----------
    detail
        One line for the person who asked.
    parameter
        The parameter at fault as the API names it, or ``None``.
    headers
        What HTTP demands beside it (``Allow``, say).
    """

    kind: ProblemKind
    detail: str
    parameter: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, object]:
        """The members of the problem document."""
        content: dict[str, object] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": quote(request.script_root + request.path, safe="/%"),
        }
        if self.parameter is not None:
            content["parameter"] = self.parameter
        return content


def kind_of(error: type[TrineError]) -> ProblemKind:
    """Kind of a class of errors: its own, or its nearest ancestor's.

    Examples
    --------
    >>> from ingest.errors import DuplicateDocumentError
    >>> kind_of(DuplicateDocumentError).status
    400
    """
    known = (ERROR_KINDS[ancestor] for ancestor in error.__mro__ if ancestor in ERROR_KINDS)
    return next(known, INTERNAL_ERROR)


def problem_of(error: Exception) -> Problem:
    """Describe any error without telling more than a client may know; the log gets the rest."""
    if isinstance(error, TrineError):
        line = " ".join(str(error).split())
        kind = kind_of(type(error))
        if kind.detail is not None:
            current_app.logger.warning(
                "%s %s: %s (request %s)", request.method, quote(request.path), line, request_id()
            )
        headers = _HEADERS.get(type(error), getattr(error, "headers", ()))
        return Problem(kind, kind.detail or line, error.parameter, headers)
    if isinstance(error, HTTPException) and error.code is not None and error.code >= 400:
        kind = HTTP_KINDS.get(error.code) or ProblemKind(
            f"http-{error.code}", error.name, error.code
        )
        given = tuple(
            (name, value) for name, value in error.get_headers() if name != "Content-Type"
        )
        detail = _HTTP_DETAILS.get(error.code, error.name)
        limited = detail.format(limit=request.max_content_length or 0)
        return Problem(kind, limited, headers=given)
    return Problem(INTERNAL_ERROR, "The error has been logged; please try again later.")


def problem_response(problem: Problem) -> Response:
    """Write the problem document."""
    response = Response(
        json_bytes(problem.to_json()), status=problem.kind.status, mimetype=_MEDIA_TYPE
    )
    response.headers.extend(list(problem.headers))
    response.headers["Cache-Control"] = "no-store"
    return response
