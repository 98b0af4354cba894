"""Judgments that people make of a collection's hits, kept in BEIR's layout beside its versions.

Any two processes may write: each change is made under a lock, to files written anew and put in the
place of the old ones. A query is there before any judgment of it, whenever one looks.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from ingest.beir import BeirFolder, read_qrels, read_queries
from ingest.cleaning import clean_line
from ingest.errors import CorpusError, IndexFolderError, QueryError

__all__ = [
    "MAX_QUERY_CHARACTERS",
    "MAX_RELEVANCE",
    "Judged",
    "JudgmentFolder",
    "check_judged",
    "judged_of_texts",
    "query_id_of",
    "texts_of_zip",
]

MAX_RELEVANCE = 3
"""Highest level of relevance; 0 is not relevant."""

MAX_QUERY_CHARACTERS = 10_000
_QUERIES = "queries.jsonl"
_QRELS = "qrels/test.tsv"
_HEADER = "query-id\tcorpus-id\tscore\n"
_LOCK_WAITS_S = 10.0
# A zip file may claim any size; more than this is no judgments of people.
_MAX_MEMBER_BYTES = 50_000_000


@dataclass(frozen=True)
class Judged:
    """All judgments of a collection.

    Parameters
    ----------
    queries
        Text of each query by its id.
    qrels
        Relevance by query id and document id, 0 for not relevant.
    """

    queries: dict[str, str] = field(default_factory=dict)
    qrels: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def n_judgments(self) -> int:
        """How many pairs of query and document were judged."""
        return sum(map(len, self.qrels.values()))

    @property
    def n_answered(self) -> int:
        """How many queries have a relevant document, and so count when measuring."""
        return sum(any(level > 0 for level in found.values()) for found in self.qrels.values())

    def query_id(self, text: str) -> str:
        """The id of a query by its words; that it would get where it was never judged."""
        return _id_among(self.queries, clean_line(text))

    def of_query(self, text: str) -> dict[str, int]:
        """Judgments of a query by its words."""
        return self.qrels.get(self.query_id(text), {})


def query_id_of(text: str) -> str:
    r"""The id of a query that is judged for the first time: a digest of its words.

    Examples
    --------
    >>> query_id_of("read a file") == query_id_of("  read a  file\n")
    True
    """
    return "q-" + hashlib.sha256(clean_line(text).encode()).hexdigest()[:12]


class JudgmentFolder:
    """The judgments of one collection.

    Parameters
    ----------
    path
        Their folder; made when the first judgment is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Judged:
        """Read all judgments; none where nobody judged.

        Raises
        ------
        CorpusError
            If somebody edited the files so that they make no sense.
        """
        beir = BeirFolder(self.path)
        if not beir.qrels_path.is_file():
            return Judged()
        # Judgments first: what they judge was there before them.
        qrels = beir.qrels()
        known = beir.queries()
        queries = {query_id: known[query_id] for query_id in qrels if query_id in known}
        return Judged(queries, {query_id: qrels[query_id] for query_id in queries})

    def judge(self, query: str, doc_id: str, relevance: int | None) -> Judged:
        """Set, change or (``None``) take back one judgment; returns all of them.

        Raises
        ------
        QueryError
            If a value cannot be kept.
        IndexFolderError
            If the disk fails.
        """
        text = _checked_query(query)
        _check_pair(doc_id, relevance)
        with self._writing() as judged:
            query_id = _id_among(judged.queries, text)
            judged.queries[query_id] = text
            found = judged.qrels.setdefault(query_id, {})
            if relevance is None:
                found.pop(doc_id, None)
            else:
                found[doc_id] = relevance
        return judged

    def add(self, more: Judged) -> Judged:
        """Add judgments; where both judged the same, the added ones count.

        Queries are the same if their words are, whatever their ids.
        """
        check_judged(more)
        with self._writing() as judged:
            _merge(judged, more)
        return judged

    def fill(self, given: Judged) -> Judged:
        """Take judgments over where there are none; whoever judged keeps what they said."""
        check_judged(given)
        with self._writing() as judged:
            if not judged.qrels:
                _merge(judged, given)
        return judged

    def export(self) -> bytes:
        """All judgments as a zip file in BEIR's layout; the same judgments give the same bytes."""
        judged = self.read()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in ((_QUERIES, _queries_text(judged)), (_QRELS, _qrels_text(judged))):
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
        return buffer.getvalue()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Judged]:
        """All judgments, to be changed; what was changed is written when this ends."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.path / ".lock")
            with lock.acquire(timeout=_LOCK_WAITS_S):
                judged = self.read()
                yield judged
                for query_id in [one for one, found in judged.qrels.items() if not found]:
                    del judged.qrels[query_id]
                # A reader who has the old judgments still finds their queries.
                self._put(_QUERIES, _queries_text(judged))
                self._put(_QRELS, _qrels_text(judged))
                for query_id in judged.queries.keys() - judged.qrels.keys():
                    del judged.queries[query_id]
        except filelock.Timeout as error:
            raise IndexFolderError(f"{self.path} is locked by another process") from error
        except OSError as error:
            raise IndexFolderError(
                f"cannot write {self.path}: {error.strerror or error}"
            ) from error

    def _put(self, name: str, content: str) -> None:
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def check_judged(judged: Judged) -> None:
    """Let judgments pass that can be kept.

    Raises
    ------
    QueryError
        If a value cannot.
    """
    for query_id, found in judged.qrels.items():
        _checked_query(judged.queries[query_id])
        for doc_id, relevance in found.items():
            _check_pair(doc_id, relevance)


def judged_of_texts(queries: str, qrels: str, folder: Path) -> Judged:
    """Read judgments from the text of BEIR's two files.

    Parameters
    ----------
    folder
        An empty folder to put them in meanwhile.

    Raises
    ------
    CorpusError
        If they make no sense; names file and line.
    """
    (folder / "queries.jsonl").write_text(queries, encoding="utf-8")
    (folder / "qrels.tsv").write_text(qrels, encoding="utf-8")
    known, found = read_queries(folder / "queries.jsonl"), read_qrels(folder / "qrels.tsv")
    if missing := [query_id for query_id in found if query_id not in known]:
        raise CorpusError(f"query {missing[0]!r} is judged but has no text")
    return Judged({query_id: known[query_id] for query_id in found}, found)


def texts_of_zip(content: bytes) -> tuple[str, str]:
    """The text of ``queries.jsonl`` and of the judgments in a zip file in BEIR's layout.

    Raises
    ------
    CorpusError
        If it is no such file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            names = sorted(entries)
            queries = next((name for name in names if name.endswith(_QUERIES)), None)
            qrels = next((n for n in names if "qrels/" in n and n.endswith(".tsv")), None)
            if queries is None or qrels is None:
                raise CorpusError(f"the zip file holds no {_QUERIES} and {_QRELS}")
            texts = []
            for name in (queries, qrels):
                if entries[name].file_size > _MAX_MEMBER_BYTES:
                    raise CorpusError(f"{name} in the zip file is too large")
                texts.append(archive.read(name).decode("utf-8"))
    # Each way of compressing has its own way to fail.
    except (
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
        *(ValueError, NotImplementedError, RuntimeError),
    ) as error:
        raise CorpusError(f"this is no zip file of judgments: {error}") from error
    return texts[0], texts[1]


