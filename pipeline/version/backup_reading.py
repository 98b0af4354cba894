"""Read a backup, which is not trusted: every byte is checked on its way to the disk.

Only files that a manifest in it lists are written, each once, at the path the manifest gives it
inside the version's own folder, and no more bytes than the manifests name; anything else in the
archive ends the reading before a byte of it is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ingest.errors import (
    IndexCorruptError,
    IndexVersionError,
    QueryError,
)
from pipeline.version.archive import ArchiveReader, MemberDigest
from pipeline.version.backup import BACKUP_FORMAT, HEADER_NAME
from pipeline.version.collection import CollectionFolder, is_version_id
from pipeline.version.judged_backup import JUDGMENTS_NAME, parse_judgments
from pipeline.version.judgments import Judged
from pipeline.version.manifest import MANIFEST_NAME, Manifest, parse_manifest
from pipeline.version.written_backup import WRITES_NAME, check_writes

__all__ = ["Backup", "Member", "read_files", "read_header", "read_manifests"]

_READ_FORMATS = (1, BACKUP_FORMAT)
_READ_BYTES = 1 << 20
# A manifest grows with its sources and synonyms, a report with its folds.
_MOST_BYTES_BESIDE = 64 << 20
_MOST_VERSIONS = 1000

Member = tuple[str, int, IO[bytes]]


@dataclass(slots=True)
class Backup:
    """What an archive says it holds, and what of it has been met."""

    collection: str
    current: str
    versions: list[str]
    writes: MemberDigest | None
    judgments: MemberDigest | None
    judged: Judged | None = None
    manifests: dict[str, tuple[Manifest, bytes]] = field(default_factory=dict)
    remarks: dict[str, bytes] = field(default_factory=dict)
    stored: dict[str, Path] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        """How many bytes the files may hold together."""
        beside = sum(one.n_bytes for one in (self.writes, self.judgments) if one is not None)
        return beside + sum(manifest.total_bytes for manifest, _ in self.manifests.values())


def read_header(members: Iterator[Member]) -> Backup:
    """Read what an archive says it holds.

    Raises
    ------
    IndexCorruptError, IndexVersionError
        If it makes no sense, or is of another format.
    """
    raw = _small(next(members, None), HEADER_NAME)
    try:
        content: Any = json.loads(raw)
        found = content["format"]
        if found not in _READ_FORMATS:
            raise IndexVersionError(
                f"the backup is written in format {found!r}; this release reads formats up to "
                f"{BACKUP_FORMAT}: restore it with the release that wrote it"
            )
        writes, judgments = content.get("writes"), content.get("judgments")
        backup = Backup(
            content["collection"],
            content["current"],
            list(content["versions"]),
            None if writes is None else MemberDigest.from_json(writes),
            None if judgments is None else MemberDigest.from_json(judgments),
        )
        CollectionFolder(Path(), backup.collection)
    except (ValueError, RecursionError, KeyError, TypeError, QueryError) as error:
        raise IndexCorruptError(f"its {HEADER_NAME} makes no sense: {error}") from error
    versions = backup.versions
    if (
        not 0 < len(versions) <= _MOST_VERSIONS
        or not all(isinstance(version, str) and is_version_id(version) for version in versions)
        or len(set(versions)) != len(versions)
        or backup.current not in versions
    ):
        raise IndexCorruptError(f"its {HEADER_NAME} names versions that cannot be")
    return backup


def read_manifests(members: Iterator[Member], backup: Backup) -> None:
    """Read the manifests, which follow the header.

    Raises
    ------
    IndexCorruptError, IndexVersionError
        If one is missing, or not what a version's manifest is.
    """
    for version in backup.versions:
        name = f"versions/{version}/{MANIFEST_NAME}"
        raw = _small(next(members, None), name)
        manifest = parse_manifest(raw, Path(name))
        if manifest.version != version:
            raise IndexCorruptError(f"{name} is of version {manifest.version[:100]!r}")
        if MANIFEST_NAME in manifest.files or manifest.total_bytes < 0:
            raise IndexCorruptError(f"{name} lists what no manifest lists")
        backup.manifests[version] = manifest, raw


def read_files(
    archive: ArchiveReader,
    backup: Backup,
    building: dict[str, Path],
    writes: IO[bytes],
    progress: Callable[[int], None],
) -> None:
    """Read all that follows, checking each byte against the manifests.

    Parameters
    ----------
    building
        Folder of each version, where its files are written.
    writes
        Where the write log goes; stands at its beginning then.
    progress
        Told how many bytes more were read.

    Raises
    ------
    IndexCorruptError
        If anything is altered, missing, or not listed.
    """
    expected = {
        f"versions/{version}/{name}": (building[version] / name, sha256)
        for version, (manifest, _) in backup.manifests.items()
        for name, sha256 in manifest.files.items()
    }
    beside = _readers_beside(backup, writes, progress)
    needed = beside.keys() & {WRITES_NAME, JUDGMENTS_NAME}
    left = sum(manifest.total_bytes for manifest, _ in backup.manifests.values())
    for name, size, content in archive:
        if (read := beside.pop(name, None)) is not None:
            read((name, size, content))
            continue
        if name not in expected:
            raise IndexCorruptError(f"it holds {name[:100]!r}, which no manifest in it lists")
        path, sha256 = expected.pop(name)
        left -= size
        if left < 0:
            raise IndexCorruptError(f"{name} holds more than its manifest says")
        if _extract(content, path, progress) != sha256:
            raise IndexCorruptError(f"{name} is altered")
        backup.stored[sha256] = path
    if missing := sorted(needed & beside.keys()):
        raise IndexCorruptError(f"{missing[0]} is missing")
    for name, (path, sha256) in expected.items():
        if sha256 not in backup.stored:
            raise IndexCorruptError(f"{name} is missing")
        path.parent.mkdir(parents=True, exist_ok=True)
        _link(backup.stored[sha256], path)


def _readers_beside(
    backup: Backup, writes: IO[bytes], progress: Callable[[int], None]
) -> dict[str, Callable[[Member], None]]:
    """What to do with each member that no manifest lists; each may come once."""

    def read_remark(member: Member) -> None:
        backup.remarks[member[0]] = _small(member, member[0])

    def read_writes(member: Member) -> None:
        _, size, content = member
        if backup.writes is None or size != backup.writes.n_bytes:
            raise IndexCorruptError(f"{WRITES_NAME} is not as large as it should be")
        if _copy(content, writes, progress) != backup.writes.sha256:
            raise IndexCorruptError(f"{WRITES_NAME} is altered")
        writes.seek(0)
        check_writes(writes)
        writes.seek(0)

    def read_judgments(member: Member) -> None:
        raw = _small(member, JUDGMENTS_NAME)
        if backup.judgments != MemberDigest.of(raw):
            raise IndexCorruptError(f"{JUDGMENTS_NAME} is altered")
        backup.judged = parse_judgments(raw)

    readers: dict[str, Callable[[Member], None]] = {
        f"state/{kind}/{version}.json": read_remark
        for version in backup.versions
        for kind in ("quality", "tuning")
    }
    if backup.writes is not None:
        readers[WRITES_NAME] = read_writes
    if backup.judgments is not None:
        readers[JUDGMENTS_NAME] = read_judgments
    return readers


def _small(member: Member | None, expected: str) -> bytes:
    if member is None or member[0] != expected:
        raise IndexCorruptError(f"it holds no {expected} where a backup has it")
    _, size, content = member
    if size > _MOST_BYTES_BESIDE:
        raise IndexCorruptError(f"its {expected} is {size:,} bytes large")
    raw = content.read()
    if len(raw) != size:
        raise IndexCorruptError(f"it ends within {expected}")
    return raw


def _extract(content: IO[bytes], path: Path, progress: Callable[[int], None]) -> str:
    """Write a member's bytes into a new file; returns their SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        return _copy(content, file, progress)


def _copy(content: IO[bytes], target: IO[bytes], progress: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    while block := content.read(_READ_BYTES):
        digest.update(block)
        target.write(block)
        progress(len(block))
    return digest.hexdigest()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
