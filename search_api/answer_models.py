"""What answers hold: the models that the contract is written from.

Answers are made from the search pipeline's own values, and not checked while serving; tests hold
every one of them against its model.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Activated",
    "Answer",
    "BatchAnswer",
    "DocumentAnswer",
    "EmbeddingsAnswer",
    "Health",
    "JudgedAnswer",
    "JudgmentsAnswer",
    "Live",
    "MapAnswer",
    "MapDocumentsAnswer",
    "MapHitsAnswer",
    "NeighborsAnswer",
    "PassagesAnswer",
    "ProblemDocument",
    "Ready",
    "SearchAnswer",
    "SimilarityAnswer",
    "SuggestAnswer",
    "TaskAnswer",
    "TasksAnswer",
    "Verified",
    "VersionDescription",
    "VersionsAnswer",
]

MetadataValue = str | int | float | bool | list[str] | list[int] | list[float] | list[bool]


class Answer(BaseModel):
    """Anything that is answered; clients must pass over members they do not know."""

    model_config = ConfigDict(strict=True, extra="forbid", defer_build=True)


class FoundIn(Answer):
    """Where an answer is from."""

    collection: str
    version: str = Field(description="Give it as `version` to ask the same snapshot again.")


class PassageSpan(Answer):
    """A passage of a document."""

    text: str
    start: int = Field(description="Code point in the document's text where it begins.")
    end: int
    page: int | None = Field(description="Page of a paged document, from 1.")


class HighlightSpan(Answer):
    """A marked span, in code points of the passage's text."""

    start: int
    end: int
    kind: Literal["keyword", "semantic"]


class ExplanationRow(Answer):
    """What a signal, or a step of the ranking, gave to the score."""

    contribution: float
    raw: float | None = None
    normalized: float | None = None
    weight: float | None = None
    rank: int | None = None


class WordShare(Answer):
    """What one word brings to a signal's raw score."""

    word: str
    contribution: float
    source: str
    spans: list[list[int]]


class WordShares(Answer):
    """Each signal's raw score as a sum over words."""

    query: dict[str, list[WordShare]]
    document: dict[str, list[WordShare]]


class FoundDocument(Answer):
    """A hit."""

    rank: int = Field(ge=1)
    doc_id: str
    title: str
    url: str | None
    score: float = Field(description="Exactly the sum of the contributions in `explanation`.")
    probability: float = Field(ge=0, le=1, description="That it is relevant.")
    passage: PassageSpan
    highlights: list[HighlightSpan]
    metadata: dict[str, MetadataValue]
    names: list[str] = Field(description="Other ids or names the document goes by.")
    explanation: dict[str, ExplanationRow]
    collapsed: list[str] = Field(description="Near-duplicates it stands for.")
    attribution: WordShares | None = Field(None, description="Only with `explain=words`.")
    collection: str | None = Field(None, description="Only where several were searched.")
    version: str | None = Field(None, description="Only where several were searched.")


class FacetCount(Answer):
    """How many matching documents hold a value."""

    value: str
    count: int


class Reranked(Answer):
    """What came of re-ranking."""

    applied: bool
    reason: str | None
    scored: int
    took_ms: float


class CollectionAnswer(FoundIn):
    """What one of several collections answered."""

    total: int
    no_good_result: bool
    did_you_mean: str | None
    n_collapsed: int
    took_ms: float
    facets: dict[str, list[FacetCount]]


class SearchAnswer(FoundIn):
    """What a query found."""

    query: str
    took_ms: float
    stages_ms: dict[str, float]
    total: int = Field(ge=0, description="How many documents match, exactly.")
    page: int
    k: int
    no_good_result: bool = Field(description="Whether nothing found is likely to be relevant.")
    did_you_mean: str | None = Field(description="The corrected query that was searched for.")
    n_collapsed: int
    rerank: Reranked | None
    hits: list[FoundDocument]
    facets: dict[str, list[FacetCount]]
    collections: list[CollectionAnswer] | None = Field(
        None, description="Each collection's own totals; only where several were searched."
    )


class MapCluster(Answer):
    """A cluster of the map."""

    cluster: int
    terms: list[str] = Field(description="What tells it from the others, most telling first.")
    n_documents: int
    x: int = Field(description="Its middle.")
    y: int


class MapAnswer(FoundIn):
    """Where every document lies."""

    drawing: str = Field(
        description="Names the picture: positions of two answers mean the same places if both "
        "have the same. `map_region` begins with it."
    )
    signal: str = Field(description="Whose embeddings were drawn.")
    n_documents: int
    width: int = Field(description="Coordinates go from 0 to this, from the top left.")
    positions: str = Field(
        description="Base64 of x and y of each document in order of its row, unsigned 16-bit "
        "little-endian; 65535 where a document has no place.",
        json_schema_extra={"contentEncoding": "base64"},
    )
    clusters: str = Field(
        description="Base64 of the cluster of each document, one byte; 255 where it has none.",
        json_schema_extra={"contentEncoding": "base64"},
    )
    named: list[MapCluster] = Field(description="The clusters, by their numbers.")


class MapDocument(Answer):
    """A document of the map."""

    row: int
    doc_id: str
    title: str


class MapDocumentsAnswer(FoundIn):
    """Documents of the map."""

    documents: list[MapDocument] = Field(description="In the order asked for.")


class MapHit(MapDocument):
    """A hit on the map."""

    rank: int
    score: float
    probability: float


class MapHitsAnswer(FoundIn):
    """Which documents of the map a query found."""

    query: str
    drawing: str
    total: int
    no_good_result: bool
    did_you_mean: str | None
    hits: list[MapHit]


