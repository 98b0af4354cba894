"""``trine index --watch``: index again whenever what the sources hold has changed.

watchfiles says when to look; what was found, file by file, decides whether there is anything to
do. So a change that no run would read (an editor's temporary file, an ignored folder, the data
folder itself, if it lies among the sources) starts none.
"""

from __future__ import annotations

import glob
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TypeAlias

from watchfiles import watch

from ingest.errors import CorpusError
from ingest.options import SourceOptions
from ingest.sources import source_files

__all__ = ["Snapshot", "run_on_changes", "take_snapshot", "watchable"]

Snapshot: TypeAlias = frozenset[tuple[str, int, int, int]] | str
"""Path, inode, time and size of every file that would be read; or why they cannot be listed."""

# Changes are gathered until none came for so long, and for so long at most.
_QUIET_MS, _GATHERED_MS = 300, 3000
_LOOK_EVERY_MS = 1000
_RETRY_LOOKS = 10
_PYDOC = "pydoc:"


def watchable(sources: Sequence[str]) -> list[str]:
    """Sources that are files, folders or patterns of them; Python modules do not change."""
    return [source for source in sources if not source.startswith(_PYDOC)]


def take_snapshot(sources: Sequence[str], options: SourceOptions, ignored: Path) -> Snapshot:
    """What the sources hold now.

    Parameters
    ----------
    ignored
        Folder whose files do not count.
    """
    left_out = _Below(ignored)
    found = set()
    try:
        for path in source_files(sources, options=options):
            if path not in left_out:
                found.add((str(path), *_stamp(path)))
    except CorpusError as error:
        return str(error)
    return frozenset(found)


def run_on_changes(
    sources: Sequence[str], options: SourceOptions, ignored: Path, run: Callable[[], bool]
) -> None:
    """Run once, and again after every change, until SIGINT or SIGTERM.

    Changes while a run is under way wait for its end and count as one.

    Parameters
    ----------
    ignored
        Folder whose changes do not count: the data folder.
    run
        Does the work and tells how it went; ``False`` asks for another try a little later.
    """
    with _ended_by_signals():
        seen: Snapshot | None = None
        looks_left = 0
        for changed in _looks(sources, ignored):
            looks_left -= 1
            if not changed and looks_left != 0:
                continue
            # Taken before the run: what changes meanwhile is a change.
            snapshot = take_snapshot(sources, options, ignored)
            if snapshot != seen or looks_left == 0:
                seen = snapshot
                looks_left = 0 if run() else _RETRY_LOOKS


def _looks(sources: Sequence[str], ignored: Path) -> Iterator[bool]:
    """Look about every second: whether there may have been a change since the last look."""
    places = [_fixed_part(source) for source in sources]
    left_out = _Below(ignored)
    while True:
        stamps = [_stamp(place) for place in places]
        folders = [place for place in places if place.is_dir()]
        # A file is watched by its folder: editors replace files, and with them what was watched.
        beside = [place.parent for place in places if place.parent.is_dir()]
        fresh = True
        with suppress(FileNotFoundError):  # gone since it was looked at
            for changes in watch(
                *(folders or beside or [Path.cwd()]),
                watch_filter=lambda _, path: Path(path) not in left_out,
                recursive=bool(folders),
                step=_QUIET_MS,
                debounce=_GATHERED_MS,
                rust_timeout=_LOOK_EVERY_MS,
                yield_on_timeout=True,
                ignore_permission_denied=True,
            ):
                # Files beside watched folders, and folders that came, went or were replaced.
                moved = [_stamp(place) for place in places] != stamps
                yield fresh or bool(changes) or moved
                if moved:
                    break
                fresh = False


def _fixed_part(source: str) -> Path:
    """The path itself, or the part of a pattern before its first wildcard."""
    path = Path(source)
    if path.exists() or not glob.has_magic(source):
        return path
    parts = path.parts
    return Path(*parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])


def _stamp(path: Path) -> tuple[int, int, int]:
    """Inode of a folder; of a file its time and size too; zeros where there is nothing."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    if path.is_dir():
        return (status.st_ino, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_size)


class _Below:
    """Whether a path lies in a folder, whatever links lead there."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.path.realpath(folder)
        self._known: dict[Path, bool] = {}

    def __contains__(self, path: Path) -> bool:
        parent = path.parent
        if parent not in self._known:
            real = os.path.realpath(parent)
            self._known[parent] = (real + os.sep).startswith(self._folder + os.sep)
        return self._known[parent] or os.path.realpath(path) == self._folder


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End the block on SIGINT and SIGTERM; a run under way is given up and cleans up."""
    kinds = (signal.SIGINT, signal.SIGTERM)

    def end(_kind: int, _frame: FrameType | None) -> None:
        # A second one must not disturb the cleaning up.
        for kind in kinds:
            signal.signal(kind, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {kind: signal.signal(kind, end) for kind in kinds}
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
