"""Written documents become versions: none lost, none applied twice, whatever happens between."""

from __future__ import annotations

import hashlib
import io
import json
import random
import signal
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import fork_server
import pytest
from click.testing import CliRunner
from fork_server import PIPE, SCRIPT

from ingest.documents import Document
from ingest.errors import (
    EmptyCorpusError,
    IndexCorruptError,
    IndexFolderError,
    IndexLockedError,
    IndexVersionError,
    WriteLogFullError,
)
from pipeline.command_line import indexer
from pipeline.command_line.indexer import GATHERED_S, Indexer
from pipeline.command_line.main import cli
from pipeline.encoding.build import build_version
from pipeline.encoding.folding import fold_writes
from pipeline.encoding.settings import IndexSettings
from pipeline.version import write_log
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_store import DocumentStore
from pipeline.version.restore import restore
from pipeline.version.write_log import WriteLog
from pipeline.version.writes import Write

N_SAMPLED = 2
N_SOAKED = 40


def put(doc_id: str, text: str = "Some text.") -> Write:
    return Write(doc_id, Document(doc_id, f"Title of {doc_id}", text))


def texts(folder: CollectionFolder) -> dict[str, str]:
    store = DocumentStore(folder.version_path(folder.current()))
    try:
        return {document.doc_id: document.text for document in store.stream()}
    finally:
        store.close()


class Written:
    """A collection with a log, and what to write into it."""

    def __init__(self, folder: CollectionFolder, settings: IndexSettings) -> None:
        self.folder = folder
        self.log = WriteLog(folder)
        self._settings = settings.with_signals(["bm25"]).to_manifest()

    def accept(self, *writes: Write) -> str:
        return self.log.accept(writes, settings=self._settings).task

    def state(self, task: str) -> str:
        found = self.log.task(task)
        assert found is not None
        return found.state

    def trine(self, *arguments: str, status: int = 0) -> str:
        done = CliRunner().invoke(cli, [*arguments, *_place(self.folder)])
        assert done.exit_code == status, done.output + str(done.exception)
        return done.output


@pytest.fixture
def written(tmp_path: Path, tiny_settings: IndexSettings) -> Written:
    return Written(CollectionFolder(tmp_path / "data", "default"), tiny_settings)


