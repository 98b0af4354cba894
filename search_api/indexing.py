"""Keeps a process running that indexes what was written, for as long as there is anything to.

Each worker of a server has a keeper. Whoever first sees that something waits starts the process;
a lock in the data folder makes it one for all workers and servers. It is a process of its own, so
that searches share neither an interpreter nor memory with it, and it ends with the worker that
started it: the next worker to look starts another, which loses nothing.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

from ingest.errors import TrineError
from pipeline.version.write_lock import indexer_runs
from pipeline.version.write_log import WriteLog, written_collections

__all__ = ["IndexerKeeper"]

_logger = logging.getLogger(__name__)
_LOOK_EVERY_S = 2.0
_LONGEST_PAUSE_S = 60.0
_CLOSE_WAITS_S = 5.0
_COMMAND = ("-m", "pipeline.command_line.indexer")


class IndexerKeeper:
    """Starts the process that indexes whenever something waits and none runs.

    Starts no thread before ``start``, so it may be made before a fork.

    Parameters
    ----------
    data_dir
        The data folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._noticed = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._pause_s = 0.0

    def start(self, *, at_once: bool = True) -> None:
        """Begin to look every few seconds, at once or from the first call of ``look`` on."""
        self._thread = threading.Thread(
            target=self._run, args=(at_once,), name="trine-keeper", daemon=True
        )
        self._thread.start()

    def look(self) -> None:
        """Look now."""
        self._noticed.set()

    def close(self) -> None:
        """End the thread, and the process if it is this keeper's own."""
        self._stopped = True
        self._noticed.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_WAITS_S)
        if (process := self._process) is not None:
            _end(process)

    def _run(self, at_once: bool) -> None:
        if not at_once:
            self._noticed.wait()
        while not self._stopped:
            try:
                self._keep()
            except (TrineError, OSError) as error:
                _logger.warning("what was written cannot be indexed: %s", error)
            self._noticed.wait(_LOOK_EVERY_S)
            self._noticed.clear()

    def _keep(self) -> None:
        if (process := self._process) is not None:
            status = process.poll()
            if status is None:
                return
            _end(process)
            self._process = None
            # One that cannot even start must not be started all the time.
            self._pause_s = min(max(1.0, 2 * self._pause_s), _LONGEST_PAUSE_S) if status else 0.0
        if time.monotonic() < self._started_s + self._pause_s or indexer_runs(self._data_dir):
            return
        if any(WriteLog(folder).backlog() for folder in written_collections(self._data_dir)):
            self._started_s = time.monotonic()
            # Its standard input ends with this process, however that ends.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, *_COMMAND, str(self._data_dir.absolute())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_CLOSE_WAITS_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
