"""Which words of a passage match the query, and which of its sentences comes nearest."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoders.protocol import Embeddings
from encoders.word2vec import Word2VecEncoder
from encoders.words import stem
from ingest.errors import IndexCorruptError
from pipeline.search.answer import Highlight, WordContribution
from pipeline.version.passage_words import MAX_SENTENCES, PassageWords, stem_key

__all__ = ["Nearness", "PassageMarker"]

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
    >>> PassageMarker(table, {"pars"}, set(), None, lambda stem: 1.0).mark([0])
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
        rows: Sequence[int],
        brought: Sequence[Sequence[WordContribution]] = (),
    ) -> list[list[Highlight]]:
        """Mark each passage: every matching word, and at most one sentence.

        Parameters
        ----------
        rows
            Row of each passage in the table.
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
        at = _matches(cut, matching)
        held = _held(cut, matching, at)
        scores = self._scores(cut, held)
        keywords = _keyword_marks(cut, at, len(rows))
        marked = []
        for position, highlights in enumerate(keywords):
            first, last = cut.first_sentences[position : position + 2]
            spans = cut.sentences[first:last]
            points = scores[first:last][:MAX_SENTENCES]
            if brought and brought[position]:
                points = _sums(spans[:MAX_SENTENCES], brought[position])
            if len(points) and points.max() > 0:
                highlights.append(Highlight(*spans[int(points.argmax())], "semantic"))
            marked.append(sorted(highlights, key=lambda mark: (mark.start, -mark.end)))
        return marked

    def _matching(self, cut: _Cut) -> dict[int, str]:
        """Which of the distinct words match, and the stem they match by, or themselves."""
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
                matching[place] = stemmed or word
        return matching

    def _scores(self, cut: _Cut, held: Sequence[Collection[str]]) -> NDArray[np.float64]:
        """Score of every sentence."""
        shares = [
            # Sorted, so that the sum's last bits do not depend on the order of a set.
            sum(self._weights.get(stemmed, 0.0) for stemmed in sorted(matched))
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
    starts, lengths
        int64, shape (n_words,): where each word stands in its passage.
    """

    first_sentences: list[int]
    sentences: list[tuple[int, int]]
    owners: NDArray[np.int64]
    distinct: NDArray[np.int64]
    places: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, table: PassageWords, rows: Sequence[int]) -> _Cut:
        first_sentences = [0]
        sentences: list[tuple[int, int]] = []
        n_words, cuts = [np.zeros(0, np.int64)], [slice(0, 0)]
        for row in rows:
            begin, end = table.sentence_offsets[row : row + 2].tolist()
            offsets = table.word_offsets[begin : end + 1]
            sentences += map(tuple, table.sentences[begin:end].tolist())
            n_words.append(offsets[1:] - offsets[:-1])
            cuts.append(slice(offsets[0], offsets[-1]))
            first_sentences.append(len(sentences))
        words, starts, lengths = (
            np.concatenate([column[cut] for cut in cuts]).astype(np.int64)
            for column in (table.words, table.starts, table.lengths)
        )
        ascending = np.sort(words)
        distinct = ascending[np.concatenate([ascending[:1] >= 0, ascending[1:] != ascending[:-1]])]
        if distinct.size and distinct[-1] >= len(table.vocabulary):
            raise IndexCorruptError(
                "a passage holds a word that the version does not know; run trine versions verify"
            )
        owners = np.repeat(np.arange(len(sentences)), np.concatenate(n_words))
        places = np.searchsorted(distinct, words)
        return cls(first_sentences, sentences, owners, distinct, places, starts, lengths)


def _matches(cut: _Cut, matching: Collection[int]) -> NDArray[np.int64]:
    """Which of the words match, given which of the distinct ones do."""
    matches = np.zeros(len(cut.distinct), np.bool_)
    matches[list(matching)] = True
    return np.flatnonzero(matches[cut.places])


def _held(cut: _Cut, matching: Mapping[int, str], at: NDArray[np.int64]) -> list[set[str]]:
    """What the matching words of each sentence match by."""
    held: list[set[str]] = [set() for _ in cut.sentences]
    for owner, place in zip(cut.owners[at].tolist(), cut.places[at].tolist(), strict=True):
        held[owner].add(matching[place])
    return held


def _keyword_marks(cut: _Cut, at: NDArray[np.int64], n_passages: int) -> list[list[Highlight]]:
    """Mark the matching words of each passage; several may stand at one place."""
    marks: list[dict[tuple[int, int], None]] = [{} for _ in range(n_passages)]
    passages = np.searchsorted(cut.first_sentences, cut.owners[at], side="right") - 1
    starts = cut.starts[at]
    spans = zip(starts.tolist(), (starts + cut.lengths[at]).tolist(), strict=True)
    for passage, span in zip(passages.tolist(), spans, strict=True):
        marks[passage][span] = None
    return [[Highlight(*span, "keyword") for span in found] for found in marks]


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
