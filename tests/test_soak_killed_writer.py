"""Kill writers at points spread over all they do (``make soak``; ``make test`` samples them)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fault_server import Fault, FaultServer, Run, spread
from fault_subject import Subject, Titles, trine
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder

# What a run would change: its arguments, and the documents that are current once it is done.
Prepare = Callable[[Subject], tuple[Sequence[str], Titles]]

N_SAMPLED = 6
KILLED = -signal.SIGKILL


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


SCENARIOS: dict[str, tuple[Prepare, int]] = {
    "incremental": (_incremental, 80),
    "full": (_full, 80),
    "judged": (_judged, 24),
    "delete": (_delete, 12),
    "adopt": (_adopt, 16),
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
        assert _kill(server, subject, prepare, Fault(kill_at=point)).status == KILLED
    return len(points)


@pytest.fixture
def subject(tmp_path: Path, tiny_settings: IndexSettings) -> Subject:
    return Subject(tmp_path, tiny_settings)


@pytest.mark.parametrize("scenario", ["incremental"])
def test_a_writer_killed_at_a_few_points(
    fault_server: FaultServer, subject: Subject, scenario: str
) -> None:
    prepare, _ = SCENARIOS[scenario]
    _kill_at_points(fault_server, subject, prepare, lambda n: spread(N_SAMPLED, n))


@pytest.mark.soak
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_writer_killed_at_many_points(
    fault_server: FaultServer, subject: Subject, scenario: str
) -> None:
    prepare, count = SCENARIOS[scenario]
    _kill_at_points(fault_server, subject, prepare, lambda n: spread(count, n))
