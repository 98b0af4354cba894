"""What a reader of sources may be told: which fields to read, which files to leave out."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SourceOptions"]


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How sources are read.

    Parameters
    ----------
    id_field, title_field, text_field
        Fields of a JSON line, or columns of a table, that hold a document's id, title and
        text. ``None`` means ``_id`` (or ``id``), ``title`` and ``text``.
    excludes
        Patterns of files and folders to leave out, written as in ``.gitignore`` and relative
        to the source.

    Examples
    --------
    >>> SourceOptions(text_field="abstract", excludes=("drafts/",)).text_field
    'abstract'
    """

    id_field: str | None = None
    title_field: str | None = None
    text_field: str | None = None
    excludes: tuple[str, ...] = ()
