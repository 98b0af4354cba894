"""Run ``trine`` in forks of a process that has imported everything, and make each fork fail.

A fork costs a tenth of a second where a new process takes ten, so hundreds of faults can be tried.
The process itself never uses a model and has one thread, so that forking it is safe.

Points are the places where a run may be stopped: just before each operation on the file system
that Python sees (``sys.addaudithook``), before each ``fsync``, and before SQL statements
that write.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_NOT_TRINES = {"__main__", "_pytest", "conftest", "hypothesis", "playwright", "pytest"}
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
    """The process that forks; ``run`` asks it for one run and waits for its end."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        # Libraries import as they are used: what a build has imported here, the server imports.
        names = [name for name in sys.modules if name.partition(".")[0] not in _NOT_TRINES]
        self._ask({"modules": names})

    def run(self, arguments: Sequence[str], root: Path, fault: Fault | None = None) -> Run:
        """Run ``trine`` (or, where the first argument is ``module:function``, that) in a fork.

        Parameters
        ----------
        root
            Folder whose files count for points.
        """
        fault = fault or Fault()
        self._log.unlink(missing_ok=True)
        answer = self._ask(
            {
                "arguments": list(arguments),
                "root": str(root),
                "fault": asdict(fault),
                "log": str(self._log),
            }
        )
        return Run(**answer, points=self._log.read_text(errors="replace").splitlines())

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


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


def _run(request: dict[str, Any]) -> None:
    """The forked process: run, and leave."""
    fault = Fault(**request["fault"])
    signal.alarm(_LONGEST_RUN_S)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    arguments: list[str] = request["arguments"]
    sys.argv = ["trine", *arguments]
    module, _, function = arguments[0].partition(":")
    called: Callable[[list[str]], object]
    if function:
        called, arguments = getattr(importlib.import_module(module), function), arguments[1:]
    else:
        called = importlib.import_module("pipeline.command_line.main").main
    _Points(request["root"], fault, log).watch()
    if fault.cpu_s:
        # Its default action ends the process as SIGKILL does: nothing of it runs any more.
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, fault.cpu_s)
    called(arguments)


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin:
        request = json.loads(line)
        answer = _import_all(request["modules"]) if "modules" in request else _fork(request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _import_all(names: Sequence[str]) -> dict[str, Any]:
    with warnings.catch_warnings(action="ignore"):
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    if (threads := len(os.listdir("/proc/self/task"))) > 1:  # noqa: PTH208
        raise RuntimeError(f"{threads} threads: a fork of this process might hang")
    return {}


def _fork(request: dict[str, Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(writer, 2)
        status = 1
        try:
            _run(request)
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        # Without the interpreter's own end: other threads have nothing to say to it.
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        errors = stream.read().decode(errors="replace")
    _, ended, used = os.wait4(pid, 0)
    return {
        "status": os.waitstatus_to_exitcode(ended),
        "errors": errors,
        "cpu_s": used.ru_utime + used.ru_stime,
    }


if __name__ == "__main__":
    _serve()
