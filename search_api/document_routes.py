"""Documents: one whole, its passages, and others like it."""

from __future__ import annotations

from dataclasses import asdict

from ingest.documents import Document
from ingest.errors import DocumentNotFoundError, QueryError
from pipeline.search.searcher import Searcher
from search_api.answer_models import DocumentAnswer, PassagesAnswer, SearchAnswer
from search_api.caching import Answered
from search_api.contract import Example, Operations
from search_api.observing import searched
from search_api.parameters import query_of
from search_api.request_models import Place, SimilarParameters
from search_api.snapshot import current_pool

__all__ = ["document_json", "operations"]

operations = Operations("Documents", "Read documents, and find others like one.")
_ID_FIRST = (
    "The id stands in the path, percent-encoded; slashes in it may stay as they are. Where a "
    "document's own id ends like this address, that document is answered."
)


@operations.add(
    "GET",
    "/documents/{doc_id}/passages",
    name="passages",
    summary="Show a document's passages",
    description=_ID_FIRST,
    asks=Place,
    answers=PassagesAnswer,
    example=Example({"doc_id": "json.load"}),
)
def passages(asked: Place, doc_id: str) -> Answered:
    """Show the passages a document was cut into."""
    searcher = current_pool().get(asked.collection, asked.version)
    if searcher.holds(f"{doc_id}/passages"):
        return _document(searcher, f"{doc_id}/passages", pinned=bool(asked.version))

    def make() -> dict[str, object]:
        return {
            "doc_id": doc_id,
            "collection": searcher.collection,
            "version": searcher.version,
            "passages": [asdict(passage) for passage in searcher.passages(doc_id)],
        }

    return Answered(make, [searcher.version], pinned=bool(asked.version))


@operations.add(
    "GET",
    "/documents/{doc_id}/similar",
    name="similarDocuments",
    summary="Find documents like one",
    description="By all signals together; the same answer as a search with `like`. " + _ID_FIRST,
    asks=SimilarParameters,
    answers=SearchAnswer,
    example=Example({"doc_id": "json.load"}, {"k": 3}),
)
def similar(asked: SimilarParameters, doc_id: str) -> Answered:
    """Find documents like one."""
    searcher = current_pool().get(asked.collection, asked.version)
    if searcher.holds(f"{doc_id}/similar"):
        return _document(searcher, f"{doc_id}/similar", pinned=bool(asked.version))
    query = query_of(asked, "", like=(doc_id,))

    def make() -> dict[str, object]:
        try:
            return searched(searcher, query).to_json()
        except QueryError as error:
            if error.parameter == "like" and isinstance(error.__cause__, DocumentNotFoundError):
                # Here the document is the address, not a parameter.
                raise error.__cause__ from error
            raise

    return Answered(make, [searcher.version], pinned=bool(asked.version))


@operations.add(
    "GET",
    "/documents/{doc_id}",
    name="document",
    summary="Show one document whole",
    description="The id stands in the path, percent-encoded; slashes in it may stay as they are.",
    asks=Place,
    answers=DocumentAnswer,
    example=Example({"doc_id": "json.load"}),
)
def document(asked: Place, doc_id: str) -> Answered:
    """Show one document whole."""
    searcher = current_pool().get(asked.collection, asked.version)
    return _document(searcher, doc_id, pinned=bool(asked.version))


def document_json(searcher: Searcher, found: Document) -> dict[str, object]:
    """A document as JSON-ready values, and where it was found."""
    return {
        "doc_id": found.doc_id,
        "title": found.title,
        "text": found.text,
        "url": found.url,
        "metadata": dict(found.metadata),
        "names": list(found.names),
        "collection": searcher.collection,
        "version": searcher.version,
    }


def _document(searcher: Searcher, doc_id: str, *, pinned: bool) -> Answered:
    return Answered(
        lambda: document_json(searcher, searcher.document(doc_id)),
        [searcher.version],
        pinned=pinned,
    )
