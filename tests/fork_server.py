"""Start ``trine`` in processes of their own that are forks of one which has imported everything.

A fork costs a tenth of a second where a new process takes ten, most of them for torch. The process
that forks never uses a model and has one thread, so that forking it is safe; nor does it import
what looks at the environment (prometheus_client), which a server sets first.

A fork is what a new process would be: it has the environment, the folder and the streams it is
given, its own signals and its own end. ``tests/test_pipeline_command_line.py`` and
``tests/test_web_server.py`` start real ones.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ROOT = Path(__file__).parent.parent
TRINE = "pipeline.command_line.main:main"
SCRIPT = "fork_server:run_script"
PIPE = subprocess.PIPE
DEVNULL = subprocess.DEVNULL
# What commands import as they go; the rest of these libraries comes with it.
_IMPORTED = (
    "gensim.models",
    "pipeline.command_line.collections",
    "pipeline.command_line.index",
    "pipeline.command_line.main",
    "pipeline.command_line.search",
    "pipeline.command_line.versions",
    "py3langid.langid",
    "search_api.mcp_server",
    "sentence_transformers.models",
    "sklearn.cluster",
    "sklearn.decomposition",
    "sklearn.feature_extraction.text",
    "sklearn.manifold",
    "transformers.models.bert.modeling_bert",
    "web.command_line",
    "web.mcp_command",
    "web.server",
)
_MOST_BYTES = 1 << 18


@dataclass(frozen=True)
class End:
    """How a process ended: its exit status, or minus the signal, and the CPU time it took."""

    status: int
    cpu_s: float


class Forked:
    """A process under way, with what tests use of ``subprocess.Popen``."""

    def __init__(self, pid: int, report: int, streams: dict[str, IO[Any]]) -> None:
        self.pid = pid
        self.end: End | None = None
        self.stdin, self.stdout, self.stderr = map(streams.get, ("stdin", "stdout", "stderr"))
        self._report = report

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has one."""
        if self.end is None:
            if not _ready([self._report], timeout):
                raise subprocess.TimeoutExpired("a fork", timeout or 0.0)
            with os.fdopen(self._report) as report:
                self.end = End(**json.loads(report.read()))
        return self.end.status

    def poll(self) -> int | None:
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Forked:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()


