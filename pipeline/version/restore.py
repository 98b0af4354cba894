"""Bring a collection back from a backup: every byte is checked before anything is published.

A backup is not trusted. Only files that a manifest in it lists are written, each once, at the
path the manifest gives it inside the version's own folder, and no more bytes than the manifests
name; anything else in the archive ends the restoring before a byte of it is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ingest.errors import (
    CorpusError,
    IndexCorruptError,
    IndexFolderError,
    IndexVersionError,
    QueryError,
    TrineError,
)
from pipeline.version.archive import ArchiveReader, MemberDigest, read_archive
from pipeline.version.backup import BACKUP_FORMAT, HEADER_NAME
from pipeline.version.collection import CollectionFolder, is_version_id
from pipeline.version.judged_backup import JUDGMENTS_NAME, parse_judgments
from pipeline.version.judgments import Judged, JudgmentFolder
from pipeline.version.manifest import MANIFEST_NAME, Manifest, parse_manifest, verify_files
from pipeline.version.open_version import open_version
from pipeline.version.write_log import WriteLog
from pipeline.version.write_snapshot import marker_of
from pipeline.version.written_backup import WRITES_NAME, check_writes, load_writes

__all__ = ["RestoreSummary", "restore"]

_READ_FORMATS = (1, BACKUP_FORMAT)
_READ_BYTES = 1 << 20
# A manifest grows with its sources and synonyms, a report with its folds.
_MOST_BYTES_BESIDE = 64 << 20
_MOST_VERSIONS = 1000

Member = tuple[str, int, IO[bytes]]


@dataclass(frozen=True, slots=True)
class RestoreSummary:
    """What was brought back.

    Parameters
    ----------
    versions
        Ids, oldest first.
    n_documents
        Documents of the current one.
    """

    collection: str
    current: str
    versions: list[str]
    n_documents: int


@dataclass(slots=True)
class _Backup:
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


def restore(
    source: Path,
    data_dir: Path,
    *,
    name: str | None = None,
    replace: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> RestoreSummary:
    """Restore a backup as a collection and make the version that was current so again.

    Parameters
    ----------
    name
        Name of the collection; the one it had when ``None``.
    replace
        Whether a collection of this name may be there. Its other versions stay, so that
        ``trine versions activate`` takes it back, until they are pruned; of its write log
        stays what waits to be indexed, and of judgments its own, where it has any.
    progress
        Told how many bytes more were read.

    Raises
    ------
    IndexFolderError
        If there is such a collection already, or the disk fails or is too small.
    IndexCorruptError, IndexVersionError
        If the backup is damaged, holds what no backup holds, or is of another format. Nothing
        was published then, and nothing of it is left.
    """
    with read_archive(source) as archive:
        members = iter(archive)
        backup = _read_header(members)
        folder = CollectionFolder(data_dir, name or backup.collection)
        if folder.path.exists() and not folder.path.is_dir():
            raise IndexFolderError(f"{folder.path} is in the way: it is no folder")
        existed = folder.path.exists()
        try:
            with folder.writing():
                # What a killed restore left is gone now, and nobody else can make one.
                _check_free(folder, replace)
                _read_manifests(members, backup)
                with _building(folder, backup) as building, _spool(folder) as writes:
                    _read_files(archive, backup, building, writes, progress)
                    _finish(folder, backup, building, writes)
        except BaseException:
            if not existed:
                _remove_empty(folder)
            raise
    manifest, _ = backup.manifests[backup.current]
    return RestoreSummary(folder.name, backup.current, backup.versions, manifest.n_documents)


def _check_free(folder: CollectionFolder, replace: bool) -> None:
    taken = folder.current_or_none() is not None or folder.versions()
    if taken and not replace:
        raise IndexFolderError(
            f"there is a collection {folder.name!r} already: choose another name with --as, or "
            "publish the backup in it with --replace"
        )


def _read_header(members: Iterator[Member]) -> _Backup:
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
        backup = _Backup(
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


def _read_manifests(members: Iterator[Member], backup: _Backup) -> None:
    for version in backup.versions:
        name = f"versions/{version}/{MANIFEST_NAME}"
        raw = _small(next(members, None), name)
        manifest = parse_manifest(raw, Path(name))
        if manifest.version != version:
            raise IndexCorruptError(f"{name} is of version {manifest.version[:100]!r}")
        if MANIFEST_NAME in manifest.files or manifest.total_bytes < 0:
            raise IndexCorruptError(f"{name} lists what no manifest lists")
        backup.manifests[version] = manifest, raw


@contextlib.contextmanager
def _spool(folder: CollectionFolder) -> Iterator[IO[bytes]]:
    """A file without a name, which no kill can leave behind."""
    with tempfile.TemporaryFile(dir=folder.path) as file:
        yield file


@contextlib.contextmanager
def _building(folder: CollectionFolder, backup: _Backup) -> Iterator[dict[str, Path]]:
    """Folders to build the versions in; whatever is left in them goes when all is done."""
    free = shutil.disk_usage(folder.path).free
    if backup.n_bytes > free:
        raise IndexFolderError(
            f"the backup holds {backup.n_bytes:,} bytes, and only {free:,} are free in "
            f"{folder.data_dir}: nothing was restored"
        )
    building = {version: folder.begin_version(version) for version in backup.versions}
    try:
        yield building
    finally:
        for path in building.values():
            shutil.rmtree(path, ignore_errors=True)
        # Remarks on versions that did not come to be.
        with contextlib.suppress(OSError):
            folder.remove_litter()


def _read_files(
    archive: ArchiveReader,
    backup: _Backup,
    building: dict[str, Path],
    writes: IO[bytes],
    progress: Callable[[int], None],
) -> None:
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
    backup: _Backup, writes: IO[bytes], progress: Callable[[int], None]
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


def _finish(
    folder: CollectionFolder, backup: _Backup, building: dict[str, Path], writes: IO[bytes]
) -> None:
    """Check what was written, give the versions their names, and publish the current one."""
    for version, path in building.items():
        manifest, raw = backup.manifests[version]
        (path / MANIFEST_NAME).write_bytes(raw)
        # What reached the disk, not what was sent there; and that it opens.
        if problems := verify_files(path, manifest, check="crc32"):
            raise IndexCorruptError(f"version {version} is damaged: {problems[0]}")
        open_version(path)
    for name, raw in backup.remarks.items():
        target = folder.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(raw)
    known = folder.versions()
    for version in building.keys() & set(known):
        if not _is_whole(folder.version_path(version), backup.manifests[version]):
            folder.displace_version(version)
            folder.finish_version(building[version])
    fresh = [path for version, path in building.items() if version not in known]
    if (current := folder.current_or_none()) is None:
        # Complete the moment it is published.
        _restore_writes(folder, backup, writes, pending_after=0)
        _restore_judgments(folder, backup)
        folder.publish_all(fresh, backup.current)
        return
    # Where there is a collection, its log is what its own version goes with until then.
    pending_after = _applied(folder, current)
    folder.publish_all(fresh, backup.current)
    _restore_writes(folder, backup, writes, pending_after)
    _restore_judgments(folder, backup)


def _applied(folder: CollectionFolder, version: str) -> int:
    """Up to which number a collection's version holds its own log."""
    marker: Mapping[str, object] = {}
    with contextlib.suppress(TrineError):
        marker = marker_of(folder.manifest(version).settings)
    with WriteLog(folder).snapshot() as snapshot:
        return snapshot.applied(marker)


def _restore_writes(
    folder: CollectionFolder, backup: _Backup, writes: IO[bytes], pending_after: int
) -> None:
    log = WriteLog(folder)
    if backup.writes is not None:
        load_writes(log, writes, pending_after=pending_after)
    elif log.exists():
        log.refill((), settled=0, sequence=0, settings={}, pending_after=pending_after)


def _restore_judgments(folder: CollectionFolder, backup: _Backup) -> None:
    if backup.judged is not None:
        # What somebody's editing left unreadable is theirs to mend; it is not nothing.
        with contextlib.suppress(CorpusError):
            JudgmentFolder(folder.judgments_path).fill(backup.judged)


def _is_whole(path: Path, expected: tuple[Manifest, bytes]) -> bool:
    """Whether the version that is there already is the same, to the byte."""
    manifest, raw = expected
    try:
        return (path / MANIFEST_NAME).read_bytes() == raw and not verify_files(path, manifest)
    except OSError:
        return False


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


def _remove_empty(folder: CollectionFolder) -> None:
    """Remove the folder of a collection that did not come to be."""
    if folder.versions() or folder.current_or_none() is not None:
        return
    shutil.rmtree(folder.path / "state", ignore_errors=True)
    for path in (folder.versions_path, folder.path):
        with contextlib.suppress(OSError):
            path.rmdir()
