"""Bring a collection back from a backup: every byte is checked before anything is published.

Reading is `pipeline.version.backup_reading`; here is what becomes of the collection.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ingest.errors import CorpusError, IndexCorruptError, IndexFolderError, TrineError
from pipeline.version.archive import read_archive
from pipeline.version.backup_reading import Backup, read_files, read_header, read_manifests
from pipeline.version.collection import CollectionFolder
from pipeline.version.judgments import JudgmentFolder
from pipeline.version.manifest import MANIFEST_NAME, Manifest, verify_files
from pipeline.version.open_version import open_version
from pipeline.version.write_log import WriteLog
from pipeline.version.write_snapshot import marker_of
from pipeline.version.written_backup import load_writes

__all__ = ["RestoreSummary", "restore"]


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
        backup = read_header(members)
        folder = CollectionFolder(data_dir, name or backup.collection)
        if folder.path.exists() and not folder.path.is_dir():
            raise IndexFolderError(f"{folder.path} is in the way: it is no folder")
        existed = folder.path.exists()
        try:
            with folder.writing():
                # What a killed restore left is gone now, and nobody else can make one.
                _check_free(folder, replace)
                read_manifests(members, backup)
                with _building(folder, backup) as building, _spool(folder) as writes:
                    read_files(archive, backup, building, writes, progress)
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


@contextlib.contextmanager
def _spool(folder: CollectionFolder) -> Iterator[IO[bytes]]:
    """A file without a name, which no kill can leave behind."""
    with tempfile.TemporaryFile(dir=folder.path) as file:
        yield file


@contextlib.contextmanager
def _building(folder: CollectionFolder, backup: Backup) -> Iterator[dict[str, Path]]:
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


def _finish(
    folder: CollectionFolder, backup: Backup, building: dict[str, Path], writes: IO[bytes]
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
    folder: CollectionFolder, backup: Backup, writes: IO[bytes], pending_after: int
) -> None:
    log = WriteLog(folder)
    if backup.writes is not None:
        load_writes(log, writes, pending_after=pending_after)
    elif log.exists():
        log.refill((), settled=0, sequence=0, settings={}, pending_after=pending_after)


def _restore_judgments(folder: CollectionFolder, backup: Backup) -> None:
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


def _remove_empty(folder: CollectionFolder) -> None:
    """Remove the folder of a collection that did not come to be."""
    if folder.versions() or folder.current_or_none() is not None:
        return
    shutil.rmtree(folder.path / "state", ignore_errors=True)
    for path in (folder.versions_path, folder.path):
        with contextlib.suppress(OSError):
            path.rmdir()
