"""Back up a collection while it is served and written.

A version never changes, so a consistent copy needs no writer to wait: it only must not be pruned
while it is read, and that is what holding it is for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from ingest.errors import IndexCorruptError, IndexFolderError, IndexNotFoundError
from pipeline.version.archive import MemberDigest, add_bytes, write_archive
from pipeline.version.collection import CollectionFolder
from pipeline.version.hold import VersionHold, hold_version
from pipeline.version.judged_backup import JUDGMENTS_NAME, dump_judgments
from pipeline.version.manifest import MANIFEST_NAME, Manifest
from pipeline.version.write_log import WriteLog
from pipeline.version.write_snapshot import marker_of
from pipeline.version.written_backup import WRITES_NAME, dump_writes

__all__ = ["BACKUP_FORMAT", "HEADER_NAME", "BackupSummary", "back_up"]

# 1 had neither write log nor judgments.
BACKUP_FORMAT = 2
HEADER_NAME = "backup.json"


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """What a backup holds.

    Parameters
    ----------
    versions
        Ids, oldest first.
    n_bytes
        Size of the file written.
    """

    collection: str
    current: str
    versions: list[str]
    path: Path
    n_bytes: int


def back_up(
    collection: CollectionFolder,
    target: Path,
    *,
    all_versions: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> BackupSummary:
    """Write a collection's current version, or all, its write log and judgments into one file.

    The file is written aside and takes its name, in place of any file there, only when it is
    complete. Every byte is held against the manifest on the way, so a backup is never of a
    damaged version.

    Parameters
    ----------
    target
        Its name ends in .tar, .tar.gz, .tgz or .tar.zst.
    progress
        Told how many bytes more were read.

    Raises
    ------
    IndexNotFoundError
        If there is no such collection.
    IndexCorruptError
        If a version to be backed up is damaged.
    CorpusError
        If the judgments make no sense.
    IndexFolderError
        If the file cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    with contextlib.ExitStack() as stack:
        current, held = _hold_current(collection)
        stack.enter_context(held)
        versions = [current]
        if all_versions:
            others = [version for version in collection.versions() if version != current]
            for version in others:
                with contextlib.suppress(IndexNotFoundError):
                    stack.enter_context(hold_version(collection.versions_path / version))
                    versions.append(version)
        versions.sort()
        manifests = {version: collection.manifest(version) for version in versions}
        try:
            with temporary.open("wb") as file:
                # The log after the version is held: it knows at least what the version knows.
                writes = stack.enter_context(_written(collection, manifests[current], target))
                with write_archive(file, target.name) as archive:
                    _write(archive, collection, current, manifests, writes, progress)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except OSError as error:
            raise IndexFolderError(f"cannot write {target}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    return BackupSummary(collection.name, current, versions, target, target.stat().st_size)


def _hold_current(collection: CollectionFolder) -> tuple[str, VersionHold]:
    while True:
        current = collection.current()
        try:
            return current, hold_version(collection.version_path(current))
        except IndexNotFoundError:
            # Pruned since it was current: another was published meanwhile.
            if collection.current() == current:
                raise


@dataclass(frozen=True, slots=True)
class _Writes:
    """The write log, ready to be added."""

    digest: MemberDigest
    content: IO[bytes]


@contextlib.contextmanager
def _written(
    collection: CollectionFolder, manifest: Manifest, target: Path
) -> Iterator[_Writes | None]:
    log = WriteLog(collection)
    if not log.exists():
        yield None
        return
    # An archive says how long a file is before the file: it is written aside first.
    with tempfile.TemporaryFile(dir=target.parent) as file:
        with log.snapshot() as snapshot:
            digest = dump_writes(snapshot, marker_of(manifest.settings), file)
        file.seek(0)
        yield _Writes(digest, file)


def _write(
    archive: tarfile.TarFile,
    collection: CollectionFolder,
    current: str,
    manifests: dict[str, Manifest],
    writes: _Writes | None,
    progress: Callable[[int], None],
) -> None:
    judgments = dump_judgments(collection)
    header = {
        "format": BACKUP_FORMAT,
        "collection": collection.name,
        "current": current,
        "versions": list(manifests),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "writes": None if writes is None else writes.digest.to_json(),
        "judgments": None if judgments is None else MemberDigest.of(judgments).to_json(),
    }
    add_bytes(archive, HEADER_NAME, json.dumps(header, indent=1).encode())
    for version in manifests:
        path = collection.versions_path / version / MANIFEST_NAME
        add_bytes(archive, f"versions/{version}/{MANIFEST_NAME}", path.read_bytes())
    for version in manifests:
        for kind, path in (
            ("quality", collection.quality_path(version)),
            ("tuning", collection.tuning_path(version)),
        ):
            with contextlib.suppress(FileNotFoundError):
                add_bytes(archive, f"state/{kind}/{version}.json", path.read_bytes())
    if writes is not None:
        member = tarfile.TarInfo(WRITES_NAME)
        member.size = writes.digest.n_bytes
        archive.addfile(member, writes.content)
    if judgments is not None:
        add_bytes(archive, JUDGMENTS_NAME, judgments)
    written: set[str] = set()
    for version, manifest in manifests.items():
        for name, sha256 in manifest.files.items():
            if sha256 not in written:
                path = collection.versions_path / version / name
                _add_file(archive, path, f"versions/{version}/{name}", sha256, progress)
                written.add(sha256)


def _add_file(
    archive: tarfile.TarFile,
    path: Path,
    name: str,
    sha256: str,
    progress: Callable[[int], None],
) -> None:
    try:
        with path.open("rb") as file:
            member = tarfile.TarInfo(name)
            member.size = os.fstat(file.fileno()).st_size
            watched = _HashedReader(file, progress)
            archive.addfile(member, watched)
    except FileNotFoundError as error:
        raise IndexCorruptError(f"{path} is missing: nothing was backed up") from error
    if watched.digest.hexdigest() != sha256:
        raise IndexCorruptError(f"{path} is altered: nothing was backed up")


class _HashedReader:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes], progress: Callable[[int], None]) -> None:
        self._file = file
        self._progress = progress
        self.digest = hashlib.sha256()

    def read(self, n_bytes: int = -1) -> bytes:
        """Read so many bytes at most."""
        content = self._file.read(n_bytes)
        self.digest.update(content)
        self._progress(len(content))
        return content
