"""Queries and judgments are read, or refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.beir import BeirFolder, read_qrels, read_queries
from ingest.errors import CorpusError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "text": "x"}\n')
    (tmp_path / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "one", "metadata": {}}\n{"_id": 2, "text": "two"}\n'
    )
    (tmp_path / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td 2\t0\n2\td1\t1\n"
    )
    return tmp_path


def test_folder_in_the_usual_layout(folder: Path) -> None:
    beir = BeirFolder(folder)
    assert beir.corpus_path == folder / "corpus.jsonl"
    assert beir.queries() == {"q1": "one", "2": "two"}
    assert beir.qrels() == {"q1": {"d1": 2, "d 2": 0}, "2": {"d1": 1}}


def test_other_files_can_stand_in(folder: Path) -> None:
    qrels = folder / "mine.txt"
    qrels.write_text("q1 0 d9 1\r\nq1\t0\td8\t3\r\n")
    assert BeirFolder(folder, qrels=qrels).qrels() == {"q1": {"d9": 1, "d8": 3}}


def test_qrels_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text("q1\td1\t1\n")
    assert read_qrels(path) == {"q1": {"d1": 1}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("query-id\tcorpus-id\tscore\nq\td\tmany\n", "q.tsv:2: relevance must be an integer"),
        ("query-id\tcorpus-id\tscore\nq\td\n", "q.tsv:2: expected query-id"),
        ("\x00\x01", "not a text file"),
    ],
)
def test_bad_qrels_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "q.tsv"
    path.write_text(content)
    with pytest.raises(CorpusError, match=message):
        read_qrels(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "x"}', "q.jsonl:1: no field '_id'"),
        ('{"_id": "1"}', "q.jsonl:1: no field 'text'"),
        ('{"_id": "1", "text": "x"}\n{"_id": 1, "text": "y"}', "q.jsonl:2: a second query"),
        ("nothing", "q.jsonl:1: not valid JSON"),
    ],
)
def test_bad_queries_are_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(content)
    with pytest.raises(CorpusError, match=message):
        read_queries(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    beir = BeirFolder(tmp_path)
    for read in (lambda: beir.corpus_path, beir.queries, beir.qrels):
        with pytest.raises(CorpusError, match=str(tmp_path)):
            read()
