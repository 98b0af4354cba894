"""Run ``trine`` in forks, of which each costs little, and make them fail at hundreds of points.

Points are the places where a run may be stopped: just before each operation on the file system
that Python sees (``sys.addaudithook``), before each ``fsync``, and before SQL statements
that write.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import random
import resource
import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fork_server
from fork_server import DEVNULL, PIPE

# A run that hangs is ended by SIGALRM, which no test takes for success.
_LONGEST_RUN_S = 300
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_OPERATIONS = frozenset(
    {
        "os.chmod",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.truncate",
        "shutil.copyfile",
        "sqlite3.connect",
    }
)


@dataclass(frozen=True)
class Fault:
    """What befalls a run; by default nothing.

    Parameters
    ----------
    kill_at, fail_at
        Point at which it is killed, or an operation raises ``error``; the first is 1.
    error
        Name in ``errno``.
    lasting
        Whether every operation from that point on fails as well.
    cpu_s
        CPU time after which the kernel ends the process, wherever it is, native code included.
    limit_at, file_bytes
        Point from which no file may be written beyond so many bytes, by native code either.
    """

    kill_at: int = 0
    fail_at: int = 0
    limit_at: int = 0
    error: str = "ENOSPC"
    lasting: bool = False
    cpu_s: float = 0.0
    file_bytes: int = 0


@dataclass(frozen=True)
class Run:
    """How a run ended.

    Parameters
    ----------
    status
        Its exit status, or minus the signal that ended it.
    errors
        Its standard error.
    points
        Operation and file of each point it came by.
    cpu_s
        CPU time it took.
    """

    status: int
    errors: str
    points: list[str]
    cpu_s: float


class FaultServer:
    """Runs ``trine`` in forks to which something happens, one after the other."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def run(self, arguments: Sequence[str], root: Path, fault: Fault | None = None) -> Run:
        """Run ``trine`` (or, where the first argument is ``module:function``, that) to its end.

        Parameters
        ----------
        root
            Folder whose files count for points.
        """
        self._log.unlink(missing_ok=True)
        what = json.dumps([str(root), asdict(fault or Fault()), str(self._log), *arguments])
        ended = fork_server.start(
            what, function="fault_server:run_with_fault", stdout=DEVNULL, stderr=PIPE
        )
        with ended:
            assert ended.stderr is not None
            errors = ended.stderr.read()
        assert ended.end is not None
        points = self._log.read_text(errors="replace").splitlines()
        return Run(ended.end.status, errors, points, ended.end.cpu_s)


def spread(count: int, n_points: int) -> list[int]:
    """``count`` points spread evenly over all, the first and the last among them."""
    count = min(count, n_points)
    return sorted({1 + round(i * (n_points - 1) / max(count - 1, 1)) for i in range(count)})


def sample(count: int, n_points: int) -> list[int]:
    """``count`` points drawn at random, the same ones each time."""
    return sorted(random.Random(count).sample(range(1, n_points + 1), count))  # noqa: S311


class _Points:
    """Counts the points a process comes by, and does what is to happen there."""

    def __init__(self, root: str, fault: Fault, log: int) -> None:
        self._root, self._fault, self._log = root, fault, log
        self._count = 0
        self._statement = ""

    def watch(self) -> None:
        """Count from now on."""
        sys.addaudithook(self._hook)
        sync, connect = os.fsync, sqlite3.connect

        def fsync(descriptor: int) -> None:
            self._at("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink()))
            sync(descriptor)

        def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401
            connection = connect(*arguments, **options)
            # A callback cannot raise: a statement is a point to be killed at, not one to fail at.
            connection.set_trace_callback(self._statement_begins)
            return connection

        os.fsync = fsync
        if not self._fault.fail_at:
            sqlite3.connect = traced

    def _statement_begins(self, sql: str) -> None:
        """A point before each statement that writes; of a row of the same, before the first."""
        kind = " ".join(sql.split()[:3])
        if not kind.startswith("SELECT") and kind != self._statement:
            self._at("sql", kind, inside=True)
        self._statement = kind

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes) and flags & _WRITES:
                self._at("open", os.fsdecode(path))
        elif event in _OPERATIONS:
            # shutil.rmtree names files relative to their folder's descriptor.
            relative = event in {"os.remove", "os.rmdir"} and arguments[1] != -1
            kinds = (str, bytes, os.PathLike)
            names = [os.fsdecode(name) for name in arguments if isinstance(name, kinds)]
            if relative or any(self._root in name for name in names):
                self._at(event, names[-1] if names else "", inside=True)

    def _at(self, operation: str, name: str, *, inside: bool = False) -> None:
        if not inside and self._root not in name:
            return
        self._count += 1
        fault = self._fault
        shown = " ".join(name.replace(self._root, "").split())[:100]
        if not fault.limit_at:
            os.write(self._log, f"{operation} {shown}\n".encode(errors="replace"))
        if self._count == fault.limit_at:
            # Python ignores SIGXFSZ: a write beyond the limit is short, and the next fails.
            resource.setrlimit(resource.RLIMIT_FSIZE, (fault.file_bytes, resource.RLIM_INFINITY))
        if self._count == fault.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._count == fault.fail_at or (fault.lasting and 0 < fault.fail_at < self._count):
            if operation == "sqlite3.connect":
                raise sqlite3.OperationalError("unable to open database file")
            number = getattr(errno, fault.error)
            raise OSError(number, os.strerror(number), name)


def run_with_fault(given: Sequence[str]) -> None:
    """What the fork does."""
    root, told, log_path, *arguments = json.loads(given[0])
    fault = Fault(**told)
    signal.alarm(_LONGEST_RUN_S)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.argv = ["trine", *arguments]
    module, _, function = arguments[0].partition(":")
    called: Callable[[list[str]], object]
    if function:
        called, arguments = getattr(importlib.import_module(module), function), arguments[1:]
    else:
        called = importlib.import_module("pipeline.command_line.main").main
    _Points(root, fault, log).watch()
    if fault.cpu_s:
        # Its default action ends the process as SIGKILL does: nothing of it runs any more.
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, fault.cpu_s)
    called(arguments)
