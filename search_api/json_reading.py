"""JSON as a request sends it: strictly read, so that nothing is taken for something else."""

from __future__ import annotations

import json
from typing import Any

from ingest.errors import QueryError

__all__ = ["kind_name", "read_json_object"]


def read_json_object(body: bytes) -> dict[str, object]:
    """Read a request's body.

    Raises
    ------
    QueryError
        If it is not UTF-8, not JSON, not an object, or names a member twice.

    Examples
    --------
    >>> read_json_object(b'{"q": "read a file"}')
    {'q': 'read a file'}
    """
    try:
        content = json.loads(body.decode("utf-8"), object_pairs_hook=_unique_members)
    except UnicodeDecodeError as error:
        raise QueryError(f"the body is not UTF-8: byte {error.start} cannot be read") from error
    except json.JSONDecodeError as error:
        raise QueryError(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise QueryError("the body is nested too deeply") from error
    except QueryError:
        raise
    except ValueError as error:
        raise QueryError("the body holds a number that is too long") from error
    if not isinstance(content, dict):
        raise QueryError(
            f'the body is {kind_name(content)}; it must be an object such as {{"q": "read a file"}}'
        )
    return content


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise QueryError(f"the body names {twice!r} twice", parameter=twice)
    return members


def kind_name(value: object) -> str:
    """What a JSON value is, in words."""
    names: dict[type[Any], str] = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")
