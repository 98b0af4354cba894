"""JSON lines: each line is an object, each object a document, as BEIR writes a corpus."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from ingest.decoding import SAMPLE_BYTES
from ingest.documents import Document
from ingest.errors import CorpusError
from ingest.files import SourceFile
from ingest.formats.fields import RecordFields
from ingest.options import SourceOptions
from ingest.report import IngestReport

__all__ = ["read_json_lines", "read_objects"]

_WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_json_lines(
    file: SourceFile, options: SourceOptions, report: IngestReport
) -> Iterator[Document]:
    """Read each line of a file as a document, holding one at a time.

    A field ``metadata`` that is an object is merged into the other fields.

    Parameters
    ----------
    file
        The file; UTF-8, or UTF-16 with a byte order mark.
    options
        Which fields hold id, title and text.
    report
        Takes note of broken UTF-8, and if the file is binary.

    Yields
    ------
    Document
        One a line that is not blank.

    Raises
    ------
    CorpusError
        If a line is no JSON object, or lacks its id or text; names file and line.
    """
    fields = RecordFields(options)
    for line, record in read_objects(file, report):
        merged = dict(record)
        metadata = merged.get("metadata")
        if isinstance(metadata, Mapping):
            del merged["metadata"]
            merged = {**metadata, **merged}
        yield fields.document(merged, file.place(line))


def read_objects(file: SourceFile, report: IngestReport) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield line numbers, from 1, with the JSON object on each line that is not blank.

    Parameters
    ----------
    file
        The file.
    report
        Takes note of broken UTF-8, and if the file is binary.

    Raises
    ------
    CorpusError
        If a line is no JSON object; names file and line.
    """
    with file.open() as stream:
        for number, line in enumerate(_lines(stream, file, report), start=1):
            text = _decoded(line, file, number, report) if isinstance(line, bytes) else line
            if text and not text.isspace():
                yield number, _json_object(text, file.place(number))


def _lines(stream: BinaryIO, file: SourceFile, report: IngestReport) -> Iterator[bytes | str]:
    # Peek and rewind: gzip and plain files can both seek.
    sample = stream.read(SAMPLE_BYTES)
    stream.seek(0)
    if sample.startswith(_WIDE_MARKS):
        encoding = "utf-32" if sample.startswith(_WIDE_MARKS[:2]) else "utf-16"
        # Only "\n" ends a line: JSON strings may hold U+2028 and its like.
        with io.TextIOWrapper(stream, encoding, errors="replace", newline="\n") as lines:
            yield from lines
    elif b"\x00" in sample:
        report.skip("binary file", file.place())
    else:
        yield from stream


def _decoded(line: bytes, file: SourceFile, number: int, report: IngestReport) -> str:
    if number == 1:
        line = line.removeprefix(codecs.BOM_UTF8)
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        report.note("badly encoded line", file.place(number), outcome="repaired")
        return line.decode("utf-8", "replace")


def _json_object(text: str, place: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"{place}: not valid JSON: {error.msg} at column {error.colno}"
        raise CorpusError(message) from error
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{place}: JSON too large to read: {_one_line(error)}") from error
    if not isinstance(value, dict):
        found = type(value).__name__
        raise CorpusError(f"{place}: expected a JSON object on each line, found {found}")
    return value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
