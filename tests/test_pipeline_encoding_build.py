"""A build publishes a whole version, or leaves everything as it was."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fork_server
import numpy as np
import pytest
import tantivy
from fork_server import SCRIPT

from encoders.bert import BertEncoder
from ingest.documents import Document
from ingest.errors import (
    CorpusError,
    DuplicateDocumentError,
    EmptyCorpusError,
    IndexCorruptError,
    IndexFolderError,
    IndexLockedError,
    TrineError,
)
from pipeline.encoding import build as build_module
from pipeline.encoding.build import BuildSummary, build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.encoding.verification import verify_version
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_store import DocumentStore
from pipeline.version.manifest import verify_files
from pipeline.version.open_version import open_version

DOCUMENTS = [
    Document("b", "Penguins", "Penguins swim under the ice. They cannot fly.", origin="a.md"),
    Document("a", "Sparrows", "Sparrows fly over the roofs.", metadata={"year": 2001}),
    Document("d", "Whales", "Whales sing and swim in every sea.", names=("cetacea",)),
    Document("c", "Ants", "Ants carry leaves to their nest.", url="https://example.org/ants"),
]


@pytest.fixture
def folder(tmp_path: Path) -> CollectionFolder:
    return CollectionFolder(tmp_path / "data", "default")


@pytest.fixture
def keywords_only(tiny_settings: IndexSettings) -> IndexSettings:
    """The fastest settings, where the signals do not matter."""
    return tiny_settings.with_signals(["bm25"])


def built(
    folder: CollectionFolder, settings: IndexSettings, documents: list[Document] | None = None
) -> BuildSummary:
    return build_version(folder, DOCUMENTS if documents is None else documents, settings=settings)


def found(folder: CollectionFolder, text: str) -> list[str]:
    searcher = Searcher.open(folder.name, data_dir=folder.data_dir)
    return [hit.doc_id for hit in searcher.search(Query(text)).hits]


def problems(folder: CollectionFolder, version: str) -> list[str]:
    path = folder.version_path(version)
    opened = open_version(path)
    return verify_files(path, opened.manifest) or verify_version(opened)


def litter(folder: CollectionFolder) -> list[str]:
    """What a build must not leave behind."""
    return [
        path.name
        for path in folder.path.rglob("*")
        if path.name.endswith(".building") or path.name.startswith("CURRENT.")
    ] + [name for name in folder.versions() if name != folder.current_or_none()]


def file_hashes(folder: CollectionFolder, name: str) -> dict[str, str]:
    files = folder.manifest(folder.current()).files
    return {path: digest for path, digest in files.items() if path.startswith(f"{name}/")}


def test_a_complete_verified_version_is_published(
    folder: CollectionFolder, tiny_settings: IndexSettings
) -> None:
    summary = built(folder, tiny_settings)
    manifest = folder.manifest(folder.current())
    assert summary.published
    assert summary.version == folder.current() == manifest.version
    assert summary.documents == manifest.n_documents == len(DOCUMENTS)
    assert summary.passages == summary.passages_encoded == manifest.n_passages
    assert (summary.added, summary.changed, summary.removed, summary.unchanged) == (4, 0, 0, 0)
    assert set(manifest.signals) == {"bm25", "tfidf", "word2vec", "bert"}
    for name, record in manifest.signals.items():
        rows = manifest.n_passages if name == "bert" else manifest.n_documents
        assert (record.n_rows, record.n_covered) == (rows, rows)
    on_disk = {
        path.relative_to(folder.version_path(summary.version)).as_posix()
        for path in folder.version_path(summary.version).rglob("*")
        if path.is_file()
    }
    assert on_disk == {*manifest.files, "manifest.json"}
    assert problems(folder, summary.version) == []
    assert litter(folder) == []
    assert found(folder, "penguins")[0] == "b"


def test_the_same_documents_again_publish_nothing(
    folder: CollectionFolder, tiny_settings: IndexSettings
) -> None:
    first = built(folder, tiny_settings)
    again = built(folder, tiny_settings, DOCUMENTS[::-1])
    assert not again.published
    assert again.version == first.version
    assert (again.documents, again.passages) == (first.documents, first.passages)
    assert (again.added, again.unchanged, again.passages_encoded) == (0, 4, 0)
    assert folder.versions() == [first.version]


def test_only_what_changed_is_encoded(
    folder: CollectionFolder, tiny_settings: IndexSettings
) -> None:
    first = built(folder, tiny_settings)
    changed = replace(DOCUMENTS[0], text="Penguins slide on their bellies.")
    added = Document("e", "Moles", "Moles dig in the dark.")
    second = built(folder, tiny_settings, [changed, *DOCUMENTS[2:], added])
    assert (second.added, second.changed, second.removed, second.unchanged) == (1, 1, 1, 2)
    assert second.passages_encoded == 2
    assert second.passages_reused == 2
    assert folder.manifest(second.version).parent == first.version
    assert problems(folder, second.version) == []
    assert found(folder, "bellies")[0] == "b"
    # Metadata is no part of what an encoder reads.
    third = built(folder, tiny_settings, [replace(changed, metadata={"year": 1}), *DOCUMENTS[2:]])
    assert (third.published, third.changed, third.passages_encoded) == (True, 1, 0)


def test_full_builds_agree_byte_for_byte(
    folder: CollectionFolder, tiny_settings: IndexSettings, tmp_path: Path
) -> None:
    first = built(folder, tiny_settings)
    before = {name: file_hashes(folder, name) for name in ("tfidf", "word2vec", "bert")}
    second = build_version(folder, DOCUMENTS[::-1], settings=tiny_settings, full=True)
    assert second.published
    assert second.version != first.version
    assert folder.manifest(second.version).parent is None
    assert (second.passages_encoded, second.passages_reused) == (first.passages, 0)
    assert {name: file_hashes(folder, name) for name in before} == before


def test_rows_are_in_doc_id_order_whatever_order_documents_come_in(
    folder: CollectionFolder, keywords_only: IndexSettings
) -> None:
    names = ["z", "A", "a", "ä", "10", "9", "日本", "👍", "a/b", " b", "a" * 500]
    documents = [Document(name, "", f"text of {name}") for name in names]
    built(folder, keywords_only, documents)
    store = DocumentStore(folder.version_path(folder.current()))
    assert store.doc_ids(range(len(names))) == sorted(names)
    for row, name in enumerate(sorted(names)):
        assert store.row(name) == row
    store.close()


def test_two_documents_with_one_id_name_both_places(
    folder: CollectionFolder, keywords_only: IndexSettings
) -> None:
    first = built(folder, keywords_only)
    twice = [*DOCUMENTS, Document("b", "Other", "Text.", origin="z.md:7")]
    with pytest.raises(DuplicateDocumentError, match=r"'b'.*a\.md.*z\.md:7"):
        built(folder, keywords_only, twice)
    assert folder.current() == first.version
    assert litter(folder) == []


def test_an_empty_corpus_leaves_the_current_version(
    folder: CollectionFolder, keywords_only: IndexSettings
) -> None:
    with pytest.raises(EmptyCorpusError, match="no documents found in here"):
        build_version(folder, [], settings=keywords_only, sources=["here"])
    assert folder.current_or_none() is None
    first = built(folder, keywords_only)
    with pytest.raises(EmptyCorpusError):
        built(folder, keywords_only, [])
    assert folder.current() == first.version
    assert litter(folder) == []


@pytest.mark.parametrize("field", ["doc_id", "title", "text", "url", "metadata", "names"])
def test_a_lone_surrogate_is_named_not_stored(
    folder: CollectionFolder, keywords_only: IndexSettings, field: str
) -> None:
    value: Any = {"metadata": {"note": "\ud800"}, "names": ("\ud800",)}.get(field, "x\ud800")
    with pytest.raises(CorpusError, match=r"z\.md: .*lone surrogate"):
        built(folder, keywords_only, [replace(DOCUMENTS[0], **{field: value}, origin="z.md")])


# ---- what goes wrong in the middle --------------------------------------------------------

Sabotage = Callable[[pytest.MonkeyPatch], None]


def _raise(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


DISK_FULL = OSError(errno.ENOSPC, "No space left on device")


def _break_save(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(np, "save", _raise(DISK_FULL))


def _break_vectors(patch: pytest.MonkeyPatch) -> None:
    open_file = Path.open

    def open_full(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:  # noqa: ANN401
        if path.name == "vectors.faiss" and "w" in mode:
            raise DISK_FULL
        return open_file(path, mode, *rest, **options)

    patch.setattr(Path, "open", open_full)


def _break_tantivy(patch: pytest.MonkeyPatch) -> None:
    class FullDisk:
        open = tantivy.Index.open

        def __init__(self, *_: object, **__: object) -> None:
            raise ValueError("An IO error occurred:\n'No space left on device'")

    patch.setattr(tantivy, "Index", FullDisk)


def _break_encoder(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BertEncoder, "encode_documents", _raise(TrineError("the encoder gave up")))


def _break_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "fsync", _raise(OSError(errno.EIO, "Input/output error")))


def _break_rename(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "replace", _raise(OSError(errno.EROFS, "Read-only file system")))


def _break_verification(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(build_module, "verify_version", lambda _: ["bert rows: 3, expected 4"])


@pytest.mark.parametrize(
    "sabotage",
    [
        _break_save,
        _break_vectors,
        _break_tantivy,
        _break_encoder,
        _break_sync,
        _break_rename,
        _break_verification,
    ],
)
def test_a_failure_in_the_middle_leaves_the_old_version(
    folder: CollectionFolder,
    tiny_settings: IndexSettings,
    monkeypatch: pytest.MonkeyPatch,
    sabotage: Sabotage,
) -> None:
    first = built(folder, tiny_settings)
    changed = [*DOCUMENTS, Document("e", "Moles", "Moles dig.")]
    with monkeypatch.context() as patch:
        sabotage(patch)
        with pytest.raises(TrineError) as caught:
            built(folder, tiny_settings, changed)
    assert "\n" not in str(caught.value)
    assert folder.current() == first.version
    assert found(folder, "penguins")[0] == "b"
    assert litter(folder) == []
    assert built(folder, tiny_settings, changed).published


class _FullDatabase(sqlite3.Connection):
    """A connection to a database on a full disk."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> sqlite3.Cursor:  # type: ignore[override]
        if sql.startswith("INSERT"):
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:  # type: ignore[override]
        return self.execute(sql)


