"""What agents may ask, whatever protocol they speak: tools over what an asker can reach.

Each takes one flat object and answers with JSON-ready values and the same as text to read. Answers
are smaller than the API's: no explanation, no highlights, since a model reads every word of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from ingest.errors import QueryError
from pipeline.search.query import MAX_QUERY_CHARACTERS
from search_api.answer_models import (
    Answer,
    CollectionHealth,
    FacetCount,
    MetadataValue,
    PassageSpan,
)
from search_api.parameters import from_object, search_from_object
from search_api.reach import Reach
from search_api.request_models import (
    Integer,
    Names,
    OptionalNumber,
    OptionalText,
    Place,
    Request,
    Text,
    within,
)
from search_api.several_collections import answer_of, searchers_of
from search_api.snapshot import Snapshot

__all__ = ["TOOLS", "AgentTool"]

MAX_HITS = 50
MAX_PASSAGES = 100
MAX_CHARACTERS = 100_000
_N_FACET_VALUES = 20


class _Finding(Request):
    """What every tool that finds documents takes."""

    k: Annotated[Integer, within(1, MAX_HITS)] = Field(
        5, description="Hits on a page.", json_schema_extra={"minimum": 1, "maximum": MAX_HITS}
    )
    page: Integer = Field(1, description="Page number from 1.", json_schema_extra={"minimum": 1})
    filter: OptionalText = Field(
        None,
        description='Condition on metadata: `kind:function AND year:[2020 TO 2024] NOT tag:"old"`.',
    )
    min_probability: OptionalNumber = Field(
        None,
        description="Leave out hits less likely relevant than this.",
        json_schema_extra={"minimum": 0, "maximum": 1},
    )
    facets: Names = Field((), description="Fields whose values to count over all that matches.")


class SearchQuestion(_Finding):
    """A question, or words to search for."""

    q: Text = Field(
        description='What to find, in plain language; may hold `"phrases"`, `+required`, '
        "`-excluded` and `field:value`.",
        json_schema_extra={"minLength": 1, "maxLength": MAX_QUERY_CHARACTERS},
    )
    sort: OptionalText = Field(
        None, description="`field`, `field:asc` or `field:desc` instead of relevance."
    )
    collection: Names = Field(
        (), description="The collection, or several; the server's when left out."
    )
    version: Names = Field(
        (), description="The version an answer named, to page on in it; one a collection."
    )


class SimilarQuestion(_Finding, Place):
    """Documents to find more like."""

    doc_id: Text = Field(description="Id of the document to find others like.")


class DocumentQuestion(Place):
    """A part of a document."""

    doc_id: Text = Field(description="The document's id, as a hit names it.")
    start: Annotated[Integer, within(0, 2**53)] = Field(
        0, description="Character to begin at.", json_schema_extra={"minimum": 0}
    )
    max_characters: Annotated[Integer, within(1, MAX_CHARACTERS)] = Field(
        20_000,
        description="How much of its text at most.",
        json_schema_extra={"minimum": 1, "maximum": MAX_CHARACTERS},
    )


class PassagesQuestion(Place):
    """Some of a document's passages."""

    doc_id: Text = Field(description="The document's id, as a hit names it.")
    first: Annotated[Integer, within(1, 2**53)] = Field(
        1, description="Number of the first passage, from 1.", json_schema_extra={"minimum": 1}
    )
    limit: Annotated[Integer, within(1, MAX_PASSAGES)] = Field(
        20,
        description="How many at most.",
        json_schema_extra={"minimum": 1, "maximum": MAX_PASSAGES},
    )


class NoQuestion(Request):
    """Nothing."""


class AgentHit(Answer):
    """A document found."""

    rank: int
    doc_id: str
    title: str
    url: str | None
    probability: float = Field(ge=0, le=1, description="That it is relevant.")
    score: float
    passage: PassageSpan = Field(description="Its best passage; `start` counts characters.")
    metadata: dict[str, MetadataValue]
    names: list[str]
    collection: str
    version: str


class AgentFound(Answer):
    """What was found, best first."""

    query: str
    collection: str
    version: str = Field(description="Give it as `version` to page on in the same snapshot.")
    total: int = Field(description="How many documents match, exactly.")
    page: int
    k: int
    no_good_result: bool = Field(
        description="Whether nothing found is likely to be relevant: say so, or ask otherwise."
    )
    did_you_mean: str | None = Field(description="The corrected query that was searched for.")
    hits: list[AgentHit]
    facets: dict[str, list[FacetCount]]


