"""Which passage of a hit to show, which words of it match, which sentence comes nearest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from encoders.protocol import Encoder
from encoders.words import stem, word_spans
from ingest.sentences import sentence_spans
from pipeline.search.answer import Highlight

__all__ = ["best_sentences", "keyword_highlights"]

_MAX_SENTENCES = 60
# Shares of the three kinds of evidence in choosing the sentence to mark.
_SENTENCE_WEIGHTS = {"word2vec": 0.35, "tfidf": 0.35, "words": 0.3}


def keyword_highlights(
    text: str, query_stems: Collection[str], query_words: Collection[str]
) -> list[Highlight]:
    """Mark every word whose stem, or that itself, is in the query; neighbours stay apart.

    Examples
    --------
    >>> keyword_highlights("He parses it.", {"pars"}, set())
    [Highlight(start=3, end=9, kind='keyword')]
    """
    marked: dict[tuple[int, int], None] = {}
    for start, end, word in word_spans(text):
        if word in query_words or stem(word) in query_stems:
            marked[start, end] = None
    return [Highlight(start, end, "keyword") for start, end in marked]


def best_sentences(
    texts: Sequence[str],
    query: str,
    encoders: Mapping[str, Encoder],
    word_weight: Callable[[str], float],
    query_stems: Collection[str],
) -> list[Highlight | None]:
    """For each passage, the sentence nearest to the query in meaning; ``None`` where none is.

    Judged by the two embeddings that cost no model call (tfidf, word2vec) and by the share of
    the query's words, weighted by rarity, that the sentence contains.

    Parameters
    ----------
    texts
        The passages.
    word_weight
        Rarity of a stem, at least 0.
    """
    spans = [sentence_spans(text)[:_MAX_SENTENCES] for text in texts]
    flat = [text[a:b] for text, found in zip(texts, spans, strict=True) for a, b in found]
    if not flat:
        return [None] * len(texts)
    scores = np.zeros(len(flat))
    for name in ("word2vec", "tfidf"):
        if encoder := encoders.get(name):
            asked = encoder.encode_queries([query])[0]
            scores += _SENTENCE_WEIGHTS[name] * (encoder.encode_documents(flat) @ asked)
    weights = {word: word_weight(word) for word in set(query_stems)}
    if total := sum(weights.values()):
        for position, sentence in enumerate(flat):
            present = {stem(word) for _, _, word in word_spans(sentence)} & weights.keys()
            share = sum(weights[word] for word in present) / total
            scores[position] += _SENTENCE_WEIGHTS["words"] * share
    return list(_best_of_each(spans, scores))


def _best_of_each(
    spans: Sequence[Sequence[tuple[int, int]]], scores: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> list[Highlight | None]:
    best: list[Highlight | None] = []
    begin = 0
    for found in spans:
        part = scores[begin : begin + len(found)]
        begin += len(found)
        if len(found) and part.max() > 0:
            start, end = found[int(np.argmax(part))]
            best.append(Highlight(start, end, "semantic"))
        else:
            best.append(None)
    return best
