"""The encoding pipeline: documents -> a complete, verified version -> published.

Nothing is visible to readers before the last step, one atomic rename of CURRENT.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version as distribution_version
from pathlib import Path

from encoders.bert import BertEncoder
from encoders.languages import DEFAULT_LANGUAGES
from encoders.protocol import Encoder
from encoders.term_encoder import TermEncoder
from ingest.documents import Document
from ingest.errors import EmptyCorpusError, IndexCorruptError, TrineError
from pipeline.encoding.agreement import with_agreement
from pipeline.encoding.corpus_files import CorpusFiles
from pipeline.encoding.document_languages import DocumentLanguages, find_languages
from pipeline.encoding.document_mapping import build_map
from pipeline.encoding.document_signals import build_document_signal, build_keyword_signal
from pipeline.encoding.embedding_cache import EmbeddingCache
from pipeline.encoding.gate import Gate, Verdict, refuse_shrinking
from pipeline.encoding.inheritance import Inheritance, inherit, sound_parent
from pipeline.encoding.passage_signal import PassageSignal
from pipeline.encoding.progress import BuildProgress, SilentProgress
from pipeline.encoding.settings import IndexSettings
from pipeline.encoding.stages import Stages
from pipeline.encoding.summary import BuildSummary, SignalDrift
from pipeline.encoding.verification import verify_version
from pipeline.version.collection import CollectionFolder, new_version_id, version_being_built
from pipeline.version.document_map import MAP_FOLDER
from pipeline.version.document_store import CorpusChange, DocumentSpool, DocumentStore
from pipeline.version.manifest import Manifest, SignalRecord, hash_files, write_manifest
from pipeline.version.open_version import (
    OpenVersion,
    PassageTable,
    open_version,
)
from pipeline.version.passage_words import PASSAGE_WORDS_FOLDER
from pipeline.version.spelling import SPELLING_FOLDER
from pipeline.version.suggestions import SUGGESTIONS_FOLDER

__all__ = ["BuildSummary", "build_version", "build_while_writing"]

# What earlier releases did not keep in a version.
_LATER_FOLDERS = (SPELLING_FOLDER, SUGGESTIONS_FOLDER, PASSAGE_WORDS_FOLDER, MAP_FOLDER)


def build_version(
    collection: CollectionFolder,
    documents: Iterable[Document],
    *,
    settings: IndexSettings,
    sources: Sequence[str] = (),
    full: bool = False,
    refit: bool = False,
    allow_shrink: bool = True,
    gate: Gate | None = None,
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
    allow_shrink
        Whether more than half of the current version's documents may vanish.
    gate
        Asked before a complete, verified version is published. One that it refuses is kept
        and can be activated by hand.
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
        return build_while_writing(
            collection,
            documents,
            settings=settings,
            sources=sources,
            full=full,
            refit=refit,
            allow_shrink=allow_shrink,
            gate=gate,
            progress=progress,
        )


def build_while_writing(
    collection: CollectionFolder,
    documents: Iterable[Document],
    *,
    settings: IndexSettings,
    sources: Sequence[str] = (),
    full: bool = False,
    refit: bool = False,
    allow_shrink: bool = True,
    gate: Gate | None = None,
    progress: BuildProgress | None = None,
) -> BuildSummary:
    """Do what `build_version` does, for a caller that holds the collection's write lock."""
    settings = settings.with_file_hashes()
    if not settings.ranking:
        settings = settings.with_ranking(_adopted_ranking(collection))
    building = collection.begin_version(new_version_id())
    try:
        run = _Build(collection, building, settings, full, progress or SilentProgress())
        return run.run(documents, list(sources), refit=refit, allow_shrink=allow_shrink, gate=gate)
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
        self._warnings: list[str] = []

    def run(
        self,
        documents: Iterable[Document],
        sources: list[str],
        *,
        refit: bool,
        allow_shrink: bool,
        gate: Gate | None,
    ) -> BuildSummary:
        parent_id = None if self._full else self._collection.current_or_none()
        self._gather(documents)
        with ExitStack() as stack:
            store = stack.enter_context(closing(DocumentStore(self._folder)))
            if not store.n_documents:
                raise EmptyCorpusError(
                    "no documents found in "
                    + (", ".join(sources) or "the given documents")
                    + ": nothing to index, and the current version is untouched"
                )
            if not allow_shrink:
                refuse_shrinking(self._collection, store)
            parent = self._open(parent_id, stack)
            comparison = store.compare(parent.documents if parent else None)
            encoders = self._create_encoders()
            if parent and not refit and self._is_unchanged(parent, store, encoders, sources):
                return self._summary(parent.manifest, comparison.change, published=False)
            inherited = inherit(parent, comparison)
            languages = find_languages(self._folder, store, inherited, self._stages)
            table = self._build(store, languages, encoders, inherited, refit=refit)
            manifest = self._describe(store, table, languages, sources, parent_id)
        self._verify()
        verdict = gate(self._folder) if gate is not None else Verdict()
        if verdict.refused is None:
            self._collection.publish_built(self._folder)
        else:
            self._collection.finish_version(self._folder)
        summary = self._summary(manifest, comparison.change, published=verdict.refused is None)
        return replace(summary, refused=verdict.refused, gate=dict(verdict.figures))

    def _gather(self, documents: Iterable[Document]) -> None:
        with self._stages.stage("read") as advance, closing(DocumentSpool(self._folder)) as spool:
            for document in documents:
                spool.add(document)
                advance(1)
            spool.finish()

    def _open(self, parent_id: str | None, stack: ExitStack) -> OpenVersion | None:
        if parent_id is None:
            return None
        with self._stages.stage("parent"):
            parent = sound_parent(self._collection, parent_id)
        if parent is not None:
            stack.enter_context(closing(parent.documents))
        else:
            self._warnings.append(
                f"version {parent_id} is damaged: nothing was taken over from it, and all of its "
                "documents count as added"
            )
        return parent

    def _create_encoders(self) -> dict[str, Encoder]:
        return {
            name: self._settings.create(name) for name in self._settings.signals if name != "bm25"
        }

    def _is_unchanged(
        self,
        parent: OpenVersion,
        store: DocumentStore,
        encoders: dict[str, Encoder],
        sources: list[str],
    ) -> bool:
        bert, record = encoders.get("bert"), parent.manifest.signals.get("bert")
        same_model = bert is None or (
            record is not None and record.encoder_fingerprint == bert.fingerprint
        )
        return (
            same_model
            and parent.manifest.corpus_hash == store.corpus_hash()
            and self._settings.builds_like(parent.manifest.settings)
            # From another place the next trine reindex must read there.
            and parent.manifest.sources == sources
            # Built by a release that kept less than this one does: so it learns to.
            and all((parent.folder / name).is_dir() for name in _LATER_FOLDERS)
        )

    def _build(
        self,
        store: DocumentStore,
        languages: DocumentLanguages,
        encoders: dict[str, Encoder],
        inherited: Inheritance | None,
        *,
        refit: bool,
    ) -> PassageTable:
        bert = encoders.get("bert")
        if bert is not None and not isinstance(bert, BertEncoder):
            raise TypeError(f"the bert signal needs a BertEncoder, not {type(bert).__name__}")
        files = CorpusFiles(self._folder, store, inherited, self._stages)
        files.write_metadata()
        cut = files.write_passages(bert)
        files.write_passage_words(cut, languages)
        files.write_spelling(languages)
        files.write_suggestions(languages)
        if "bm25" in self._settings.signals:
            self._signals["bm25"] = build_keyword_signal(
                self._subfolder("bm25"), store, languages, inherited, self._stages
            )
        for name, encoder in encoders.items():
            if isinstance(encoder, TermEncoder):
                self._signals[name] = build_document_signal(
                    self._subfolder(name),
                    self._localized(encoder, languages.main),
                    store,
                    version_being_built(self._folder),
                    None if refit else inherited,
                    self._stages,
                )
        if bert is not None:
            with EmbeddingCache(self._collection.cache_path, bert.fingerprint) as cache:
                self._bert = PassageSignal(bert, cache, reuse=not self._full)
                self._signals["bert"] = self._bert.build(
                    self._subfolder("bert"), store, cut, inherited, self._stages
                )
        self._signals = with_agreement(self._signals, self._folder, cut.table.offsets)
        build_map(
            self._folder,
            self._signals,
            cut.table.offsets,
            languages.main,
            None if refit else inherited,
            self._stages,
        )
        return cut.table

    def _localized(self, encoder: TermEncoder, languages: tuple[str, ...]) -> TermEncoder:
        """The encoder for the languages of the collection."""
        if languages == DEFAULT_LANGUAGES:
            return encoder
        localized = self._settings.create(encoder.name, languages=languages)
        return localized if isinstance(localized, TermEncoder) else encoder

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
            drift={
                name: SignalDrift(
                    record.fit.unknown_words,
                    record.fit.changed_documents,
                    refitted=published and record.fit.version == manifest.version,
                )
                for name, record in manifest.signals.items()
                if record.fit is not None
            },
            seconds=seconds,
            warnings=self._warnings,
        )
