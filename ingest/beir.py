"""Queries and relevance judgments of a collection in the layout of BEIR, or in TREC's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ingest.cleaning import clean_line, clean_name
from ingest.decoding import decode
from ingest.errors import CorpusError
from ingest.files import READ_ERRORS, SourceFile
from ingest.formats.json_lines import read_objects
from ingest.report import IngestReport

__all__ = ["CORPUS_NAMES", "BeirFolder", "read_qrels", "read_queries"]

CORPUS_NAMES = ("corpus.jsonl", "corpus.jsonl.gz")
"""Names of a BEIR folder's corpus; the first that is there is read."""

_N_BEIR_COLUMNS = 3
_N_TREC_COLUMNS = 4


SOURCES_NAME = "sources.txt"


class BeirFolder:
    """A folder with a corpus, queries, and judgments of which document answers which query.

    Parameters
    ----------
    path
        The folder.
    queries
        Queries to read; ``None`` means ``queries.jsonl`` in the folder.
    qrels
        Judgments to read; ``None`` means ``qrels/test.tsv`` in the folder.

    Examples
    --------
    >>> BeirFolder(Path("scifact")).qrels_path.as_posix()
    'scifact/qrels/test.tsv'
    """

    def __init__(self, path: Path, queries: Path | None = None, qrels: Path | None = None) -> None:
        self.path = path
        self.queries_path = path / "queries.jsonl" if queries is None else queries
        self.qrels_path = path / "qrels" / "test.tsv" if qrels is None else qrels

    @property
    def corpus_path(self) -> Path:
        """File of the corpus.

        Raises
        ------
        CorpusError
            If the folder has none.
        """
        for name in CORPUS_NAMES:
            if (self.path / name).is_file():
                return self.path / name
        raise CorpusError(f"no {' or '.join(CORPUS_NAMES)} in {str(self.path)!r}")

    @property
    def sources(self) -> list[str]:
        """What to index: the folder itself, or what its ``sources.txt`` names, one a line.

        A folder whose corpus is made elsewhere (the documentation of the running Python, say)
        holds ``sources.txt`` in place of a corpus file.

        Raises
        ------
        CorpusError
            If the folder has neither.
        """
        listed = self.path / SOURCES_NAME
        if not listed.is_file():
            return [str(self.corpus_path.parent.absolute())]
        try:
            lines = listed.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise CorpusError(f"{listed}: cannot be read: {error}") from error
        return [line.strip() for line in lines if line.strip()]

    def queries(self) -> dict[str, str]:
        """Text of each query by its id; see `read_queries`."""
        return read_queries(self.queries_path)

    def qrels(self) -> dict[str, dict[str, int]]:
        """Relevance by query id and document id; see `read_qrels`."""
        return read_qrels(self.qrels_path)


def read_queries(path: Path) -> dict[str, str]:
    """Read queries from JSON lines with ``_id`` and ``text``.

    Parameters
    ----------
    path
        The file, perhaps gzipped.

    Returns
    -------
    dict
        Text of each query by its id, in the order of the file.

    Raises
    ------
    CorpusError
        If the file is missing, a line makes no sense, or two queries share an id.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "queries.jsonl")
    ...     _ = path.write_text('{"_id": "q1", "text": "how do apples keep"}')
    ...     read_queries(path)
    {'q1': 'how do apples keep'}
    """
    file = SourceFile(path, path.name)
    queries: dict[str, str] = {}
    try:
        for line, record in read_objects(file, IngestReport()):
            query_id, text = record.get("_id"), record.get("text")
            if isinstance(query_id, bool) or not isinstance(query_id, str | int):
                raise CorpusError(f"{file.place(line)}: no field '_id' with the query's id")
            if not isinstance(text, str) or not text.strip():
                raise CorpusError(f"{file.place(line)}: no field 'text' with the query's words")
            key = clean_name(str(query_id))
            if key in queries:
                raise CorpusError(f"{file.place(line)}: a second query has the id {key!r}")
            queries[key] = clean_line(text)
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error
    return queries


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    r"""Read relevance judgments, as BEIR or as TREC writes them.

    BEIR's have a header and the columns query-id, corpus-id, score, separated by tabs; TREC's
    have query, iteration, document, relevance, separated by white space.

    Parameters
    ----------
    path
        The file, perhaps gzipped.

    Returns
    -------
    dict of dict
        Relevance level, 0 for not relevant, by query id and document id.

    Raises
    ------
    CorpusError
        If the file is missing or a line makes no sense; names file and line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "test.tsv")
    ...     _ = path.write_text("query-id\tcorpus-id\tscore\nq1\td7\t2\n")
    ...     read_qrels(path)
    {'q1': {'d7': 2}}
    """
    file = SourceFile(path, path.name)
    try:
        text = decode(file.read_bytes())
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error
    if text is None:
        raise CorpusError(f"{file.place()}: not a text file")
    qrels: dict[str, dict[str, int]] = {}
    for query_id, doc_id, relevance in _judgments(text, file):
        qrels.setdefault(query_id, {})[doc_id] = relevance
    return qrels


def _judgments(text: str, file: SourceFile) -> Iterator[tuple[str, str, int]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) not in {_N_BEIR_COLUMNS, _N_TREC_COLUMNS}:
            cells = line.split()
        if len(cells) == _N_TREC_COLUMNS:
            del cells[1]
        if len(cells) != _N_BEIR_COLUMNS:
            raise CorpusError(
                f"{file.place(number)}: expected query-id, corpus-id, score; "
                f"found {len(cells)} columns"
            )
        try:
            relevance = int(cells[2])
        except ValueError as error:
            if number == 1:
                continue  # the header
            message = f"{file.place(number)}: relevance must be an integer, found {cells[2]!r}"
            raise CorpusError(message) from error
        yield cells[0], cells[1], relevance


def _unreadable(path: Path, error: Exception) -> CorpusError:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    return CorpusError(f"{clean_name(str(path))}: cannot be read: {reason}")