class AgentDocument(Answer):
    """A document, or a part of it."""

    doc_id: str
    title: str
    text: str
    url: str | None
    metadata: dict[str, MetadataValue]
    names: list[str]
    collection: str
    version: str
    start: int = Field(description="Character of the whole text where `text` begins.")
    n_characters: int = Field(description="Length of the whole text.")
    next_start: int | None = Field(description="Where to go on; null at the end.")


class AgentPassages(Answer):
    """Some of a document's passages, in their order."""

    doc_id: str
    collection: str
    version: str
    first: int
    n_passages: int = Field(description="How many it has.")
    passages: list[PassageSpan]


class AgentCollections(Answer):
    """What can be searched."""

    default_collection: str
    collections: list[CollectionHealth]


class AgentCollection(Answer):
    """A collection."""

    collection: str
    version: str
    documents: int
    signals: list[str]
    fields: list[str] = Field(description="Metadata fields to filter, count and sort by.")
    facets: list[str] = Field(description="Those with few values: ask for them as `facets`.")


@dataclass(frozen=True, slots=True)
class AgentTool:
    """One thing an agent may ask.

    Parameters
    ----------
    asks, answers
        Models of what it takes and gives.
    content
        Answers, JSON-ready.
    text
        Such an answer, to read.
    """

    name: str
    title: str
    description: str
    asks: type[Request]
    answers: type[Answer]
    content: Callable[[Reach, Any], dict[str, Any]]
    text: Callable[[Mapping[str, Any]], str]

    def answer(self, reach: Reach, arguments: Mapping[str, object]) -> tuple[dict[str, Any], str]:
        """Answer, JSON-ready and as text.

        Raises
        ------
        TrineError
            If it cannot be answered; the message is one line.
        """
        content = self.content(reach, from_object(self.asks, arguments))
        return content, self.text(content)


def _search(reach: Reach, asked: SearchQuestion) -> dict[str, Any]:
    if not asked.q.strip():
        raise QueryError("q is empty: say what to find", parameter="q")
    return _found(reach, asked.model_dump())


def _similar(reach: Reach, asked: SimilarQuestion) -> dict[str, Any]:
    members = asked.model_dump()
    members["like"] = [members.pop("doc_id")]
    # A name with a comma in it is still one name.
    for name in ("collection", "version"):
        members[name] = [members[name]] if members[name] else []
    try:
        return _found(reach, members)
    except QueryError as error:
        if error.parameter == "like" and error.__cause__ is not None:
            # Here the document goes by another name.
            raise error.__cause__ from error
        raise


def _found(reach: Reach, members: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: list(v) if isinstance(v, tuple) else v for name, v in members.items()}
    wanted = search_from_object({**given, "explain": False})
    found = answer_of(wanted.query, searchers_of(wanted, Snapshot(reach)))
    hits = found["hits"]
    place = {"collection": found["collection"], "version": found["version"]}
    kept = set(AgentFound.model_fields)
    of_hit = set(AgentHit.model_fields)
    return {
        **{name: value for name, value in found.items() if name in kept},
        "hits": [
            {name: value for name, value in {**place, **hit}.items() if name in of_hit}
            for hit in (hits if isinstance(hits, list) else [])
        ],
    }


def _document(reach: Reach, asked: DocumentQuestion) -> dict[str, Any]:
    searcher = reach.get(asked.collection or None, asked.version or None)
    found = searcher.document(asked.doc_id)
    end = asked.start + asked.max_characters
    return {
        "doc_id": found.doc_id,
        "title": found.title,
        "text": found.text[asked.start : end],
        "url": found.url,
        "metadata": dict(found.metadata),
        "names": list(found.names),
        "collection": searcher.collection,
        "version": searcher.version,
        "start": asked.start,
        "n_characters": len(found.text),
        "next_start": end if end < len(found.text) else None,
    }


def _passages(reach: Reach, asked: PassagesQuestion) -> dict[str, Any]:
    searcher = reach.get(asked.collection or None, asked.version or None)
    found = searcher.passages(asked.doc_id)
    shown = found[asked.first - 1 : asked.first - 1 + asked.limit]
    return {
        "doc_id": asked.doc_id,
        "collection": searcher.collection,
        "version": searcher.version,
        "first": asked.first,
        "n_passages": len(found),
        "passages": [
            {"text": p.text, "start": p.start, "end": p.end, "page": p.page} for p in shown
        ],
    }


def _collections(reach: Reach, asked: NoQuestion) -> dict[str, Any]:
    return {
        "default_collection": reach.default_collection,
        "collections": [reach.state(name).to_json() for name in reach.names()],
    }


