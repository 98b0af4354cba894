"""Which words a score comes from: each signal's raw score as an exact sum over words.

Nothing is estimated; the arithmetic of each signal allows it. BM25 is a sum over the query's
words. An embedding of tfidf, word2vec or a mean-pooled transformer is the unit vector along a sum
over its text's words, so its cosine with any vector is a sum over these words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from encoders.bert import BertEncoder
from encoders.protocol import Embeddings
from encoders.term_encoder import TermEncoder
from encoders.words import word_spans, words
from ingest.documents import Document
from pipeline.search.answer import Attribution, ShownPassage, WordContribution
from pipeline.search.query_text import ParsedText
from pipeline.search.ranking import Ranking
from pipeline.search.signals import KeywordScorer, PassageScorer, Scorer, VectorScorer
from pipeline.search.time_limit import check_time
from pipeline.version.encoder_text import encoder_text, fitting_title
from pipeline.version.open_version import OpenVersion

__all__ = ["attribute_words"]

# Words of a text that are listed; what the others of a long document bring is one entry.
_MOST_WORDS = 200
_ROUNDING = 1e-5
# Passages a transformer reads before the time is looked at; a tenth of a second or so each.
_READ_AT_ONCE = 8


def attribute_words(
    version: OpenVersion,
    scorers: Mapping[str, Scorer],
    parsed: ParsedText,
    ranking: Ranking,
    documents: Sequence[Document],
    passages: Sequence[ShownPassage],
    forms: Callable[[str], Collection[str]],
    *,
    steered: bool = False,
) -> list[Attribution]:
    """Take each signal's raw score of each document apart, word by word.

    A signal that abstains for a document has no entry there, nor has a transformer whose
    embedding is not the mean of its tokens' states.

    Parameters
    ----------
    scorers
        The signals, bound to the query.
    documents, passages
        The ranking's documents, in order, and the best passage of each.
    forms
        Stems of a word in the version's languages, the first of which stands for it.
    steered
        Whether documents moved the query's embeddings: then its words are not all that a cosine
        comes from, and embeddings are taken apart by the document's words alone.

    Returns
    -------
    list of Attribution
        The contributions of each list add up to the signal's raw score; within about 1e-5, as
        far as the transformer computes in 32 bits.
    """

    def first_form(word: str) -> str:
        return next(iter(forms(word)), word)

    shown = [_Shown(*both) for both in zip(documents, passages, strict=True)]
    found = [Attribution({}, {}) for _ in documents]
    for index, (name, scorer) in enumerate(scorers.items()):
        if isinstance(scorer, KeywordScorer):
            by_stem = scorer.stem_scores(ranking.rows)
            for position, attribution in enumerate(found):
                check_time()
                shares = {stemmed: float(of[position]) for stemmed, of in by_stem.items()}
                attribution.query[name] = shown[position].asked(shares, parsed.meaning, first_form)
            continue
        encoder = version.encoders[name]
        speaking = np.flatnonzero(~np.isnan(ranking.raw[index])).tolist()
        if isinstance(encoder, TermEncoder) and isinstance(scorer, VectorScorer):
            embeddings = version.vectors[name].vectors[ranking.rows]
            for position in speaking:
                check_time()
                one, raw = shown[position], float(ranking.raw[index, position])
                if not steered:
                    read = parsed.read_by(name)
                    asked = encoder.term_shares(read, embeddings[position])
                    found[position].query[name] = one.asked(asked, read, encoder.term)
                found[position].document[name] = _of_terms(encoder, one, scorer.query, raw)
        elif isinstance(encoder, BertEncoder) and isinstance(scorer, PassageScorer):
            texts = [shown[position] for position in speaking]
            for position, entries in zip(
                speaking, _of_tokens(encoder, scorer, texts), strict=False
            ):
                found[position].document[name] = entries
    return found


class _Shown:
    """One document, and where in the passage shown its words stand."""

    def __init__(self, document: Document, passage: ShownPassage) -> None:
        self.title = document.title
        self.text = encoder_text(document.title, document.text)
        self.passage = passage.text
        self._places = word_spans(passage.text)

    def asked(
        self, shares: Mapping[str, float], query: str, term: Callable[[str], str]
    ) -> list[WordContribution]:
        """What each term of the query brings; it is called by the first word that has it."""
        spans = self._spans(term)
        typed = {term(word): word for word in reversed(words(query))}
        return _most_first(
            WordContribution(typed[key], share, "query", spans.get(key, []))
            for key, share in shares.items()
        )

    def held(
        self, shares: Mapping[str, float], term: Callable[[str], str]
    ) -> list[WordContribution]:
        """What each term of the document brings."""
        spans = self._spans(term)
        written = {term(word): word for word in reversed(words(self.text))}
        in_title = {term(word) for word in words(self.title)}
        return _most_first(
            WordContribution(
                written[key],
                share,
                "passage" if key in spans else "title" if key in in_title else "document",
                spans.get(key, []),
            )
            for key, share in shares.items()
        )

    def _spans(self, term: Callable[[str], str]) -> dict[str, list[tuple[int, int]]]:
        found: dict[str, dict[tuple[int, int], None]] = {}
        for start, end, word in self._places:
            found.setdefault(term(word), {})[start, end] = None
        return {key: list(spans) for key, spans in found.items()}


def _of_terms(
    encoder: TermEncoder, shown: _Shown, query: Embeddings, raw: float
) -> list[WordContribution]:
    """What each word of a document brings to its cosine with a query."""
    held = encoder.term_shares(shown.text, query)
    entries = shown.held(held, encoder.term)
    # A document folded into a Word2Vec is turned away from what all have in common.
    turned = raw - sum(held.values())
    if held and abs(turned) > _ROUNDING:
        entries.append(WordContribution("", turned, "model", []))
    return entries


def _of_tokens(
    encoder: BertEncoder, scorer: PassageScorer, shown: Sequence[_Shown]
) -> list[list[WordContribution]]:
    """What each word of each passage brings, where it stands; nothing where none can tell."""
    starts = encoder.token_starts([one.title for one in shown])
    titles = [
        fitting_title(one.title, of_title, encoder.max_tokens)
        for one, of_title in zip(shown, starts, strict=True)
    ]
    texts = [encoder_text(title, one.passage) for title, one in zip(titles, shown, strict=True)]
    shares = []
    for begin in range(0, len(texts), _READ_AT_ONCE):
        check_time()
        read = encoder.word_shares(texts[begin : begin + _READ_AT_ONCE], scorer.query)
        if read is None:
            return []
        shares += read
    found = []
    for one, text, of_words in zip(shown, texts, shares, strict=True):
        check_time()
        begin = len(text) - len(one.passage)
        entries = []
        for start, end, share in of_words:
            if start is None or end is None:
                entries.append(WordContribution("", share, "model", []))
            elif start < begin:
                entries.append(WordContribution(text[start:end], share, "title", []))
            else:
                span = (start - begin, end - begin)
                entries.append(WordContribution(text[start:end], share, "passage", [span]))
        found.append(_most_first(entries))
    return found


def _most_first(entries: Iterable[WordContribution]) -> list[WordContribution]:
    """Sort by how much a word brings; those that matter least become one entry, last."""
    by_weight = sorted(entries, key=lambda entry: -abs(entry.contribution))
    kept = sorted(by_weight[:_MOST_WORDS], key=lambda entry: -entry.contribution)
    rest = sum(entry.contribution for entry in by_weight[_MOST_WORDS:])
    if len(by_weight) > _MOST_WORDS:
        kept.append(WordContribution("", rest, "rest", []))
    return kept
