"""The process that indexes in the background what was written into collections.

``python -m pipeline.command_line.indexer DATA_DIR``, started by a server. One for a data folder,
whatever the number of servers and workers: others see its lock and end. It ends itself when nothing
came for a while, and when its standard input ends, as that of a server that died does. Whenever it
is killed, what it had not published waits in the log for the next.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from encoders.protocol import ProgressCallback
from ingest.errors import IndexLockedError, TrineError
from pipeline.command_line.index import prune_older, refusal, remembered, run_index
from pipeline.command_line.options import told
from pipeline.encoding.folding import fold_writes
from pipeline.version.collection import CollectionFolder
from pipeline.version.write_lock import indexer_lock
from pipeline.version.write_log import Backlog, WriteLog, written_collections

__all__ = ["Indexer", "TaskProgress", "main"]

_logger = logging.getLogger(__name__)
# Writes are gathered until none came for so long, and for so long at most.
QUIET_S, GATHERED_S = 0.5, 5.0
_LOOK_EVERY_S = 0.2
_NOTE_EVERY_S = 0.5
# Starting takes seconds, most of them imports.
_IDLE_S = 300.0
# Native libraries keep some megabytes of each build; whoever serves starts the next process.
_MOST_BUILDS = 50
_RETRY_S, _LONGEST_RETRY_S = 2.0, 300.0
_LOCKED_RETRY_S = 1.0
_ENDING_S = 20.0
# More would starve it on a machine that is busy for long.
_NICENESS = 3


class TaskProgress:
    """Notes in the write log how far a build is, and that it has begun.

    Parameters
    ----------
    log
        The log.
    backlog
        What is being done.
    """

    def __init__(self, log: WriteLog, backlog: Backlog) -> None:
        self._log = log
        self._backlog = backlog
        self._has_begun = False

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[ProgressCallback]:
        """Note a stage, and twice a second at most which share of it is done."""
        if not self._has_begun:
            # Only now has this process the write lock.
            self._log.begin(self._backlog.sequence, self._backlog.reindex)
            self._has_begun = True
        self._note(name, None)
        done, noted_s = 0, time.monotonic()

        def advance(count: int) -> None:
            nonlocal done, noted_s
            done += count
            if total and time.monotonic() - noted_s >= _NOTE_EVERY_S:
                noted_s = time.monotonic()
                self._note(name, min(done / total, 1.0))

        yield advance

    def _note(self, stage: str, share: float | None) -> None:
        # What cannot be told is no reason not to do it.
        with suppress(TrineError):
            self._log.advance(stage, share)


class Indexer:
    """Does what waits in the write logs of a data folder, collection by collection.

    Parameters
    ----------
    data_dir
        The data folder.
    clock
        Seconds since 1970, as `time.time` tells them.
    """

    def __init__(self, data_dir: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._seen_s: dict[str, float] = {}
        self._retry_s: dict[str, tuple[float, float]] = {}
        self._n_built = 0

    def run(self) -> None:
        """Do what waits until nothing does for a while, or enough was built by one process."""
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < _IDLE_S and self._n_built < _MOST_BUILDS:
            if self.look():
                idle_since = time.monotonic()
            time.sleep(_LOOK_EVERY_S)

    def look(self) -> bool:
        """Do what is due; returns whether anything waits or was done."""
        busy = False
        for folder in written_collections(self._data_dir):
            try:
                backlog = WriteLog(folder).backlog()
                if not backlog:
                    self._seen_s.pop(folder.name, None)
                    continue
                busy = True
                if self._is_due(folder.name, backlog):
                    self._work(folder, backlog)
            except TrineError as error:
                _logger.warning("collection %s: %s", folder.name, error)
                self._put_off(folder.name, _RETRY_S, self._clock())
        return busy

    def _is_due(self, name: str, backlog: Backlog) -> bool:
        now = self._clock()
        retry_s, asked_s = self._retry_s.get(name, (0.0, 0.0))
        if now < retry_s and backlog.last_accepted_s <= asked_s:
            return False
        seen_s = self._seen_s.setdefault(name, now)
        return (
            bool(backlog.reindex)
            or now - backlog.last_accepted_s >= QUIET_S
            or now - seen_s >= GATHERED_S
        )

    def _work(self, folder: CollectionFolder, backlog: Backlog) -> None:
        self._seen_s.pop(folder.name, None)
        self._n_built += 1
        log, progress = WriteLog(folder), None
        try:
            progress = TaskProgress(log, backlog)
            if backlog.reindex:
                self._reindex(folder, backlog, progress)
            else:
                fold_writes(folder, progress=progress)
                prune_older(folder)
            self._retry_s.pop(folder.name, None)
        except IndexLockedError:
            # Somebody else is at work; what waits goes on waiting.
            self._put_off(folder.name, _LOCKED_RETRY_S, float("inf"))
        except Exception as error:
            if not isinstance(error, TrineError):
                _logger.exception("collection %s", folder.name)
            log.fail(backlog.sequence, told(error), backlog.reindex)
            pause_s = min(_RETRY_S * 2 ** min(backlog.n_failed, 10), _LONGEST_RETRY_S)
            self._put_off(folder.name, pause_s, backlog.last_accepted_s)

    def _reindex(self, folder: CollectionFolder, backlog: Backlog, progress: TaskProgress) -> None:
        folder.current()
        sources, settings = remembered(folder)
        summary = run_index(
            folder, sources, settings=settings, allow_shrink=False, progress=progress
        )
        if summary.refused:
            raise TrineError(refusal(summary))
        WriteLog(folder).settle(0, summary.version, backlog.reindex)

    def _put_off(self, name: str, pause_s: float, asked_s: float) -> None:
        self._retry_s[name] = self._clock() + pause_s, asked_s


def main(arguments: list[str] | None = None) -> None:
    """Index what waits until nothing does for a while, or standard input ends."""
    data_dir = Path((sys.argv[1:] if arguments is None else arguments)[0])
    logging.basicConfig(format="trine indexer: %(message)s", level=logging.WARNING)
    with indexer_lock(data_dir) as is_ours:
        if not is_ours:
            return
        # Whoever stops the server from a terminal stops it, and it stops this.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _end)
        threading.Thread(target=_end_with_input, daemon=True).start()
        # People who search come first.
        os.nice(_NICENESS)
        Indexer(data_dir).run()


def _end(_kind: int, _frame: FrameType | None) -> None:
    """Give up what is being built, and clean up."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    # A library that does not return to Python in time; the next run removes what it leaves.
    time.sleep(_ENDING_S)
    os._exit(1)


if __name__ == "__main__":
    main()
