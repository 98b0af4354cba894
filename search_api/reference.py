"""The contract for people: every operation, what it takes, and two examples that run.

``python -m search_api.reference`` writes it to standard output; API.md is that.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from search_api.contract import PREFIX, LinesBody, Operation, Operations
from search_api.openapi import DEPRECATION_POLICY, body_text, openapi_document
from search_api.problems import ALL_KINDS
from search_api.routes import ALL_OPERATIONS

__all__ = ["DEFAULT_SERVER", "curl_example", "markdown_reference", "python_example"]

DEFAULT_SERVER = "http://127.0.0.1:8080"
_INTRODUCTION = f"""\
Everything is JSON, below `{PREFIX}`. The contract itself, an OpenAPI 3.1 document, is at
`{PREFIX}/openapi.json`, and this page at `{PREFIX}/docs`; both are made of the code that answers.
Unknown parameters are refused. Parameters stand in the query string of `GET` and `DELETE`, and
wherever the body is documents or nothing; in a JSON object, the body, otherwise.

**Errors** are problem documents (RFC 9457, `application/problem+json`) with a stable `type`, which
is also the address of a page about it, and `parameter` where one is at fault. **Every answer** has
`X-Request-ID`: the client's own where it is well-formed, or a new one; the server's log has it.

**Versions.** An answer names the version it is of; give it back as `version` and pages, totals and
scores stay as they are, whatever is published meanwhile. Answers to `GET` have an `ETag`: asked
again with `If-None-Match`, they come as 304 without a search while nothing was published.
`Cache-Control` lets a client keep an answer to a request that names its versions for an hour; any
other is asked for again each time, and what changes by itself (tasks, health) is never kept.

**Deprecation.** {DEPRECATION_POLICY}

**Keys and scopes.** Where the server asks for keys, give one as `Authorization: Bearer KEY` or
`X-API-Key: KEY`; 401 without one that is known, 403 if it lacks the operation's scope. For a key
that is bound to collections or to a filter there is nothing else, and asking for it is answered as
for what is not there. Where the server asks for none, operations of the scope `search` are
anybody's; the others are off unless it was started with `--writable` or `--admin`, and then
answered to requests from the same machine alone, sent to a loopback address.

**Rates.** Where the server bounds them, answers have `RateLimit` and `RateLimit-Policy`, and 429
has `Retry-After`.
"""


def markdown_reference(every: Iterable[Operations], *, server: str = DEFAULT_SERVER) -> str:
    """Describe operations in Markdown.

    Parameters
    ----------
    server
        Address in the examples.
    """
    groups = list(every)
    document = openapi_document(groups)
    lines = ["# The JSON API", "", _INTRODUCTION]
    for group in groups:
        lines += [f"## {group.tag}", "", group.description, ""]
        for operation in group.all:
            lines += _described(operation, document, server)
    lines += ["## Problems", "", "| `type` | status | |", "|---|---|---|"]
    lines += [f"| `{kind.type}` | {kind.status} | {kind.title}. |" for kind in ALL_KINDS]
    return "\n".join([*lines, ""])


def curl_example(operation: Operation, *, server: str = DEFAULT_SERVER) -> str:
    """A command that asks for an operation's example."""
    address = shlex.quote(_address(operation, server))
    method = "" if operation.method == _usual(operation) else f" -X {operation.method}"
    if not operation.has_body:
        return f"curl{method} {address}"
    # -d would take the newlines out.
    flag = "--data-binary" if isinstance(operation.body, LinesBody) else "-d"
    body = shlex.quote(body_text(operation))
    return (
        f"curl{method} -H 'Content-Type: {_media_type(operation)}' {flag} {body} \\\n    {address}"
    )