@pytest.fixture
def source(tmp_path: Path, written: Written) -> Path:
    """A file of two documents, indexed."""
    path = tmp_path / "source.jsonl"
    lines = [{"_id": name, "text": f"From the source: {name}."} for name in ("one", "two")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    written.trine("index", str(path), "--signals", "bm25")
    return path


def test_writes_make_a_collection_and_change_it(written: Written) -> None:
    first = written.accept(put("a"), put("b"), put("c"))
    assert written.state(first) == "accepted"
    fold_writes(written.folder)
    assert written.state(first) == "published"
    second = written.accept(put("b", "Another text."), Write("c", None), Write("never", None))
    folded = fold_writes(written.folder)
    assert texts(written.folder) == {"a": "Some text.", "b": "Another text."}
    found = written.log.task(second)
    assert found is not None
    assert (found.version, found.n_put, found.n_deleted) == (folded.version, 1, 2)
    manifest = written.folder.manifest(written.folder.current())
    assert list(manifest.signals) == ["bm25"]


def test_every_part_of_a_document_is_kept(written: Written) -> None:
    metadata = {"year": 2021, "tags": ["a", "b"], "draft": True, "ratio": 0.5}
    document = Document("ü/ 1", "T", "Tëxt\n\nmore", "https://e.org/", metadata, ("n.1", "n 2"))
    written.accept(Write(document.doc_id, document))
    fold_writes(written.folder)
    with_store = DocumentStore(written.folder.version_path(written.folder.current()))
    assert [*with_store.stream()] == [document]
    with_store.close()


def test_what_changes_nothing_publishes_nothing(written: Written) -> None:
    written.accept(put("a"))
    version = fold_writes(written.folder).version
    again = written.accept(put("a"), Write("gone", None))
    assert not fold_writes(written.folder).published
    assert written.state(again) == "published"
    assert written.folder.versions() == [version]


def test_a_crash_before_it_is_noted_applies_nothing_twice(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = written.accept(put("a"))
    with monkeypatch.context() as patched:
        patched.setattr(WriteLog, "settle", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fold_writes(written.folder)
    assert texts(written.folder) == {"a": "Some text."}
    assert written.state(task) == "accepted"
    assert not fold_writes(written.folder).published
    assert written.state(task) == "published"
    assert len(written.folder.versions()) == 1


def test_deleting_everything_fails_and_is_mended_by_a_write(written: Written) -> None:
    written.accept(put("a"))
    fold_writes(written.folder)
    deleted = written.accept(Write("a", None))
    with pytest.raises(EmptyCorpusError, match="trine collections delete default"):
        fold_writes(written.folder)
    assert written.state(deleted) != "published"
    written.accept(put("b"))
    fold_writes(written.folder)
    assert texts(written.folder) == {"b": "Some text."}
    assert written.state(deleted) == "published"


def test_deletions_alone_make_no_collection(written: Written) -> None:
    task = written.accept(Write("a", None))
    assert fold_writes(written.folder).version is None
    assert written.state(task) == "published"
    assert not written.folder.versions()


def test_reading_the_sources_again_loses_no_write(written: Written, source: Path) -> None:
    written.accept(put("new"), put("one", "Written over."), Write("two", None))
    fold_writes(written.folder)
    pending = written.accept(put("pending"))
    source.write_text(
        '{"_id": "one", "text": "x"}\n{"_id": "two", "text": "x"}\n{"_id": "3", "text": "y"}'
    )
    written.trine("reindex", "--allow-shrink")
    expected = {"new": "Some text.", "one": "Written over.", "3": "y", "pending": "Some text."}
    assert texts(written.folder) == expected
    assert written.state(pending) == "published"
    assert not fold_writes(written.folder).published
    written.trine("reindex", "--full", "--allow-shrink")
    assert texts(written.folder) == expected
    written.accept(put("two", "Back."))
    fold_writes(written.folder)
    assert texts(written.folder) == {**expected, "two": "Back."}


def test_a_collection_without_sources_is_built_again_from_what_was_written(
    written: Written,
) -> None:
    written.accept(put("a"), put("b"))
    fold_writes(written.folder)
    for options in ([], ["--full"], ["--refit"]):
        written.trine("reindex", *options)
        assert set(texts(written.folder)) == {"a", "b"}


def test_a_damaged_version_costs_no_write(written: Written, source: Path) -> None:
    written.accept(put("a"))
    version = fold_writes(written.folder).version
    assert version is not None
    (written.folder.version_path(version) / "documents.sqlite").write_bytes(b"x" * 5000)
    written.trine("reindex", "--allow-shrink")
    assert set(texts(written.folder)) == {"one", "two", "a"}


def test_a_version_activated_by_hand_stays_as_it_is(written: Written, source: Path) -> None:
    before = written.folder.current()
    written.accept(put("bad"))
    fold_writes(written.folder)
    written.trine("versions", "activate", before)
    assert not fold_writes(written.folder).published
    written.accept(put("good"))
    fold_writes(written.folder)
    assert set(texts(written.folder)) == {"one", "two", "good"}


def test_a_backup_holds_what_was_written_and_what_waits(
    written: Written, source: Path, tmp_path: Path
) -> None:
    written.accept(put("gone"))
    written.accept(put("a"), Write("gone", None), put("one", "Written over."))
    fold_writes(written.folder)
    written.accept(put("waits"), Write("two", None))
    written.trine("collections", "backup", "default", str(tmp_path / "b.tar"))
    written.trine("collections", "restore", str(tmp_path / "b.tar"), "--as", "copy")
    copy = CollectionFolder(written.folder.data_dir, "copy")
    before = {"a": "Some text.", "one": "Written over.", "two": "From the source: two."}
    after = {"a": "Some text.", "one": "Written over.", "waits": "Some text."}
    assert texts(copy) == before
    # A task waits, so that a server sees there is something to do.
    assert WriteLog(copy).backlog()
    assert fold_writes(copy).published
    assert texts(copy) == after
    assert not WriteLog(copy).backlog()
    CliRunner().invoke(cli, ["reindex", "--full", *_place(copy)], catch_exceptions=False)
    assert texts(copy) == after
    WriteLog(copy).accept([put("later")], settings={})
    fold_writes(copy)
    assert texts(copy) == {**after, "later": "Some text."}


def test_a_backup_put_in_place_of_a_collection_takes_its_log_along(
    written: Written, source: Path, tmp_path: Path
) -> None:
    written.accept(put("a"))
    fold_writes(written.folder)
    written.trine("collections", "backup", "default", str(tmp_path / "b.tar"))
    written.accept(put("b"), put("a", "Newer."))
    fold_writes(written.folder)
    newer = written.folder.current()
    waiting = written.accept(put("c"), put("one", "Written over."))
    written.trine("collections", "restore", str(tmp_path / "b.tar"), "--replace")
    assert set(texts(written.folder)) == {"one", "two", "a"}
    # What was accepted and is in no version yet is lost by nothing.
    fold_writes(written.folder)
    assert written.state(waiting) == "published"
    assert set(texts(written.folder)) == {"one", "two", "a", "c"}
    written.trine("reindex")
    assert set(texts(written.folder)) == {"one", "two", "a", "c"}
    assert texts(written.folder)["one"] == "Written over."
    assert texts(written.folder)["a"] == "Some text."
    # What is written from now on is written into whichever version is current.
    written.trine("versions", "activate", newer)
    written.accept(put("d"))
    fold_writes(written.folder)
    assert set(texts(written.folder)) == {"one", "two", "a", "b", "d"}


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"{",
        b"[1]",
        b'{"settled": 1, "sequence": 0, "settings": {}}',
        b'{"settled": 0, "sequence": 1, "settings": {}}\n{"sequence": 2, "doc_id": "a"}',
        b'{"settled": 0, "sequence": 1, "settings": {}}\n{"sequence": 1, "doc_id": ""}',
        b'{"settled": 0, "sequence": 9, "settings": {}}\n'
        b'{"sequence": 1, "doc_id": "a", "document": {"title": "", "text": 5}}',
    ],
)
def test_a_hostile_log_in_a_backup_changes_nothing(
    written: Written, source: Path, tmp_path: Path, lines: bytes
) -> None:
    task = written.accept(put("a"))
    written.trine("collections", "backup", "default", str(tmp_path / "b.tar"))
    with tarfile.open(tmp_path / "b.tar") as archive, tarfile.open(tmp_path / "x.tar", "w") as made:
        for member in archive:
            content = archive.extractfile(member).read()  # type: ignore[union-attr]
            if member.name == "backup.json":
                digest = {"bytes": len(lines), "sha256": hashlib.sha256(lines).hexdigest()}
                content = json.dumps({**json.loads(content), "writes": digest}).encode()
            elif member.name == "state/writes.jsonl":
                content = lines
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    with pytest.raises(IndexCorruptError, match="write log"):
        restore(tmp_path / "x.tar", written.folder.data_dir, replace=True)
    assert written.state(task) == "accepted"
    with pytest.raises(IndexCorruptError, match="write log"):
        restore(tmp_path / "x.tar", written.folder.data_dir, name="y")
    assert not (written.folder.data_dir / "y").exists()


def _place(folder: CollectionFolder) -> list[str]:
    return ["--data-dir", str(folder.data_dir), "--collection", folder.name]


def test_a_process_that_built_often_leaves_the_rest_to_the_next(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "_MOST_BUILDS", 1)
    monkeypatch.setattr(indexer, "QUIET_S", 0.0)
    for name in ("a", "b"):
        task = written.accept(put(name))
        Indexer(written.folder.data_dir).run()
        assert written.state(task) == "published"


def test_trine_delete_deletes_what_was_written(written: Written, source: Path) -> None:
    written.accept(put("a"), put("one", "Written over."))
    fold_writes(written.folder)
    written.trine("delete", "a", "one")
    assert set(texts(written.folder)) == {"two"}
    written.trine("reindex")
    assert texts(written.folder)["one"] == "From the source: one."
    assert "a" not in texts(written.folder)


def test_a_log_of_another_collection_hides_nothing(
    written: Written, tmp_path: Path, tiny_settings: IndexSettings
) -> None:
    for number in range(5):
        written.accept(put(f"a{number}"))
    fold_writes(written.folder)
    written.trine("collections", "backup", "default", str(tmp_path / "backup.tar"))
    other = Written(CollectionFolder(tmp_path / "other", "default"), tiny_settings)
    other.accept(put("b"))
    fold_writes(other.folder)
    task = other.accept(put("c"))
    other.trine("collections", "restore", str(tmp_path / "backup.tar"), "--replace")
    fold_writes(other.folder)
    assert other.state(task) == "published"
    assert "c" in texts(other.folder)


def test_a_writer_at_work_is_waited_for(written: Written) -> None:
    task = written.accept(put("a"))
    with written.folder.writing():
        with pytest.raises(IndexLockedError):
            fold_writes(written.folder)
        # Writing the log needs no other lock than its own.
        written.accept(put("b"))
    clock = [time.time() + GATHERED_S]
    indexer = Indexer(written.folder.data_dir, clock=lambda: clock[0])
    with written.folder.writing():
        assert indexer.look()
    assert written.state(task) == "accepted"
    clock[0] += GATHERED_S
    assert indexer.look()
    assert written.state(task) == "published"
    assert not indexer.look()


def test_a_burst_is_gathered(written: Written) -> None:
    clock = [time.time()]
    indexer = Indexer(written.folder.data_dir, clock=lambda: clock[0])
    for number in range(20):
        written.accept(put(f"a{number}"))
        indexer.look()
    assert not written.folder.versions()
    clock[0] += GATHERED_S
    indexer.look()
    assert len(written.folder.versions()) == 1
    assert {task.state for task in written.log.tasks(100)} == {"published"}


def test_a_failure_is_told_and_tried_again(written: Written, tiny_settings: IndexSettings) -> None:
    build_version(
        written.folder,
        [Document("one", "One", "Text of one.")],
        settings=tiny_settings.with_signals(["bm25"]),
    )
    current = written.folder.path / "CURRENT"
    sound = current.read_bytes()
    current.write_text("20200101T000000.000000Z-000000")
    task = written.accept(put("a"))
    clock = [time.time() + GATHERED_S]
    indexer = Indexer(written.folder.data_dir, clock=lambda: clock[0])
    indexer.look()
    found = written.log.task(task)
    assert found is not None
    assert found.state == "failed"
    assert found.error is not None
    assert "which is missing" in found.error
    current.write_bytes(sound)
    indexer.look()
    assert written.state(task) == "failed"
    clock[0] += 600
    indexer.look()
    found = written.log.task(task)
    assert found is not None
    assert (found.state, found.error) == ("published", None)


def test_asking_twice_reads_the_sources_once(written: Written, source: Path) -> None:
    first, second = written.log.ask_reindex(), written.log.ask_reindex()
    assert first.task == second.task
    source.write_text('{"_id": "one", "text": "New."}\n{"_id": "two", "text": "New."}')
    Indexer(written.folder.data_dir).look()
    assert written.state(first.task) == "published"
    assert texts(written.folder) == {"one": "New.", "two": "New."}
    source.unlink()
    third = written.log.ask_reindex().task
    Indexer(written.folder.data_dir).look()
    assert written.state(third) == "failed"
    assert not written.log.backlog()


def test_a_full_log_takes_no_more(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_log, "MAX_PENDING", 3)
    written.accept(put("a"), put("b"))
    with pytest.raises(WriteLogFullError):
        written.accept(put("c"), put("d"))
    assert written.log.backlog().n_writes == 1
    fold_writes(written.folder)
    assert set(texts(written.folder)) == {"a", "b"}
    written.accept(*(put(f"m{number}") for number in range(10)))


def test_all_or_nothing(written: Written) -> None:
    def broken() -> Iterator[Write]:
        yield put("a")
        raise ValueError("the client went away")

    written.accept(put("b"))
    with pytest.raises(ValueError, match="went away"):
        written.log.accept(broken(), settings={})
    fold_writes(written.folder)
    assert set(texts(written.folder)) == {"b"}


def test_a_removed_collection_accepts_nothing_silently(written: Written) -> None:
    written.accept(put("a"))
    fold_writes(written.folder)

    def removed() -> Iterator[Write]:
        written.folder.remove()
        yield put("b")

    with pytest.raises(IndexFolderError):
        written.log.accept(removed(), settings={})


@pytest.mark.parametrize("damage", ["header", "middle", "format"])
def test_a_damaged_log_is_told_and_nothing_is_published_without_it(
    written: Written, source: Path, damage: str
) -> None:
    written.accept(put("a", "x" * 20_000))
    path = written.log.path
    if damage == "format":
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 9")
        connection.close()
    else:
        content = bytearray(path.read_bytes())
        begin = 0 if damage == "header" else 4096
        content[begin : begin + 16_384] = b"\xff" * len(content[begin : begin + 16_384])
        path.write_bytes(content)
    current = written.folder.current()
    with pytest.raises((IndexCorruptError, IndexVersionError, IndexFolderError)):
        fold_writes(written.folder)
    assert "writes.sqlite" in str(
        CliRunner().invoke(cli, ["reindex", "--data-dir", str(written.folder.data_dir)]).exception
    )
    assert written.folder.current() == current


# Every moment from the first look to the last note, on any machine.
INDEXER = """
import sys, time
from pathlib import Path
from pipeline.command_line.indexer import Indexer

indexer = Indexer(Path(sys.argv[1]), clock=lambda: time.time() + 10)
print("ready", flush=True)
while True:
    indexer.look()
"""


def kill_an_indexer(written: Written, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    expected = {}
    process = fork_server.start(INDEXER, written.folder.data_dir, function=SCRIPT, stdout=PIPE)
    tasks = []
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        until = time.monotonic() + chance.uniform(0.0, 3.0)
        while not tasks or time.monotonic() < until:
            name = f"d{chance.randrange(20)}"
            expected[name] = None if chance.random() < 0.2 else f"Text {len(tasks)}."
            text = expected[name]
            tasks.append(written.accept(Write(name, None) if text is None else put(name, text)))
            time.sleep(chance.uniform(0.0, 0.05))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    written.accept(put("last"))
    versions = written.folder.versions()
    fold_writes(written.folder)
    assert len(written.folder.versions()) <= len(versions) + 1
    assert {written.state(task) for task in tasks} == {"published"}
    kept = {name: text for name, text in expected.items() if text is not None}
    assert texts(written.folder) == {**kept, "last": "Some text."}
    assert not fold_writes(written.folder).published
    assert not list(written.folder.path.rglob("*.building"))


@pytest.mark.parametrize("seed", range(N_SAMPLED))
def test_an_indexer_killed_at_a_random_moment(written: Written, seed: int) -> None:
    kill_an_indexer(written, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(N_SAMPLED, N_SOAKED))
def test_an_indexer_killed_at_many_random_moments(written: Written, seed: int) -> None:
    kill_an_indexer(written, seed)
