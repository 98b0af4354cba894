"""The gate a new version passes before it is published: it may not be worse than the current one.

Asked as a user asks, each version by the public Searcher with its own settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ingest.beir import BeirFolder
from ingest.errors import CorpusError, DocumentNotFoundError, QueryError, TrineError
from pipeline.encoding.gate import Verdict
from pipeline.encoding.progress import BuildProgress, SilentProgress
from pipeline.evaluation.evaluate import judged_queries, run_queries
from pipeline.evaluation.metrics import NDCG_AT_10, measure
from pipeline.evaluation.overlap import Overlap, overlap_at_10, sample_queries
from pipeline.search.query import Query
from pipeline.search.searcher import Searcher
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_store import DocumentStore
from pipeline.version.manifest import Manifest, read_manifest
from pipeline.version.open_version import SIGNALS, OpenVersion, open_version
from pipeline.version.quality import Quality, write_quality

__all__ = ["MAX_DROP", "Judgments", "PublishGate"]

MAX_DROP = 0.02
"""How far nDCG@10 may fall unless it is said otherwise."""

_N_SAMPLED = 100


@dataclass(frozen=True, slots=True)
class Judgments:
    """Judged queries to measure versions of one collection by.

    Parameters
    ----------
    judged_by
        Where they come from: a BEIR folder's full path.
    texts
        Text of each judged query.
    qrels
        Relevance by query id and doc_id; the documents need not be the collection's.
    max_drop
        How far nDCG@10 may fall, in [0, 1].
    """

    judged_by: str
    texts: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    max_drop: float = MAX_DROP

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop <= 1:
            raise QueryError(
                f"max_drop is {self.max_drop}; it must lie between 0 and 1", parameter="max_drop"
            )

    @classmethod
    def read(cls, beir: BeirFolder, max_drop: float = MAX_DROP) -> Judgments:
        """Judgments of a BEIR folder, whose corpus is not looked at.

        Raises
        ------
        CorpusError
            If a file is missing or makes no sense, or no query has a relevant document.
        """
        texts = beir.queries()
        qrels = judged_queries(texts, beir.qrels())
        return cls(
            str(beir.path.absolute()), {name: texts[name] for name in qrels}, qrels, max_drop
        )

    def present(self, store: DocumentStore) -> set[str]:
        """Queries of which at least one relevant document is there."""
        return {
            query_id
            for query_id, judged in self.qrels.items()
            if any(relevance > 0 and _holds(store, doc_id) for doc_id, relevance in judged.items())
        }


class PublishGate:
    """Compares a version with the current one before it is published; a ``Gate``.

    Where judgments are given, a version whose nDCG@10 falls by more than they allow is refused.
    Queries count whose relevant documents either version holds, so that losing a document
    costs. Where encoders changed, it is told how alike the two answer.

    Parameters
    ----------
    judgments
        What to measure by; without them nothing is refused.

    Raises
    ------
    CorpusError
        If the current version holds no relevant document of any query: nothing could be compared.
    """

    def __init__(
        self,
        collection: CollectionFolder,
        judgments: Judgments | None = None,
        *,
        progress: BuildProgress | None = None,
    ) -> None:
        self._collection = collection
        self._judgments = judgments
        self._progress = progress or SilentProgress()
        self._measured: dict[str, Quality] = {}
        current = collection.current_or_none()
        if judgments is not None and current is not None:
            self._check(judgments, current)

    def __call__(self, folder: Path) -> Verdict:
        """Judge the folder of a verified version."""
        manifest = read_manifest(folder)
        current = self._collection.current_or_none()
        changed = self._changed_encoders(manifest, current)
        if self._judgments is None and not changed:
            return Verdict()
        new = open_version(folder)
        figures: dict[str, object] = {"compared_with": current}
        old = None
        if current is not None:
            try:
                old = open_version(self._collection.version_path(current))
                Searcher(old).warm()
            except TrineError as error:
                # Its model is gone, say: what nobody can ask is no reason to keep another back.
                old = None
                figures["not_comparable"] = str(error)
        if changed:
            figures["encoders_changed"] = changed
            figures["overlap@10"] = _overlap(old, new).to_json() if old is not None else None
        if self._judgments is None:
            return Verdict(None, figures)
        return self._judged(self._judgments, old, new, figures)

    def keep_quality(self) -> None:
        """Keep what was measured for ``trine versions``; call once the version has its name.

        Raises
        ------
        IndexFolderError
            If it cannot be written.
        """
        kept = set(self._collection.versions())
        for version, quality in self._measured.items():
            if version in kept:
                write_quality(self._collection, version, quality)

    def _check(self, judgments: Judgments, current: str) -> None:
        try:
            store = DocumentStore(self._collection.version_path(current))
        except TrineError:
            # A damaged version is no reason not to build a sound one.
            return
        with closing(store):
            if not judgments.present(store):
                raise CorpusError(
                    f"{judgments.judged_by}: the current version of {self._collection.name!r} "
                    f"holds no relevant document of any of its {len(judgments.qrels):,} judged "
                    "queries; give judgments over the documents that are indexed"
                )

    def _changed_encoders(self, manifest: Manifest, current: str | None) -> list[str]:
        """Signals that came, went or are made by another encoder now; none without a parent."""
        if current is None:
            return []
        try:
            old = self._collection.manifest(current)
        except TrineError:
            return []
        before, after = (_makers(known) for known in (old, manifest))
        return [name for name in SIGNALS if before.get(name) != after.get(name)]

    def _judged(
        self,
        judgments: Judgments,
        old: OpenVersion | None,
        new: OpenVersion,
        figures: dict[str, object],
    ) -> Verdict:
        asked = judgments.present(new.documents)
        if old is not None:
            asked |= judgments.present(old.documents)
        qrels = {name: known for name, known in judgments.qrels.items() if name in asked}
        figures |= {
            "judged_by": judgments.judged_by,
            "n_queries": len(qrels),
            "n_left_out": len(judgments.qrels) - len(qrels),
            "max_drop": judgments.max_drop,
        }
        if not qrels:
            return Verdict(
                f"{judgments.judged_by}: the new version holds no relevant document of any of its "
                f"{len(judgments.qrels):,} judged queries",
                figures,
            )
        after = self._measure(judgments, new, qrels)
        before = self._measure(judgments, old, qrels) if old is not None else None
        figures[NDCG_AT_10] = {"current": before, "new": after}
        # What arithmetic rounds off is no fall.
        if before is None or before - after <= judgments.max_drop + 1e-9:
            return Verdict(None, figures)
        return Verdict(
            f"nDCG@10 over {len(qrels):,} judged queries falls from {before:.4f} to {after:.4f}, "
            f"by more than {judgments.max_drop:g}",
            figures,
        )

    def _measure(
        self, judgments: Judgments, version: OpenVersion, qrels: Mapping[str, Mapping[str, int]]
    ) -> float:
        texts = {query_id: judgments.texts[query_id] for query_id in qrels}
        with self._progress.stage("judge", len(texts)) as advance:
            run = run_queries(Searcher(version), texts, Query("?"), advance)
        found = measure(run, qrels)[NDCG_AT_10]
        self._measured[version.manifest.version] = Quality(judgments.judged_by, found, len(qrels))
        return found


def _makers(manifest: Manifest) -> dict[str, object]:
    """Of each signal what makes its embeddings, apart from the documents."""
    encoders = manifest.settings.get("encoders")
    settings = encoders if isinstance(encoders, Mapping) else {}
    return {
        # What a fitted encoder learnt from the documents is no change of the encoder.
        name: (settings.get(name), record.encoder_fingerprint if name == "bert" else None)
        for name, record in manifest.signals.items()
    }


def _overlap(old: OpenVersion, new: OpenVersion) -> Overlap:
    common = old.documents.content_hashes().keys() & new.documents.content_hashes().keys()
    queries = sample_queries(new.documents, sorted(common), _N_SAMPLED)
    return overlap_at_10(Searcher(old), Searcher(new), queries)


def _holds(store: DocumentStore, doc_id: str) -> bool:
    try:
        store.row(doc_id)
    except DocumentNotFoundError:
        return False
    return True
