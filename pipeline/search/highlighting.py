"""Which words of a passage match the query, and which of its sentences comes nearest."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings
from encoders.word2vec import Word2VecEncoder
from encoders.words import is_plain, stem, word_spans
from pipeline.search.answer import Highlight, WordContribution
from pipeline.version.passage_words import MAX_SENTENCES, PassageWords, stem_key

__all__ = ["Nearness", "PassageMarker"]

_LONGEST_TAIL = 2  # of a contraction ('s, 've), which is no word although it stands like one
# Shares of the evidence in choosing the sentence to mark: nearness of meaning, shared words.
_MEANING_SHARE = 0.6
_WORDS_SHARE = 0.4


@dataclass(frozen=True)
class Nearness:
    """What tells how near words are to a query in Word2Vec.

    Parameters
    ----------
    encoder
        The encoder that embedded the query.
    query
        The query's embedding: float32, shape (dimension,).
    rows
        int64, shape (n_vocabulary,): the encoder's row of each word in the passages' vocabulary.
    """

    encoder: Word2VecEncoder
    query: Embeddings
    rows: NDArray[np.int64]


class PassageMarker:
    """Marks passages for one query.

    The nearest sentence is judged by what costs no model call: how near its words are to the
    query in Word2Vec, weighted as the encoder weighs them, and the share of the query's words,
    weighted by rarity, that it contains.

    Parameters
    ----------
    table
        The passages' words.
    query_stems
        Stems of the query, stop words left out, and what else counts as a match.
    marked_words
        Words to mark although they are stop words (they are quoted, or the query has no other).
    nearness
        How near words are to the query; shared words alone decide when ``None``.
    rarity
        Weight of a stem, at least 0.
    forms
        Stems under which a document may hold a word.

    Examples
    --------
    >>> from pipeline.version.passage_words import cut_passage_words
    >>> text = "He parses it. She rests."
    >>> table = cut_passage_words([text], ["en"])
    >>> PassageMarker(table, {"pars"}, set(), None, lambda stem: 1.0).mark([text], [0])
    [[Highlight(start=0, end=13, kind='semantic'), Highlight(start=3, end=9, kind='keyword')]]
    """

    def __init__(
        self,
        table: PassageWords,
        query_stems: Collection[str],
        marked_words: Collection[str],
        nearness: Nearness | None,
        rarity: Callable[[str], float],
        forms: Callable[[str], Collection[str]] = lambda word: (stem(word),),
    ) -> None:
        self._table = table
        self._forms = forms
        self._stems = set(query_stems)
        self._words = set(marked_words)
        self._nearness = nearness
        weights = {word: rarity(word) for word in self._stems}
        total = sum(weights.values())
        self._weights = {word: weight / total for word, weight in weights.items() if total}

    def mark(
        self,
        texts: Sequence[str],
        rows: Sequence[int],
        brought: Sequence[Sequence[WordContribution]] = (),
    ) -> list[list[Highlight]]:
        """Mark each passage: every matching word, and at most one sentence.

        Parameters
        ----------
        texts, rows
            Text of each passage, and its row in the table.
        brought
            What each word of each passage brings to its similarity with the query, where that is
            known: then the sentence that brings most is marked.

        Returns
        -------
        list of list of Highlight
            In order of start; a sentence comes before the words inside it.
        """
        cut = _Cut.of(self._table, rows)
        matching = self._matching(cut)
        held = _held(cut, matching)
        scores = self._scores(cut, held)
        marked = []
        for position, text in enumerate(texts):
            first, last = cut.first_sentences[position : position + 2]
            spans = cut.sentences[first:last]
            highlights = _keyword_marks(text, spans, held[first:last])
            points = scores[first:last][:MAX_SENTENCES]
            if brought and brought[position]:
                points = _sums(spans[:MAX_SENTENCES], brought[position])
            if len(points) and points.max() > 0:
                highlights.append(Highlight(*spans[int(points.argmax())], "semantic"))
            marked.append(sorted(highlights, key=lambda mark: (mark.start, -mark.end)))
        return marked

    def _matching(self, cut: _Cut) -> dict[int, tuple[str, str]]:
        """Which of the distinct words match: the word, and the stem it matches by or itself."""
        vocabulary = self._table.vocabulary
        keys = np.array([stem_key(stemmed) for stemmed in self._stems], np.uint32)
        alike = np.isin(self._table.stems[cut.distinct], keys).any(axis=1)
        # A word to be marked as it stands may match by no stem.
        candidates = np.arange(len(cut.distinct)) if self._words else np.flatnonzero(alike)
        matching = {}
        for place, row in zip(candidates.tolist(), cut.distinct[candidates].tolist(), strict=True):
            word = vocabulary[row]
            stemmed = next((form for form in self._forms(word) if form in self._stems), None)
            if stemmed is not None or word in self._words:
                matching[place] = word, stemmed or word
        return matching

    def _scores(self, cut: _Cut, held: Sequence[Mapping[str, str]]) -> NDArray[np.float64]:
        """Score of every sentence."""
        shares = [
            # Sorted, so that the sum's last bits do not depend on the order of a set.
            sum(self._weights.get(stemmed, 0.0) for stemmed in sorted(set(matched.values())))
            for matched in held
        ]
        scores = _WORDS_SHARE * np.array(shares)
        if self._nearness is not None:
            scores += _MEANING_SHARE * _mean_similarities(cut, self._nearness)
        return scores


@dataclass(frozen=True, slots=True)
class _Cut:
    """Several passages, one after another.

    Parameters
    ----------
    first_sentences
        Where each passage's sentences begin, and the last one's end.
    sentences
        Spans of all sentences, each in its own passage.
    owners
        int64, shape (n_words,): the sentence each word stands in, ascending.
    distinct
        int64, ascending: rows of the words that occur in the vocabulary.
    places
        int64, shape (n_words,): where each word stands among the distinct ones.
    """

    first_sentences: list[int]
    sentences: list[tuple[int, int]]
    owners: NDArray[np.int64]
    distinct: NDArray[np.int64]
    places: NDArray[np.int64]

    @classmethod
    def of(cls, table: PassageWords, rows: Sequence[int]) -> _Cut:
        first_sentences = [0]
        sentences: list[tuple[int, int]] = []
        n_words, found = [np.zeros(0, np.int64)], [np.zeros(0, table.words.dtype)]
        for row in rows:
            begin, end = table.sentence_offsets[row : row + 2].tolist()
            offsets = table.word_offsets[begin : end + 1]
            sentences += map(tuple, table.sentences[begin:end].tolist())
            n_words.append(offsets[1:] - offsets[:-1])
            found.append(table.words[offsets[0] : offsets[-1]])
            first_sentences.append(len(sentences))
        words = np.concatenate(found).astype(np.int64)
        ascending = np.sort(words)
        distinct = ascending[
            np.concatenate([[True], ascending[1:] != ascending[:-1]])[: len(words)]
        ]
        owners = np.repeat(np.arange(len(sentences)), np.concatenate(n_words))
        return cls(first_sentences, sentences, owners, distinct, np.searchsorted(distinct, words))


def _held(cut: _Cut, matching: Mapping[int, tuple[str, str]]) -> list[dict[str, str]]:
    """Matching words of each sentence, and the stem each matches by."""
    held: list[dict[str, str]] = [{} for _ in cut.sentences]
    matches = np.zeros(len(cut.distinct), np.bool_)
    matches[list(matching)] = True
    at = np.flatnonzero(matches[cut.places])
    for owner, place in zip(cut.owners[at].tolist(), cut.places[at].tolist(), strict=True):
        word, stemmed = matching[place]
        held[owner][word] = stemmed
    return held


def _mean_similarities(cut: _Cut, nearness: Nearness) -> NDArray[np.float64]:
    """Mean cosine of each sentence's words with the query; 0 where none is known."""
    near, weights = nearness.encoder.nearness(nearness.rows[cut.distinct], nearness.query)
    n_sentences = len(cut.sentences)
    total = np.bincount(cut.owners, weights[cut.places], minlength=n_sentences)
    sums = np.bincount(cut.owners, near[cut.places], minlength=n_sentences)
    return np.divide(sums, total, out=np.zeros(n_sentences), where=total > 0)