class JudgmentCounts(Answer):
    """How much was judged in a collection."""

    collection: str
    n_queries: int
    n_answered: int = Field(description="Queries with a relevant document: those that count.")
    n_judgments: int


class JudgedAnswer(JudgmentCounts):
    """What was judged just now, and how much is."""

    query_id: str | None = None
    doc_id: str | None = None
    relevance: int | None = None


class JudgedDocument(Answer):
    """One judgment."""

    doc_id: str
    relevance: int = Field(description="0: not relevant.")


class JudgedQuery(Answer):
    """The judgments of one query."""

    query_id: str
    query: str
    judgments: list[JudgedDocument]


class JudgmentsAnswer(JudgmentCounts):
    """All judgments of a collection."""

    queries: list[JudgedQuery]


class ProblemDocument(Answer):
    """What went wrong (RFC 9457)."""

    type: str = Field(
        description="Stable name of the kind of problem, and the address of a page about it.",
        json_schema_extra={"format": "uri-reference"},
    )
    title: str = Field(description="The same few words whenever it happens.")
    status: int
    detail: str = Field(description="What was wrong, in one line.")
    instance: str = Field(description="The address that was asked.")
    parameter: str | None = Field(None, description="The parameter at fault.")


class BatchEntry(Answer):
    """What one query of a batch came to: an answer or a problem."""

    status: int
    answer: SearchAnswer | None = None
    problem: ProblemDocument | None = None


class BatchAnswer(Answer):
    """As many entries as there were queries, in their order."""

    answers: list[BatchEntry]


class DocumentAnswer(FoundIn):
    """A document."""

    doc_id: str
    title: str
    text: str
    url: str | None
    metadata: dict[str, MetadataValue]
    names: list[str]


class PassagesAnswer(FoundIn):
    """A document's passages, as they were cut to be embedded, in their order."""

    doc_id: str
    passages: list[PassageSpan]


class Completion(Answer):
    """One completion."""

    text: str
    kind: Literal["title", "phrase"]
    doc_id: str | None = Field(description="The document of that title.")


class SuggestAnswer(FoundIn):
    """Completions, likeliest first."""

    query: str
    suggestions: list[Completion]


class EncoderAnswer(FoundIn):
    """By whose embeddings."""

    encoder: str


class EmbeddingsAnswer(EncoderAnswer):
    """Embeddings of texts."""

    dimension: int
    embeddings: list[list[float]] = Field(
        description="One a text, in their order, of unit length; all zero where the encoder "
        "knows nothing of a text."
    )


class Near(Answer):
    """A document or a word; a point that can be given again."""

    document: str | None = None
    word: str | None = None
    similarity: float = Field(description="Cosine.")


class NeighborsAnswer(EncoderAnswer):
    """What is nearest, best first."""

    among: Literal["documents", "words"]
    neighbors: list[Near]


class SimilarityAnswer(EncoderAnswer):
    """Cosine of two things; 0 where the encoder knows nothing of one of them."""

    similarity: float = Field(ge=-1, le=1)


class SignalCoverage(Answer):
    """How many of the documents a signal knows, and by which encoder."""

    coverage: float
    encoder_fingerprint: str | None


class VersionDescription(Answer):
    """One version; only the first two, and `error`, where its manifest cannot be read."""

    version: str
    current: bool
    created: str | None = None
    parent: str | None = None
    documents: int | None = None
    passages: int | None = None
    signals: dict[str, SignalCoverage] | None = None
    bytes: int | None = None
    own_bytes: int | None = Field(None, description="Bytes that removing it would free.")
    quality: dict[str, Any] | None = Field(None, description="The last judged measurement.")
    error: str | None = None


class VersionsAnswer(Answer):
    """All versions, oldest first."""

    collection: str
    versions: list[VersionDescription]


class Activated(Answer):
    """The version is current."""

    collection: str
    version: str
    previous: str | None


class Verified(Answer):
    """What holding every byte against the manifest found."""

    collection: str
    version: str
    problems: list[str] = Field(description="Empty where the version is whole.")
    unknown_files: list[str] = Field(description="Not in the manifest, and never read.")


class CollectionHealth(Answer):
    """A collection as its current version's manifest describes it."""

    collection: str
    version: str | None
    documents: int
    signals: list[str]
    error: str | None = None


class Health(Answer):
    """Queries can be answered, and over what."""

    status: Literal["ok"]
    default_collection: str
    collections: list[CollectionHealth]


class Live(Answer):
    """The process answers."""

    status: Literal["ok"]


class Ready(Answer):
    """The default collection is open; which it is, only those learn who may search it."""

    status: Literal["ok"]
    collection: str | None
    version: str | None


class TaskAnswer(Answer):
    """What was asked of a collection in the background, and how far it is."""

    task: str = Field(description="Its id.")
    kind: Literal["write", "reindex"]
    state: Literal["accepted", "running", "published", "failed"] = Field(
        description="`accepted`: on the disk, and done whatever crashes; `published`: searches see "
        "it; `failed`: `error` says why, and what was written is tried again."
    )
    n_put: int = Field(ge=0, description="Documents put.")
    n_deleted: int = Field(ge=0, description="Documents deleted.")
    stage: str | None = Field(description="What is being done.")
    share: float | None = Field(ge=0, le=1, description="How much of that is done.")
    version: str | None = Field(description="The version that first held it.")
    error: str | None
    attempts: int = Field(ge=0, description="How often it was begun.")
    accepted_at: str = Field(description="ISO 8601, UTC.")
    started_at: str | None
    finished_at: str | None
    collection: str
    address: str = Field(description="Where to ask for it again.")


class TasksAnswer(Answer):
    """A collection's tasks, newest first."""

    collection: str
    tasks: list[TaskAnswer]
