"""Which words of a passage match the query, and which of its sentences comes nearest."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.word2vec import Word2VecEncoder
from encoders.words import stem, word_spans
from ingest.sentences import sentence_spans
from pipeline.search.answer import Highlight

__all__ = ["PassageMarker"]

_MAX_SENTENCES = 60
# Shares of the evidence in choosing the sentence to mark: nearness of meaning, shared words.
_MEANING_SHARE = 0.6
_WORDS_SHARE = 0.4


class PassageMarker:
    """Marks passages for one query.

    The nearest sentence is judged by what costs no model call: how near its words are to the
    query in Word2Vec, weighted as the encoder weighs them, and the share of the query's words,
    weighted by rarity, that it contains.

    Parameters
    ----------
    query
        The query's text.
    query_stems
        Their stems, stop words left out.
    marked_words
        Words to mark although they are stop words (they are quoted, or the query has no other).
    word2vec
        Encoder for sentences; words alone decide when ``None``.
    rarity
        Weight of a stem, at least 0.

    Examples
    --------
    >>> marker = PassageMarker("parse", {"pars"}, set(), None, lambda stem: 1.0)
    >>> marker.mark(["He parses it. She rests."])
    [[Highlight(start=0, end=13, kind='semantic'), Highlight(start=3, end=9, kind='keyword')]]
    """

    def __init__(
        self,
        query: str,
        query_stems: Collection[str],
        marked_words: Collection[str],
        word2vec: Word2VecEncoder | None,
        rarity: Callable[[str], float],
    ) -> None:
        self._stems = set(query_stems)
        self._words = set(marked_words)
        self._word2vec = word2vec
        self._asked = word2vec.encode_queries([query])[0] if word2vec else None
        weights = {word: rarity(word) for word in self._stems}
        total = sum(weights.values())
        self._weights = {word: weight / total for word, weight in weights.items() if total}

    def mark(self, texts: Sequence[str]) -> list[list[Highlight]]:
        """Mark each passage: every matching word, and at most one sentence.

        Returns
        -------
        list of list of Highlight
            In order of start; a sentence comes before the words inside it.
        """
        cut = [word_spans(text) for text in texts]
        known = {word for spans in cut for _, _, word in spans}
        matching = {word for word in known if self._matches(word)}
        sentences = [sentence_spans(text)[:_MAX_SENTENCES] for text in texts]
        scores = self._scores(cut, sentences, matching)
        marked = []
        for spans, found, points in zip(cut, sentences, scores, strict=True):
            marks = {(start, end): None for start, end, word in spans if word in matching}
            highlights = [Highlight(start, end, "keyword") for start, end in marks]
            if len(points) and points.max() > 0:
                highlights.append(Highlight(*found[int(np.argmax(points))], "semantic"))
            marked.append(sorted(highlights, key=lambda mark: (mark.start, -mark.end)))
        return marked

    def _matches(self, word: str) -> bool:
        return word in self._words or stem(word) in self._stems

    def _scores(
        self,
        cut: Sequence[Sequence[tuple[int, int, str]]],
        sentences: Sequence[Sequence[tuple[int, int]]],
        matching: Collection[str],
    ) -> list[NDArray[np.float64]]:
        """Score of every sentence of every passage."""
        contents: list[list[str]] = []
        for spans, found in zip(cut, sentences, strict=True):
            starts = [start for start, _, _ in spans]
            for begin, end in found:
                inside = spans[bisect_left(starts, begin) : bisect_left(starts, end)]
                contents.append([word for _, _, word in inside])
        near: dict[str, tuple[float, float]] = {}
        if self._word2vec is not None and self._asked is not None:
            every = {word for found in contents for word in found}
            near = self._word2vec.word_similarities(sorted(every), self._asked)
        scores = np.array(
            [
                _MEANING_SHARE * _weighted_mean(found, near)
                + _WORDS_SHARE * self._share({word for word in found if word in matching})
                for found in contents
            ]
        )
        ends = np.cumsum([len(found) for found in sentences])
        return np.split(scores, ends[:-1]) if len(ends) else []

    def _share(self, found: Collection[str]) -> float:
        """Share of the query's words, weighted by rarity, among those found."""
        return sum(self._weights.get(word, 0.0) for word in sorted({stem(word) for word in found}))


def _weighted_mean(found: Sequence[str], near: Mapping[str, tuple[float, float]]) -> float:
    known = [near[word] for word in found if word in near]
    total = sum(weight for weight, _ in known)
    return sum(weight * similarity for weight, similarity in known) / total if total else 0.0
