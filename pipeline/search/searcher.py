"""The search pipeline: a query -> parse -> signals -> ranking -> hits."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.words import word_spans, words
from ingest.documents import Document
from ingest.errors import IndexNotFoundError, QueryError
from pipeline.search.answer import Answer, FacetValue, MarkedPassage, ShownPassage
from pipeline.search.arrangement import arranger_for
from pipeline.search.calibration import (
    GOOD_PROBABILITY,
    RECALIBRATED,
    Recalibration,
    best_possible_bm25,
)
from pipeline.search.embedding_space import EmbeddingSpace
from pipeline.search.exactness import Exactness, find_exact
from pipeline.search.filters import parse_filter
from pipeline.search.fusion import collection_trust
from pipeline.search.map_region import region_rows
from pipeline.search.paging import cut_page
from pipeline.search.passage_choice import passage_of
from pipeline.search.query import Query
from pipeline.search.query_text import ParsedText, parse_query_text, plain_words
from pipeline.search.query_words import QueryWords
from pipeline.search.ranking import Retrieval, retrieve
from pipeline.search.ranking_settings import RankingSettings
from pipeline.search.reranking import RerankMemory
from pipeline.search.retrieval_audit import Audit, Typicality, audit_query, typicality_of
from pipeline.search.showing import show_hits, show_passages
from pipeline.search.signals import scorers_for
from pipeline.search.spelling import Speller
from pipeline.search.steering import steering_of
from pipeline.search.suggesting import Suggester, Suggestion, table_within
from pipeline.search.time_limit import check_time
from pipeline.version.collection import (
    DEFAULT_COLLECTION,
    CollectionFolder,
    default_data_dir,
)
from pipeline.version.document_map import DocumentMap
from pipeline.version.keyword_index import Alternative
from pipeline.version.open_version import OpenVersion, open_version
from pipeline.version.permitted import OpenColumns, permit
from pipeline.version.spelling import SPELLING_FOLDER, read_spelling
from pipeline.version.suggestions import SUGGESTIONS_FOLDER, read_suggestions

__all__ = ["Searcher"]

_N_FACET_VALUES = 100
_MAX_NARROWED = 32
_logger = logging.getLogger(__name__)


class Searcher:
    """An immutable snapshot of one version that answers queries; safe to share among threads.

    Parameters
    ----------
    version
        An open version; ``Searcher.open`` opens one by name.
    collection
        Name of the collection, where it differs from the one the version was built under.
    ranking
        What to rank by where a query does not say; what the version keeps when ``None``.

    Examples
    --------
    >>> searcher = Searcher.open("docs")                                  # doctest: +SKIP
    >>> searcher.search(Query("read a file line by line")).hits[0].doc_id  # doctest: +SKIP
    'io.IOBase.readlines'
    """

    def __init__(
        self,
        version: OpenVersion,
        *,
        collection: str | None = None,
        ranking: RankingSettings | None = None,
    ) -> None:
        self._version = version
        self.ranking = ranking or RankingSettings.from_manifest(version.manifest.settings)
        # The folder's name counts, not the manifest's: a collection can be renamed.
        self.collection = collection or version.manifest.collection
        self._words = QueryWords(version.manifest.languages, version.manifest.synonyms)
        self._reranked = RerankMemory()
        # A cache around a method would keep the searcher, and with it all its files, alive.
        frequency = lru_cache(maxsize=10_000)(partial(_frequency, version))
        self._frequency: Callable[[str], int] = frequency
        self._rarity = lru_cache(maxsize=10_000)(partial(_rarity, version, frequency))
        self._narrowed: OrderedDict[str, Searcher] = OrderedDict()
        self._narrowing = threading.Lock()

    @classmethod
    def open(
        cls,
        collection: str = DEFAULT_COLLECTION,
        *,
        data_dir: Path | str | None = None,
        version: str | None = None,
        verify: bool = False,
    ) -> Searcher:
        """Open a collection's current version, or a named one.

        Parameters
        ----------
        data_dir
            The data folder; ``$TRINE_DATA_DIR`` or the platform's when ``None``.
        version
            Version id; the current one when ``None``.
        verify
            Hold every byte against the manifest first.

        Raises
        ------
        IndexNotFoundError
            If there is no such collection or version.
        IndexCorruptError, IndexVersionError
            If the version is damaged, or of another format.
        """
        folder = CollectionFolder(Path(data_dir or default_data_dir()), collection)
        wanted = version or folder.current()
        try:
            opened = open_version(folder.version_path(wanted), verify=verify)
        except IndexNotFoundError:
            if version or folder.current() == wanted:
                raise
            # Pruned since it was current: another was published meanwhile.
            return cls.open(collection, data_dir=data_dir, verify=verify)
        return cls(opened, collection=collection)

    @property
    def version(self) -> str:
        """Id of the version."""
        return self._version.manifest.version

    @property
    def signals(self) -> tuple[str, ...]:
        """Signals the version holds."""
        return self._version.signals

    @property
    def fields(self) -> list[str]:
        """Metadata fields one can filter, count and sort by."""
        return self._version.metadata.fields

    @property
    def n_documents(self) -> int:
        """How many documents the version holds."""
        if self._version.permitted is not None:
            return int(np.count_nonzero(self._version.permitted))
        return self._version.manifest.n_documents

    def within(self, filter: str) -> Searcher:
        """The same version, answering as if it held only the documents a filter is true of.

        Nothing that is answered names other documents, their fields, values or words: phrases are
        not suggested, words are not corrected, and the encoders that were fitted to all documents
        are not to be asked by themselves. What is counted over all documents still shapes scores:
        how rare a word is that some document left also holds, and the spaces of ``tfidf`` and
        ``word2vec``.

        Parameters
        ----------
        filter
            Condition on metadata. A field that no document has is one without values; where the
            condition cannot be read, no document is left.
        """
        with self._narrowing:
            if filter not in self._narrowed:
                permitted = _rows_within(filter, self._version)
                narrow = permit(self._version, permitted)
                self._narrowed[filter] = Searcher(
                    narrow, collection=self.collection, ranking=self.ranking
                )
            self._narrowed.move_to_end(filter)
            while len(self._narrowed) > _MAX_NARROWED:
                self._narrowed.popitem(last=False)
            return self._narrowed[filter]

    @property
    def map(self) -> DocumentMap | None:
        """Where the documents lie in a picture; ``None`` where none was drawn."""
        return self._version.map

    def documents_at(self, rows: Sequence[int]) -> list[Document]:
        """The documents of the given rows, in the given order."""
        return self._version.documents.documents(rows)

    def rows(self, doc_ids: Sequence[str]) -> list[int]:
        """Row of each document, in the given order.

        Raises
        ------
        DocumentNotFoundError
            If there is no such document.
        """
        return [self._version.documents.row(doc_id) for doc_id in doc_ids]

    def warm(self) -> None:
        """Load every model, so that the first query is as fast as the rest."""
        if self._speller is not None:
            self._speller.warm()
        self.search(Query("warm up", k=1))

    def document(self, doc_id: str) -> Document:
        """One document.

        Raises
        ------
        DocumentNotFoundError
            If there is no such document.
        """
        documents = self._version.documents
        return documents.documents([documents.row(doc_id)])[0]

    def holds(self, doc_id: str) -> bool:
        """Whether there is such a document."""
        return bool(self._version.documents.known_rows([doc_id]))

    def passages(self, doc_id: str) -> list[ShownPassage]:
        """The passages a document was cut into, in their order.

        Raises
        ------
        DocumentNotFoundError
            If there is no such document.
        """
        row = self._version.documents.row(doc_id)
        document = self._version.documents.documents([row])[0]
        begin, end = self._version.passages.offsets[row : row + 2].tolist()
        return [passage_of(self._version, document, place) for place in range(begin, end)]

    def passage_counts(self, doc_ids: Sequence[str]) -> list[int]:
        """How many passages each document was cut into.

        Raises
        ------
        DocumentNotFoundError
            If there is no such document.
        """
        rows = [self._version.documents.row(doc_id) for doc_id in doc_ids]
        offsets = self._version.passages.offsets
        return [int(offsets[row + 1] - offsets[row]) for row in rows]

    def passages_for(self, query: Query, doc_id: str) -> list[MarkedPassage]:
        """A document's passages, the nearest to a query first, marked as hits are.

        Raises
        ------
        DocumentNotFoundError
            If there is no such document.
        QueryError
            As ``search`` does.
        """
        row = self._version.documents.row(doc_id)
        asked = replace(query, text=self._corrected(query) or query.text)
        parsed = self._parse(asked)
        names = self._signal_names(asked, self.ranking.weights_over(self.signals, asked.signals))
        steering = steering_of(asked, self._version)
        scorers = scorers_for(self._version, names, parsed, steering)
        return show_passages(self._version, parsed, scorers, self._rarity, self._words.forms, row)

    def space(self, encoder: str) -> EmbeddingSpace:
        """The embeddings of one encoder: ``tfidf``, ``word2vec`` or ``bert``.

        Raises
        ------
        QueryError
            If the version does not hold it.
        """
        return EmbeddingSpace(self._version, encoder)

    @cached_property
    def _suggester(self) -> Suggester | None:
        table = read_suggestions(self._version.folder / SUGGESTIONS_FOLDER)
        if table is None:
            return None
        permitted = self._version.permitted
        if permitted is not None:
            table = table_within(table, self._version.documents, permitted)
        return Suggester(table, self._version.documents, self._speller)

    def suggest(self, typed: str, limit: int = 8, *, filter: str | None = None) -> list[Suggestion]:
        """Complete what is being typed by titles and frequent phrases, likeliest first.

        Parameters
        ----------
        limit
            How many at most, 1 to 50.
        filter
            Condition on metadata: only titles of such documents are told, and no phrases.

        Returns
        -------
        list of Suggestion
            Empty where the version was built by a release that kept none.
        """
        if self._suggester is None:
            return []
        allowed = parse_filter(filter).rows(self._version.metadata) if filter else None
        permitted = self._version.permitted
        if permitted is not None:
            allowed = permitted if allowed is None else allowed & permitted
        return self._suggester.complete(typed, limit, allowed=allowed)

    @cached_property
    def _typicality(self) -> Typicality | None:
        return typicality_of(self._version)

    def audit(self, text: str) -> Audit | None:
        """Hold what bert's index proposes for a text against all it holds, and tell its drift.

        Returns
        -------
        Audit or None
            ``None`` where the version holds no such signal, or the text has no embedding.
        """
        typicality = self._typicality
        return None if typicality is None else audit_query(self._version, typicality, text)

    def completed(self, typed: str) -> str | None:
        """What is being typed with its last word finished, where that is not a word yet.

        Returns
        -------
        str or None
            ``None`` where the last word is known, or no word of the documents begins so.
        """
        spans = word_spans(typed)
        if self._speller is None or not spans or spans[-1][1] < len(typed):
            return None
        start, _, beginning = spans[-1]
        finished = self._speller.completed(beginning)
        return None if finished is None else typed[:start] + finished

    def doc_ids(self, rows: Sequence[int]) -> list[str]:
        """External ids of document rows, in the given order."""
        return self._version.documents.doc_ids(rows)

    def facet_fields(self, *, max_values: int = 60, min_share: float = 0.5) -> list[str]:
        """Fields worth offering as facets: few distinct values, held by most documents."""
        metadata = self._version.metadata
        columns = [metadata.column(name) for name in metadata.fields]
        return [
            column.name
            for column in columns
            if 1 < len(column.values) <= max_values
            and np.count_nonzero(np.diff(column.offsets)) >= min_share * self.n_documents
        ]

    def with_ranking(self, ranking: RankingSettings) -> Searcher:
        """The same version, answering by another ranking where a query does not say."""
        return Searcher(self._version, collection=self.collection, ranking=ranking)

    def search(self, query: Query | str, *, hidden: Collection[str] = ()) -> Answer:
        """Answer a query.

        Parameters
        ----------
        query
            A text is a query without options, ``Query(text)``.
        hidden
            doc_ids to answer without, as if the collection did not hold these documents; only the
            rarity of words, their spelling and names still know them.

        Raises
        ------
        QueryError
            If a parameter names a field or a signal the version does not hold, or a filter
            cannot be read.
        """
        if isinstance(query, str):
            query = Query(query)
        clock = _Clock()
        with clock.stage("correct"):
            corrected = self._corrected(query)
        asked = replace(query, text=corrected or query.text)
        parsed = self._parse(asked)
        best_bm25 = self._best_possible_bm25(parsed)
        retrieval = self._retrieve(asked, parsed, best_bm25, clock, hidden)
        scorers = retrieval.scorers
        with clock.stage("rank"):
            arrange = arranger_for(asked, parsed.meaning, self._version, scorers, self._reranked)
            calibration = self._calibration(scorers)
            page = cut_page(
                asked, retrieval, self._version.metadata, best_bm25, arrange, calibration
            )
        with clock.stage("facets"):
            facets = self._facets(asked, page.matching)
        with clock.stage("show"):
            hits = show_hits(
                self._version, asked, parsed, page, scorers, self._rarity, self._words.forms
            )
        arranged = page.arrangement
        return Answer(
            query=query.text,
            collection=self.collection,
            version=self.version,
            took_ms=clock.total_ms,
            stages_ms=clock.stages_ms,
            total=page.total,
            page=query.page,
            k=query.k,
            no_good_result=page.best_probability < GOOD_PROBABILITY,
            hits=hits,
            facets=facets,
            n_collapsed=sum(map(len, arranged.collapsed.values())) if arranged else 0,
            rerank=arranged.rerank if arranged else None,
            did_you_mean=corrected,
        )

    def retrieve(self, query: Query) -> Retrieval:
        """Candidates of a query with every signal's scores, to rank them in more than one way.

        Raises
        ------
        QueryError
            As ``search`` does.
        """
        asked = replace(query, text=self._corrected(query) or query.text)
        parsed = self._parse(asked)
        return self._retrieve(asked, parsed, self._best_possible_bm25(parsed), _Clock())

    def _retrieve(
        self,
        query: Query,
        parsed: ParsedText,
        best_bm25: float,
        clock: _Clock,
        hidden: Collection[str] = (),
    ) -> Retrieval:
        with clock.stage("filter"):
            steering = steering_of(query, self._version)
            # Who points at a document has it already.
            left_out = [*steering.rows, *self._version.documents.known_rows(hidden)]
            allowed = self._allowed(query, parsed, left_out)
        defaults = self.ranking.weights_over(self.signals, query.signals)
        names = self._signal_names(query, defaults)
        with clock.stage("encode"):
            scorers = scorers_for(self._version, names, parsed, steering)
        with clock.stage("retrieve"):
            return retrieve(
                scorers,
                allowed=allowed,
                weights=query.weights,
                defaults=defaults,
                fusion=query.fusion or self.ranking.fusion,
                exactness=self._exactness(query, parsed),
                passage_index=self._version.vectors.get("bert"),
                best_bm25=best_bm25,
                n_stems=len(parsed.keywords.weights),
                trust=self._trust,
            )

    @property
    def encoder_fingerprint(self) -> str | None:
        """Fingerprint of the ``bert`` encoder; ``None`` where the version holds no such signal."""
        bert = self._version.manifest.signals.get("bert")
        return None if bert is None else bert.encoder_fingerprint

    def _calibration(self, asked: Collection[str]) -> Recalibration | None:
        """The collection's own level of probability, where it was fitted on the same evidence."""
        kept = self.ranking.calibration
        if kept is None or kept.encoder != self.encoder_fingerprint:
            return None
        return kept if all(name in asked for name in RECALIBRATED) else None

    @cached_property
    def _trust(self) -> dict[str, float]:
        records = self._version.manifest.signals
        return {name: collection_trust(name, record) for name, record in records.items()}

    def _parse(self, query: Query) -> ParsedText:
        # What is a document's name as it stands holds no operators.
        is_name = bool(self._version.documents.rows_named(query.text))
        parsed = parse_query_text(query.text, set(self.fields), self._words, operators=not is_name)
        return replace(parsed, known=self._known_part(parsed.meaning))

    @cached_property
    def _speller(self) -> Speller | None:
        if self._version.permitted is not None:
            return None  # corrects toward words of any document
        vocabulary = read_spelling(self._version.folder / SPELLING_FOLDER)
        return None if vocabulary is None else Speller(vocabulary)

    def _corrected(self, query: Query) -> str | None:
        """The query text without its misspellings, or ``None`` if there are none."""
        if not query.correct or self._speller is None:
            return None
        corrected = self._speller.corrected(query.text, plain_words(query.text))
        # The name of a document is right, however it is spelt.
        if corrected and self._version.documents.rows_named(query.text.strip().strip('"')):
            return None
        return corrected

    def _exactness(self, query: Query, parsed: ParsedText) -> Exactness:
        # Who asks for one signal by name wants to see that signal's own retrieval.
        if query.signals is not None and len(query.signals) == 1:
            return Exactness()
        return find_exact(
            query.text,
            parsed,
            self._version.documents,
            self._version.keywords,
            self._version.permitted,
        )

    def _signal_names(self, query: Query, defaults: Mapping[str, float]) -> list[str]:
        for name in query.signals or ():
            if name not in self.signals:
                raise QueryError(
                    f"signal {name!r} is not in this version; it holds {', '.join(self.signals)}",
                    parameter="signals",
                )
        chosen = query.signals or self.signals
        weights = defaults if query.weights is None else query.weights
        # A signal without weight is not asked at all.
        weighted = [name for name in self.signals if name in chosen and weights.get(name, 0.0) > 0]
        if not weighted:
            raise QueryError(
                "no signal is left to rank by: give at least one a weight above 0",
                parameter="weights",
            )
        return weighted

    def _allowed(
        self, query: Query, parsed: ParsedText, left_out: Sequence[int]
    ) -> NDArray[np.bool_] | None:
        masks = [] if self._version.permitted is None else [self._version.permitted]
        if left_out:
            shown = np.ones(self._version.manifest.n_documents, np.bool_)
            shown[left_out] = False
            masks.append(shown)
        if query.filter and query.filter.strip():
            masks.append(parse_filter(query.filter).rows(self._version.metadata))
        if query.map_region:
            masks.append(region_rows(self._version.map, query.map_region))
        for field_name, value, wanted in parsed.filters:
            mask = self._version.metadata.column(field_name).equal_to(value)
            masks.append(mask if wanted else ~mask)
        if parsed.keywords.required or parsed.keywords.excluded:
            if self._version.keywords is None:
                raise QueryError(
                    "+required and -excluded words need the bm25 signal, "
                    "which this version does not hold",
                    parameter="q",
                )
            masks.append(self._version.keywords.rows_allowed(parsed.keywords))
        return np.logical_and.reduce(masks) if masks else None

    def _best_possible_bm25(self, parsed: ParsedText) -> float:
        if self._version.keywords is None:
            return 0.0
        return sum(
            self._best_possible(stem, parsed.keywords.alternatives.get(stem, ())) * count
            for stem, count in parsed.keywords.weights.items()
        )

    def _best_possible(self, stem: str, instead: Sequence[Alternative]) -> float:
        """Most a document can score for a stem or what may stand in its place."""
        if not instead:
            return self._rarity(stem)
        known = [
            found.weight * sum(map(self._rarity, found.stems))
            for found in (Alternative((stem,)), *instead)
            if all(map(self._is_known, found.stems))
        ]
        # What no document contains counts in full.
        return max(known, default=self._rarity(stem))

    def _is_known(self, stem: str) -> bool:
        return bool(self._frequency(stem))

    def _known_part(self, meaning: str) -> str | None:
        """A text without the words that only other documents than the permitted ones hold."""
        keywords, permitted = self._version.keywords, self._version.permitted
        if keywords is None or permitted is None:
            return None
        return " ".join(
            word for word in words(meaning) if any(map(self._is_known, self._words.forms(word)))
        )

    def _facets(
        self, query: Query, matching: NDArray[np.int64] | None
    ) -> dict[str, list[FacetValue]]:
        facets = {}
        for name in query.facets:
            column = self._version.metadata.column(name, parameter="facets")
            counted = column.counts(np.zeros(0, np.int64) if matching is None else matching)
            facets[name] = [FacetValue(value, count) for value, count in counted[:_N_FACET_VALUES]]
        return facets


