"""Each format gives the text and fields a reader of the file would expect."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from ingest.documents import Document
from ingest.errors import CorpusError
from ingest.formats.html import extract_page
from ingest.formats.markdown import markdown_to_text
from ingest.formats.restructured_text import rst_to_text
from ingest.sources import IngestReport, SourceOptions, read_documents


def read_file(
    path: Path, content: str | bytes, *, options: SourceOptions | None = None
) -> tuple[list[Document], IngestReport]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    report = IngestReport()
    return list(read_documents([str(path)], options=options, report=report)), report


# Text and encodings


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Un café très agréable, déjà vu.", "latin-1"),
        ("Un café très agréable, déjà vu.", "utf-8-sig"),
        ("Ein Bär über Öl", "cp1252"),
        ("Plain words and 日本語", "utf-16"),
        ("Plain words and 日本語", "utf-32"),
        ("Привет, мир! Это русский текст для проверки.", "cp1251"),
        ("日本語のテキストです。これはテストです。", "shift_jis"),
    ],
)
def test_text_of_any_encoding_is_read(tmp_path: Path, text: str, encoding: str) -> None:
    documents, _ = read_file(tmp_path / "a.txt", text.encode(encoding))
    assert documents[0].text == text


def test_stray_byte_in_utf8_costs_one_character(tmp_path: Path) -> None:
    content = ("naïve café, déjà vu. " * 50).encode() + b"\xff" + b" fin"
    documents, _ = read_file(tmp_path / "a.txt", content)
    assert documents[0].text.count("\ufffd") == 1
    assert documents[0].text.startswith("naïve café")


def test_form_feeds_begin_pages(tmp_path: Path) -> None:
    documents, _ = read_file(tmp_path / "a.txt", "one\n\f\ftwo\n\fthree")
    document = documents[0]
    assert document.text == "one\n\ntwo\n\nthree"
    # The second page is empty.
    assert document.page_starts == (0, 3, 5, 10)


# Markdown


MARKDOWN = """---
title: The guide
date: 2021-03-04
tags: [a, b]
lang: de
author: {name: Ada, mail: null}
---
# The guide

