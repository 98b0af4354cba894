"""A small collection to which faults are done, and what must hold of it afterwards."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from ingest.sources import read_documents
from pipeline.command_line.main import main
from pipeline.encoding.adopt import adopt_ranking, keep_report
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.encoding.verification import verify_version
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_store import DocumentStore
from pipeline.version.manifest import unlisted_files, verify_files
from pipeline.version.open_version import open_version
from pipeline.version.quality import Quality, write_quality
from pipeline.version.remarks import KINDS

KEEP = 2
N_DOCUMENTS = 40
# Long enough for an edition's new words to stay below the bound of drift.
_STABLE = " ".join(f"Sentence {n} says what file and folder number {n} are for." for n in range(16))

Titles = Mapping[str, str]


def adopt(arguments: list[str]) -> None:
    """What ``trine tune --adopt`` does once it has found something better."""
    folder = CollectionFolder(Path(arguments[0]), "default")
    parent = folder.current()
    child = adopt_ranking(folder, parent, {"weights": {"bm25": 1.0, "bert": 2.0}}, {})
    keep_report(folder, parent, {"adopted": child})
    write_quality(folder, child, Quality("/judged", 0.5, 7))


def trine(*arguments: str) -> int:
    """Run ``trine`` here and now; returns its exit status."""
    try:
        main(list(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def stored(folder: CollectionFolder) -> Titles:
    """Titles of the documents of the current version."""
    path = folder.version_path(folder.current())
    with closing(DocumentStore(path)) as store:
        return {document.doc_id: document.title for document in store.stream()}


def check_serving(folder: CollectionFolder, *expected: Titles) -> None:
    """The current version is whole and one of these, and answers with its documents alone."""
    current = folder.current()
    path = folder.version_path(current)
    version = open_version(path)
    assert verify_files(path, version.manifest) == []
    assert unlisted_files(path, version.manifest) == []
    assert verify_version(version) == []
    titles = stored(folder)
    assert titles in expected
    searcher = Searcher(version)
    for doc_id in ("d0", "d7"):
        answer = searcher.search(Query(titles[doc_id]))
        assert answer.hits[0].doc_id == doc_id
        assert answer.version == current
        assert all(titles[hit.doc_id] == hit.title for hit in answer.hits)


def litter(folder: CollectionFolder) -> list[str]:
    """Files that no version, no cache and no known state accounts for."""
    versions = folder.versions()
    known = {"CURRENT", "cache/embeddings.sqlite", "state/write.lock"}
    for version in versions:
        known.add(f"versions/{version}/manifest.json")
        files = folder.manifest(version).files
        known |= {f"versions/{version}/{name}" for name in files}
        known |= {f"state/{kind}/{version}.json" for kind in KINDS}
    root = folder.path
    found = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    half = {path.name for path in folder.versions_path.iterdir()} - set(versions)
    return sorted(found - known | half)


class Subject:
    """One collection, built from a file of documents that is edited between runs.

    An edition changes two documents of forty, adds one and removes one: less than makes tfidf and
    word2vec fit anew, so that a run takes over what it can.
    """

    def __init__(self, root: Path, settings: IndexSettings) -> None:
        self.data_dir = root / "data"
        self.folder = CollectionFolder(self.data_dir, "default")
        self.place = ("--data-dir", str(self.data_dir))
        self.index = ("index", *self.place, "--keep", str(KEEP))
        self.titles: Titles = {}
        self._source = root / "corpus.jsonl"
        self._judged = root / "judged"
        self._edition = 0
        self.edit()
        sources = [str(self._source)]
        build_version(self.folder, read_documents(sources), settings=settings, sources=sources)
        self._published = {self.folder.current()}

    def edit(self) -> Titles:
        """Make the next edition of the documents; returns their titles."""
        self._edition += 1
        edited = {"d0", "d1", f"new{self._edition}"}
        doc_ids = sorted({f"d{number}" for number in range(N_DOCUMENTS)} | edited)
        self.titles = {
            doc_id: f"{doc_id} of edition{self._edition if doc_id in edited else 0}"
            for doc_id in doc_ids
        }
        lines = [
            json.dumps({"id": doc_id, "title": title, "text": f"{_STABLE} This is {title}."})
            for doc_id, title in self.titles.items()
        ]
        self._source.write_text("\n".join(lines) + "\n")
        return self.titles

    def judgments(self) -> str:
        """A BEIR folder that judges documents of every edition."""
        (self._judged / "qrels").mkdir(parents=True, exist_ok=True)
        queries = [json.dumps({"_id": f"q{n}", "text": f"d{n}"}) for n in range(2, 12)]
        (self._judged / "queries.jsonl").write_text("\n".join(queries))
        judged = [f"q{n}\td{n}\t1" for n in range(2, 12)]
        text = "\n".join(["query-id\tcorpus-id\tscore", *judged])
        (self._judged / "qrels" / "test.tsv").write_text(text + "\n")
        return str(self._judged)

    def stored(self) -> Titles:
        """Titles of the documents of the current version."""
        return stored(self.folder)

    def check_serving(self, *expected: Titles) -> None:
        """The current version is whole and one of these, and answers with its documents alone."""
        check_serving(self.folder, *expected)
        self._published.add(self.folder.current())

    def check_cache(self) -> None:
        """The embedding cache is whole, where there is one."""
        path = self.folder.cache_path / "embeddings.sqlite"
        if path.exists():
            with closing(sqlite3.connect(path)) as cache:
                assert cache.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def check_recovery(self) -> None:
        """The next run publishes, and nothing is left of what went before."""
        before, wanted = self.folder.current(), self.edit()
        assert trine(*self.index) == 0
        assert self.folder.current() != before
        self.check_serving(wanted)
        assert litter(self.folder) == []
        assert set(self.folder.versions()) <= self._published
