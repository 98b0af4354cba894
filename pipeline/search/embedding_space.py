"""Texts, documents and words as points of one encoder's space: add, subtract, find neighbours.

References
----------
Analogies by adding and subtracting unit vectors: Mikolov, Yih & Zweig, "Linguistic regularities in
continuous space word representations", NAACL 2013, https://aclanthology.org/N13-1090; the form
used here is 3CosAdd of Levy & Goldberg, CoNLL 2014, doi:10.3115/v1/W14-1618.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings, Encoder
from encoders.state import unit_rows
from encoders.term_encoder import TermEncoder
from encoders.words import words
from ingest.errors import QueryError
from pipeline.search.signals import PassageScorer, VectorScorer
from pipeline.search.spelling import similar_words
from pipeline.search.steering import document_embedding
from pipeline.search.time_limit import check_time
from pipeline.version.open_version import SIGNALS, OpenVersion

__all__ = [
    "MAX_POINTS",
    "NEIGHBOR_KINDS",
    "POINT_KINDS",
    "EmbeddingSpace",
    "Neighbor",
    "Point",
    "encoder_for",
]

POINT_KINDS = ("text", "document", "word")
NEIGHBOR_KINDS = ("documents", "words")
MAX_POINTS = 100
_MAX_NEIGHBORS = 1000
_TOLD_CHARACTERS = 100
# Texts a transformer reads before the time is looked at; a tenth of a second each if long.
_ENCODED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that has an embedding.

    Parameters
    ----------
    kind
        ``"text"``, ``"document"`` (then ``value`` is a doc_id) or ``"word"``.
    weight
        How much it counts in a sum, above 0.

    Raises
    ------
    QueryError
        If the kind is unknown or the weight is not above 0.
    """

    kind: str
    value: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in POINT_KINDS:
            raise QueryError(f"a point is a text, a document or a word, not {self.kind!r}")
        if not 0 < self.weight < float("inf"):
            raise QueryError(
                f"the weight of {self.value[:60]!r} is {self.weight}; it must be above 0"
            )


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A document or a word, and the cosine of its embedding with what was asked for."""

    name: str
    similarity: float


class EmbeddingSpace:
    """The embeddings of one encoder in one version.

    Parameters
    ----------
    version
        An open version.
    encoder
        ``tfidf``, ``word2vec`` or ``bert``.

    Raises
    ------
    QueryError
        If the version holds no such encoder, or it was fitted to documents that may not be seen.
    """

    def __init__(self, version: OpenVersion, encoder: str) -> None:
        if encoder not in version.encoders:
            known = ", ".join(name for name in SIGNALS if name in version.encoders)
            raise QueryError(
                f"encoder {encoder!r} is not in this version; it holds {known or 'none'}",
                parameter="encoder",
            )
        if version.permitted is not None and encoder != "bert":
            raise QueryError(
                f"encoder {encoder!r} was fitted to documents that may not be seen: use bert",
                parameter="encoder",
            )
        self.encoder = encoder
        self._version = version
        self._index = version.vectors[encoder]
        self._in_passages = version.manifest.signals[encoder].rows == "passages"

    @property
    def dimension(self) -> int:
        """Width of an embedding."""
        return self._index.dimension

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """Embed texts as queries: float32, shape (n_texts, dimension), unit rows or all zero."""
        encoded = []
        for begin in range(0, max(len(texts), 1), _ENCODED_AT_ONCE):
            check_time()
            encoded.append(self._encoder.encode_queries(texts[begin : begin + _ENCODED_AT_ONCE]))
        return np.concatenate(encoded)

    def embed(self, point: Point) -> Embeddings:
        """Embed one thing.

        A document of several passages is the mean of their embeddings.

        Returns
        -------
        float32, shape (dimension,)
            Of unit length, or all zero where nothing of it is known to the encoder.

        Raises
        ------
        QueryError
            If the encoder does not know the word; tells similar ones.
        DocumentNotFoundError
            If there is no such document.
        """
        check_time()
        if point.kind == "text":
            return cast("Embeddings", self.encode([point.value])[0])
        if point.kind == "document":
            row = self._version.documents.row(point.value)
            return document_embedding(self._version, self.encoder, row)
        return self._word(point.value)

    def combine(self, positive: Sequence[Point], negative: Sequence[Point] = ()) -> Embeddings:
        """Add embeddings up, subtract others, and scale the result to unit length.

        Without ``negative``, and with equal weights, it is the direction of the average.

        Returns
        -------
        float32, shape (dimension,)
            Of unit length.

        Raises
        ------
        QueryError
            If there is nothing to add, or too much, or all of it cancels out.
        """
        n_points = len(positive) + len(negative)
        if not 1 <= n_points <= MAX_POINTS:
            raise QueryError(
                f"{n_points} texts, documents or words were given; it must be 1 to {MAX_POINTS}",
                parameter="positive",
            )
        total = np.zeros(self.dimension)
        for sign, points in ((1.0, positive), (-1.0, negative)):
            for point in points:
                total += sign * point.weight * self.embed(point)
        combined = unit_rows(total[None, :])[0]
        if not combined.any():
            raise QueryError(
                f"{self.encoder} has no direction for this: nothing in it is known, or it "
                "cancels out",
                parameter="positive",
            )
        return cast("Embeddings", combined)

    def similarity(self, first: Point, second: Point) -> float:
        """Cosine of two things, in [-1, 1]; 0 where one of them is unknown to the encoder."""
        # Rounding may lead a hair beyond.
        return min(1.0, max(-1.0, float(self.embed(first) @ self.embed(second))))

    def neighbors(
        self,
        positive: Sequence[Point],
        negative: Sequence[Point] = (),
        *,
        among: str = "documents",
        k: int = 10,
        exact: bool = False,
    ) -> list[Neighbor]:
        """What is nearest to a sum of things, those things themselves left out.

        Parameters
        ----------
        among
            ``"documents"`` or ``"words"``.
        k
            How many at most, 1 to 1,000.
        exact
            As ``nearest_documents`` takes it; words are always all compared.

        Raises
        ------
        QueryError, DocumentNotFoundError
            As ``combine``, ``nearest_documents`` and ``nearest_words`` do.
        """
        if among not in NEIGHBOR_KINDS:
            raise QueryError(
                f"among is {among!r}; it must be documents or words", parameter="among"
            )
        target = self.combine(positive, negative)
        given = [*positive, *negative]
        if among == "words":
            without = [point.value for point in given if point.kind == "word"]
            return self.nearest_words(target, k, without=without)
        without = [point.value for point in given if point.kind == "document"]
        return self.nearest_documents(target, k, without=without, exact=exact)

    def nearest_documents(
        self,
        embedding: Embeddings,
        k: int,
        *,
        without: Collection[str] = (),
        exact: bool = False,
    ) -> list[Neighbor]:
        """Documents nearest to an embedding, best first, ties by doc_id.

        A document of several passages is as near as its nearest passage.

        Parameters
        ----------
        embedding
            float32, shape (dimension,), of unit length.
        k
            How many at most, 1 to 1,000.
        without
            Ids of documents to leave out.
        exact
            Whether every embedding is compared. Otherwise that is done up to 200,000 of them; among
            more, a few are proposed by compressed ones, which may miss some that are near.
        """
        _check_count(k)
        left_out = [self._version.documents.row(doc_id) for doc_id in without]
        scorer: PassageScorer | VectorScorer
        if self._in_passages:
            passages = self._version.passages
            scorer = PassageScorer(self._index, passages, embedding, exact=exact)
        else:
            scorer = VectorScorer(self._index, embedding, exact=exact)
        allowed = self._version.permitted
        if left_out:
            allowed = np.ones(len(self._version.passages.offsets) - 1, np.bool_)
            allowed[left_out] = False
            if self._version.permitted is not None:
                allowed &= self._version.permitted
        found = scorer.candidates(k, allowed)
        doc_ids = self._version.documents.doc_ids(found.rows.tolist())
        return [
            Neighbor(doc_id, similarity)
            for doc_id, similarity in zip(doc_ids, found.scores.tolist(), strict=True)
        ]

    def nearest_words(
        self, embedding: Embeddings, k: int, *, without: Collection[str] = ()
    ) -> list[Neighbor]:
        """Words nearest to an embedding, best first, ties in alphabetical order.

        Parameters
        ----------
        embedding
            float32, shape (dimension,), of unit length.
        k
            How many at most, 1 to 1,000.
        without
            Words to leave out.

        Raises
        ------
        QueryError
            If the encoder holds no vectors of words (``bert`` reads whole texts).
        """
        _check_count(k)
        terms, vectors = self._words
        left_out = {self._term_encoder.term(word.lower()) for word in without}
        # Not a gather of all rows: the vectors may be memory-mapped and many.
        similarities = np.asarray(vectors @ embedding, np.float64) / self._lengths
        order = np.lexsort((np.arange(len(terms)), -similarities))[: k + len(left_out)]
        found = [
            Neighbor(terms[row], float(similarities[row]))
            for row in order.tolist()
            if terms[row] not in left_out and np.isfinite(similarities[row])
        ]
        return found[:k]

    @property
    def _encoder(self) -> Encoder:
        return self._version.encoders[self.encoder]

    @property
    def _term_encoder(self) -> TermEncoder:
        if not isinstance(self._encoder, TermEncoder):
            raise QueryError(
                f"{self.encoder} reads whole texts and holds no vectors of words: "
                "use word2vec or tfidf, or give a text",
                parameter="encoder",
            )
        return self._encoder

    @cached_property
    def _words(self) -> tuple[list[str], NDArray[np.float32]]:
        encoder = self._term_encoder
        return list(encoder.vocabulary), encoder.vectors

    @cached_property
    def _lengths(self) -> NDArray[np.float64]:
        """Length of each word's vector; infinite where it is zero, so that nothing is near it."""
        lengths = np.linalg.norm(self._words[1], axis=1).astype(np.float64)
        return np.where(lengths > 0, lengths, np.inf)

    def _word(self, word: str) -> Embeddings:
        encoder = self._term_encoder
        row = encoder.vocabulary.get(encoder.term(word.lower()))
        if row is None:
            raise QueryError(self._unknown(word), parameter="word")
        return cast("Embeddings", unit_rows(encoder.vectors[row][None, :])[0])

    def _unknown(self, word: str) -> str:
        if len(words(word)) > 1:
            return f"{word[:_TOLD_CHARACTERS]!r} is several words: give it as a text"
        similar = ", ".join(similar_words(word.lower(), self._words[0]))
        return f"{self.encoder} does not know the word {word[:_TOLD_CHARACTERS]!r}" + (
            f"; similar ones: {similar}" if similar else ""
        )


def encoder_for(points: Sequence[Point], among: str) -> str:
    """The encoder to ask where none is named: ``bert``, but it knows no single words."""
    of_words = among == "words" or any(point.kind == "word" for point in points)
    return "word2vec" if of_words else "bert"


def _check_count(k: int) -> None:
    if not 1 <= k <= _MAX_NEIGHBORS:
        raise QueryError(f"k is {k}; it must be 1 to {_MAX_NEIGHBORS}", parameter="k")