@pytest.mark.parametrize("database", ["documents.sqlite", "embeddings.sqlite"])
def test_a_database_on_a_full_disk_is_one_clear_line(
    folder: CollectionFolder,
    tiny_settings: IndexSettings,
    monkeypatch: pytest.MonkeyPatch,
    database: str,
) -> None:
    connect = sqlite3.connect

    def connect_full(path: Path | str, **options: Any) -> sqlite3.Connection:  # noqa: ANN401
        if str(path).endswith(database):
            options["factory"] = _FullDatabase
        return connect(path, **options)

    monkeypatch.setattr(sqlite3, "connect", connect_full)
    with pytest.raises(IndexFolderError, match=f"{database}.*disk is full"):
        built(folder, tiny_settings.with_signals(["bert"]))
    assert folder.current_or_none() is None


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ValueError("a source of someone else's"), CorpusError("bad")]
)
def test_a_source_that_fails_midway_leaves_the_old_version(
    folder: CollectionFolder, keywords_only: IndexSettings, error: BaseException
) -> None:
    def failing() -> Iterator[Document]:
        yield Document("e", "Moles", "Moles dig.")
        raise error

    first = built(folder, keywords_only)
    with pytest.raises(type(error)):
        build_version(folder, failing(), settings=keywords_only)
    assert folder.current() == first.version
    assert litter(folder) == []
    # The lock is free again.
    assert not built(folder, keywords_only).published


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_folder_without_rights(tmp_path: Path, keywords_only: IndexSettings) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(IndexFolderError, match="Permission denied"):
            built(CollectionFolder(tmp_path / "data", "default"), keywords_only)
    finally:
        tmp_path.chmod(0o700)


