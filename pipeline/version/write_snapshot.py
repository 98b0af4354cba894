"""The write log at one moment, laid over the documents of a version or of the sources."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ingest.documents import Document
from pipeline.version.write_tables import fact, last_sequence, log_errors
from pipeline.version.writes import KeptWrite, Write, parse_document

__all__ = ["Snapshot", "marker_of"]


class Snapshot:
    """The write log at one moment; use it while the block that gave it lasts.

    Parameters
    ----------
    connection
        With a transaction begun; ``None`` where there is no log.
    path
        The log's file, for messages.
    """

    def __init__(self, connection: sqlite3.Connection | None, path: Path) -> None:
        self._connection = connection
        self._path = path
        self.log = fact(connection, "log") if connection else None
        self.sequence = 0
        self._settled = 0
        if connection is not None:
            self.sequence = last_sequence(connection)
            self._settled = int(fact(connection, "settled") or 0)

    @property
    def marker(self) -> dict[str, object]:
        """What a version says that holds all of this; empty where there is no log."""
        return {} if self.log is None else {"log": self.log, "sequence": self.sequence}

    @property
    def settings(self) -> dict[str, Any]:
        """What a collection that has no version yet is to be built with."""
        found = fact(self._connection, "settings") if self._connection else None
        return dict(json.loads(found)) if found else {}

    def applied(self, marker: Mapping[str, object]) -> int:
        """Up to which number the current version, which says ``marker``, holds the log.

        What was published once counts as applied: a version activated in its stead was chosen.
        """
        said = marker.get("sequence")
        own = marker.get("log") == self.log and isinstance(said, int)
        return max(self._settled, said if own and isinstance(said, int) else 0)

    def has_writes(self, after: int = 0) -> bool:
        """Whether any document was written since."""
        return bool(self._rows("SELECT 1 FROM writes WHERE sequence > ? LIMIT 1", after))

    def laid_over(self, documents: Iterable[Document], after: int = 0) -> Iterator[Document]:
        """Documents as they are once what was written after a number holds, streamed."""
        written = {
            row[0] for row in self._rows("SELECT doc_id FROM writes WHERE sequence > ?", after)
        }
        for document in documents:
            if document.doc_id not in written:
                yield document
        if self._connection is not None:
            with log_errors(self._path):
                for doc_id, text in self._connection.execute(
                    "SELECT doc_id, document FROM writes WHERE sequence > ?", (after,)
                ):
                    if text is not None:
                        yield parse_document(doc_id, text)

    def written(self) -> Iterator[KeptWrite]:
        """Everything ever written, the last word on each document, by ascending number."""
        if self._connection is not None:
            with log_errors(self._path):
                for sequence, doc_id, text in self._connection.execute(
                    "SELECT sequence, doc_id, document FROM writes ORDER BY sequence"
                ):
                    yield KeptWrite(sequence, Write.from_json(doc_id, text))

    def _rows(self, sql: str, *parameters: object) -> list[Any]:
        if self._connection is None:
            return []
        with log_errors(self._path):
            return self._connection.execute(sql, parameters).fetchall()


def marker_of(settings: Mapping[str, object]) -> Mapping[str, object]:
    """What a version's settings say it holds of a write log; empty where they say nothing."""
    marker = settings.get("writes")
    return marker if isinstance(marker, Mapping) else {}
