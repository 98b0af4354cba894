"""Judgments are kept in BEIR's layout, whole, whoever writes at the same time."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import fork_server
import pytest
from fork_server import SCRIPT

from ingest.beir import BeirFolder
from ingest.errors import CorpusError, IndexFolderError, QueryError
from pipeline.version.judgments import (
    Judged,
    JudgmentFolder,
    judged_of_texts,
    query_id_of,
    texts_of_zip,
)


@pytest.fixture
def folder(tmp_path: Path) -> JudgmentFolder:
    return JudgmentFolder(tmp_path / "judgments")


def test_what_is_judged_can_be_read_as_beir(folder: JudgmentFolder) -> None:
    assert folder.read() == Judged()
    folder.judge("read a file", "io.open", 1)
    folder.judge("  read a\nfile ", "os.read", 0)
    judged = folder.judge("naïve 日本", "d/ü 1", 2)
    beir = BeirFolder(folder.path)
    assert list(beir.queries().values()) == ["read a file", "naïve 日本"]
    assert list(beir.qrels().values()) == [{"io.open": 1, "os.read": 0}, {"d/ü 1": 2}]
    assert folder.read() == judged
    assert (judged.n_judgments, judged.n_answered) == (3, 2)
    assert judged.of_query("read a file") == {"io.open": 1, "os.read": 0}
    assert judged.of_query("something else") == {}


def test_a_judgment_can_be_changed_and_taken_back(folder: JudgmentFolder) -> None:
    folder.judge("q", "d", 1)
    assert folder.judge("q", "d", 0).of_query("q") == {"d": 0}
    assert folder.judge("q", "d", None) == Judged()
    assert folder.read() == Judged()
    # Taking back what was never said changes nothing.
    assert folder.judge("q", "d", None) == Judged()


@pytest.mark.parametrize(
    ("query", "doc_id", "relevance"),
    [
        ("", "d", 1),
        ("x" * 10_001, "d", 1),
        ("q", "", 1),
        ("q", "a\tb", 1),
        ("q", "a\nb", 1),
        ("q", " d", 1),
        ("q", "d", -1),
        ("q", "d", 4),
    ],
)
def test_what_the_layout_cannot_hold_is_refused(
    folder: JudgmentFolder, query: str, doc_id: str, relevance: int
) -> None:
    folder.judge("kept", "d", 1)
    with pytest.raises(QueryError):
        folder.judge(query, doc_id, relevance)
    assert folder.read().n_judgments == 1


def test_a_query_full_of_signs_is_one_line(folder: JudgmentFolder) -> None:
    text = '"quoted"\t<b>\u2028 \\n {"_id": 1}'
    folder.judge(text, "d", 1)
    folder.judge("another", "d", 1)
    assert folder.read().of_query(text) == {"d": 1}
    assert len(folder.read().queries) == 2


WRITER = """
import sys
from pathlib import Path
from pipeline.version.judgments import JudgmentFolder
folder = JudgmentFolder(Path(sys.argv[1]))
for number in range(15):
    folder.judge(f"query {number % 5}", f"{sys.argv[2]}-{number}", number % 2)
"""


def test_nothing_is_lost_between_two_writers(folder: JudgmentFolder) -> None:
    writers = [
        fork_server.start(WRITER, folder.path, name, function=SCRIPT) for name in ("left", "right")
    ]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        # Whenever one looks, all is whole, and nothing that was there is gone.
        judged = folder.read()
        assert judged.n_judgments >= seen
        seen = judged.n_judgments
    assert [writer.wait() for writer in writers] == [0, 0]
    judged = folder.read()
    assert judged.n_judgments == 30
    for number in range(15):
        of_query = judged.of_query(f"query {number % 5}")
        assert of_query[f"left-{number}"] == of_query[f"right-{number}"] == number % 2


def test_a_writer_that_died_leaves_what_was_there(folder: JudgmentFolder) -> None:
    folder.judge("q", "d", 1)
    # Killed between the two files, or while it wrote one of them.
    queries = folder.path / "queries.jsonl"
    queries.write_text(queries.read_text() + '{"_id": "new", "text": "new"}\n')
    (folder.path / "qrels" / ".test.tsv.new").write_text("query-id\tcorp")
    assert folder.read().of_query("q") == {"d": 1}
    judged = folder.judge("other", "d", 1)
    assert sorted(judged.queries.values()) == ["other", "q"]


def test_export_and_import_are_inverse(folder: JudgmentFolder, tmp_path: Path) -> None:
    folder.judge("read a file", "io.open", 1)
    folder.judge("sleep", "time.sleep", 3)
    content = folder.export()
    assert content == folder.export()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["queries.jsonl", "qrels/test.tsv"]
    (tmp_path / "read").mkdir()
    other = JudgmentFolder(tmp_path / "other")
    other.add(judged_of_texts(*texts_of_zip(content), tmp_path / "read"))
    assert other.read() == folder.read()


def test_added_judgments_join_those_of_the_same_words(folder: JudgmentFolder) -> None:
    folder.judge("read a file", "a", 0)
    judged = folder.add(
        Judged(
            {"1": "read a  file", query_id_of("read a file"): "another"},
            {"1": {"a": 1, "b": 1}, query_id_of("read a file"): {"c": 1}},
        )
    )
    assert judged.of_query("read a file") == {"a": 1, "b": 1}
    # An id that is taken by other words is not used again.
    assert judged.of_query("another") == {"c": 1}
    assert len(judged.queries) == 2


def test_one_bad_judgment_and_none_is_added(folder: JudgmentFolder) -> None:
    with pytest.raises(QueryError):
        folder.add(Judged({"1": "good", "2": "bad"}, {"1": {"d": 1}, "2": {"d": 9}}))
    assert folder.read() == Judged()


def _zip(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 nonsense",
        _zip(readme="nothing"),
        _zip(queries_dot_jsonl="{}"),
        _zip(queries_dot_jsonl="{}", qrels__test_dot_tsv="a\tb\tc\td\te"),
        _zip(queries_dot_jsonl='{"_id": "1", "text": "x"}', qrels__test_dot_tsv="h\th\th\n2\td\t1"),
    ],
)
def test_what_is_no_judgments_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        judged_of_texts(*texts_of_zip(content), tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "judgments").write_text("a file")
    with pytest.raises(IndexFolderError, match="judgments"):
        JudgmentFolder(tmp_path / "judgments").judge("q", "d", 1)
