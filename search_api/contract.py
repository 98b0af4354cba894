"""Operations: what the API offers, each said once, from which routes and documents are made.

A module of routes has one ``Operations`` and adds each of its functions to it by a decorator. The
decorator knows the method, the path, the models of request and answer, the scope and an example;
it checks the scope, reads the request, and writes the answer with what HTTP wants around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from flask import Blueprint, Response, request

from search_api.access import require
from search_api.answer_models import Answer
from search_api.caching import Answered, answer_response
from search_api.json_reading import read_json_object
from search_api.parameters import checked_names, from_arguments, from_object
from search_api.problems import UnsupportedBodyError
from search_api.request_models import Request

__all__ = ["PREFIX", "Example", "Operation", "Operations", "register"]

PREFIX = "/api/v1"
_NOTHING: Mapping[str, Any] = MappingProxyType({})
View = TypeVar("View", bound=Callable[..., Answered])


@dataclass(frozen=True, slots=True)
class Example:
    """A request that works: over the demo corpus, ``VERSION`` standing for a version's id.

    Parameters
    ----------
    path
        Values of the path's parameters.
    asks
        The query string's, or the body's, members.
    """

    path: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    asks: Mapping[str, object] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a client can ask.

    Parameters
    ----------
    name
        Its stable name, ``operationId`` in the contract.
    method, path
        ``"GET"``, and the path below ``/api/v1`` with parameters in braces. What a ``GET`` says
        stands in the query string, what any other method says in a JSON object.
    asks
        Model of what it takes; nothing when ``None``.
    answers
        Model of what it answers with status 200.
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
    answers: type[Answer]
    statuses: tuple[int, ...]
    scope: str | None
    example: Example
    view: Callable[..., Answered]

    @property
    def path_parameters(self) -> list[str]:
        """Names of the parameters in the path."""
        return re.findall(r"{(\w+)}", self.path)

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
        asked = () if self.asks is None else (self._read(self.asks),)
        if self.asks is None:
            checked_names(request.args, ())
        answered = self.view(*asked, **path)
        return answer_response(answered)

    def _read(self, model: type[Request]) -> Request:
        if self.method == "GET":
            return from_arguments(model, request.args.to_dict(flat=False))
        if not request.is_json:
            raise UnsupportedBodyError(
                f"the body is {request.mimetype or 'of no stated type'!r}; "
                "send JSON with Content-Type: application/json"
            )
        # Parameters stand in the body; what the address says as well must not be lost silently.
        checked_names(request.args, ())
        return from_object(model, read_json_object(request.get_data()))


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
        scope: str | None = "search",
        statuses: Sequence[int] = (404, 503),
        example: Example | None = None,
    ) -> Callable[[View], View]:
        """Make a function an operation; it gets the checked request and the path's values."""

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
                    answers=answers,
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