def _merge(judged: Judged, more: Judged) -> None:
    for given_id, found in more.qrels.items():
        text = clean_line(more.queries[given_id])
        query_id = _id_among(judged.queries, text, wanted=given_id)
        judged.queries[query_id] = text
        judged.qrels.setdefault(query_id, {}).update(found)


def _checked_query(query: str) -> str:
    text = clean_line(query)
    if not text or len(text) > MAX_QUERY_CHARACTERS:
        raise QueryError(
            f"a query to judge has 1 to {MAX_QUERY_CHARACTERS} characters, not {len(text)}",
            parameter="query",
        )
    return text


def _check_pair(doc_id: str, relevance: int | None) -> None:
    # The file's lines and columns end at these.
    if not doc_id or doc_id != doc_id.strip() or set("\t\n\r") & set(doc_id):
        raise QueryError(
            f"judgments cannot be kept of a document called {doc_id!r:.80}", parameter="doc_id"
        )
    if relevance is not None and not 0 <= relevance <= MAX_RELEVANCE:
        raise QueryError(
            f"relevance is {relevance!s:.20}; it must be 0 to {MAX_RELEVANCE}",
            parameter="relevance",
        )


def _id_among(queries: Mapping[str, str], text: str, *, wanted: str | None = None) -> str:
    for query_id, known in queries.items():
        if known == text:
            return query_id
    return wanted if wanted is not None and wanted not in queries else query_id_of(text)


def _queries_text(judged: Judged) -> str:
    return "".join(
        json.dumps({"_id": query_id, "text": text}, ensure_ascii=False) + "\n"
        for query_id, text in judged.queries.items()
    )


def _qrels_text(judged: Judged) -> str:
    return _HEADER + "".join(
        f"{query_id}\t{doc_id}\t{relevance}\n"
        for query_id, found in judged.qrels.items()
        for doc_id, relevance in found.items()
    )
