"""The contract as an OpenAPI 3.1 document, made of the operations and their models.

References
----------
OpenAPI Specification 3.1.0, https://spec.openapis.org/oas/v3.1.0; RFC 9457, problem details.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from search_api.answer_models import ProblemDocument
from search_api.contract import PREFIX, LinesBody, Operation, Operations
from search_api.parameters import in_address
from search_api.problems import ALL_KINDS
from search_api.request_ids import HEADER
from search_api.request_models import Request

__all__ = ["DEPRECATION_POLICY", "body_text", "openapi_document"]

DEPRECATION_POLICY = (
    "Within `/api/v1` members, parameters and operations are added, never changed or removed: "
    "pass over members you do not know. What is to go is marked `deprecated` here and answered "
    "with the headers `Deprecation` (RFC 9745) and `Sunset` (RFC 8594) for at least six months "
    "and one minor release; what would break clients gets a new prefix, `/api/v2`, beside this "
    "one. The `type` of a problem never changes its meaning."
)
_REFERENCE = "#/components/schemas/{model}"
_EVERYWHERE = (400, 429, 500)
_WITH_SCOPE = (401, 403)
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `trine keys create`, which has the operation's `x-trine-scope`.",
    },
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_WITH_BODY = (408, 413, 415)
_RETRIED = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}


def openapi_document(every: Iterable[Operations], *, server: str = "/") -> dict[str, Any]:
    """Describe operations.

    Parameters
    ----------
    server
        Where the paths begin: another place than ``/`` behind a proxy.

    Returns
    -------
    dict
        JSON-ready; the same from call to call.
    """
    groups = list(every)
    operations = [operation for group in groups for operation in group.all]
    paths: dict[str, dict[str, object]] = {}
    for operation in operations:
        described = _described(operation)
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trine",
            "version": version("trine"),
            "summary": "Semantic search over your own documents.",
            "description": DEPRECATION_POLICY,
        },
        "servers": [{"url": server}],
        "tags": [{"name": group.tag, "description": group.description} for group in groups],
        "paths": paths,
        "components": {
            "securitySchemes": _SECURITY_SCHEMES,
            "schemas": _schemas(operations),
            "headers": {
                HEADER: {
                    "description": "The id given with the request, or one made for it.",
                    "schema": {"type": "string", "minLength": 1},
                },
                "ETag": {
                    "description": "Give it as If-None-Match to get 304 while nothing changed.",
                    "schema": {"type": "string"},
                },
                "Cache-Control": {"schema": {"type": "string"}},
                "Location": {
                    "description": "Where to ask how far the task is.",
                    "schema": {"type": "string"},
                },
                "Retry-After": {
                    "description": "Seconds after which to try again, where that is known.",
                    "schema": {"type": "string"},
                },
            },
        },
    }


def _described(operation: Operation) -> dict[str, object]:
    described: dict[str, object] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": _responses(operation),
        "x-trine-scope": operation.scope,
        # None at all where the server asks for no keys.
        "security": [{}] + [{name: []} for name in _SECURITY_SCHEMES if operation.scope],
    }
    if operation.description:
        described["description"] = operation.description
    parameters = _path_parameters(operation)
    if operation.asks is not None and operation.in_address:
        parameters += _query_parameters(operation.asks)
    if operation.has_body:
        described["requestBody"] = {"required": True, "content": _content(operation)}
    if parameters:
        described["parameters"] = parameters
    return described


def _content(operation: Operation) -> dict[str, object]:
    body, example = operation.body, operation.example
    if body is None:
        asked: dict[str, object] = {"example": dict(example.asks)}
        if operation.asks is not None:
            asked["schema"] = _reference(operation.asks)
        return {"application/json": asked}
    if isinstance(body, LinesBody):
        told = f"JSON Lines, each a {body.model.__name__}."
        lines = {
            "schema": {"type": "string", "minLength": 1, "description": told},
            # What OpenAPI 3.2 calls itemSchema.
            "x-item-schema": _reference(body.model),
            "example": body_text(operation),
        }
        return {body.media_type: lines}
    held = {"schema": _reference(body.model), "example": example.body}
    return {body.media_type: held}


def body_text(operation: Operation) -> str:
    """The body of an operation's example, as it is sent."""
    example = operation.example
    if operation.body is None:
        return json.dumps(dict(example.asks), ensure_ascii=False)
    if isinstance(example.body, Mapping):
        return json.dumps(dict(example.body), ensure_ascii=False)
    return "\n".join(json.dumps(dict(line), ensure_ascii=False) for line in example.body)


