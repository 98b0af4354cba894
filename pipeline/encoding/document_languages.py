"""The language of each document, and the main languages of a collection."""

from __future__ import annotations

from dataclasses import dataclass

from encoders.languages import detect_language, language_named, main_languages
from ingest.documents import Document
from pipeline.encoding.stages import Stages
from pipeline.version.document_store import DocumentStore

__all__ = ["DocumentLanguages", "find_languages"]


@dataclass(frozen=True)
class DocumentLanguages:
    """Languages the words of a version are stemmed in.

    Parameters
    ----------
    main
        Languages of the collection, the most frequent first.
    of_documents
        One of them for each document, in row order.
    """

    main: tuple[str, ...]
    of_documents: list[str]


def find_languages(store: DocumentStore, stages: Stages) -> DocumentLanguages:
    """Tell each document's language, by its metadata or its text."""
    with stages.stage("languages", store.n_documents) as advance:
        found = [_language_of(advance.each(document)) for document in store.stream()]
    main = main_languages(found)
    # A document in no main language is stemmed as most are, where queries look for it.
    known = set(main)
    of_documents = [code if code in known else main[0] for code in (str(code) for code in found)]
    return DocumentLanguages(main, of_documents)


def _language_of(document: Document) -> str | None:
    named = document.metadata.get("language")
    known = language_named(named) if isinstance(named, str) else None
    return known or detect_language(document.text or document.title)