def test_a_data_folder_that_is_a_file(tmp_path: Path, keywords_only: IndexSettings) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(IndexFolderError, match="Not a directory"):
        built(CollectionFolder(tmp_path / "data", "default"), keywords_only)
    assert (tmp_path / "data").read_text() == "not a folder"


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from ingest.documents import Document
from pipeline.encoding import build, document_signals
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

data_dir, point = sys.argv[1:]
targets = {
    "read": (build.DocumentSpool, "finish"),
    "bm25": (document_signals, "write_keyword_index"),
    "manifest": (build, "write_manifest"),
    "rename": (Path, "rename"),
    "publish": (Path, "replace"),
}
setattr(*targets[point], die)
documents = [Document("new", "New", "Something new.")]
build.build_version(
    CollectionFolder(Path(data_dir), "default"),
    documents,
    settings=IndexSettings(signals=("bm25",)),
)
"""


@pytest.mark.parametrize("point", ["read", "bm25", "manifest", "rename", "publish"])
def test_a_killed_writer_harms_nothing(
    folder: CollectionFolder, keywords_only: IndexSettings, point: str
) -> None:
    first = built(folder, keywords_only)
    died = fork_server.run(KILLED_WRITER, folder.data_dir, point, function=SCRIPT)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert folder.current() == first.version
    assert problems(folder, first.version) == []
    assert found(folder, "penguins") == ["b"]
    after = built(folder, keywords_only, DOCUMENTS[:3])
    assert after.published
    assert folder.current() == after.version
    assert not list(folder.path.rglob("*.building"))
    assert not list(folder.path.glob("CURRENT.*"))


def test_a_second_writer_is_told_who_writes(
    folder: CollectionFolder, keywords_only: IndexSettings
) -> None:
    told = []

    def documents() -> Iterator[Document]:
        yield from DOCUMENTS
        with pytest.raises(IndexLockedError) as caught:
            built(folder, keywords_only)
        told.append(str(caught.value))

    assert build_version(folder, documents(), settings=keywords_only).published
    assert f"process {os.getpid()}" in told[0]
    assert "default" in told[0]


# ---- settings -----------------------------------------------------------------------------


@pytest.mark.parametrize("signals", [("bm25", "tfidf"), ("bert",), ("bm25",), ("word2vec",)])
def test_some_signals_are_enough(
    folder: CollectionFolder, tiny_settings: IndexSettings, signals: tuple[str, ...]
) -> None:
    summary = built(folder, tiny_settings.with_signals(signals))
    assert tuple(folder.manifest(summary.version).signals) == signals
    assert problems(folder, summary.version) == []
    answer = Searcher.open(data_dir=folder.data_dir).search(Query("penguins swim", k=4))
    assert answer.hits
    assert tuple(answer.hits[0].explanation) == signals


def test_other_settings_make_another_version(
    folder: CollectionFolder, tiny_settings: IndexSettings
) -> None:
    first = built(folder, tiny_settings)
    wider = built(folder, tiny_settings.with_encoder("word2vec", dimension=12))
    assert wider.published
    assert (wider.unchanged, wider.passages_encoded) == (4, 0)
    other = built(folder, tiny_settings.with_encoder("bert", precision="bfloat16"))
    assert other.published
    assert (other.passages_encoded, other.passages_reused) == (other.passages, 0)
    # And back: the first encoder's embeddings are still known.
    back = built(folder, tiny_settings)
    assert (back.passages_encoded, back.passages_reused) == (0, first.passages)


# ---- documents of every kind --------------------------------------------------------------


def test_odd_documents(folder: CollectionFolder, tiny_settings: IndexSettings) -> None:
    documents = [
        Document("title-only", "Quaternions", ""),
        Document("stop-words", "", "the of and in"),
        Document("symbols", "", "!!! ??? ---"),
        Document("emoji", "", "🎉🎉"),
        Document("日本語/ñ?#&=%20 ", "", "An id of many characters."),
        Document("nul", "", "before\x00after"),
        Document("long-word", "", "x" * 70_000),
        Document("metadata", "M", "Fields.", metadata={"": 1, "a.b": [], "ü": ["x", "y"]}),
    ]
    summary = built(folder, tiny_settings, documents)
    assert problems(folder, summary.version) == []
    manifest = folder.manifest(summary.version)
    assert manifest.signals["bm25"].coverage < 1
    assert found(folder, "quaternions")[0] == "title-only"
    assert found(folder, "many characters")[0] == "日本語/ñ?#&=%20 "
    store = DocumentStore(folder.version_path(summary.version))
    for document in documents:
        assert store.documents([store.row(document.doc_id)]) == [document]
    store.close()


def test_a_document_of_a_megabyte(folder: CollectionFolder, tiny_settings: IndexSettings) -> None:
    sentence = "The quick brown fox jumps over the lazy dog near the old mill. "
    text = sentence * (1_000_000 // len(sentence)) + "Finally a zebra appears."
    settings = tiny_settings.with_signals(["bm25", "tfidf"])
    summary = built(folder, settings, [Document("big", "", text), *DOCUMENTS])
    assert summary.passages > 1000
    assert problems(folder, summary.version) == []
    assert found(folder, "zebra")[0] == "big"


# ---- damage -------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["manifest.json", "documents.sqlite", "bm25/meta.json"])
def test_a_damaged_parent_does_not_stop_a_new_build(
    folder: CollectionFolder, keywords_only: IndexSettings, lost: str
) -> None:
    first = built(folder, keywords_only)
    (folder.version_path(first.version) / lost).write_bytes(b"damaged")
    (folder.version_path(first.version) / "passages" / "spans.npy").unlink()
    with pytest.raises(IndexCorruptError):
        Searcher.open(data_dir=folder.data_dir)
    again = built(folder, keywords_only)
    assert again.published
    assert found(folder, "penguins") == ["b"]


@pytest.mark.parametrize("content", ["", ".", "../../x", "gone", "x" * 5000, "\udcff", "a\x00b"])
def test_a_damaged_current_does_not_stop_a_new_build(
    folder: CollectionFolder, keywords_only: IndexSettings, content: str
) -> None:
    built(folder, keywords_only)
    (folder.path / "CURRENT").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(IndexCorruptError, match="missing"):
        Searcher.open(data_dir=folder.data_dir)
    assert built(folder, keywords_only).published
    assert found(folder, "penguins") == ["b"]


@pytest.mark.parametrize("damage", ["garbage", "truncated", "short rows", "a page"])
def test_a_damaged_embedding_cache_costs_time_only(
    folder: CollectionFolder, tiny_settings: IndexSettings, damage: str
) -> None:
    settings = tiny_settings.with_signals(["bert"])
    first = built(folder, settings)
    path = folder.cache_path / "embeddings.sqlite"
    if damage == "short rows":
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("UPDATE embeddings SET embedding = x'00112233445566'")
        connection.close()
    else:
        content = path.read_bytes()
        path.write_bytes(
            {
                "garbage": b"not a database " * 100,
                "truncated": content[: len(content) // 2],
                "a page": content[:4096] + b"\xff" * (len(content) - 4096),
            }[damage]
        )
    # Other ids, so that only the cache knows the passages.
    moved = [replace(document, doc_id=f"moved/{document.doc_id}") for document in DOCUMENTS]
    second = built(folder, settings, moved[:3])
    assert (second.passages_encoded, second.passages_reused) == (3, 0)
    assert problems(folder, second.version) == []
    third = built(folder, settings)
    assert third.passages_encoded + third.passages_reused == first.passages
    assert third.passages_reused >= 3
