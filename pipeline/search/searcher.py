"""The search pipeline: a query -> parse -> signals -> ranking -> hits."""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.words import word_spans
from ingest.documents import Document
from ingest.errors import IndexNotFoundError, QueryError
from pipeline.search.answer import Answer, MarkedPassage, ShownPassage
from pipeline.search.arrangement import arranger_for
from pipeline.search.calibration import (
    GOOD_PROBABILITY,
    RECALIBRATED,
    Recalibration,
)
from pipeline.search.conditions import allowed_rows
from pipeline.search.embedding_space import EmbeddingSpace
from pipeline.search.exactness import Exactness, find_exact
from pipeline.search.facets import count_facets, facet_fields
from pipeline.search.filters import parse_filter
from pipeline.search.fusion import collection_trust
from pipeline.search.paging import cut_page
from pipeline.search.passage_choice import passage_of
from pipeline.search.query import Query
from pipeline.search.query_reading import QueryReader, ReadQuery
from pipeline.search.ranking import Retrieval, retrieve
from pipeline.search.ranking_settings import RankingSettings
from pipeline.search.reranking import RerankMemory
from pipeline.search.retrieval_audit import Audit, Typicality, audit_query, typicality_of
from pipeline.search.showing import show_hits, show_passages
from pipeline.search.signals import Scorer, scorers_for, weighted_signals
from pipeline.search.steering import Steering, steering_of
from pipeline.search.stopwatch import Stopwatch
from pipeline.search.suggesting import Suggester, Suggestion, table_within
from pipeline.search.time_limit import time_limited
from pipeline.version.collection import (
    DEFAULT_COLLECTION,
    CollectionFolder,
    default_data_dir,
)
from pipeline.version.document_map import DocumentMap
from pipeline.version.open_version import OpenVersion, open_version
from pipeline.version.permitted import OpenColumns, permit
from pipeline.version.suggestions import SUGGESTIONS_FOLDER, read_suggestions

__all__ = ["Searcher"]

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
        self._reader = QueryReader(version)
        self._reranked = RerankMemory()
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
        if self._reader.speller is not None:
            self._reader.speller.warm()
        # However little time the request has for which it is opened.
        with time_limited(math.inf):
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
        read = self._reader.read(query)
        scorers = self._scorers(read, steering_of(read.query, self._version))
        return show_passages(
            self._version, read.parsed, scorers, self._reader.rarity, self._reader.forms, row
        )

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
        return Suggester(table, self._version.documents, self._reader.speller)

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
        speller = self._reader.speller
        if speller is None or not spans or spans[-1][1] < len(typed):
            return None
        start, _, beginning = spans[-1]
        finished = speller.completed(beginning)
        return None if finished is None else typed[:start] + finished

    def doc_ids(self, rows: Sequence[int]) -> list[str]:
        """External ids of document rows, in the given order."""
        return self._version.documents.doc_ids(rows)

    def facet_fields(self) -> list[str]:
        """Fields worth offering as facets: few distinct values, held by most documents."""
        return facet_fields(self._version.metadata, self.n_documents)

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
        watch = Stopwatch()
        with watch.stage("read"):
            read = self._reader.read(query)
        retrieval = self._retrieve(read, watch, hidden)
        scorers = retrieval.scorers
        with watch.stage("rank"):
            arrange = arranger_for(
                read.query, read.parsed.meaning, self._version, scorers, self._reranked
            )
            page = cut_page(
                read.query,
                retrieval,
                self._version.metadata,
                read.best_bm25,
                arrange,
                self._calibration(scorers),
            )
        with watch.stage("facets"):
            facets = count_facets(self._version.metadata, query.facets, page.matching)
        with watch.stage("show"):
            hits = show_hits(
                self._version,
                read.query,
                read.parsed,
                page,
                scorers,
                self._reader.rarity,
                self._reader.forms,
            )
        arranged = page.arrangement
        return Answer(
            query=query.text,
            collection=self.collection,
            version=self.version,
            took_ms=watch.total_ms,
            stages_ms=watch.stages_ms,
            total=page.total,
            page=query.page,
            k=query.k,
            no_good_result=page.best_probability < GOOD_PROBABILITY,
            hits=hits,
            facets=facets,
            n_collapsed=sum(map(len, arranged.collapsed.values())) if arranged else 0,
            rerank=arranged.rerank if arranged else None,
            did_you_mean=read.corrected,
        )

    def retrieve(self, query: Query) -> Retrieval:
        """Candidates of a query with every signal's scores, to rank them in more than one way.

        Raises
        ------
        QueryError
            As ``search`` does.
        """
        return self._retrieve(self._reader.read(query), Stopwatch())

    def _retrieve(
        self, read: ReadQuery, watch: Stopwatch, hidden: Collection[str] = ()
    ) -> Retrieval:
        query = read.query
        with watch.stage("filter"):
            steering = steering_of(query, self._version)
            # Who points at a document has it already.
            left_out = [*steering.rows, *self._version.documents.known_rows(hidden)]
            allowed = allowed_rows(self._version, read, left_out)
        with watch.stage("encode"):
            scorers = self._scorers(read, steering)
        with watch.stage("retrieve"):
            return retrieve(
                scorers,
                allowed=allowed,
                weights=query.weights,
                defaults=self._default_weights(query),
                fusion=query.fusion or self.ranking.fusion,
                exactness=self._exactness(read),
                passage_index=self._version.vectors.get("bert"),
                best_bm25=read.best_bm25,
                n_stems=len(read.parsed.keywords.weights),
                trust=self._trust,
            )

    def _default_weights(self, query: Query) -> Mapping[str, float]:
        return self.ranking.weights_over(self.signals, query.signals)

    def _scorers(self, read: ReadQuery, steering: Steering) -> dict[str, Scorer]:
        names = weighted_signals(read.query, self.signals, self._default_weights(read.query))
        return scorers_for(self._version, names, read.parsed, steering)

    def _exactness(self, read: ReadQuery) -> Exactness:
        # Who asks for one signal by name wants to see that signal's own retrieval.
        if read.query.signals is not None and len(read.query.signals) == 1:
            return Exactness()
        return find_exact(
            read.query.text,
            read.parsed,
            self._version.documents,
            self._version.keywords,
            self._version.permitted,
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


def _rows_within(filter: str, version: OpenVersion) -> NDArray[np.bool_]:
    n_documents = version.manifest.n_documents
    try:
        return parse_filter(filter).rows(OpenColumns(version.metadata, n_documents))
    except QueryError as error:
        _logger.warning("no document is shown, for %r cannot be asked: %s", filter, error)
        return np.zeros(n_documents, np.bool_)
