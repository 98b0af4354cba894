"""The language of each document, and the main languages of a collection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.languages import detect_language, language_named, main_languages
from ingest.documents import Document
from pipeline.encoding.inheritance import Inheritance
from pipeline.encoding.stages import Stages
from pipeline.version.arrays import load_array
from pipeline.version.document_store import DocumentStore

__all__ = ["DocumentLanguages", "find_languages"]

_FILE_NAME = "languages.npy"
_CODE = np.dtype("S8")


@dataclass(frozen=True)
class DocumentLanguages:
    """Languages the words of a version are stemmed in.

    Parameters
    ----------
    main
        Languages of the collection, the most frequent first.
    of_documents
        One of them for each document, in row order.
    same_as_parent
        Whether the parent's documents, row by row, are stemmed in the same ones.
    """

    main: tuple[str, ...]
    of_documents: list[str]
    same_as_parent: bool = False


def find_languages(
    folder: Path, store: DocumentStore, inherited: Inheritance | None, stages: Stages
) -> DocumentLanguages:
    """Tell each document's language, by its metadata or its text, and keep it for the next build.

    Parameters
    ----------
    folder
        The version's folder.
    """
    found = np.zeros(store.n_documents, _CODE)
    known = _inherited(inherited)
    with stages.stage("languages", store.n_documents) as advance:
        fresh = np.arange(store.n_documents)
        if known is not None and inherited is not None:
            taken = inherited.unchanged >= 0
            found[taken] = known[inherited.unchanged[taken]]
            fresh = np.flatnonzero(~taken)
            advance(int(taken.sum()))
        for row, document in zip(fresh, store.stream(fresh), strict=True):
            found[row] = _language_of(advance.each(document)) or ""
    np.save(folder / _FILE_NAME, found)
    codes, places = np.unique(found, return_inverse=True)
    names = [code.decode("ascii") for code in codes.tolist()]
    main = main_languages(names[place] or None for place in places.tolist())
    # A document in no main language is stemmed as most are, where queries look for it.
    stemmed = [name if name in main else main[0] for name in names]
    of_documents = [stemmed[place] for place in places.tolist()]
    return DocumentLanguages(
        main,
        of_documents,
        inherited is not None
        and known is not None
        and inherited.has_same_texts
        and list(main) == inherited.parent.manifest.languages
        and np.array_equal(known, found),
    )


def _inherited(inherited: Inheritance | None) -> NDArray[np.bytes_] | None:
    if inherited is None or not (inherited.parent.folder / _FILE_NAME).is_file():
        return None
    known = load_array(inherited.parent.folder / _FILE_NAME, _CODE)
    return known if len(known) == inherited.parent.manifest.n_documents else None


def _language_of(document: Document) -> str | None:
    named = document.metadata.get("language")
    known = language_named(named) if isinstance(named, str) else None
    return known or detect_language(document.text or document.title)