See [the *docs*](https://example.org) &amp; ![a picture](x.png).
Second line.

## Table

| x | y |
|---|---|
| 1 | `2` |

```python
def f():

    return 1
```

1. one
2. two
   - nested

<div>Raw <b>HTML</b></div>
<!-- comment -->
"""


def test_markdown_reads_as_text(tmp_path: Path) -> None:
    (document,), report = read_file(tmp_path / "a.md", MARKDOWN)
    assert document.title == "The guide"
    assert document.text == (
        "See the docs & a picture. Second line.\n\nTable\n\nx | y\n1 | 2\n\n"
        "def f():\n\n    return 1\n\n1. one\n2. two\n   - nested\n\nRaw HTML"
    )
    assert document.metadata == {
        "kind": "markdown",
        "date": "2021-03-04",
        "tags": ["a", "b"],
        "language": "de",
        "author.name": "Ada",
        "path": "a.md",
    }
    assert report.warnings() == []


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    "fields",
    [
        "title: a: b",
        "when: 2021-13-45",
        "run: !!python/object/apply:os.system [echo]",
        "x: [" * 5000,
        BOMB,
    ],
    ids=["invalid", "impossible date", "tag", "deep", "bomb"],
)
def test_broken_front_matter_is_ignored_with_a_warning(tmp_path: Path, fields: str) -> None:
    (document,), report = read_file(tmp_path / "a.md", f"---\n{fields}\n---\n# Real title\n\nBody.")
    assert (document.title, document.text) == ("Real title", "Body.")
    assert "broken front matter block ignored" in report.warnings()[0]


def test_two_rules_are_no_front_matter() -> None:
    assert "between" in markdown_to_text("---\n\nbetween\n\n---\n\nafter")[1]


def test_markdown_nested_deeper_than_python_calls_is_no_obstacle() -> None:
    assert "kept" in markdown_to_text(">" * 5000 + " x\n\nkept")[1]


# HTML


PAGE = """<!doctype html><html lang="de-AT"><head><title>Apples</title>
<meta name="author" content="Ada Lovelace"><script>evil()</script></head><body>
<nav><a href="/">Home</a><a href="/x">Menu</a></nav><article><h1>Apples</h1>
<p>Apples keep well through the whole winter if they are stored in a cool, dark place.</p>
<h2>Storing</h2><p>Wrap each of them in paper &amp; lay them side by side, never touching.</p>
<ul><li>cool</li><li>dark</li></ul><pre><code>two
  lines</code></pre></article><footer>Imprint</footer></body></html>"""


def test_html_keeps_the_main_text_and_drops_the_menu(tmp_path: Path) -> None:
    (document,), _ = read_file(tmp_path / "a.html", PAGE)
    assert document.title == "Apples"
    assert document.text.startswith("Apples keep well")
    assert "\n\nStoring\n\nWrap each of them in paper & lay" in document.text
    assert "- cool\n- dark" in document.text
    assert "two\n  lines" in document.text
    assert "Menu" not in document.text
    assert "evil" not in document.text
    assert document.metadata["language"] == "de-at"
    assert document.metadata["author"] == "Ada Lovelace"


def test_html_declared_charset_is_used(tmp_path: Path) -> None:
    page = '<html><head><meta charset="iso-8859-2"></head><body><p>Zażółć gęślą</p></body></html>'
    (document,), _ = read_file(tmp_path / "a.html", page.encode("iso-8859-2"))
    assert document.text == "Zażółć gęślą"


@pytest.mark.parametrize(
    "source",
    ["<div>" * 9_000, "<p>a <b" * 9_000, "<" * 50_000, "<title>" * 9_000, "<!--" * 50_000, ""],
    ids=["deep", "unclosed", "angles", "titles", "comments", "empty"],
)
def test_broken_html_neither_hangs_nor_raises(
    source: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        extract_page(source)
    assert caplog.records == []


# reStructuredText


def test_sphinx_markup_keeps_its_words() -> None:
    title, text, fields = rst_to_text(
        "Guide\n=====\n\n:Author: Ada\n\n"
        "Use :func:`~os.walk`, :ref:`this page <target>` or |ver|.\n\n.. |ver| replace:: 3.2\n\n"
        ".. versionadded:: 3.2\n   Faster.\n\n"
        ".. py:function:: dump(obj, *, skipkeys=False)\n   :noindex:\n\n   Serialize *obj*.\n\n"
        ".. code-block:: python\n   :linenos:\n\n   import json\n\n"
        ".. unknown-thing:: argument\n\n   Content.\n\n"
        ".. csv-table::\n\n   1,2\n"
    )
    assert title == "Guide"
    assert fields == {"author": "Ada"}
    assert text.split("\n\n") == [
        "Guide",
        "Use os.walk, this page or 3.2.",
        "Added in version 3.2 Faster.",
        "dump(obj, *, skipkeys=False)",
        "Serialize obj.",
        "import json",
        "argument",
        "Content.",
        "1 | 2",
    ]


def test_rst_reads_no_other_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden words")
    source = f".. include:: {secret}\n\n.. raw:: html\n   :file: {secret}\n\n"
    source += f".. csv-table:: t\n   :file: {secret}\n\n.. literalinclude:: {secret}\n\nBody"
    assert "hidden words" not in rst_to_text(source)[1]
    assert capfd.readouterr() == ("", "")


# JSON lines


def test_json_line_fields(tmp_path: Path) -> None:
    record = {
        "id": 12,
        "title": "T\n one",
        "text": "e\u0301\r\nx \ud800",
        "url": "javascript:alert(1)",
        "metadata": {"year": 1999, "title": "not this"},
        "tags": ["a", "b"],
        "nested": {"a": {"b": [1]}},
        "none": None,
        "big": 10**30,
        "flag": True,
    }
    (document,), _ = read_file(tmp_path / "a.jsonl", json.dumps(record) + "\n\n")
    assert (document.doc_id, document.title, document.text) == ("12", "T one", "é\nx \ufffd")
    assert document.url is None
    assert document.metadata == {
        "year": 1999,
        "url": "javascript:alert(1)",
        "tags": ["a", "b"],
        "nested.a": '{"b": [1]}',
        "big": str(10**30),
        "flag": True,
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "a.jsonl:2: not valid JSON"),
        ('["list"]', "a.jsonl:2: expected a JSON object"),
        ('{"text": "x"}', "a.jsonl:2: no field '_id'; set --id-field"),
        ('{"_id": "2"}', "a.jsonl:2: no field 'text'; set --text-field"),
        ('{"_id": [], "text": "x"}', "a.jsonl:2: field '_id' must be a string"),
        ('{"_id": " ", "text": "x"}', "a.jsonl:2: field '_id' is empty"),
        ('{"_id": "2", "text": {"a": 1}}', "a.jsonl:2: field 'text' must be text"),
        ("[" * 100_000, "a.jsonl:2: "),
        ('{"_id": ' + "9" * 5000 + "}", "a.jsonl:2: "),
    ],
)
def test_bad_json_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(CorpusError) as caught:
        read_file(tmp_path / "a.jsonl", '{"_id": "1", "text": "x"}\n' + line)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_utf8_in_a_line_is_repaired_and_counted(tmp_path: Path) -> None:
    content = (
        b'\xef\xbb\xbf{"_id": "1", "text": "a\xe2\x80\xa8b"}\n{"_id": "2", "text": "caf\xe9"}\n'
    )
    documents, report = read_file(tmp_path / "a.jsonl", content)
    assert [document.text for document in documents] == ["a\nb", "caf\ufffd"]
    assert "1 badly encoded line repaired" in report.warnings()[0]


def test_json_lines_in_utf16(tmp_path: Path) -> None:
    (document,), _ = read_file(tmp_path / "a.jsonl", '{"_id": "1", "text": "é"}\n'.encode("utf-16"))
    assert document.text == "é"


def test_options_name_the_fields(tmp_path: Path) -> None:
    options = SourceOptions(id_field="key", title_field="name", text_field="abstract")
    line = '{"key": "k", "name": "N", "abstract": "A", "text": "other"}'
    (document,), _ = read_file(tmp_path / "a.jsonl", line, options=options)
    assert (document.doc_id, document.title, document.text) == ("k", "N", "A")
    assert document.metadata == {"text": "other"}


def test_duplicate_keys_keep_the_last(tmp_path: Path) -> None:
    (document,), _ = read_file(tmp_path / "a.jsonl", '{"_id": "1", "text": "x", "text": "y"}')
    assert document.text == "y"


# Tables


def test_csv_rows_are_documents(tmp_path: Path) -> None:
    content = (
        'id,title,text,year,zip,price\n7,T,"two\nlines, ""quoted""",1999,01234,3.50\n,,more,,,\n'
    )
    (first, second), _ = read_file(tmp_path / "a.csv", content)
    assert (first.doc_id, first.title, first.text) == ("7", "T", 'two\nlines, "quoted"')
    assert first.metadata == {"year": 1999, "zip": "01234", "price": 3.5}
    assert first.origin.endswith("a.csv:2")
    assert (second.doc_id, second.origin[-7:]) == ("a.csv:2", "a.csv:4")