def _sums(
    sentences: Sequence[tuple[int, int]], brought: Iterable[WordContribution]
) -> NDArray[np.float64]:
    """What the words of each sentence bring together."""
    sums = np.zeros(len(sentences))
    ends = [end for _, end in sentences]
    for entry in brought:
        for start, _ in entry.spans:
            sentence = bisect.bisect_right(ends, start)
            if sentence < len(sums):
                sums[sentence] += entry.contribution
    return sums


def _keyword_marks(
    text: str, sentences: Sequence[tuple[int, int]], held: Sequence[Collection[str]]
) -> list[Highlight]:
    """Mark the matching words; where each stands is looked up only in sentences that hold one."""
    marks: dict[tuple[int, int], None] = {}
    for (begin, last), wanted in zip(sentences, held, strict=True):
        if wanted:
            for start, end in _places(text[begin:last], wanted):
                marks[begin + start, begin + end] = None
    return [Highlight(start, end, "keyword") for start, end in marks]


def _places(text: str, wanted: Collection[str]) -> Iterator[tuple[int, int]]:
    """Where the wanted words stand, all of which the text holds."""
    if not is_plain(text) or min(map(len, wanted)) <= _LONGEST_TAIL:
        for start, end, word in word_spans(text):
            if word in wanted:
                yield start, end
        return
    # Looking for a few words is several times as fast as cutting the text into all of its own.
    lowered = text.lower()
    for word in wanted:
        start = lowered.find(word)
        while start >= 0:
            end = start + len(word)
            if (
                not lowered[max(start - 1, 0) : start].isalnum()
                and not lowered[end : end + 1].isalnum()
            ):
                yield start, end
            start = lowered.find(word, end)
