"""What agents' tools take and answer: flat objects, and answers that are smaller than the API's."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.search.query import MAX_QUERY_CHARACTERS
from search_api.answer_models import (
    Answer,
    CollectionHealth,
    FacetCount,
    MetadataValue,
    PassageSpan,
)
from search_api.request_fields import (
    Integer,
    Names,
    OptionalNumber,
    OptionalText,
    Text,
    within,
)
from search_api.request_models import Place, Request

__all__ = [
    "AgentCollection",
    "AgentCollections",
    "AgentDocument",
    "AgentFound",
    "AgentHit",
    "AgentPassages",
    "DocumentQuestion",
    "NoQuestion",
    "PassagesQuestion",
    "SearchQuestion",
    "SimilarQuestion",
]

MAX_HITS = 50
MAX_PASSAGES = 100
MAX_CHARACTERS = 100_000


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
