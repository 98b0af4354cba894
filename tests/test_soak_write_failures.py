"""Let writing fail at every place a run writes (``make soak``; ``make test`` samples them)."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_server import Fault, FaultServer, Run, sample, spread
from fault_subject import Subject, Titles

from pipeline.encoding.settings import IndexSettings

ERRORS = ("ENOSPC", "EACCES", "EIO", "EROFS")
LIMITS = (0, 100, 1000)
NEVER = 1 << 30
# Where a failure need not end a run: a link becomes a copy, a folder is there already, what
# cannot be removed stays until the next run, and a parent that cannot be read is done without.
_HARMLESS = ("os.link", "os.mkdir", "os.remove", "os.rmdir", "sqlite3.connect")
_PUBLISHED = "os.rename /default/CURRENT"
# Runs that succeed with little room left, before there is more of it than anyone needs.
_ENOUGH = 3


@pytest.fixture
def subject(tmp_path: Path, tiny_settings: IndexSettings) -> Subject:
    return Subject(tmp_path, tiny_settings)


def _judge(run: Run, subject: Subject, old: Titles, new: Titles) -> None:
    """Either one line, and the old version serves; or all is well, and the new one does."""
    lines = run.errors.splitlines()
    if run.status == 0:
        assert all(line.startswith("warning: ") for line in lines), run.errors
        subject.check_serving(new)
    else:
        assert (run.status, len(lines)) == (1, 1), run.errors
        assert lines[0].startswith("trine: "), run.errors
        assert "unexpected" not in lines[0], run.errors
        subject.check_serving(old)


def _fail_at_points(
    server: FaultServer,
    subject: Subject,
    *options: str,
    choose: Callable[[int], list[int]],
    lasting: bool,
) -> None:
    subject.edit()
    whole = server.run((*subject.index, *options), subject.data_dir, Fault(fail_at=NEVER))
    subject.check_serving(subject.titles)
    subject.check_recovery()
    published = whole.points.index(_PUBLISHED) + 1
    ended: Counter[int] = Counter()
    for point in choose(len(whole.points)):
        error, shown = ERRORS[point % len(ERRORS)], whole.points[point - 1]
        print(f"{error} at {point} of {len(whole.points)}, {lasting=}: {shown}")  # noqa: T201
        old = subject.stored()
        arguments, new = (*subject.index, *options), subject.edit()
        fault = Fault(fail_at=point, error=error, lasting=lasting)
        run = server.run(arguments, subject.data_dir, fault)
        print(run.status, run.errors)  # noqa: T201
        _judge(run, subject, old, new)
        subject.check_cache()
        if point <= published and not shown.startswith(_HARMLESS):
            assert run.status == 1
            assert os.strerror(getattr(errno, error)) in run.errors
        if point > published + 1:
            assert run.status == 0
        ended[run.status] += 1
        subject.check_recovery()
    print(ended)  # noqa: T201


def test_a_few_operations_fail(fault_server: FaultServer, subject: Subject) -> None:
    _fail_at_points(fault_server, subject, choose=lambda n: sample(2, n), lasting=False)


@pytest.mark.soak
@pytest.mark.parametrize("option", ["--full", "--keep=2"])
@pytest.mark.parametrize("lasting", [False, True])
def test_any_operation_fails(
    fault_server: FaultServer, subject: Subject, option: str, lasting: bool
) -> None:
    # Fewer with what lasts: what follows is much the same.
    count = 24 if lasting else 80
    _fail_at_points(
        fault_server, subject, option, choose=lambda n: spread(count, n), lasting=lasting
    )


def _limit_at_points(
    server: FaultServer, subject: Subject, *options: str, choose: Callable[[int], list[int]]
) -> None:
    """From a point on no file may grow beyond a few bytes: native code meets short writes too."""
    subject.edit()
    whole = server.run((*subject.index, *options), subject.data_dir)
    subject.check_serving(subject.titles)
    subject.check_recovery()
    published = whole.points.index(_PUBLISHED) + 1
    # What is written after the manifest may be short enough: CURRENT is some thirty bytes.
    last_file = max(
        n
        for n, shown in enumerate(whole.points, 1)
        if shown.startswith("open ") and shown.endswith(".building/manifest.json")
    )
    ended: Counter[int] = Counter()
    for point in choose(published):
        # A file of this size ends in its middle, or right at its beginning.
        n_bytes = LIMITS[point % len(LIMITS)]
        shown = f"{point} of {len(whole.points)}: {whole.points[point - 1]}"
        print(f"at most {n_bytes} bytes from {shown}")  # noqa: T201
        old = subject.stored()
        arguments, new = (*subject.index, *options), subject.edit()
        run = server.run(arguments, subject.data_dir, Fault(limit_at=point, file_bytes=n_bytes))
        print(run.status, run.errors)  # noqa: T201
        _judge(run, subject, old, new)
        subject.check_cache()
        if point < last_file:
            assert run.status == 1
        ended[run.status] += 1
        subject.check_recovery()
    print(ended)  # noqa: T201


def test_writes_are_short_from_a_few_points_on(fault_server: FaultServer, subject: Subject) -> None:
    _limit_at_points(fault_server, subject, choose=lambda n: sample(2, n))


@pytest.mark.soak
@pytest.mark.parametrize("option", ["--full", "--keep=2"])
def test_writes_are_short_from_any_point_on(
    fault_server: FaultServer, subject: Subject, option: str
) -> None:
    _limit_at_points(fault_server, subject, option, choose=lambda n: spread(40, n))


@contextlib.contextmanager
def _small_disk(folder: Path, n_bytes: int) -> Iterator[Path]:
    """A file system in memory of this size, where this process may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "none", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(command, capture_output=True, check=False)
    if not mounted or mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.soak
@pytest.mark.parametrize("option", ["--full", "--keep=2"])
def test_a_disk_that_is_full(
    fault_server: FaultServer, tmp_path: Path, tiny_settings: IndexSettings, option: str
) -> None:
    with _small_disk(tmp_path / "disk", 64 << 20) as disk:
        subject = Subject(disk, tiny_settings)
        manifest = subject.folder.manifest(subject.folder.current())
        needed = manifest.total_bytes + 4096 * 2 * len(manifest.files)
        ended: Counter[int] = Counter()
        for step in range(60):
            old = subject.stored()
            arguments, new = (*subject.index, option), subject.edit()
            ballast = disk / "ballast"
            left = os.statvfs(disk)
            n_bytes = left.f_bavail * left.f_frsize - step * needed // 20
            with ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            run = fault_server.run(arguments, subject.data_dir)
            print(step, run.status, run.errors)  # noqa: T201
            _judge(run, subject, old, new)
            ballast.unlink()
            subject.check_cache()
            ended[run.status] += 1
            subject.check_recovery()
            if ended[0] == _ENOUGH:
                break
        print(ended)  # noqa: T201
        assert ended[1] >= 10
        assert ended[0] == _ENOUGH
