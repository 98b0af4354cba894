"""A record of named fields, from JSON or a table, becomes a document."""

from __future__ import annotations

from collections.abc import Mapping

from ingest.cleaning import clean_line, clean_name, clean_text
from ingest.documents import Document
from ingest.errors import CorpusError
from ingest.metadata import flatten_metadata, web_address
from ingest.options import SourceOptions

__all__ = ["ID_FIELDS", "RecordFields"]

ID_FIELDS = ("_id", "id")
"""Fields that hold the id unless told otherwise, the first that is there."""

_URL_FIELD = "url"


class RecordFields:
    """Which fields of a record hold what.

    Parameters
    ----------
    options
        Names of the fields, where they are not the usual ones.

    Examples
    --------
    >>> fields = RecordFields(SourceOptions(text_field="abstract"))
    >>> document = fields.document({"_id": 7, "abstract": "Body.", "year": 2020}, "a.jsonl:1")
    >>> document.doc_id, document.text, document.metadata
    ('7', 'Body.', {'year': 2020})
    """

    def __init__(self, options: SourceOptions) -> None:
        self.id_fields = ID_FIELDS if options.id_field is None else (options.id_field,)
        self.title_field = "title" if options.title_field is None else options.title_field
        self.text_field = "text" if options.text_field is None else options.text_field

    def document(
        self, record: Mapping[str, object], place: str, *, default_id: str | None = None
    ) -> Document:
        """Make the document that a record is.

        Parameters
        ----------
        record
            Its fields.
        place
            ``path:line``, for messages and the document's origin.
        default_id
            Id of a record that has none; ``None`` makes that an error.

        Raises
        ------
        CorpusError
            If the id or the text is missing or of a wrong kind; says which option names it.
        """
        id_field = next((name for name in self.id_fields if record.get(name) is not None), None)
        doc_id = self._doc_id(record, id_field, place, default_id)
        if self.text_field not in record:
            raise CorpusError(_missing(self.text_field, place, "text_field", record))
        text = _text(record[self.text_field], self.text_field, place)
        title = _text(record.get(self.title_field), self.title_field, place)
        used = {id_field, self.title_field, self.text_field}
        url = web_address(record.get(_URL_FIELD))
        if url is not None:
            used.add(_URL_FIELD)
        return Document(
            doc_id,
            clean_line(title),
            clean_text(text),
            url=url,
            metadata=flatten_metadata({k: v for k, v in record.items() if k not in used}),
            origin=place,
        )

    def _doc_id(
        self, record: Mapping[str, object], field: str | None, place: str, default: str | None
    ) -> str:
        value = default if field is None else record[field]
        if value is None:
            raise CorpusError(_missing(self.id_fields[0], place, "id_field", record))
        if isinstance(value, bool) or not isinstance(value, str | int):
            found = type(value).__name__
            raise CorpusError(
                f"{place}: field {field!r} must be a string or an integer, found {found}"
            )
        doc_id = clean_name(str(value))
        if not doc_id.strip():
            raise CorpusError(f"{place}: field {field!r} is empty; every document needs an id")
        return doc_id


def _missing(field: str, place: str, option: str, record: Mapping[str, object]) -> str:
    flag = "--" + option.replace("_", "-")
    there = ", ".join(repr(clean_line(str(name)))[:40] for name in list(record)[:8]) or "none"
    return f"{place}: no field {field!r}; set {flag} to the field that holds it (found {there})"


def _text(value: object, field: str, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n\n".join(value)
    if isinstance(value, int | float):
        return str(value)
    found = type(value).__name__
    raise CorpusError(f"{place}: field {field!r} must be text, found {found}")
