"""Tables, CSV and TSV: each row below the header is a document."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO, TextIO

from ingest.cleaning import clean_line
from ingest.decoding import SAMPLE_BYTES, detect_encoding
from ingest.documents import Document
from ingest.errors import CorpusError
from ingest.files import SourceFile
from ingest.formats.fields import RecordFields
from ingest.options import SourceOptions
from ingest.report import IngestReport

__all__ = ["read_csv", "read_tsv"]

# Leading zeros and plus signs belong to codes and telephone numbers.
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,14})\.\d{1,15}")


def read_csv(file: SourceFile, options: SourceOptions, report: IngestReport) -> Iterator[Document]:
    """Read each row of a CSV file as a document, holding one at a time.

    The first row names the columns. Cells are separated by whichever of comma, semicolon and
    tab the header holds most of; quoted cells may hold newlines and be of any length.

    Parameters
    ----------
    file
        The file.
    options
        Which columns hold id, title and text. Without an id a row is ``file name:row``.
    report
        Takes note if the file is binary, and of rows with more cells than columns.

    Yields
    ------
    Document
        One a row that is not blank.

    Raises
    ------
    CorpusError
        If a column is missing or a row makes no sense; names file and line.
    """
    with file.open() as stream:
        lines = _decoded(stream, file, report)
        if lines is not None:
            header = lines.readline()
            delimiter = max(",;\t", key=header.count)
            lines.seek(0)
            rows = csv.reader(lines, delimiter=delimiter, strict=False)
            yield from _documents(_numbered(rows, file), file, options, report)


def read_tsv(file: SourceFile, options: SourceOptions, report: IngestReport) -> Iterator[Document]:
    """Read each line of a TSV file as a document, holding one at a time.

    A line is a row whatever quotes it holds, as most tools write TSV; quotes around a whole
    cell are taken off.

    Parameters
    ----------
    file
        The file.
    options
        Which columns hold id, title and text. Without an id a row is ``file name:row``.
    report
        Takes note if the file is binary, and of rows with more cells than columns.

    Yields
    ------
    Document
        One a row that is not blank.

    Raises
    ------
    CorpusError
        If a column is missing; names file and line.
    """
    with file.open() as stream:
        lines = _decoded(stream, file, report)
        if lines is not None:
            rows = (
                (number, [_unquoted(cell) for cell in line.rstrip("\r\n").split("\t")])
                for number, line in enumerate(lines, start=1)
            )
            yield from _documents(rows, file, options, report)


def _decoded(stream: BinaryIO, file: SourceFile, report: IngestReport) -> TextIO | None:
    encoding = detect_encoding(stream.read(SAMPLE_BYTES))
    stream.seek(0)
    if encoding is None:
        report.skip("binary file", file.place())
        return None
    # A mark may stand in any UTF-8 file; only this codec takes it off.
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    return io.TextIOWrapper(stream, encoding, errors="replace", newline="")


def _numbered(rows: Iterator[list[str]], file: SourceFile) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the line it begins on."""
    # The limit is the process's, not a reader's; its default of 131,072 is less than many texts.
    csv.field_size_limit(sys.maxsize)
    line = 1
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise CorpusError(f"{file.place(line)}: not a CSV row: {error}") from error
        yield line, row
        line = rows.line_num + 1  # type: ignore[attr-defined]


def _documents(
    rows: Iterator[tuple[int, list[str]]],
    file: SourceFile,
    options: SourceOptions,
    report: IngestReport,
) -> Iterator[Document]:
    fields = RecordFields(options)
    columns: list[str] | None = None
    n_rows = 0
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if columns is None:
            columns = [clean_line(cell) for cell in row]
            _check_columns(columns, fields, options, file.place(line))
            continue
        n_rows += 1
        if len(row) > len(columns):
            report.note("overlong row", file.place(line), outcome="cut to the header's columns")
        record = _record(
            columns, row, keep={*fields.id_fields, fields.title_field, fields.text_field}
        )
        default_id = f"{file.name}:{n_rows}" if options.id_field is None else None
        yield fields.document(record, file.place(line), default_id=default_id)


def _check_columns(
    columns: Sequence[str], fields: RecordFields, options: SourceOptions, place: str
) -> None:
    wanted = {"--text-field": fields.text_field}
    if options.id_field is not None:
        wanted["--id-field"] = options.id_field
    if options.title_field is not None:
        wanted["--title-field"] = options.title_field
    for flag, name in wanted.items():
        if name not in columns:
            there = ", ".join(repr(column[:40]) for column in columns[:8])
            raise CorpusError(f"{place}: no column {name!r}; set {flag} to one of {there}")


def _record(columns: Sequence[str], row: Sequence[str], keep: set[str]) -> dict[str, object]:
    """Cells by column; empty ones are left out, except where a document needs them."""
    record: dict[str, object] = {}
    padded = [*row, *[""] * (len(columns) - len(row))]
    for column, cell in zip(columns, padded, strict=False):
        if not column or column in record:
            continue
        if column in keep:
            # An empty id is no id: the row's number then stands in.
            record[column] = cell if cell.strip() else "" if column not in {"_id", "id"} else None
        elif cell.strip():
            record[column] = _number(cell.strip())
    return record


def _number(cell: str) -> str | int | float:
    if _INTEGER.fullmatch(cell):
        return int(cell)
    return float(cell) if _DECIMAL.fullmatch(cell) else cell


def _unquoted(cell: str) -> str:
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell
