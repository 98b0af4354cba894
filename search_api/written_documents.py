"""From the JSON of a request to a document, in the form that reading a source would give it.

Strict: a member that is not known, or not of its type, is refused by name. What is taken is
described by two models for the contract; tests hold both against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from ingest.cleaning import clean_line, clean_name, clean_text
from ingest.documents import Document
from ingest.errors import QueryError
from ingest.metadata import flatten_metadata, web_address
from pipeline.version.writes import Write
from search_api.json_reading import read_json_object
from search_api.parameters import checked_names

__all__ = [
    "MAX_ID_CHARACTERS",
    "MAX_METADATA_FIELDS",
    "MAX_NAMES",
    "WrittenDocument",
    "WrittenLine",
    "checked_doc_id",
    "document_of",
    "writes_of_lines",
]

MAX_ID_CHARACTERS = 1000
MAX_METADATA_FIELDS = 1000
MAX_NAMES = 1000
_ID_MEMBERS = ("doc_id", "_id", "id")
_MEMBERS = (*_ID_MEMBERS, "title", "text", "url", "metadata", "names")

DocId = Annotated[
    str | int,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS},
                {"type": "integer"},
            ]
        }
    ),
]


def _without_defaults(schema: dict[str, Any]) -> None:
    for member in schema["properties"].values():
        member.pop("default", None)


class WrittenDocument(BaseModel):
    """A document to put; it has a title or a text."""

    model_config = ConfigDict(extra="forbid", defer_build=True, json_schema_extra=_without_defaults)

    doc_id: DocId = Field("", description="Its id; beside an address that names it, the same.")
    beir_id: DocId = Field("", alias="_id", description="Another name of `doc_id`.")
    id: DocId = Field("", description="Another name of `doc_id`.")
    title: str | None = None
    text: str | None = None
    url: str | None = Field(None, description="With `http://` or `https://`.")
    metadata: dict[str, Any] | None = Field(
        None,
        description="Fields to filter, count and sort by; of an object in it `outer.inner`, of "
        "anything deeper its JSON.",
        max_length=MAX_METADATA_FIELDS,
    )
    names: list[str] | None = Field(
        None, description="Other names it is found by.", max_length=MAX_NAMES
    )


class WrittenLine(WrittenDocument):
    """A document to put with its id, or the id of one to delete."""

    delete: Literal[True] = Field(True, description="Delete it; stands beside the id alone.")


def checked_doc_id(value: object, name: str = "doc_id") -> str:
    """An id as the log keeps it.

    Raises
    ------
    QueryError
        If it is no string or integer, empty or too long.

    Examples
    --------
    >>> checked_doc_id(7)
    '7'
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise QueryError(f"{name} must be a string or a whole number", parameter=name)
    try:
        doc_id = clean_name(str(value))
    except ValueError as error:
        raise QueryError(f"{name} is a number that is too long", parameter=name) from error
    if not doc_id.strip() or "\x00" in doc_id:
        raise QueryError(f"{name} is empty or holds a zero byte", parameter=name)
    if len(doc_id) > MAX_ID_CHARACTERS:
        raise QueryError(
            f"{name} has {len(doc_id):,} characters; at most {MAX_ID_CHARACTERS:,}", parameter=name
        )
    return doc_id


def document_of(content: Mapping[str, object], doc_id: str | None = None) -> Document:
    """The document that a JSON object is.

    Parameters
    ----------
    content
        Its members: ``title``, ``text``, ``url``, ``metadata``, ``names``, and ``doc_id`` (or
        ``_id`` or ``id``); without a title and a text it is none.
    doc_id
        The id its address gives it; one in ``content`` must be the same.

    Raises
    ------
    QueryError
        If a member is not allowed; names it.

    Examples
    --------
    >>> document_of({"_id": "a", "text": "Body.", "metadata": {"year": 2021}}).metadata
    {'year': 2021}
    """
    checked_names(content, _MEMBERS)
    own = _own_id(content)
    if doc_id is not None and own is not None and own != doc_id:
        raise QueryError(
            f"the document says its id is {own!r}, and its address {doc_id!r}", parameter="doc_id"
        )
    chosen = own if doc_id is None else doc_id
    if chosen is None:
        raise QueryError("doc_id is missing: every document needs one", parameter="doc_id")
    title = clean_line(_text(content, "title"))
    text = clean_text(_text(content, "text"))
    if not (title or text):
        raise QueryError("a document needs a title or a text", parameter="text")
    try:
        metadata = flatten_metadata(_metadata(content.get("metadata")))
    except RecursionError as error:
        raise QueryError("metadata is nested too deeply", parameter="metadata") from error
    return Document(
        chosen,
        title,
        text,
        url=_url(content.get("url")),
        metadata=metadata,
        names=_names(content.get("names")),
    )


def writes_of_lines(lines: Iterable[bytes]) -> Iterator[Write]:
    """What the lines of a bulk upload ask for; blank ones nothing.

    A line is a document, or ``{"doc_id": "...", "delete": true}``.

    Raises
    ------
    QueryError
        At the first line that is wrong; names it.

    Examples
    --------
    >>> lines = [b'{"id": 1, "text": "a"}', b"", b'{"id": 2, "delete": true}']
    >>> [write.doc_id for write in writes_of_lines(lines)]
    ['1', '2']
    """
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        try:
            write = _write_of(read_json_object(line))
            if (first := seen.setdefault(write.doc_id, number)) != number:
                raise QueryError(
                    f"the document {write.doc_id!r} is in line {first} already", parameter="doc_id"
                )
        except QueryError as error:
            raise QueryError(
                f"line {number}: {error}; nothing was accepted", parameter=error.parameter
            ) from error
        yield write


def _write_of(content: Mapping[str, object]) -> Write:
    if "delete" not in content:
        document = document_of(content)
        return Write(document.doc_id, document)
    checked_names(content, (*_ID_MEMBERS, "delete"))
    if content["delete"] is not True:
        raise QueryError("delete can only be true", parameter="delete")
    doc_id = _own_id(content)
    if doc_id is None:
        raise QueryError("doc_id is missing: which document?", parameter="doc_id")
    return Write(doc_id, None)


def _own_id(content: Mapping[str, object]) -> str | None:
    given = [name for name in _ID_MEMBERS if name in content]
    if len(given) > 1:
        raise QueryError(f"{given[0]} and {given[1]} are the same: give one", parameter=given[1])
    return checked_doc_id(content[given[0]], given[0]) if given else None


def _text(content: Mapping[str, object], name: str) -> str:
    value = content.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise QueryError(f"{name} must be a string", parameter=name)
    return value


def _url(value: object) -> str | None:
    if value is None:
        return None
    address = web_address(value)
    if address is None:
        raise QueryError("url must be an address with http:// or https://", parameter="url")
    return address


def _metadata(value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise QueryError("metadata must be an object", parameter="metadata")
    if len(value) > MAX_METADATA_FIELDS:
        raise QueryError(
            f"metadata has {len(value):,} fields; at most {MAX_METADATA_FIELDS:,}",
            parameter="metadata",
        )
    return value


def _names(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise QueryError("names must be an array of strings", parameter="names")
    if len(value) > MAX_NAMES:
        raise QueryError(
            f"names has {len(value):,} entries; at most {MAX_NAMES:,}", parameter="names"
        )
    names = (clean_line(name) for name in value)
    return tuple(dict.fromkeys(name for name in names if name))
