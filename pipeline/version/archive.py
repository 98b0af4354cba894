"""The file a backup is: a tar archive of regular files alone, in a fixed order.

::

    backup.json                       {"format", "collection", "current", "versions", ...}
    versions/<id>/manifest.json       of every version
    state/quality|tuning/<id>.json    what is known about them, where anything is
    state/writes.jsonl                the write log, where there is one
    state/judgments.zip               what people judged, where anybody did
    versions/<id>/<path>              every file once: one that versions share only under the first

``.tar`` is written as it is, ``.tar.gz`` and ``.tgz`` through gzip, ``.tar.zst`` through Zstandard
where Python has it (3.14). A reader goes by the first bytes, not by the name.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from ingest.errors import IndexCorruptError, IndexFolderError

__all__ = ["ArchiveReader", "MemberDigest", "add_bytes", "read_archive", "write_archive"]

_GZIP, _ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# A fast level: embeddings hardly shrink, texts do at once.
_GZIP_LEVEL = 1
_LONGEST_NAME_BYTES = 4096


@contextlib.contextmanager
def write_archive(target: IO[bytes], name: str) -> Iterator[tarfile.TarFile]:
    """Open a tar archive for writing, compressed as ``name`` says.

    Raises
    ------
    IndexFolderError
        If the name ends in none of the known ways.
    """
    with contextlib.ExitStack() as stack:
        if name.endswith((".tar.gz", ".tgz")):
            stream: Any = gzip.GzipFile("", "wb", _GZIP_LEVEL, target)
        elif name.endswith(".tar.zst"):
            stream = _zstandard().open(target, "wb")
        elif name.endswith(".tar"):
            stream = contextlib.nullcontext(target)
        else:
            raise IndexFolderError(
                f"{name}: a backup's name ends in .tar, .tar.gz, .tgz or .tar.zst"
            )
        opened = stack.enter_context(stream)
        # GNU's format writes a file of any size without a record besides.
        yield stack.enter_context(
            tarfile.open(fileobj=opened, mode="w|", format=tarfile.GNU_FORMAT, encoding="utf-8")
        )


def add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a small file."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


@dataclass(frozen=True, slots=True)
class MemberDigest:
    """Size and SHA-256 of a member that no manifest lists; the header names them."""

    n_bytes: int
    sha256: str

    def to_json(self) -> dict[str, object]:
        """The same as JSON-ready values."""
        return {"bytes": self.n_bytes, "sha256": self.sha256}

    @classmethod
    def of(cls, content: bytes) -> MemberDigest:
        """The digest of a small member."""
        return cls(len(content), hashlib.sha256(content).hexdigest())

    @classmethod
    def from_json(cls, content: Any) -> MemberDigest:  # noqa: ANN401
        """The digest a header names.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it names none that can be.
        """
        n_bytes, sha256 = content["bytes"], content["sha256"]
        if type(n_bytes) is not int or n_bytes < 0 or not isinstance(sha256, str):
            raise ValueError("a size or checksum makes no sense")
        return cls(n_bytes, sha256)


class _PlainMember(tarfile.TarInfo):
    """A regular file: anything else is refused before tarfile makes sense of it.

    Links, devices and folders have no place in a backup; extended headers would be read into
    memory at whatever size they claim.
    """

    def _proc_member(self, archive: tarfile.TarFile) -> Self:
        is_name = self.type == tarfile.GNUTYPE_LONGNAME and self.size <= _LONGEST_NAME_BYTES
        if not is_name and self.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise IndexCorruptError(f"it holds {self.name[:100]!r}, which is no regular file")
        member: Self = super()._proc_member(archive)  # type: ignore[misc]
        return member


class ArchiveReader:
    """An archive's members, one after the other."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def __iter__(self) -> Iterator[tuple[str, int, IO[bytes]]]:
        """Name, size in bytes and content of each member; read it before the next."""
        while (member := self._archive.next()) is not None:
            content = self._archive.extractfile(member)
            if content is None or member.size < 0:
                raise IndexCorruptError(f"it holds {member.name[:100]!r}, which is no regular file")
            yield member.name, member.size, content
            # tarfile remembers every member it met; a stream never goes back to one.
            self._archive.members.clear()  # type: ignore[attr-defined]


@contextlib.contextmanager
def read_archive(path: Path) -> Iterator[ArchiveReader]:
    """Open a backup for reading from front to end.

    Raises
    ------
    IndexFolderError
        If the file cannot be opened.
    IndexCorruptError
        If it is no archive, is cut short, or holds anything but regular files.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            first = file.read(4)
            file.seek(0)
        except OSError as error:
            raise IndexFolderError(f"cannot read {path}: {error.strerror}") from error
        try:
            stream: Any = file
            if first.startswith(_GZIP):
                stream = stack.enter_context(gzip.GzipFile(fileobj=file, mode="rb"))
            elif first == _ZSTANDARD:
                stream = stack.enter_context(_zstandard().open(file, "rb"))
            opened = tarfile.open(fileobj=stream, mode="r|", tarinfo=_PlainMember, encoding="utf-8")  # noqa: SIM115
            yield ArchiveReader(stack.enter_context(opened))
        except IndexCorruptError as error:
            raise IndexCorruptError(f"{path} cannot be restored: {error}") from error
        except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise IndexCorruptError(f"{path} cannot be restored: {error}") from error


def _zstandard() -> Any:  # noqa: ANN401
    try:
        return importlib.import_module("compression.zstd")
    except ImportError as error:
        raise IndexFolderError(
            "this Python has no Zstandard (3.14 has): use .tar.gz, or unpack with zstd -d"
        ) from error