def _frequency(version: OpenVersion, stem: str) -> int:
    """How many documents hold a stem; 0 where none that may be seen does."""
    keywords, permitted = version.keywords, version.permitted
    if keywords is None or (permitted is not None and not keywords.any_has(stem, permitted)):
        return 0
    return keywords.document_frequency(stem)


def _rarity(version: OpenVersion, frequency: Callable[[str], int], stem: str) -> float:
    """Most a document can score for one occurrence of a stem in the query."""
    if version.keywords is None:
        return 1.0
    return best_possible_bm25([(frequency(stem), 1)], version.manifest.n_documents)


def _rows_within(filter: str, version: OpenVersion) -> NDArray[np.bool_]:
    n_documents = version.manifest.n_documents
    try:
        return parse_filter(filter).rows(OpenColumns(version.metadata, n_documents))
    except QueryError as error:
        _logger.warning("no document is shown, for %r cannot be asked: %s", filter, error)
        return np.zeros(n_documents, np.bool_)


@dataclass
class _Clock:
    """Milliseconds by stage."""

    stages_ms: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        check_time()
        began = time.perf_counter()
        yield
        self.stages_ms[name] = (time.perf_counter() - began) * 1000

    @property
    def total_ms(self) -> float:
        return (time.perf_counter() - self.began) * 1000
