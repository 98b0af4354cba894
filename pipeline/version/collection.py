"""A collection on disk: its versions, which one is current, and who may write.

<data dir>/<collection>/
  CURRENT          the current version's id, replaced atomically
  versions/<id>/   one immutable version each
  cache/           embeddings by content hash
  state/           what changes without a version: the writer's lock, remarks on versions

<data dir>/state/  belongs to no collection, so none may have that name
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import platformdirs

from ingest.errors import (
    IndexCorruptError,
    IndexFolderError,
    IndexNotFoundError,
    QueryError,
)
from pipeline.version.hold import claimed
from pipeline.version.manifest import Manifest, read_manifest
from pipeline.version.publishing import (
    announce,
    announced,
    point_at,
    sync_folder,
    sync_tree,
    withdraw,
)
from pipeline.version.remarks import remove_stray_remarks
from pipeline.version.write_lock import forget_writer, write_lock

__all__ = [
    "DEFAULT_COLLECTION",
    "KEPT_VERSIONS",
    "CollectionFolder",
    "default_data_dir",
    "is_version_id",
    "list_collections",
    "new_version_id",
    "version_being_built",
]

DEFAULT_COLLECTION = "default"
KEPT_VERSIONS = 3
_BUILDING_SUFFIX = ".building"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_RESERVED_NAMES = frozenset({"state"})


def default_data_dir() -> Path:
    """Return ``$TRINE_DATA_DIR``, or the platform's folder for user data."""
    return Path(os.environ.get("TRINE_DATA_DIR") or platformdirs.user_data_path("trine"))


