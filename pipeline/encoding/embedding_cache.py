"""Embeddings by content: a passage met before is never encoded again.

The key is a SHA-256 over the encoder's fingerprint (precision included) and the passage's hash,
so another model, or one changed word, is another entry. Each batch is committed as it is
encoded: a killed run goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from encoders.protocol import Embeddings
from ingest.errors import IndexFolderError

__all__ = ["EmbeddingCache"]

_BATCH = 500


class EmbeddingCache:
    """The embedding cache of one collection, for one encoder; use as a context manager.

    Parameters
    ----------
    folder
        The collection's cache folder; made when absent.
    fingerprint
        Fingerprint of the encoder whose embeddings are wanted.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._fingerprint = fingerprint.encode()
        self._path = folder / "embeddings.sqlite"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise self._failure(error) from error
            self._connection = self._open_anew()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS embeddings"
                " (key BLOB PRIMARY KEY, embedding BLOB NOT NULL) WITHOUT ROWID"
            )
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_anew(self) -> sqlite3.Connection:
        """Throw a damaged cache away: everything in it can be computed again."""
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        try:
            return self._open()
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.Error) -> IndexFolderError:
        return IndexFolderError(
            f"the embedding cache {self._path} failed: {error}; the published version is untouched"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def key(self, passage_hash: str) -> bytes:
        """Key of a passage under this encoder."""
        return hashlib.sha256(self._fingerprint + b":" + passage_hash.encode()).digest()

    def get(self, keys: Sequence[bytes], dimension: int) -> dict[bytes, Embeddings]:
        """Embeddings known for the given keys, each float32 of shape (dimension,)."""
        try:
            return self._known(keys, dimension)
        except sqlite3.OperationalError as error:
            raise self._failure(error) from error
        except sqlite3.DatabaseError:
            self._connection.close()
            self._connection = self._open_anew()
            return {}

    def _known(self, keys: Sequence[bytes], dimension: int) -> dict[bytes, Embeddings]:
        found: dict[bytes, Embeddings] = {}
        n_bytes = dimension * np.dtype(np.float32).itemsize
        for begin in range(0, len(keys), _BATCH):
            part = list(keys[begin : begin + _BATCH])
            marks = ",".join("?" * len(part))
            for key, embedding in self._connection.execute(
                f"SELECT key, embedding FROM embeddings WHERE key IN ({marks})",  # noqa: S608
                part,
            ):
                # Another size is damage: the passage is encoded again.
                if len(embedding) == n_bytes:
                    found[key] = np.frombuffer(embedding, np.float32)
        return found

    def put(self, embeddings: Mapping[bytes, Embeddings]) -> None:
        """Keep embeddings; durable when this returns."""
        try:
            with self._connection:
                self._connection.executemany(
                    "INSERT OR REPLACE INTO embeddings VALUES (?, ?)",
                    [(key, embedding.tobytes()) for key, embedding in embeddings.items()],
                )
        except sqlite3.Error as error:
            raise self._failure(error) from error
