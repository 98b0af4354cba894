"""Operations: what the API offers, each said once, from which routes and documents are made.

A module of routes has one ``Operations`` and adds each of its functions to it by a decorator. The
decorator knows the method, the path, the models of request and answer, the scope and an example;
it checks the scope, reads the request, and writes the answer with what HTTP wants around it.

Parameters stand in the query string of ``GET`` and ``DELETE``, and wherever a request's body is
something else or nothing; in a JSON object, the body, otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from flask import Blueprint, Response, request
from pydantic import BaseModel

from ingest.errors import QueryError
from search_api.access import require
from search_api.answer_models import Answer
from search_api.caching import Answered, answer_response
from search_api.json_reading import read_json_object
from search_api.parameters import checked_names, from_arguments, from_object
from search_api.problems import UnsupportedBodyError
from search_api.request_models import Request

__all__ = [
    "MAX_BODY_BYTES",
    "PREFIX",
    "Example",
    "JsonBody",
    "LinesBody",
    "Operation",
    "Operations",
    "register",
]

PREFIX = "/api/v1"
MAX_BODY_BYTES = 1_000_000
_NOTHING: Mapping[str, Any] = MappingProxyType({})
View = TypeVar("View", bound=Callable[..., Answered])


@dataclass(frozen=True, slots=True)
class Example:
    """A request that works over the demo corpus.

    ``VERSION`` stands for a version's id, ``TASK`` for a task's.

    Parameters
    ----------
    path
        Values of the path's parameters.
    asks
        The parameters, in the query string or the body.
    body
        The body where it holds no parameters: an object, or one a line.
    """

    path: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    asks: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    body: Mapping[str, object] | Sequence[Mapping[str, object]] = field(
        default_factory=lambda: _NOTHING
    )


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A body that is one JSON object; a function of the operation's own checks it.

    Parameters
    ----------
    model
        What it is, for the contract.
    max_bytes
        How large it may be.
    """

    model: type[BaseModel]
    max_bytes: int
    media_type: ClassVar[str] = "application/json"

    def read(self) -> dict[str, object]:
        """The object that the current request holds."""
        if not request.is_json:
            raise _unsupported(f"JSON with Content-Type: {self.media_type}")
        return read_json_object(request.get_data())


@dataclass(frozen=True, slots=True)
class LinesBody:
    """A body with a JSON object a line, read as it comes in.

    Parameters
    ----------
    model
        What a line is, for the contract.
    max_bytes
        How large all may be.
    """

    model: type[BaseModel]
    max_bytes: int
    media_type: ClassVar[str] = "application/x-ndjson"

    def read(self) -> Iterator[bytes]:
        """The lines of the current request."""
        if request.mimetype != self.media_type:
            raise _unsupported(f"JSON Lines with Content-Type: {self.media_type}")
        return iter(request.stream.readline, b"")


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a client can ask.

    Parameters
    ----------
    name
        Its stable name, ``operationId`` in the contract.
    method, path
        ``"GET"``, and the path below ``/api/v1`` with parameters in braces.
    asks
        Model of its parameters; none when ``None``.
    in_address
        Whether these stand in the query string.
    body
        What else the body holds.
    answers
        Model of what it answers when all is well.
    accepts
        Whether that may come with status 202 and the address of a task, instead of 200.
    statuses
        Statuses of the problems it may come to, beside those that every operation may.
    scope
        What a client needs; nothing when ``None``.
    """

    name: str
    method: str
    path: str
    tag: str
    summary: str
    description: str
    asks: type[Request] | None
    in_address: bool
    body: JsonBody | LinesBody | None
    answers: type[Answer]
    accepts: bool
    statuses: tuple[int, ...]
    scope: str | None
    example: Example
    view: Callable[..., Answered]

    @property
    def path_parameters(self) -> list[str]:
        """Names of the parameters in the path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def has_body(self) -> bool:
        """Whether a request has one."""
        return self.body is not None or not (self.asks is None or self.in_address)

    @property
    def rule(self) -> str:
        """The path as Flask writes it."""
        return re.sub(
            r"{(\w+)}", lambda m: "<doc_id:doc_id>" if m[1] == "doc_id" else f"<{m[1]}>", self.path
        )

    def serve(self, **path: str) -> Response:
        """Answer the current request."""
        if self.scope is not None:
            require(self.scope)
        request.max_content_length = self.body.max_bytes if self.body else MAX_BODY_BYTES
        if not self.has_body and request.content_length:
            # What it says must not be lost silently.
            raise QueryError("this takes no body: parameters stand in the query string")
        asked = () if self.asks is None else (self._read(self.asks),)
        if self.asks is None:
            checked_names(request.args, ())
        held = () if self.body is None else (self.body.read(),)
        answered = self.view(*asked, *held, **path)
        return answer_response(answered)

    def _read(self, model: type[Request]) -> Request:
        if self.in_address:
            return from_arguments(model, request.args.to_dict(flat=False))
        body = JsonBody(model, MAX_BODY_BYTES).read()
        # Parameters stand in the body; what the address says as well must not be lost silently.
        for name in request.args:
            raise QueryError(
                f"{name[:60]!r} stands in the query string: parameters stand in the body here",
                parameter=name,
            )
        return from_object(model, body)


class Operations:
    """The operations of one module of routes.

    Parameters
    ----------
    tag
        Their heading in the contract.
    description
        One line about them.
    """

    def __init__(self, tag: str, description: str) -> None:
        self.tag = tag
        self.description = description
        self.all: list[Operation] = []

    def add(
        self,
        method: str,
        path: str,
        *,
        name: str,
        summary: str,
        answers: type[Answer],
        description: str = "",
        asks: type[Request] | None = None,
        in_address: bool | None = None,
        body: JsonBody | LinesBody | None = None,
        accepts: bool = False,
        scope: str | None = "search",
        statuses: Sequence[int] = (404, 503),
        example: Example | None = None,
    ) -> Callable[[View], View]:
        """Make a function an operation; it gets the parameters, the body and the path's values.

        The other arguments are those of an `Operation`; parameters stand in the query string of
        ``GET``, ``DELETE`` and whatever has a body of its own, unless said otherwise.
        """
        by_method = method in {"GET", "DELETE"} or body is not None

        def added(view: View) -> View:
            self.all.append(
                Operation(
                    name=name,
                    method=method,
                    path=path,
                    tag=self.tag,
                    summary=summary,
                    description=description,
                    asks=asks,
                    in_address=by_method if in_address is None else in_address,
                    body=body,
                    answers=answers,
                    accepts=accepts,
                    statuses=tuple(statuses),
                    scope=scope,
                    example=example or Example(),
                    view=view,
                )
            )
            return view

        return added


def register(blueprint: Blueprint, operations: Operations) -> None:
    """Give a blueprint the routes of operations."""
    for operation in operations.all:
        if operation.asks is not None:
            # Now, and not by the first of several requests at once.
            operation.asks.model_rebuild()
        blueprint.add_url_rule(
            operation.rule, operation.name, operation.serve, methods=[operation.method]
        )


def _unsupported(wanted: str) -> UnsupportedBodyError:
    given = repr(request.mimetype) if request.mimetype else "of no stated type"
    return UnsupportedBodyError(f"the body is {given}; send {wanted}")