class _Server:
    """The process that forks."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
                pass_fds=[theirs.fileno()],
            )

    def fork(self, request: dict[str, Any], descriptors: Sequence[int]) -> None:
        socket.send_fds(self._channel, [json.dumps(request).encode()], descriptors)

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


_server: _Server | None = None


def start(
    *arguments: object,
    function: str = TRINE,
    stdin: int | None = None,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    new_session: bool = False,
) -> Forked:
    """Start ``trine``, or another ``module:function`` that takes a list of arguments.

    ``SCRIPT`` is one: its first argument is a program, as for ``python -c``.

    Parameters
    ----------
    stdin, stdout, stderr
        As for ``subprocess.Popen``, in text; none is the one of this process.
    new_session
        Whether it leads a process group, which may be killed as one.
    """
    global _server
    if _server is None:
        _server = _Server()
        atexit.register(_server.close)
    streams: dict[str, IO[Any]] = {}
    given: list[int] = []
    ours: list[int] = []
    for number, (name, wanted) in enumerate(
        {"stdin": stdin, "stdout": stdout, "stderr": stderr}.items()
    ):
        if wanted == PIPE:
            reader, writer = os.pipe()
            theirs, kept = (reader, writer) if number == 0 else (writer, reader)
            streams[name] = os.fdopen(kept, "w" if number == 0 else "r", encoding="utf-8")
            ours.append(theirs)
            given.append(theirs)
        elif wanted == DEVNULL:
            ours.append(os.open(os.devnull, os.O_RDWR))
            given.append(ours[-1])
        elif wanted is None:
            given.append(number)
        else:
            given.append(wanted if isinstance(wanted, int) else wanted.fileno())
    report, reported = os.pipe()
    ours.append(reported)
    request = {
        "function": function,
        "arguments": list(map(str, arguments)),
        "folder": os.getcwd(),  # noqa: PTH109
        "environment": dict(os.environ),
        "new_session": new_session,
    }
    _server.fork(request, [*given, reported])
    for descriptor in ours:
        os.close(descriptor)
    # Unbuffered: what follows the line is for `wait`.
    told = b""
    while not told.endswith(b"\n"):
        if not (byte := os.read(report, 1)):
            raise RuntimeError("the process that forks has ended")
        told += byte
    return Forked(int(told), report, streams)


def run(*arguments: object, function: str = TRINE) -> subprocess.CompletedProcess[str]:
    """Run ``trine`` to its end, with nothing to read; gives its status and what it said."""
    with start(*arguments, function=function, stdin=DEVNULL, stdout=PIPE, stderr=PIPE) as process:
        told = _read_all(process)
        return subprocess.CompletedProcess(arguments, process.wait(), *told)


def _ready(descriptors: Iterable[int], timeout: float | None = None) -> list[int]:
    """Those that can be read, or have ended; not by ``select``, which knows the first 1,024."""
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        return [key.fd for key, _ in selector.select(timeout)]


def _read_all(process: Forked) -> tuple[str, str]:
    """Both streams, neither of which may fill up while the other is read."""
    told: dict[int, list[bytes]] = {}
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        told[stream.fileno()] = []
    still = set(told)
    while still:
        for descriptor in _ready(still):
            if part := os.read(descriptor, 1 << 16):
                told[descriptor].append(part)
            else:
                still.discard(descriptor)
    out, err = (b"".join(parts).decode() for parts in told.values())
    return out, err


def run_script(arguments: list[str]) -> None:
    """Run a program, which finds the other arguments in ``sys.argv``."""
    program, *sys.argv[1:] = arguments
    exec(compile(program, "<script>", "exec"), {"__name__": "__main__"})  # noqa: S102


# ---- the process that forks ---------------------------------------------------------------


def _serve(channel: socket.socket) -> Callable[[], object] | None:
    """Fork for each request; returns twice: in a fork with what to do there, and at the end."""
    # Those who wait for a fork's end are forks themselves, for whom nobody waits.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # An interrupt from the keyboard is for the tests, and for what they started.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, _MOST_BYTES, 4)
        if not message:
            return None
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            channel.close()
            return _fork(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _fork(request: dict[str, Any], descriptors: Sequence[int]) -> Callable[[], object]:
    """Fork once more, wait for that fork's end, and report it; only the new one returns."""
    *streams, report = descriptors
    pid = os.fork()
    if pid:
        for descriptor in (0, 1, 2, *streams):
            os.close(descriptor)
        os.write(report, f"{pid}\n".encode())
        _, ended, used = os.wait4(pid, 0)
        end = {
            "status": os.waitstatus_to_exitcode(ended),
            "cpu_s": used.ru_utime + used.ru_stime,
        }
        os.write(report, json.dumps(end).encode())
        os._exit(0)
    os.close(report)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if request["new_session"]:
        os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    module, _, name = request["function"].partition(":")
    sys.argv = ["trine", *request["arguments"]]
    function = getattr(importlib.import_module(module), name)
    return lambda: function(request["arguments"])


def _work_and_leave(work: Callable[[], object]) -> None:
    """Do it, and end as a program does, but for taking apart all that was imported."""
    status = 0
    try:
        work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        status = 1
    # As forks of multiprocessing end: threads first, then what was registered.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _import_all() -> None:
    with warnings.catch_warnings(action="ignore"):
        for name in _IMPORTED:
            importlib.import_module(name)
    if (threads := len(os.listdir("/proc/self/task"))) > 1:  # noqa: PTH208
        raise RuntimeError(f"{threads} threads: a fork of this process might hang")
    if "prometheus_client" in sys.modules:
        raise RuntimeError("prometheus_client is imported before a server sets its folder")
    # What is here now is never garbage; looking through it would copy all of it into each fork.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _import_all()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        work = _serve(channel)
    if work is not None:
        _work_and_leave(work)
