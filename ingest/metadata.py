"""Metadata of any shape becomes flat fields to filter and count by."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence

from ingest.cleaning import clean_name, clean_text
from ingest.documents import MetadataValue

__all__ = ["flatten_metadata", "web_address"]

# SQLite and the JSON of most languages hold no larger integers.
_MAX_INTEGER = 2**63 - 1


def flatten_metadata(fields: Mapping[str, object]) -> dict[str, MetadataValue]:
    """Fields whose values are scalars or lists of strings.

    An object's fields are dotted one level (``author.name``); anything deeper becomes a JSON
    string. Dates become ISO strings, lists lists of strings. ``None``, empty lists and numbers
    that are not finite are dropped.

    Parameters
    ----------
    fields
        What a format declares: a front matter, a JSON object, the columns of a row.

    Returns
    -------
    dict
        The flat fields, in the order met.

    Examples
    --------
    >>> flatten_metadata({"year": 2021, "author": {"name": "Ada"}, "tags": ["a", 1], "doi": None})
    {'year': 2021, 'author.name': 'Ada', 'tags': ['a', '1']}
    """
    flat: dict[str, MetadataValue] = {}
    for key, value in fields.items():
        if isinstance(value, Mapping):
            for inner_key, inner_value in value.items():
                _put(flat, f"{key}.{inner_key}", inner_value)
        else:
            _put(flat, str(key), value)
    return flat


def web_address(value: object) -> str | None:
    """Return a value if it is an address a browser may safely open, else ``None``.

    Parameters
    ----------
    value
        Anything a document declares as its address.

    Examples
    --------
    >>> web_address("https://example.org/a")
    'https://example.org/a'
    >>> web_address("javascript:alert(1)") is None
    True
    """
    if not isinstance(value, str):
        return None
    address = value.strip()
    sound = address.lower().startswith(("http://", "https://")) and not any(
        map(str.isspace, address)
    )
    return clean_name(address) if sound else None


def _put(flat: dict[str, MetadataValue], key: str, value: object) -> None:
    plain = _plain(value)
    key = clean_text(key).strip()
    if plain is not None and key:
        flat[key] = plain


def _plain(value: object) -> MetadataValue | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, int):
        return value if abs(value) <= _MAX_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Sequence | set) and not isinstance(value, bytes):
        return _plain_list(list(value))
    return _as_json(value)


def _plain_list(values: list[object]) -> MetadataValue | None:
    plain = [_plain(value) for value in values if not isinstance(value, Mapping | list)]
    if len(plain) < len(values):
        return _as_json(values)
    texts = [_as_text(value) for value in plain if value is not None]
    return texts or None


def _as_text(value: MetadataValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _as_json(value: object) -> str:
    return clean_text(json.dumps(value, ensure_ascii=False, default=str))
