"""Judgments inside a backup: the zip file in BEIR's layout that people exchange, read as warily."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ingest.errors import CorpusError, IndexCorruptError, QueryError
from pipeline.version.collection import CollectionFolder
from pipeline.version.judgments import (
    Judged,
    JudgmentFolder,
    check_judged,
    judged_of_texts,
    texts_of_zip,
)

__all__ = ["JUDGMENTS_NAME", "dump_judgments", "parse_judgments"]

JUDGMENTS_NAME = "state/judgments.zip"


def dump_judgments(collection: CollectionFolder) -> bytes | None:
    """All judgments of a collection as a backup holds them; ``None`` where nobody judged.

    Raises
    ------
    CorpusError
        If somebody edited them so that they make no sense, or could not be restored.
    """
    content = JudgmentFolder(collection.judgments_path).export()
    try:
        judged = parse_judgments(content)
    except IndexCorruptError as error:
        raise CorpusError(
            f"the judgments of {collection.name!r} cannot be backed up: {error}"
        ) from error
    return content if judged.qrels else None


def parse_judgments(content: bytes) -> Judged:
    """The judgments a backup holds.

    Raises
    ------
    IndexCorruptError
        If they make no sense, or are none that anybody could have made here.
    """
    try:
        queries, qrels = texts_of_zip(content)
        with tempfile.TemporaryDirectory() as place:
            judged = judged_of_texts(queries, qrels, Path(place))
        check_judged(judged)
    except (CorpusError, QueryError) as error:
        raise IndexCorruptError(f"{JUDGMENTS_NAME} makes no sense: {error}") from error
    return judged