def _path_parameters(operation: Operation) -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
            "example": operation.example.path.get(name, ""),
        }
        for name in operation.path_parameters
    ]


def _query_parameters(model: type[Request]) -> list[dict[str, object]]:
    parameters = []
    for name, field in model.model_fields.items():
        form = in_address(field)
        schema = copy.deepcopy(dict(form.schema))
        extra = field.json_schema_extra
        if isinstance(extra, Mapping):
            schema.update(extra)
        parameter: dict[str, object] = {
            "name": name,
            "in": "query",
            "required": field.is_required(),
            "description": field.description,
            "schema": schema,
        }
        if schema.get("type") == "array":
            parameter |= {"style": "form", "explode": form.repeated}
        elif isinstance(field.default, int | float) and not isinstance(field.default, bool):
            schema["default"] = field.default
        parameters.append(parameter)
    return parameters


def _responses(operation: Operation) -> dict[str, object]:
    common = {HEADER: {"$ref": f"#/components/headers/{HEADER}"}}
    kept = {"Cache-Control": {"$ref": "#/components/headers/Cache-Control"}}
    tagged = {"ETag": {"$ref": "#/components/headers/ETag"}}
    if operation.method == "GET":
        kept |= tagged
    located = {"Location": {"$ref": "#/components/headers/Location"}}
    answered = {
        "description": operation.answers.__doc__ or "",
        "headers": common | kept | (located if operation.accepts else {}),
        "content": {"application/json": {"schema": _reference(operation.answers)}},
    }
    responses: dict[str, object] = {"200": answered}
    if operation.accepts:
        responses["202"] = answered
    statuses: Sequence[int] = (*_EVERYWHERE, *operation.statuses)
    if operation.scope is not None:
        statuses = (*statuses, *_WITH_SCOPE)
    if operation.has_body:
        statuses = (*statuses, *_WITH_BODY)
    for status in sorted(set(statuses)):
        kinds = [f"{kind.title} (`{kind.type}`)" for kind in ALL_KINDS if kind.status == status]
        responses[str(status)] = {
            "description": "; ".join(kinds) or "A problem.",
            "headers": common | (_RETRIED if status == 503 else {}),
            "content": {"application/problem+json": {"schema": _reference(ProblemDocument)}},
        }
    if operation.method == "GET":
        responses["304"] = {
            "description": "Nothing changed since the ETag given.",
            "headers": common | kept,
        }
    return responses


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    models: dict[type[BaseModel], None] = {ProblemDocument: None}
    for operation in operations:
        models[operation.answers] = None
        if operation.asks is not None and not operation.in_address:
            models[operation.asks] = None
        if operation.body is not None:
            models[operation.body.model] = None
    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REFERENCE
    )
    schemas: dict[str, Any] = found["$defs"]
    asked = {op.asks.__name__ for op in operations if op.asks is not None}
    asked |= {op.body.model.__name__ for op in operations if op.body is not None}
    for name, schema in schemas.items():
        if name not in asked:
            # Members may be added to answers.
            schema.pop("additionalProperties", None)
        _without_titles(schema)
    return dict(sorted(schemas.items()))


def _without_titles(schema: dict[str, Any]) -> None:
    schema.pop("title", None)
    for member in schema.get("properties", {}).values():
        if isinstance(member, dict) and isinstance(member.get("title"), str):
            member.pop("title")


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}
