"""Scored rows become hits: document, best passage, marks, explanation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import isnan

import numpy as np

from encoders.word2vec import Word2VecEncoder
from encoders.words import words
from pipeline.search.answer import (
    Attribution,
    Highlight,
    Hit,
    MarkedPassage,
    RerankerExplanation,
    ShownPassage,
    SignalExplanation,
    WordContribution,
)
from pipeline.search.attribution import attribute_words
from pipeline.search.highlighting import Nearness, PassageMarker
from pipeline.search.paging import Page
from pipeline.search.passage_choice import best_passage_rows, passage_of
from pipeline.search.query import Query
from pipeline.search.query_text import ParsedText
from pipeline.search.ranking import Ranking
from pipeline.search.signals import PassageScorer, Scorer, VectorScorer
from pipeline.version.open_version import OpenVersion
from pipeline.version.passage_words import PassageWords, cut_passage_words

__all__ = ["show_hits", "show_passages"]


def show_hits(
    version: OpenVersion,
    query: Query,
    parsed: ParsedText,
    page: Page,
    scorers: Mapping[str, Scorer],
    rarity: Callable[[str], float],
    forms: Callable[[str], Collection[str]],
) -> list[Hit]:
    """Make the hits of a page.

    Parameters
    ----------
    scorers
        Signals bound to this query; bert among them knows each document's best passage, without
        it the first passage is shown.
    rarity
        Weight of a stem, at least 0.
    forms
        Stems under which a document may hold a word.
    """
    rows = page.ranking.rows
    documents = version.documents.documents(rows.tolist())
    passage_rows = best_passage_rows(version, scorers, rows)
    shown = [
        passage_of(version, document, row)
        for document, row in zip(documents, passage_rows.tolist(), strict=True)
    ]
    folded = _collapsed_ids(version, page)
    attributions: Sequence[Attribution | None] = [None] * len(shown)
    if query.explain_words:
        attributions = attribute_words(
            version,
            scorers,
            parsed,
            page.ranking,
            documents,
            shown,
            forms,
            steered=bool(query.like or query.unlike),
        )
    marked: Sequence[list[Highlight]] = [[] for _ in shown]
    if query.highlight:
        marker, table_rows = _marker_for(
            version, passage_rows.tolist(), shown, scorers, parsed, rarity, forms
        )
        brought = [_brought(each) for each in attributions] if query.explain_words else ()
        marked = marker.mark(table_rows, brought)
    ranking = page.ranking
    explanations = _explanations(ranking) if query.explain else [{} for _ in shown]
    return [
        Hit(
            rank=(query.page - 1) * query.k + position + 1,
            doc_id=document.doc_id,
            title=document.title,
            url=document.url,
            score=float(ranking.scores[position]),
            probability=float(page.probability[position]),
            passage=shown[position],
            highlights=marked[position],
            metadata=document.metadata,
            names=list(document.names),
            explanation=explanations[position],
            regularization=float(ranking.regularization[position]),
            exactness=float(ranking.exactness[position]),
            attribution=attributions[position],
            rerank=_reranker_explanation(ranking, position) if query.explain else None,
            collapsed=folded.get(int(rows[position]), []),
        )
        for position, document in enumerate(documents)
    ]


def show_passages(
    version: OpenVersion,
    parsed: ParsedText,
    scorers: Mapping[str, Scorer],
    rarity: Callable[[str], float],
    forms: Callable[[str], Collection[str]],
    row: int,
) -> list[MarkedPassage]:
    """All passages of one document, marked: nearest first where bert is asked, else in order.

    Parameters
    ----------
    row
        The document's.
    """
    bert = scorers.get("bert")
    first, end = version.passages.offsets[row : row + 2].tolist()
    rows = bert.nearest_of(row).tolist() if isinstance(bert, PassageScorer) else range(first, end)
    document = version.documents.documents([row])[0]
    shown = [passage_of(version, document, place) for place in rows]
    marker, table_rows = _marker_for(version, list(rows), shown, scorers, parsed, rarity, forms)
    marks = marker.mark(table_rows)
    return [MarkedPassage(*each) for each in zip(shown, marks, strict=True)]


def _marker_for(
    version: OpenVersion,
    rows: list[int],
    shown: Sequence[ShownPassage],
    scorers: Mapping[str, Scorer],
    parsed: ParsedText,
    rarity: Callable[[str], float],
    forms: Callable[[str], Collection[str]],
) -> tuple[PassageMarker, list[int]]:
    """What marks these passages, and their rows in its table."""
    table = version.passage_words
    if table is None:
        texts = [passage.text for passage in shown]
        table, rows = cut_passage_words(texts, version.manifest.languages), list(range(len(texts)))
    return _marker(version, table, scorers, parsed, rarity, forms), rows


def _collapsed_ids(version: OpenVersion, page: Page) -> dict[int, list[str]]:
    """Ids of the near-duplicates each document of the page stands for."""
    if page.arrangement is None:
        return {}
    folded = {row: page.arrangement.collapsed.get(row, []) for row in page.ranking.rows.tolist()}
    return {row: version.documents.doc_ids(rows) for row, rows in folded.items() if rows}


def _brought(attribution: Attribution | None) -> list[WordContribution]:
    """What bert found in each word of a passage, where it was asked."""
    entries = attribution.document.get("bert", []) if attribution else []
    return [entry for entry in entries if entry.source == "passage"]


def _marker(
    version: OpenVersion,
    table: PassageWords,
    scorers: Mapping[str, Scorer],
    parsed: ParsedText,
    rarity: Callable[[str], float],
    forms: Callable[[str], Collection[str]],
) -> PassageMarker:
    # Stop words are marked only where the query quotes them, or holds nothing else.
    marked = {word for phrase in parsed.phrases for word in phrase}
    if not parsed.keywords.stems:
        marked |= set(words(parsed.meaning))
    nearness = _nearness(version, table, scorers, parsed.read_by("word2vec"))
    return PassageMarker(table, parsed.keywords.all_stems, marked, nearness, rarity, forms)


def _nearness(
    version: OpenVersion, table: PassageWords, scorers: Mapping[str, Scorer], meaning: str
) -> Nearness | None:
    encoder = version.encoders.get("word2vec")
    if not isinstance(encoder, Word2VecEncoder):
        return None
    scorer = scorers.get("word2vec")
    asked = (
        scorer.query if isinstance(scorer, VectorScorer) else encoder.encode_queries([meaning])[0]
    )
    rows = version.word_vector_rows if table is version.passage_words else None
    return Nearness(encoder, asked, encoder.rows(table.vocabulary) if rows is None else rows)


def _reranker_explanation(ranking: Ranking, position: int) -> RerankerExplanation | None:
    raw = float(ranking.reranker_raw[position])
    if np.isnan(raw):
        return None
    return RerankerExplanation(raw, float(ranking.reranking[position]))


def _explanations(ranking: Ranking) -> list[dict[str, SignalExplanation]]:
    """What each signal gave to each hit's score."""
    weights = ranking.weights.tolist()
    # Whole arrays at once: taking single numbers out of one costs more than all the rest.
    columns = (ranking.raw, ranking.normalized, ranking.contributions, ranking.ranks)
    return [
        {
            name: SignalExplanation(
                None if isnan(raw) else raw, normalized, weight, given, rank or None
            )
            for name, weight, raw, normalized, given, rank in zip(
                ranking.signals, weights, *of_hit, strict=True
            )
        }
        for of_hit in zip(*(column.T.tolist() for column in columns), strict=True)
    ]
