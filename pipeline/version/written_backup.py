"""The write log inside a backup: JSON Lines, so that restoring runs nothing the file brings.

::

    {"settled": 7, "sequence": 9, "settings": {...}}
    {"sequence": 3, "doc_id": "a", "document": {"title": ..., "text": ...}}
    {"sequence": 9, "doc_id": "b", "document": null}

The last word on every document written through the API, deletions included; up to ``settled`` the
version backed up with it holds them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from ingest.documents import Document
from ingest.errors import IndexCorruptError
from pipeline.version.archive import MemberDigest
from pipeline.version.write_log import WriteLog
from pipeline.version.write_snapshot import Snapshot
from pipeline.version.writes import KeptWrite, Write

__all__ = ["WRITES_NAME", "check_writes", "dump_writes", "load_writes"]

WRITES_NAME = "state/writes.jsonl"
# Of SQLite's 63 bits, so many that others can follow.
_LAST_SEQUENCE = 1 << 62


def dump_writes(
    snapshot: Snapshot, marker: Mapping[str, object], target: IO[bytes]
) -> MemberDigest:
    """Write a log into a file.

    Parameters
    ----------
    marker
        What the version backed up with it says it holds of the log.
    """
    digest = hashlib.sha256()
    n_bytes = 0
    head: dict[str, object] = {
        "settled": snapshot.applied(marker),
        "sequence": snapshot.sequence,
        "settings": snapshot.settings,
    }
    for line in _lines(head, snapshot):
        target.write(line)
        digest.update(line)
        n_bytes += len(line)
    return MemberDigest(n_bytes, digest.hexdigest())


def _lines(head: Mapping[str, object], snapshot: Snapshot) -> Iterator[bytes]:
    yield _line(head)
    for kept in snapshot.written():
        text = kept.write.to_json()
        yield _line(
            {
                "sequence": kept.sequence,
                "doc_id": kept.write.doc_id,
                "document": None if text is None else json.loads(text),
            }
        )


def _line(content: Mapping[str, object]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def check_writes(source: IO[bytes]) -> None:
    """Read a file written by `dump_writes` to its end.

    Raises
    ------
    IndexCorruptError
        If it makes no sense.
    """
    head = _Head.read(source)
    for _ in _kept(source, head.sequence):
        pass


def load_writes(log: WriteLog, source: IO[bytes], *, pending_after: int = 0) -> None:
    """Put in a log what a file written by `dump_writes` says.

    What the file's version did not hold yet waits to be indexed then.

    Parameters
    ----------
    pending_after
        Of what the log held, only what was written after this number stays.

    Raises
    ------
    IndexCorruptError
        If the file makes no sense; the log stays as it was.
    IndexFolderError
        If the disk fails; the log stays as it was.
    """
    head = _Head.read(source)
    log.refill(
        _kept(source, head.sequence),
        settled=head.settled,
        sequence=head.sequence,
        settings=head.settings,
        pending_after=pending_after,
    )


@dataclass(frozen=True, slots=True)
class _Head:
    """The file's first line."""

    settled: int
    sequence: int
    settings: dict[str, Any]

    @classmethod
    def read(cls, source: IO[bytes]) -> _Head:
        content = _object(source.readline())
        settled, sequence, settings = (
            content.get(name) for name in ("settled", "sequence", "settings")
        )
        if (
            type(settled) is not int
            or type(sequence) is not int
            or not 0 <= settled <= sequence <= _LAST_SEQUENCE
            or not isinstance(settings, dict)
        ):
            raise IndexCorruptError("its write log does not say what it holds")
        return cls(settled, sequence, settings)


def _kept(source: IO[bytes], last: int) -> Iterator[KeptWrite]:
    before = 0
    for line in source:
        content = _object(line)
        sequence, doc_id = content.get("sequence"), content.get("doc_id")
        if type(sequence) is not int or not before < sequence <= last:
            raise IndexCorruptError("its write log is out of order")
        if not isinstance(doc_id, str) or not doc_id:
            raise IndexCorruptError("its write log holds a document without an id")
        before = sequence
        yield KeptWrite(sequence, Write(doc_id, _document(doc_id, content.get("document"))))


def _document(doc_id: str, content: object) -> Document | None:
    if content is None:
        return None
    found = Write.from_json(doc_id, json.dumps(content)).document
    if found is None or not (
        isinstance(found.title, str)
        and isinstance(found.text, str)
        and isinstance(found.url, str | None)
        and isinstance(found.metadata, dict)
        and all(isinstance(name, str) for name in found.names)
    ):
        raise IndexCorruptError(f"its write log holds a damaged document {doc_id[:100]!r}")
    return found


def _object(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise IndexCorruptError("its write log makes no sense") from error
    if not isinstance(content, dict):
        raise IndexCorruptError("its write log makes no sense")
    return content