def test_csv_with_semicolons_long_fields_and_many_columns(tmp_path: Path) -> None:
    (document,), _ = read_file(tmp_path / "a.csv", "_id;text\n1;" + "word " * 100_000)
    assert len(document.text) == 5 * 100_000 - 1
    header = ",".join(["_id", "text", *(f"c{i}" for i in range(10_000))])
    row = ",".join(["1", "x", *map(str, range(10_000))])
    (document,), _ = read_file(tmp_path / "b.csv", f"{header}\n{row}\n")
    assert document.metadata["c9999"] == 9999


def test_csv_without_the_text_column_says_which_option(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no column 'text'; set --text-field to one of '_id'"):
        read_file(tmp_path / "a.csv", "_id,body\n1,x\n")


def test_overlong_rows_are_noted(tmp_path: Path) -> None:
    _, report = read_file(tmp_path / "a.csv", "_id,text\n1,x,y\n")
    assert "1 overlong row cut" in report.warnings()[0]


def test_tsv_quotes_do_not_join_lines(tmp_path: Path) -> None:
    content = '_id\ttext\n1\t"quoted ""word"""\n2\t"half open\n3\tnext\n'
    documents, _ = read_file(tmp_path / "a.tsv", content)
    assert [document.text for document in documents] == ['quoted "word"', '"half open', "next"]


def test_empty_rows_are_reported(tmp_path: Path) -> None:
    documents, report = read_file(tmp_path / "a.csv", "_id,text\n1,\n2,x\n")
    assert [document.doc_id for document in documents] == ["2"]
    assert report.skipped == {"empty document": [f"{tmp_path / 'a.csv'}:2"]}