def _collection(reach: Reach, asked: Place) -> dict[str, Any]:
    searcher = reach.get(asked.collection or None, asked.version or None)
    return {
        "collection": searcher.collection,
        "version": searcher.version,
        "documents": searcher.n_documents,
        "signals": list(searcher.signals),
        "fields": list(searcher.fields),
        "facets": searcher.facet_fields(),
    }


def _text_of_found(found: Mapping[str, Any]) -> str:
    lines = []
    if found["no_good_result"]:
        lines.append("No good result: nothing found is likely to be relevant.")
    if found["did_you_mean"]:
        lines.append(f"Searched for {found['did_you_mean']!r} instead.")
    lines.append(
        f"{len(found['hits'])} of {found['total']} matching documents, page {found['page']}, "
        f"collection {found['collection']}, version {found['version']}."
    )
    for hit in found["hits"]:
        # What a document says must not look like another hit.
        lines += ["", f"{hit['rank']}. {_one_line(hit['title'] or hit['doc_id'])}"]
        lines.append(f"   doc_id {_one_line(hit['doc_id'])}, probability {hit['probability']:.2f}")
        lines += [f"   {line}" for line in _described(hit)]
        lines.append(f"   {_one_line(hit['passage']['text'])}")
    for field, counts in found["facets"].items():
        shown = ", ".join(f"{c['value']} ({c['count']})" for c in counts[:_N_FACET_VALUES])
        lines += ["", _one_line(f"{field}: {shown}")]
    return "\n".join(lines)


def _text_of_document(found: Mapping[str, Any]) -> str:
    lines = [found["title"] or found["doc_id"], f"doc_id {found['doc_id']}", *_described(found)]
    lines += ["", found["text"]]
    if found["next_start"] is not None:
        lines += ["", f"(goes on: start={found['next_start']} of {found['n_characters']})"]
    return "\n".join(lines)


def _text_of_passages(found: Mapping[str, Any]) -> str:
    lines = [f"{found['n_passages']} passages of {found['doc_id']}"]
    for number, passage in enumerate(found["passages"], start=found["first"]):
        lines += ["", f"{number}. {passage['text']}"]
    return "\n".join(lines)


def _text_of_collections(found: Mapping[str, Any]) -> str:
    lines = [f"The default is {found['default_collection']}."]
    for each in found["collections"]:
        told = each.get("error") or f"{each['documents']} documents"
        lines.append(f"- {each['collection']}: {told}")
    return "\n".join(lines)


def _text_of_collection(found: Mapping[str, Any]) -> str:
    return (
        f"{found['collection']}: {found['documents']} documents, version {found['version']}.\n"
        f"Fields: {', '.join(found['fields']) or 'none'}.\n"
        f"Fields with few values: {', '.join(found['facets']) or 'none'}."
    )


def _described(found: Mapping[str, Any]) -> Iterable[str]:
    if found["url"]:
        yield str(found["url"])
    if found["metadata"]:
        yield _one_line("; ".join(f"{name}: {value}" for name, value in found["metadata"].items()))


def _one_line(text: str) -> str:
    return " ".join(text.split())


TOOLS = (
    AgentTool(
        "search",
        "Search documents",
        "Find documents by meaning and by words. Every hit has a probability that it is relevant; "
        "`no_good_result` is true when none is likely to be.",
        SearchQuestion,
        AgentFound,
        _search,
        _text_of_found,
    ),
    AgentTool(
        "similar_documents",
        "Find similar documents",
        "Find documents like one that is known. The probability says how alike they are.",
        SimilarQuestion,
        AgentFound,
        _similar,
        _text_of_found,
    ),
    AgentTool(
        "get_document",
        "Read a document",
        "Read a document whole, or a long one part by part.",
        DocumentQuestion,
        AgentDocument,
        _document,
        _text_of_document,
    ),
    AgentTool(
        "get_passages",
        "Read a document's passages",
        "Read the passages a document was cut into.",
        PassagesQuestion,
        AgentPassages,
        _passages,
        _text_of_passages,
    ),
    AgentTool(
        "list_collections",
        "List collections",
        "Tell which collections can be searched.",
        NoQuestion,
        AgentCollections,
        _collections,
        _text_of_collections,
    ),
    AgentTool(
        "describe_collection",
        "Describe a collection",
        "Tell which metadata fields a collection has to filter, count and sort by.",
        Place,
        AgentCollection,
        _collection,
        _text_of_collection,
    ),
)
"""Every tool."""
