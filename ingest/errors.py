"""Every error Trine raises on purpose, in one tree.

::

    TrineError(Exception)                    one line on standard error, exit status 1
    ├── CorpusError(ValueError)              a source cannot be read or makes no sense: where
    │   ├── DuplicateDocumentError           two documents share an id: both places
    │   └── EmptyCorpusError                 a source holds no document
    ├── EncoderError                         an encoder cannot do its work
    │   ├── NotFittedError(ValueError)       encode before fit: which encoder
    │   └── ModelNotFoundError(LookupError)  a model is missing or altered: what to install
    ├── IndexFolderError                     something is wrong with the data folder
    │   ├── IndexNotFoundError(LookupError)  no such collection or version: path and command
    │   ├── IndexVersionError                written in another format: found and supported
    │   ├── IndexCorruptError                a file is missing or altered: which, and what to do
    │   ├── IndexLockedError                 another writer holds the collection: who
    │   ├── WriteLogFullError                too many writes wait to be indexed: how many
    │   └── DimensionMismatchError(ValueError)  both numbers
    ├── QueryTimeoutError                    a query takes longer than it may
    ├── QueryError(ValueError)               a parameter of a query: which, and what is allowed
    └── DocumentNotFoundError(LookupError)   no document has this id

Each is also the fitting builtin. A library's own error is wrapped in the one module that
imports the library. Messages are one line: what was wrong, the value, what would be right.
"""

from __future__ import annotations

__all__ = [
    "CorpusError",
    "DimensionMismatchError",
    "DocumentNotFoundError",
    "DuplicateDocumentError",
    "EmptyCorpusError",
    "EncoderError",
    "IndexCorruptError",
    "IndexFolderError",
    "IndexLockedError",
    "IndexNotFoundError",
    "IndexVersionError",
    "ModelNotFoundError",
    "NotFittedError",
    "QueryError",
    "QueryTimeoutError",
    "TrineError",
    "WriteLogFullError",
]


class TrineError(Exception):
    """Anything Trine raises on purpose; its message is one line meant for the user."""

    parameter: str | None = None
    """The offending parameter as the JSON API names it, where one is known."""


class CorpusError(TrineError, ValueError):
    """A source cannot be read, or its content makes no sense; names file and line."""


class DuplicateDocumentError(CorpusError):
    """Two documents share an id; names both places.

    Parameters
    ----------
    doc_id
        The id.
    first_origin, second_origin
        Where each was read.

    Examples
    --------
    >>> str(DuplicateDocumentError("7", "a.jsonl:1", "b.jsonl:9"))
    "two documents have the id '7': a.jsonl:1 and b.jsonl:9"
    """

    def __init__(self, doc_id: str, first_origin: str, second_origin: str) -> None:
        super().__init__(
            f"two documents have the id {doc_id!r}: {first_origin} and {second_origin}"
        )


class EmptyCorpusError(CorpusError):
    """A source holds no document at all."""


class EncoderError(TrineError):
    """An encoder cannot do its work."""


class NotFittedError(EncoderError, ValueError):
    """An encoder was asked to encode before it was fitted."""


class ModelNotFoundError(EncoderError, LookupError):
    """A model is missing, altered or in a form that is refused; says what to install."""


class IndexFolderError(TrineError):
    """Something is wrong with the data folder."""


class IndexNotFoundError(IndexFolderError, LookupError):
    """There is no such collection or version; names the path and the command that makes one."""


class IndexVersionError(IndexFolderError):
    """A version was written in a format this release does not read."""


class IndexCorruptError(IndexFolderError):
    """A file of a version is missing or altered."""


class IndexLockedError(IndexFolderError):
    """Another process is writing this collection."""


class WriteLogFullError(IndexFolderError):
    """So many accepted writes wait to be indexed that no more are taken for now."""


class DimensionMismatchError(IndexFolderError, ValueError):
    """Embeddings of one width met an index of another."""


class QueryError(TrineError, ValueError):
    """A parameter of a query is not allowed.

    Parameters
    ----------
    message
        One line: what was wrong, the value, what would be right.
    parameter
        The offending parameter as the JSON API names it, or ``None``.
    """

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class QueryTimeoutError(TrineError):
    """A query takes longer than it may."""


class DocumentNotFoundError(TrineError, LookupError):
    """No document of the version has this id."""
