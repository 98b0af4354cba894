"""What a version holds besides its signals: metadata, passages, words, completions.

What belongs to documents that stayed as they were is taken over from the parent.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from encoders.bert import BertEncoder
from ingest.documents import Document
from pipeline.encoding.document_languages import DocumentLanguages
from pipeline.encoding.inheritance import Inheritance
from pipeline.encoding.links import link_file
from pipeline.encoding.passages import PassageCut, cut_all_passages, texts_of_passages
from pipeline.encoding.stages import Stages
from pipeline.version.document_store import FILE_NAME as DOCUMENTS_NAME
from pipeline.version.document_store import DocumentStore
from pipeline.version.metadata_columns import write_metadata_columns
from pipeline.version.open_version import METADATA_FOLDER, PASSAGES_FOLDER, write_passage_table
from pipeline.version.passage_words import (
    PASSAGE_WORDS_FOLDER,
    update_passage_words,
    write_passage_words,
)
from pipeline.version.spelling import SPELLING_FOLDER, read_spelling, write_spelling
from pipeline.version.suggestions import SUGGESTIONS_FOLDER, write_suggestions

__all__ = ["CorpusFiles"]


class CorpusFiles:
    """Writes the files of one version that belong to no signal.

    Parameters
    ----------
    folder
        The version's folder.
    store
        Its documents.
    inherited
        What can be taken over from the parent, if anything.
    """

    def __init__(
        self,
        folder: Path,
        store: DocumentStore,
        inherited: Inheritance | None,
        stages: Stages,
    ) -> None:
        self._folder = folder
        self._store = store
        self._inherited = inherited
        self._stages = stages

    def write_metadata(self) -> None:
        """Write a column a field, or link the parent's if no document changed."""
        folder = self._folder / METADATA_FOLDER
        folder.mkdir()
        store, inherited = self._store, self._inherited
        with self._stages.stage("metadata", store.n_documents) as advance:
            if inherited is not None and inherited.has_same_documents:
                inherited.link(METADATA_FOLDER, folder)
                # The documents themselves need not lie on disk twice either.
                own = self._folder / DOCUMENTS_NAME
                own.unlink()
                link_file(inherited.parent.folder / DOCUMENTS_NAME, own)
                return
            metadata = (advance.each(document).metadata for document in store.stream())
            write_metadata_columns(folder, metadata, store.n_documents)

    def write_passages(self, bert: BertEncoder | None) -> PassageCut:
        """Cut the documents whose text changed, and write the table of all passages."""
        folder = self._folder / PASSAGES_FOLDER
        folder.mkdir()
        inherited = self._inherited
        with self._stages.stage("passages", self._store.n_documents) as advance:
            cut = cut_all_passages(self._store, bert, inherited, advance)
            if inherited is not None and inherited.has_same_texts and np.all(cut.origins >= 0):
                inherited.link(PASSAGES_FOLDER, folder)
            else:
                write_passage_table(folder, cut.table)
        return cut

    def write_passage_words(self, cut: PassageCut, languages: DocumentLanguages) -> None:
        """Cut the passages that are new into sentences and words, and write those of all."""
        folder = self._folder / PASSAGE_WORDS_FOLDER
        folder.mkdir()
        store, inherited = self._store, self._inherited
        known = None
        if inherited is not None and inherited.parent.manifest.languages == list(languages.main):
            known = inherited.parent.passage_words
        with self._stages.stage("words", store.n_documents) as advance:
            if known is None or inherited is None:
                documents = (advance.each(document) for document in store.stream())
                texts = texts_of_passages(documents, cut.table)
                write_passage_words(folder, texts, languages.main)
            elif inherited.has_same_texts and np.all(cut.origins >= 0):
                inherited.link(PASSAGE_WORDS_FOLDER, folder)
            else:
                rows = cut.fresh_rows()
                advance(store.n_documents - len(rows))
                documents = (advance.each(document) for document in store.stream(rows))
                texts = texts_of_passages(documents, cut.table, rows)
                update_passage_words(folder, known, cut.origins, texts, languages.main)

    def write_spelling(self, languages: DocumentLanguages) -> None:
        """Count the words of documents that came or went, and write those of all."""
        folder = self._folder / SPELLING_FOLDER
        folder.mkdir()
        store, inherited = self._store, self._inherited
        known, came, went = None, np.arange(store.n_documents), np.zeros(0, np.int64)
        if inherited is not None and inherited.parent.manifest.languages == list(languages.main):
            known = read_spelling(inherited.parent.folder / SPELLING_FOLDER)
        with self._stages.stage("spelling", store.n_documents) as advance:
            if known is not None and inherited is not None:
                if inherited.has_same_texts:
                    inherited.link(SPELLING_FOLDER, folder)
                    return
                came, went = np.flatnonzero(inherited.same_text < 0), inherited.lost_rows
                advance(store.n_documents - len(came))
            removed = inherited.parent.documents.stream(went) if inherited is not None else ()
            write_spelling(
                folder,
                (_words_of(advance.each(document)) for document in store.stream(came)),
                languages.main,
                known=known,
                removed=map(_words_of, removed),
            )

    def write_suggestions(self, languages: DocumentLanguages) -> None:
        """Collect what completes what is typed, or link the parent's if no text changed."""
        folder = self._folder / SUGGESTIONS_FOLDER
        folder.mkdir()
        store, inherited = self._store, self._inherited
        with self._stages.stage("suggestions", store.n_documents) as advance:
            if (
                inherited is not None
                and inherited.has_same_texts
                and inherited.parent.manifest.languages == list(languages.main)
                and (inherited.parent.folder / SUGGESTIONS_FOLDER).is_dir()
            ):
                inherited.link(SUGGESTIONS_FOLDER, folder)
                return
            streamed = (_words_of(advance.each(document)) for document in store.stream())
            write_suggestions(folder, streamed, store.n_documents, languages.main)


def _words_of(document: Document) -> tuple[str, str]:
    return document.title, document.text