def python_example(operation: Operation, *, server: str = DEFAULT_SERVER) -> str:
    """Lines of Python that ask for an operation's example; the standard library is enough."""
    lines = ["import json", "from urllib.request import Request, urlopen", ""]
    arguments = [json.dumps(_address(operation, server))]
    if operation.has_body:
        arguments.append(f"data={_python_body(operation)}.encode()")
        arguments.append(f'headers={{"Content-Type": "{_media_type(operation)}"}}')
    if operation.method != _usual(operation):
        arguments.append(f'method="{operation.method}"')
    if len(arguments) == 1:
        lines.append(f"request = Request({arguments[0]})")
    else:
        lines += ["request = Request(", *(f"    {argument}," for argument in arguments), ")"]
    return "\n".join(
        [*lines, "with urlopen(request) as response:", "    print(json.load(response))"]
    )


def _usual(operation: Operation) -> str:
    """The method that curl and urllib take by themselves."""
    return "POST" if operation.has_body else "GET"


def _media_type(operation: Operation) -> str:
    return "application/json" if operation.body is None else operation.body.media_type


def _python_body(operation: Operation) -> str:
    body = operation.example.asks if operation.body is None else operation.example.body
    if isinstance(body, Mapping):
        return f"json.dumps({_python_literal(body)})"
    lines = "".join(f"        {_python_literal(line)},\n" for line in body)
    return f'"\\n".join(json.dumps(line) for line in [\n{lines}    ])'


def _python_literal(value: object) -> str:
    if isinstance(value, Mapping):
        members = (f"{_python_literal(k)}: {_python_literal(v)}" for k, v in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_python_literal, value)) + "]"
    # JSON writes a string as Python does, and with the quotes of the rest.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _address(operation: Operation, server: str) -> str:
    path = PREFIX + operation.path
    for name, value in operation.example.path.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    query = urlencode(operation.example.asks) if operation.in_address else ""
    return f"{server}{path}{'?' if query else ''}{query}"


def _described(operation: Operation, document: Mapping[str, Any], server: str) -> Iterator[str]:
    yield from (f"### {operation.method} {PREFIX}{operation.path}", "")
    scope = f" Scope: {operation.scope}." if operation.scope else ""
    yield from (f"{operation.summary}. {operation.description}{scope}".replace("  ", " "), "")
    members = list(_members(operation, document))
    if members:
        yield from ("| takes | | |", "|---|---|---|")
        for name, schema, description, required in members:
            told = description.replace("|", "\\|") + (" Required." if required else "")
            yield f"| `{name}` | {_kind(schema)} | {told} |"
        yield ""
    schemas = document["components"]["schemas"]
    answer = schemas[operation.answers.__name__]
    yield from ("| answers | | |", "|---|---|---|")
    for name, schema in answer["properties"].items():
        yield f"| `{name}` | {_kind(schema)} | {schema.get('description', '')} |"
    yield from ("", "```sh", curl_example(operation, server=server), "```", "")
    yield from ("```python", python_example(operation, server=server), "```", "")


def _members(
    operation: Operation, document: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any], str, bool]]:
    described = document["paths"][PREFIX + operation.path][operation.method.lower()]
    for parameter in described.get("parameters", ()):
        yield (
            parameter["name"],
            parameter["schema"],
            parameter.get("description", f"In the path, such as `{parameter.get('example')}`."),
            parameter["in"] == "query" and parameter["required"],
        )
    model = operation.asks if operation.body is None else operation.body.model
    if operation.has_body and model is not None:
        schema = document["components"]["schemas"][model.__name__]
        for name, member in schema["properties"].items():
            required = name in schema.get("required", ())
            yield name, member, member.get("description", ""), required


def _kind(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value).strip(chr(34))}`" for value in schema["enum"])
    if "anyOf" in schema:
        kinds = [_kind(form) for form in schema["anyOf"] if form.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if schema.get("type") == "array":
        return f"array of {_kind(schema.get('items', {}))}"
    bounds = [schema.get("minimum"), schema.get("maximum")]
    span = f" {bounds[0]} to {bounds[1]}" if None not in bounds else ""
    return f"{schema.get('type', 'any')}{span}"


if __name__ == "__main__":
    sys.stdout.write(markdown_reference(ALL_OPERATIONS))
