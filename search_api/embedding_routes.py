"""Embeddings: encode texts, add and subtract them, find what is near."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.errors import DocumentNotFoundError, QueryError
from pipeline.search.embedding_space import EmbeddingSpace, Point, encoder_for
from pipeline.search.query import MAX_QUERY_CHARACTERS
from pipeline.search.searcher import Searcher
from search_api.answer_models import EmbeddingsAnswer, NeighborsAnswer, SimilarityAnswer
from search_api.caching import Answered
from search_api.contract import Example, Operations
from search_api.request_models import EncodeRequest, NeighborsRequest, SimilarityRequest
from search_api.snapshot import current_pool

__all__ = ["operations"]

operations = Operations("Embeddings", "Encode, add, subtract, compare; find what is near.")


@operations.add(
    "POST",
    "/embeddings",
    name="encode",
    summary="Encode texts",
    description="As queries are encoded.",
    asks=EncodeRequest,
    answers=EmbeddingsAnswer,
    example=Example(asks={"texts": ["read a file", "open a socket"], "encoder": "tfidf"}),
)
def encode(asked: EncodeRequest) -> Answered:
    """Encode texts."""
    for place, text in enumerate(asked.texts):
        if len(text) > MAX_QUERY_CHARACTERS:
            raise QueryError(
                f"texts[{place}] has {len(text)} characters; "
                f"at most {MAX_QUERY_CHARACTERS} are allowed",
                parameter="texts",
            )
    searcher = current_pool().get(asked.collection, asked.version)
    space = searcher.space(asked.encoder)
    return Answered(
        lambda: {
            **_place(searcher, space),
            "dimension": space.dimension,
            "embeddings": space.encode(asked.texts).tolist(),
        }
    )


@operations.add(
    "POST",
    "/neighbors",
    name="neighbors",
    summary="Find what is nearest to a sum of texts, documents and words",
    description='Averages, analogies (`{"positive": ["king", "woman"], "negative": ["man"]}`), '
    "more of this and less of that. What was given is not found again.",
    asks=NeighborsRequest,
    answers=NeighborsAnswer,
    example=Example(
        asks={"positive": ["file", {"text": "write"}], "negative": ["socket"], "among": "words"}
    ),
)
def neighbors(asked: NeighborsRequest) -> Answered:
    """Find what is nearest to a sum."""
    searcher = current_pool().get(asked.collection, asked.version)
    points = [*asked.positive, *asked.negative]
    space = searcher.space(_encoder(asked.encoder, points, asked.among))
    _check_known(space, positive=asked.positive, negative=asked.negative)
    found = space.neighbors(
        asked.positive, asked.negative, among=asked.among, k=asked.k, exact=asked.exact
    )
    member = "word" if asked.among == "words" else "document"
    return Answered(
        lambda: {
            **_place(searcher, space),
            "among": asked.among,
            "neighbors": [
                {member: neighbor.name, "similarity": neighbor.similarity} for neighbor in found
            ],
        }
    )


@operations.add(
    "POST",
    "/similarity",
    name="similarity",
    summary="Compare two texts, documents or words",
    asks=SimilarityRequest,
    answers=SimilarityAnswer,
    example=Example(asks={"first": {"text": "open a file"}, "second": {"document": "open"}}),
)
def similarity(asked: SimilarityRequest) -> Answered:
    """Compare two things."""
    searcher = current_pool().get(asked.collection, asked.version)
    points: list[Point] = [asked.first, asked.second]
    space = searcher.space(_encoder(asked.encoder, points, "documents"))
    _check_known(space, first=[asked.first], second=[asked.second])
    return Answered(lambda: {**_place(searcher, space), "similarity": space.similarity(*points)})


def _place(searcher: Searcher, space: EmbeddingSpace) -> dict[str, object]:
    return {
        "collection": searcher.collection,
        "version": searcher.version,
        "encoder": space.encoder,
    }


def _encoder(asked: str | None, points: Sequence[Point], among: str) -> str:
    return encoder_for(points, among) if asked is None else asked


def _check_known(space: EmbeddingSpace, **given: Sequence[Point]) -> None:
    """Say which parameter holds a word, or a document, that is not known."""
    for name, points in given.items():
        for point in points:
            if point.kind == "text":
                continue
            try:
                space.embed(point)
            except DocumentNotFoundError as error:
                error.parameter = name
                raise
            except QueryError as error:
                parameter = name if error.parameter == "word" else error.parameter
                raise QueryError(str(error), parameter=parameter) from error