def new_version_id() -> str:
    """Make an id that sorts by time: ``20260131T120000.123456Z-1f2e3d``."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(3)}"


def version_being_built(building: Path) -> str:
    """Id that the version built in this folder will have."""
    return building.name.removesuffix(_BUILDING_SUFFIX)


def is_version_id(text: str) -> bool:
    """Whether a version may have this id.

    Examples
    --------
    >>> is_version_id("20260131T120000.123456Z-1f2e3d"), is_version_id("../x")
    (True, False)
    """
    return _NAME.fullmatch(text) is not None and not text.endswith(_BUILDING_SUFFIX)


def list_collections(data_dir: Path) -> list[str]:
    """Names of the collections below a data folder that have a current version, sorted."""
    try:
        return sorted(
            path.name
            for path in data_dir.iterdir()
            if _NAME.fullmatch(path.name)
            and path.name not in _RESERVED_NAMES
            and (path / "CURRENT").is_file()
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(data_dir, error) from error


@dataclass(frozen=True)
class CollectionFolder:
    """One collection's folder below the data folder.

    Parameters
    ----------
    data_dir
        The data folder; need not exist yet.
    name
        Letters, digits, ``_``, ``.`` and ``-``; at most 100; not ``state``.

    Raises
    ------
    QueryError
        If the name is not allowed.
    """

    data_dir: Path
    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise QueryError(
                f"collection name {self.name!r} is not allowed: "
                "use letters, digits, '_', '.' and '-', at most 100",
                parameter="collection",
            )
        if self.name in _RESERVED_NAMES:
            raise QueryError(
                f"collection name {self.name!r} is taken by the data folder's own state: "
                "choose another",
                parameter="collection",
            )

    @cached_property
    def path(self) -> Path:
        """The collection's own folder."""
        return self.data_dir / self.name

    @cached_property
    def versions_path(self) -> Path:
        """Folder with one folder a version."""
        return self.path / "versions"

    @property
    def cache_path(self) -> Path:
        """Folder of the embedding cache."""
        return self.path / "cache"

    @property
    def state_path(self) -> Path:
        """Folder of what changes without a version."""
        return self.path / "state"

    @property
    def judgments_path(self) -> Path:
        """Folder of what people judged, in BEIR's layout."""
        return self.state_path / "judgments"

    def tuning_path(self, version: str) -> Path:
        """File of the last report on tuning one version, adopted or not."""
        return self.state_path / "tuning" / f"{version}.json"

    def quality_path(self, version: str) -> Path:
        """File of the last judged measurement of one version."""
        return self.state_path / "quality" / f"{version}.json"

    def version_path(self, version: str) -> Path:
        """Folder of one version.

        Raises
        ------
        IndexNotFoundError
            If there is no such version.
        """
        if self._holds(version):
            return self.versions_path / version
        raise IndexNotFoundError(
            f"collection {self.name!r} has no version {version!r} (see: trine versions list)"
        )

    def _holds(self, version: str) -> bool:
        if not is_version_id(version):
            return False
        try:
            return stat.S_ISDIR(os.stat(os.path.join(self.versions_path, version)).st_mode)  # noqa: PTH116, PTH118
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _unreadable(self.versions_path, error) from error

    def exists(self) -> bool:
        """Whether there is a collection here, be it a damaged or a half deleted one."""
        try:
            return (
                (self.path / "CURRENT").exists()
                or self.versions_path.is_dir()
                or (self.path.is_dir() and not any(self.path.iterdir()))
            )
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def current(self) -> str:
        """Id of the current version.

        Raises
        ------
        IndexNotFoundError
            If nothing was published yet.
        IndexCorruptError
            If what was published is gone.
        IndexFolderError
            If the folder cannot be read.
        """
        # Asked with every request, so not by pathlib, which takes thrice as long.
        path = os.path.join(self.path, "CURRENT")  # noqa: PTH118
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123
                version = file.read().decode("utf-8", "replace").strip()
        except (FileNotFoundError, NotADirectoryError) as error:
            if self.versions():
                raise IndexNotFoundError(
                    f"collection {self.name!r} in {self.data_dir} has no current version: activate "
                    "one (trine versions list, trine versions activate ID) or rebuild "
                    "(trine reindex --full)"
                ) from error
            raise IndexNotFoundError(
                f"no collection {self.name!r} in {self.data_dir}: make one with "
                f"trine index SOURCE... --collection {self.name}"
            ) from error
        except IsADirectoryError as error:
            raise IndexCorruptError(f"{path} is a folder, not a file: remove it") from error
        except OSError as error:
            raise _unreadable(self.path / "CURRENT", error) from error
        if not self._holds(version):
            raise IndexCorruptError(
                f"collection {self.name!r} points at version {version[:100]!r}, which is missing: "
                "activate another (trine versions list, trine versions activate ID) "
                "or rebuild (trine reindex --full)"
            )
        return version

    def current_or_none(self) -> str | None:
        """Id of the current version, or ``None`` where none was published or it is gone."""
        try:
            return self.current()
        except (IndexNotFoundError, IndexCorruptError):
            return None

    def versions(self) -> list[str]:
        """Ids of all complete versions, oldest first."""
        try:
            found = [path.name for path in self.versions_path.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _unreadable(self.versions_path, error) from error
        return sorted(name for name in found if self._holds(name))

    def manifest(self, version: str) -> Manifest:
        """Manifest of one version."""
        return read_manifest(self.version_path(version))

    def begin_version(self, version: str) -> Path:
        """Make the folder in which a version is built aside."""
        path = self.versions_path / (version + _BUILDING_SUFFIX)
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise IndexFolderError(
                f"cannot write to {self.versions_path}: {error.strerror}"
            ) from error
        return path

    def finish_version(self, building: Path) -> Path:
        """Give a complete, verified version its name; it is not current yet."""
        sync_tree(building)
        path = building.with_name(version_being_built(building))
        building.rename(path)
        sync_folder(self.versions_path)
        return path

    def publish(self, version: str) -> None:
        """Make a version current, by one atomic rename; where that fails, the old one still is."""
        self.version_path(version)
        previous = self.current_or_none()
        try:
            point_at(self.path, version)
            try:
                sync_folder(self.path)
            except OSError:
                # It might not outlast a power cut, so it was not published.
                if previous is None:
                    (self.path / "CURRENT").unlink()
                elif previous != version:
                    point_at(self.path, previous)
                raise
        except OSError as error:
            raise IndexFolderError(f"cannot publish in {self.path}: {error.strerror}") from error

    def publish_built(self, building: Path) -> None:
        """Finish a version and make it current, as ``publish_all`` does."""
        self.publish_all([building], version_being_built(building))

    def publish_all(self, building: Sequence[Path], version: str) -> None:
        """Finish versions and make one current; where that fails, nothing of them is left.

        Call with the write lock held. Whoever is killed meanwhile leaves that to the next writer.

        Parameters
        ----------
        version
            One of those being built, or one that is there already.
        """
        announce(self.state_path, version, [version_being_built(path) for path in building])
        try:
            for path in building:
                self.finish_version(path)
            self.publish(version)
        except BaseException:
            with contextlib.suppress(OSError):
                self._remove_unpublished()
            raise
        with contextlib.suppress(OSError):
            withdraw(self.state_path)

    def _remove_unpublished(self) -> None:
        """Remove versions that got their names but were not published as was announced."""
        for version in announced(self.state_path, self.current_or_none()):
            if self._holds(version):
                self.remove_version(version)
        withdraw(self.state_path)

    def prune(self, keep: int = KEPT_VERSIONS) -> list[str]:
        """Remove all but the newest ``keep`` versions; returns the ids of those removed.

        The current one stays, and so does any that a process has open. Call with the write
        lock held.
        """
        current = self.current_or_none()
        kept = set(self.versions()[-max(keep, 1) :]) | {current}
        removed = []
        for version in self.versions():
            if version in kept:
                continue
            with claimed(self.versions_path / version) as unused:
                if unused:
                    self.remove_version(version)
                    removed.append(version)
        return removed

    def remove_version(self, version: str) -> None:
        """Remove a version that is not current. Call with the write lock held."""
        # Renamed first: half a version must never look like a whole one.
        doomed = self.versions_path / (version + _BUILDING_SUFFIX)
        (self.versions_path / version).rename(doomed)
        shutil.rmtree(doomed)
        for remark in (self.tuning_path(version), self.quality_path(version)):
            remark.unlink(missing_ok=True)

    def displace_version(self, version: str) -> None:
        """Take a damaged version's name, so that a sound one can have it.

        Who has it open goes on with what is mapped. Call with the write lock held; the next
        writer removes it.
        """
        path = self.versions_path / version
        path.rename(self.versions_path / f"{version}.{secrets.token_hex(3)}{_BUILDING_SUFFIX}")

    def remove(self) -> None:
        """Remove the whole collection; a file it does not know stays, and so does its folder.

        Raises
        ------
        IndexLockedError
            If another process is writing it.
        IndexFolderError
            If something cannot be removed.
        """
        with self.writing():
            # Unpublished first: a half-deleted collection must not look whole.
            (self.path / "CURRENT").unlink(missing_ok=True)
            for version in self.versions():
                self.remove_version(version)
            if self.cache_path.exists():
                shutil.rmtree(self.cache_path)
        shutil.rmtree(self.state_path, ignore_errors=True)
        # The folder of versions last: whoever is stopped before can still name what to delete.
        # Not empty: it holds what is not ours.
        for folder in (self.versions_path, self.path):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def remove_litter(self) -> None:
        """Remove what a killed writer left half-built. Call with the write lock held."""
        if self.versions_path.is_dir():
            for path in self.versions_path.glob("*" + _BUILDING_SUFFIX):
                shutil.rmtree(path)
        if self.path.is_dir():
            for path in self.path.glob("CURRENT.*"):
                path.unlink(missing_ok=True)
        self._remove_unpublished()
        remove_stray_remarks(self.state_path, self.versions())

    def forget_writer(self) -> None:
        """Remove what a writer that moved the folder left to say who it was."""
        forget_writer(self.path)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the collection's write lock: one writer at a time; readers never wait.

        Raises
        ------
        IndexLockedError
            If another process holds it; names the holder.
        """
        with write_lock(self.path, self.name):
            self.remove_litter()
            yield


def _unreadable(path: Path, error: OSError) -> IndexFolderError:
    return IndexFolderError(f"cannot read {path}: {error.strerror or error}")
