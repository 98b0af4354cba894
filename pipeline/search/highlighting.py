"""Which words of a passage match the query, and which of its sentences comes nearest."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.word2vec import Word2VecEncoder
from encoders.words import is_plain, stem, word_spans, words
from ingest.sentences import sentence_spans
from pipeline.search.answer import Highlight, WordContribution

__all__ = ["PassageMarker"]

_MAX_SENTENCES = 60
_LONGEST_TAIL = 2  # of a contraction ('s, 've), which is no word although it stands like one
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
        Their stems, stop words left out, and what else counts as a match.
    marked_words
        Words to mark although they are stop words (they are quoted, or the query has no other).
    word2vec
        Encoder for sentences; words alone decide when ``None``.
    rarity
        Weight of a stem, at least 0.
    forms
        Stems under which a document may hold a word.

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
        forms: Callable[[str], Collection[str]] = lambda word: (stem(word),),
    ) -> None:
        self._forms = forms
        self._stems = set(query_stems)
        self._words = set(marked_words)
        self._word2vec = word2vec
        self._asked = word2vec.encode_queries([query])[0] if word2vec else None
        weights = {word: rarity(word) for word in self._stems}
        total = sum(weights.values())
        self._weights = {word: weight / total for word, weight in weights.items() if total}

    def mark(
        self, texts: Sequence[str], brought: Sequence[Sequence[WordContribution]] = ()
    ) -> list[list[Highlight]]:
        """Mark each passage: every matching word, and at most one sentence.

        Parameters
        ----------
        brought
            What each word of each passage brings to its similarity with the query, where that is
            known: then the sentence that brings most is marked.

        Returns
        -------
        list of list of Highlight
            In order of start; a sentence comes before the words inside it.
        """
        regions = [_regions(text) for text in texts]
        found = [
            [words(text[start:end]) for start, end in spans]
            for text, spans in zip(texts, regions, strict=True)
        ]
        known = {word for cut in found for inside in cut for word in inside}
        matching = {}
        for word in known:
            stemmed = next((form for form in self._forms(word) if form in self._stems), None)
            if stemmed is not None or word in self._words:
                matching[word] = stemmed or word
        scores = self._scores(
            [inside for cut in found for inside in cut[:_MAX_SENTENCES]], matching
        )
        marked, first = [], 0
        for position, (text, spans, cut) in enumerate(zip(texts, regions, found, strict=True)):
            highlights = _keyword_marks(text, spans, cut, matching)
            points = scores[first : first + len(spans[:_MAX_SENTENCES])]
            first += len(points)
            if brought and brought[position]:
                points = _sums(spans[:_MAX_SENTENCES], brought[position])
            if len(points) and points.max() > 0:
                highlights.append(Highlight(*spans[int(np.argmax(points))], "semantic"))
            marked.append(sorted(highlights, key=lambda mark: (mark.start, -mark.end)))
        return marked

    def _scores(
        self, sentences: Sequence[Sequence[str]], matching: Mapping[str, str]
    ) -> NDArray[np.float64]:
        """Score of every sentence, given as its words."""
        shares = [
            # Sorted, so that the sum's last bits do not depend on the order of a set.
            sum(
                self._weights.get(stemmed, 0.0)
                for stemmed in sorted({matching[word] for word in inside if word in matching})
            )
            for inside in sentences
        ]
        scores = _WORDS_SHARE * np.array(shares)
        if self._word2vec is not None and self._asked is not None:
            scores += _MEANING_SHARE * self._word2vec.mean_similarities(sentences, self._asked)
        return scores


def _regions(text: str) -> list[tuple[int, int]]:
    """The sentences to choose from, and what follows the last of them."""
    sentences = sentence_spans(text)
    if len(sentences) <= _MAX_SENTENCES:
        return sentences
    rest = (sentences[_MAX_SENTENCES][0], len(text))
    return [*sentences[:_MAX_SENTENCES], rest]


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
    text: str,
    regions: Sequence[tuple[int, int]],
    found: Sequence[Sequence[str]],
    matching: Mapping[str, str],
) -> list[Highlight]:
    """Mark the matching words; where each stands is looked up only in regions that hold one."""
    marks: dict[tuple[int, int], None] = {}
    for (begin, last), inside in zip(regions, found, strict=True):
        wanted = matching.keys() & set(inside)
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
