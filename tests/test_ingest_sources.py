"""Sources of every kind become documents; hostile ones are reported, never fatal."""

from __future__ import annotations

import gzip
import itertools
import json
import os
from pathlib import Path

import pytest

from ingest.documents import Document
from ingest.errors import CorpusError, DuplicateDocumentError
from ingest.sources import IngestReport, SourceOptions, read_documents


def read(
    *sources: Path | str, options: SourceOptions | None = None
) -> tuple[dict[str, Document], IngestReport]:
    report = IngestReport()
    documents = list(read_documents([str(s) for s in sources], options=options, report=report))
    assert len({document.doc_id for document in documents}) == len(documents)
    assert report.n_documents == len(documents)
    return {document.doc_id: document for document in documents}, report


def test_folder_is_read_recursively_in_order_with_relative_ids(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "user_guide.txt").write_text("Body.")
    (tmp_path / "a.md").write_text("# Apples\n\nThey keep.")
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"Packed."))
    documents, report = read(tmp_path)
    assert list(documents) == ["a.md", "b/user_guide.txt", "c.txt.gz"]
    guide = documents["b/user_guide.txt"]
    assert (guide.title, guide.text) == ("User guide", "Body.")
    assert guide.metadata == {"kind": "text", "path": "b/user_guide.txt"}
    assert guide.origin == str(tmp_path / "b" / "user_guide.txt")
    assert documents["c.txt.gz"].text == "Packed."
    assert report.warnings() == []


def test_file_named_directly_goes_by_its_file_name(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "notes.toml"
    path.parent.mkdir()
    path.write_text('key = "value"')
    documents, _ = read(path)
    assert documents["notes.toml"].text == 'key = "value"'
    # In a folder, files of an unknown format are left alone.
    documents, report = read(tmp_path)
    assert documents == {}
    assert report.counts == {"unknown format": 1}


def test_ignore_files_hidden_and_tool_folders_are_honored(tmp_path: Path) -> None:
    names = [
        "keep.txt",
        "drop.txt",
        "build/x.txt",
        "sub/local.txt",
        "sub/keep.txt",
        "sub/wanted.txt",
        ".git/x.txt",
        ".hidden.txt",
        "node_modules/x.txt",
        "__pycache__/x.txt",
        ".venv/x.txt",
        "env/x.txt",
        "excluded/x.txt",
    ]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("text")
    (tmp_path / "env" / "pyvenv.cfg").write_text("home = /usr")
    (tmp_path / ".gitignore").write_text("drop.txt\n/build/\nwanted.txt\n")
    (tmp_path / "sub" / ".trineignore").write_text("local.txt\n!wanted.txt\n")
    documents, _ = read(tmp_path, options=SourceOptions(excludes=("excluded/",)))
    assert list(documents) == ["keep.txt", "sub/keep.txt", "sub/wanted.txt"]


def test_glob_names_files_from_its_first_wildcard(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one.md").write_text("# One\n\nx")
    (tmp_path / "a" / "b" / "two.md").write_text("# Two\n\nx")
    documents, _ = read(f"{tmp_path}/a/**/*.md")
    assert list(documents) == ["b/two.md", "one.md"]
    with pytest.raises(CorpusError, match="no file matches"):
        read(f"{tmp_path}/*.nothing")


def test_beir_folder_reads_only_its_corpus(tmp_path: Path) -> None:
    record = {"_id": 7, "title": "T", "text": "Body.", "metadata": {"year": 1999}}
    (tmp_path / "corpus.jsonl").write_text(json.dumps(record))
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "x"}')
    documents, _ = read(tmp_path)
    assert list(documents) == ["7"]
    assert documents["7"].metadata == {"year": 1999}
    assert documents["7"].origin == f"{tmp_path / 'corpus.jsonl'}:1"


@pytest.mark.parametrize("source", ["", "nowhere", "no/such/file.txt", "pydoc:", "a\x00b"])
def test_source_that_does_not_exist_is_named(source: str) -> None:
    with pytest.raises(CorpusError) as caught:
        read(source)
    assert "\n" not in str(caught.value)


def test_binary_empty_and_damaged_files_are_counted(tmp_path: Path) -> None:
    (tmp_path / "image.txt").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(64))
    (tmp_path / "noise.md").write_bytes(bytes(range(1, 256)) * 40)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "blank.md").write_text(" \n\n \n")
    whole = gzip.compress(b"words " * 1000)
    (tmp_path / "cut.txt.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "plain.txt.gz").write_bytes(b"not packed")
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "nowhere.txt")
    documents, report = read(tmp_path)
    assert documents == {}
    assert report.counts == {"binary file": 2, "empty document": 2, "unreadable file": 3}
    assert len(report.warnings()) == 3


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads anything")
def test_unreadable_file_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("x")
    path.chmod(0)
    _, report = read(tmp_path)
    assert report.counts == {"unreadable file": 1}


def test_symlink_loops_end_and_linked_folders_are_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "docs", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    (inside / "a.txt").write_text("a")
    (outside / "b.txt").write_text("b")
    (inside / "loop").symlink_to(inside)
    (inside / "linked").symlink_to(outside)
    (outside / "back").symlink_to(inside)
    (inside / "self.txt").symlink_to(inside / "self.txt")
    documents, report = read(inside)
    assert list(documents) == ["a.txt", "linked/b.txt"]
    assert report.counts == {"unreadable file": 1}


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    documents, _ = read(tmp_path)
    assert documents == {}


def test_table_of_something_else_in_a_folder_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("item,price\npear,3\n")
    with pytest.raises(CorpusError, match=r"prices\.csv:1: no column 'text'"):
        read(tmp_path)
    (tmp_path / "notes.txt").write_text("Notes.")
    documents, report = read(tmp_path)
    assert list(documents) == ["notes.txt"]
    assert report.counts == {"table of something else": 1}


def test_documents_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    path.write_text('{"_id": "1", "text": "one"}\n{"_id": "2", "text": "two"}\nbroken\n')
    first = list(itertools.islice(read_documents([str(path)]), 2))
    assert [document.doc_id for document in first] == ["1", "2"]


def test_half_a_corpus_does_not_pass_for_a_whole_one(tmp_path: Path) -> None:
    lines = "".join(
        json.dumps({"_id": i, "text": os.urandom(40).hex()}) + "\n" for i in range(9999)
    )
    whole = gzip.compress(lines.encode())
    path = tmp_path / "corpus.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorpusError, match="cannot be read to its end"):
        read(tmp_path)


def test_undecodable_file_name_gives_an_id_that_can_be_written(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    try:
        Path(os.fsdecode(name)).write_text("x")
    except OSError:
        pytest.skip("this file system takes no such name")
    documents, _ = read(tmp_path)
    assert list(documents) == ["caf\ufffd.txt"]


def test_report_counts_exactly_and_keeps_few_places() -> None:
    report = IngestReport()
    for number in range(1000):
        report.skip("empty document", f"a.jsonl:{number}")
    assert report.counts["empty document"] == 1000
    assert len(report.skipped["empty document"]) == 20
    assert report.warnings() == [
        "1,000 empty documents skipped: a.jsonl:0, a.jsonl:1, a.jsonl:2, ..."
    ]


def test_a_duplicate_names_both_places() -> None:
    message = str(DuplicateDocumentError("7", "a.jsonl:1", "b.jsonl:9"))
    assert "a.jsonl:1" in message
    assert "b.jsonl:9" in message


def test_touching_a_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    before, _ = read(tmp_path)
    os.utime(path, (0, 0))
    after, _ = read(tmp_path)
    assert before["a.txt"].content_hash == after["a.txt"].content_hash
