"""Kill writers at points spread over all they do (``make soak``; ``make test`` samples them)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from fault_server import Fault, FaultServer, Run, sample, spread
from fault_subject import Subject, Titles, check_serving, litter, trine

from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_store import DocumentStore
from pipeline.version.quality import Quality, write_quality

# What a run would change: its arguments, and the documents that are current once it is done.
Prepare = Callable[[Subject], tuple[Sequence[str], Titles]]

N_SAMPLED = 4
N_CPU_TIMES = 24


def _incremental(subject: Subject) -> tuple[Sequence[str], Titles]:
    return subject.index, subject.edit()


def _full(subject: Subject) -> tuple[Sequence[str], Titles]:
    return (*subject.index, "--full"), subject.edit()


def _judged(subject: Subject) -> tuple[Sequence[str], Titles]:
    judge = ("--judge", subject.judgments(), "--max-drop", "1")
    return (*subject.index, *judge), subject.edit()


def _delete(subject: Subject) -> tuple[Sequence[str], Titles]:
    left = {doc_id: title for doc_id, title in subject.stored().items() if doc_id != "d9"}
    return ("delete", "d9", *subject.place), left


def _adopt(subject: Subject) -> tuple[Sequence[str], Titles]:
    return ("fault_subject:adopt", str(subject.data_dir)), subject.stored()


def _activate(subject: Subject) -> tuple[Sequence[str], Titles]:
    older = subject.folder.versions()[0]
    with closing(DocumentStore(subject.folder.version_path(older))) as store:
        titles = {document.doc_id: document.title for document in store.stream()}
    return ("versions", "activate", older, *subject.place), titles


SCENARIOS: dict[str, tuple[Prepare, int]] = {
    "incremental": (_incremental, 80),
    "full": (_full, 80),
    "judged": (_judged, 24),
    "delete": (_delete, 12),
    "adopt": (_adopt, 16),
    "activate": (_activate, 8),
}


def _kill(server: FaultServer, subject: Subject, prepare: Prepare, fault: Fault) -> Run:
    """Kill one run; the collection is the old or the new one, and the next run goes on."""
    old = subject.stored()
    arguments, new = prepare(subject)
    run = server.run(arguments, subject.data_dir, fault)
    subject.check_serving(old, new)
    subject.check_cache()
    subject.check_recovery()
    return run


def _kill_at_points(
    server: FaultServer, subject: Subject, prepare: Prepare, choose: Callable[[int], list[int]]
) -> int:
    arguments, new = prepare(subject)
    whole = server.run(arguments, subject.data_dir)
    assert (whole.status, whole.errors) == (0, "")
    subject.check_serving(new)
    subject.check_recovery()
    points = choose(len(whole.points))
    for point in points:
        shown = whole.points[point - 1]
        print(f"killed before {point} of {len(whole.points)}: {shown}")  # noqa: T201
        run = _kill(server, subject, prepare, Fault(kill_at=point))
        assert run.status == -signal.SIGKILL
    return len(points)


@pytest.fixture
def subject(tmp_path: Path, tiny_settings: IndexSettings) -> Subject:
    return Subject(tmp_path, tiny_settings)


@pytest.mark.parametrize("scenario", ["incremental"])
def test_a_writer_killed_at_a_few_points(
    fault_server: FaultServer, subject: Subject, scenario: str
) -> None:
    prepare, _ = SCENARIOS[scenario]
    _kill_at_points(fault_server, subject, prepare, lambda n: sample(N_SAMPLED, n))


@pytest.mark.soak
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_writer_killed_at_many_points(
    fault_server: FaultServer, subject: Subject, scenario: str
) -> None:
    prepare, count = SCENARIOS[scenario]
    _kill_at_points(fault_server, subject, prepare, lambda n: spread(count, n))


@pytest.mark.soak
@pytest.mark.parametrize("scenario", ["incremental", "full"])
def test_a_writer_killed_in_the_middle_of_native_code(
    fault_server: FaultServer, subject: Subject, scenario: str
) -> None:
    prepare, _ = SCENARIOS[scenario]
    whole = fault_server.run(prepare(subject)[0], subject.data_dir)
    subject.check_serving(subject.titles)
    killed = 0
    for step in range(N_CPU_TIMES):
        cpu_s = whole.cpu_s * (step + 0.5) / N_CPU_TIMES
        run = _kill(fault_server, subject, prepare, Fault(cpu_s=cpu_s))
        # A faster run may be done before its last moment comes.
        assert run.status in {-signal.SIGPROF, 0}
        killed += run.status != 0
    assert killed >= N_CPU_TIMES // 2


@pytest.mark.soak
def test_restoring_and_deleting_killed_at_many_points(
    fault_server: FaultServer, subject: Subject, tmp_path: Path
) -> None:
    file = str(tmp_path / "backup.tar")
    subject.check_recovery()
    write_quality(subject.folder, subject.folder.current(), Quality("/judged", 0.5, 7))
    assert trine("collections", "backup", "default", file, "--all-versions", *subject.place) == 0
    titles = subject.stored()
    folder = CollectionFolder(subject.data_dir, "restored")
    restore = ("collections", "restore", file, "--as", "restored", *subject.place)
    delete = ("collections", "delete", "restored", "--yes", *subject.place)
    points = {
        arguments: len(fault_server.run(arguments, subject.data_dir).points)
        for arguments in (restore, delete)
    }
    assert not folder.path.exists()
    for point in spread(24, points[restore]):
        print(f"restore killed before {point} of {points[restore]}")  # noqa: T201
        fault_server.run(restore, subject.data_dir, Fault(kill_at=point))
        if folder.current_or_none() is None:
            assert trine(*restore) == 0
        check_serving(folder, titles)
        # Whatever is written next removes what is left.
        current, place = folder.current(), ("--collection", "restored", *subject.place)
        assert trine("versions", "activate", current, *place) == 0
        assert litter(folder) == []
        assert folder.versions() == subject.folder.versions()
        assert trine(*delete) == 0
        assert not folder.path.exists()
    for point in spread(16, points[delete]):
        print(f"delete killed before {point} of {points[delete]}")  # noqa: T201
        assert trine(*restore) == 0
        fault_server.run(delete, subject.data_dir, Fault(kill_at=point))
        if folder.path.exists():
            assert trine(*delete) == 0
        assert not folder.path.exists()
    subject.check_serving(titles)
