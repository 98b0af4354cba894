"""One id a request, in its answer and in the log, so that the two can be brought together."""

from __future__ import annotations

import re
import secrets

from flask import Flask, Response, g, request

__all__ = ["HEADER", "init_app", "request_id"]

HEADER = "X-Request-ID"
# What a client sends is written to the log: nothing that could be taken for another line.
_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def init_app(app: Flask) -> None:
    """Give every answer of an application its request's id."""
    app.after_request(_add)


def request_id() -> str:
    """Id of the current request: the client's where it is well-formed, else one of ours."""
    known: str | None = g.get("request_id")
    if known is None:
        given = request.headers.get(HEADER, "")
        known = g.request_id = given if _WELL_FORMED.fullmatch(given) else secrets.token_hex(16)
    return known


def _add(response: Response) -> Response:
    response.headers[HEADER] = request_id()
    return response
