"""The encoding pipeline: documents -> a complete, verified version -> published.

Nothing is visible to readers before the last step, one atomic rename of CURRENT.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version as distribution_version
from pathlib import Path

from encoders.bert import BertEncoder
from encoders.languages import DEFAULT_LANGUAGES
from encoders.protocol import Encoder, FittedEncoder
from ingest.documents import Document
from ingest.errors import EmptyCorpusError, IndexCorruptError, TrineError
from pipeline.encoding.agreement import with_agreement
from pipeline.encoding.document_languages import DocumentLanguages, find_languages
from pipeline.encoding.document_signals import (
    build_document_signal,
    build_keyword_signal,
    is_fitted_encoder,
)
from pipeline.encoding.embedding_cache import EmbeddingCache
from pipeline.encoding.passage_signal import PassageSignal
from pipeline.encoding.passages import cut_all_passages
from pipeline.encoding.progress import BuildProgress, SilentProgress
from pipeline.encoding.settings import IndexSettings
from pipeline.encoding.stages import Stages
from pipeline.encoding.summary import BuildSummary
from pipeline.encoding.verification import verify_version
from pipeline.version.collection import CollectionFolder, new_version_id, version_being_built
from pipeline.version.document_store import CorpusChange, DocumentSpool, DocumentStore
from pipeline.version.manifest import (
    Manifest,
    SignalRecord,
    hash_files,
    read_manifest,
    write_manifest,
)
from pipeline.version.metadata_columns import write_metadata_columns
from pipeline.version.open_version import (
    METADATA_FOLDER,
    PASSAGES_FOLDER,
    PassageTable,
    open_version,
    write_passage_table,
)
from pipeline.version.spelling import SPELLING_FOLDER, write_spelling

__all__ = ["BuildSummary", "build_version"]


def build_version(
    collection: CollectionFolder,
    documents: Iterable[Document],
    *,
    settings: IndexSettings,
    sources: Sequence[str] = (),
    full: bool = False,
    refit: bool = False,
    progress: BuildProgress | None = None,
) -> BuildSummary:
    """Build a version from documents and publish it.

    Parameters
    ----------
    documents
        Everything the collection shall hold, streamed.
    settings
        What to build. Weights the current version adopted stay unless it names others.
    sources
        What to remember as the documents' origin, for ``trine reindex``.
    full
        Ignore the parent version and the embedding cache.
    refit
        Fit tfidf and word2vec anew, and publish, even where nothing changed.
    progress
        Told how far the build is.

    Returns
    -------
    BuildSummary
        With ``published=False``, and the current version, when documents and settings are
        those of the current version already.

    Raises
    ------
    TrineError
        If a document, an encoder or the disk fails; the current version stays as it was.
    """
    with collection.writing():
        building = collection.begin_version(new_version_id())
        if not settings.ranking:
            settings = settings.with_ranking(_adopted_ranking(collection))
        try:
            run = _Build(collection, building, settings, full, progress or SilentProgress())
            return run.run(documents, list(sources), refit=refit)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _adopted_ranking(collection: CollectionFolder) -> Mapping[str, object]:
    try:
        current = collection.manifest(collection.current())
    except TrineError:
        # There is none, or a damaged one, which is no reason not to build.
        return {}
    return IndexSettings.from_manifest(current.settings).ranking


class _Build:
    """One run of the pipeline, step by step, in one folder."""

    def __init__(
        self,
        collection: CollectionFolder,
        folder: Path,
        settings: IndexSettings,
        full: bool,
        progress: BuildProgress,
    ) -> None:
        self._collection = collection
        self._folder = folder
        self._settings = settings
        self._full = full
        self._stages = Stages(progress)
        self._signals: dict[str, SignalRecord] = {}
        self._bert: PassageSignal | None = None

    def run(
        self, documents: Iterable[Document], sources: list[str], *, refit: bool
    ) -> BuildSummary:
        parent = None if self._full else self._collection.current_or_none()
        self._gather(documents)
        with closing(DocumentStore(self._folder)) as store:
            if not store.n_documents:
                raise EmptyCorpusError(
                    "no documents found in "
                    + (", ".join(sources) or "the given documents")
                    + ": nothing to index, and the current version is untouched"
                )
            change = self._change_from(parent, store)
            encoders = self._create_encoders()
            if parent and not refit and self._is_unchanged(parent, store, encoders):
                return self._summary(self._collection.manifest(parent), change, published=False)
            languages = find_languages(store, self._stages)
            table = self._build(store, languages, encoders)
            manifest = self._describe(store, table, languages, sources, parent)
        self._verify()
        self._collection.publish_built(self._folder)
        return self._summary(manifest, change, published=True)

    def _gather(self, documents: Iterable[Document]) -> None:
        with self._stages.stage("read") as advance, closing(DocumentSpool(self._folder)) as spool:
            for document in documents:
                spool.add(document)
                advance(1)
            spool.finish()

    def _change_from(self, parent: str | None, store: DocumentStore) -> CorpusChange:
        if parent is None:
            return store.change_from(None)
        try:
            with closing(DocumentStore(self._collection.version_path(parent))) as old:
                return store.change_from(old)
        except TrineError:
            # A damaged parent is no reason not to build a sound child.
            return store.change_from(None)

    def _create_encoders(self) -> dict[str, Encoder]:
        return {
            name: self._settings.create(name) for name in self._settings.signals if name != "bm25"
        }

    def _is_unchanged(
        self, parent: str, store: DocumentStore, encoders: dict[str, Encoder]
    ) -> bool:
        try:
            folder = self._collection.version_path(parent)
            open_version(folder)
            manifest = read_manifest(folder)
        except TrineError:
            return False
        bert, record = encoders.get("bert"), manifest.signals.get("bert")
        same_model = bert is None or (
            record is not None and record.encoder_fingerprint == bert.fingerprint
        )
        return (
            same_model
            and manifest.corpus_hash == store.corpus_hash()
            and manifest.settings == self._settings.to_manifest()
            # Built by a release that did not correct misspellings yet: so it learns to.
            and (folder / SPELLING_FOLDER).is_dir()
        )

    def _build(
        self, store: DocumentStore, languages: DocumentLanguages, encoders: dict[str, Encoder]
    ) -> PassageTable:
        n_documents, stages = store.n_documents, self._stages
        bert = encoders.get("bert")
        if bert is not None and not isinstance(bert, BertEncoder):
            raise TypeError(f"the bert signal needs a BertEncoder, not {type(bert).__name__}")
        with stages.stage("metadata", n_documents) as advance:
            metadata = (advance.each(document).metadata for document in store.stream())
            write_metadata_columns(self._subfolder(METADATA_FOLDER), metadata, n_documents)
        with stages.stage("passages", n_documents) as advance:
            cut = cut_all_passages(store, bert, advance)
            write_passage_table(self._subfolder(PASSAGES_FOLDER), cut.table)
        with stages.stage("spelling", n_documents) as advance:
            streamed = (advance.each(document) for document in store.stream())
            texts = ((document.title, document.text) for document in streamed)
            write_spelling(self._subfolder(SPELLING_FOLDER), texts, languages.main)
        if "bm25" in self._settings.signals:
            self._signals["bm25"] = build_keyword_signal(
                self._subfolder("bm25"), store, languages, stages
            )
        for name, encoder in encoders.items():
            if is_fitted_encoder(encoder):
                localized = self._localized(name, encoder, languages.main)
                self._signals[name] = build_document_signal(
                    self._subfolder(name), localized, store, stages
                )
        if bert is not None:
            with EmbeddingCache(self._collection.cache_path, bert.fingerprint) as cache:
                self._bert = PassageSignal(bert, cache, reuse=not self._full)
                self._signals["bert"] = self._bert.build(
                    self._subfolder("bert"), store, cut, stages
                )
        self._signals = with_agreement(self._signals, self._folder, cut.table.offsets)
        return cut.table

    def _localized(
        self, name: str, encoder: FittedEncoder, languages: tuple[str, ...]
    ) -> FittedEncoder:
        """The encoder for the languages of the collection."""
        if languages == DEFAULT_LANGUAGES:
            return encoder
        localized = self._settings.create(name, languages=languages)
        return localized if is_fitted_encoder(localized) else encoder

    def _subfolder(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def _describe(
        self,
        store: DocumentStore,
        table: PassageTable,
        languages: DocumentLanguages,
        sources: list[str],
        parent: str | None,
    ) -> Manifest:
        with self._stages.stage("checksums"):
            files, total_bytes = hash_files(self._folder)
        manifest = Manifest(
            version=version_being_built(self._folder),
            collection=self._collection.name,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
            trine_version=distribution_version("trine"),
            sources=sources,
            settings=self._settings.to_manifest(),
            corpus_hash=store.corpus_hash(),
            n_documents=store.n_documents,
            n_passages=table.n_passages,
            signals=self._signals,
            files=files,
            total_bytes=total_bytes,
            timings_s=self._stages.seconds,
            parent=parent,
            languages=list(languages.main),
        )
        write_manifest(self._folder, manifest)
        return manifest

    def _verify(self) -> None:
        with self._stages.stage("verify"):
            if problems := verify_version(open_version(self._folder)):
                raise IndexCorruptError(
                    f"the new version failed its check and was not published: {problems[0]}"
                )

    def _summary(
        self, manifest: Manifest, change: CorpusChange, *, published: bool
    ) -> BuildSummary:
        self._stages.finish()
        seconds, bert = self._stages.seconds, self._bert
        bert_s = seconds.get("bert", 0.0)
        return BuildSummary(
            collection=self._collection.name,
            version=manifest.version,
            published=published,
            documents=manifest.n_documents,
            passages=manifest.n_passages,
            **asdict(change),
            passages_encoded=bert.n_encoded if bert else 0,
            passages_reused=bert.n_reused if bert else 0,
            tokens_per_second=bert.n_tokens_encoded / bert_s
            if bert and bert.n_encoded and bert_s
            else None,
            seconds=seconds,
        )
