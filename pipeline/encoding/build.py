"""The encoding pipeline: documents -> a complete, verified version -> published.

Nothing is visible to readers before the last step, one atomic rename of CURRENT.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import TypeGuard

import numpy as np

from encoders.bert import BertEncoder
from encoders.languages import (
    DEFAULT_LANGUAGES,
    detect_language,
    language_named,
    main_languages,
)
from encoders.protocol import Embeddings, Encoder, FittedEncoder, ProgressCallback
from encoders.tfidf import TfidfEncoder
from ingest.documents import Document, passage_hash
from ingest.errors import EmptyCorpusError, IndexCorruptError, TrineError
from pipeline.encoding.embedding_cache import EmbeddingCache
from pipeline.encoding.passages import (
    PassageCut,
    cut_all_passages,
    texts_of_passages,
)
from pipeline.encoding.progress import BuildProgress, SilentProgress
from pipeline.encoding.settings import IndexSettings
from pipeline.encoding.verification import verify_version
from pipeline.version.collection import CollectionFolder, new_version_id, version_being_built
from pipeline.version.document_store import CorpusChange, DocumentSpool, DocumentStore
from pipeline.version.encoder_text import encoder_text, fitting_title
from pipeline.version.keyword_index import write_keyword_index
from pipeline.version.manifest import (
    Manifest,
    SignalRecord,
    hash_files,
    read_manifest,
    write_manifest,
)
from pipeline.version.metadata_columns import write_metadata_columns
from pipeline.version.open_version import (
    ENCODER_FOLDER,
    METADATA_FOLDER,
    PASSAGES_FOLDER,
    open_version,
    write_passage_table,
)
from pipeline.version.passage_words import PASSAGE_WORDS_FOLDER, write_passage_words
from pipeline.version.spelling import SPELLING_FOLDER, write_spelling
from pipeline.version.vector_index import write_vector_index

__all__ = ["BuildSummary", "build_version"]

_ENCODED_AT_ONCE = 2048
_SAMPLED_DOCUMENTS = 300


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """What a run of the encoding pipeline did.

    Parameters
    ----------
    version
        The version that is current afterwards.
    published
        Whether this run made it; ``False`` when nothing had changed.
    seconds
        Time each stage took, and ``total``.
    tokens_per_second
        Speed of the bert encoder over the passages it encoded, or ``None`` if none were.
    """

    collection: str
    version: str
    published: bool
    documents: int
    passages: int
    added: int
    changed: int
    removed: int
    unchanged: int
    passages_encoded: int = 0
    passages_reused: int = 0
    tokens_per_second: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


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
    """One run of the pipeline, stage by stage, in one folder."""

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
        self._progress = progress
        self._seconds: dict[str, float] = {}
        self._signals: dict[str, SignalRecord] = {}
        self._languages: tuple[str, ...] = DEFAULT_LANGUAGES
        self._language_of: list[str] = []
        self._encoded = self._reused = self._tokens_encoded = 0

    def run(
        self, documents: Iterable[Document], sources: list[str], *, refit: bool
    ) -> BuildSummary:
        began = time.perf_counter()
        parent = None if self._full else self._collection.current_or_none()
        self._gather(documents)
        with closing(DocumentStore(self._folder)) as store:
            if not store.n_documents:
                raise EmptyCorpusError(
                    "no documents found in "
                    + (", ".join(sources) or "the given documents")
                    + ": nothing to index, and the current version is untouched"
                )
            encoders: dict[str, Encoder] = {
                name: self._settings.create(name)
                for name in self._settings.signals
                if name != "bm25"
            }
            change = self._change_from(parent, store)
            if parent and not refit and self._is_unchanged(parent, store, encoders):
                return self._unchanged(parent, change, began)
            self._find_languages(store)
            cut = self._build(store, encoders)
            manifest = self._describe(store, cut, sources, parent)
        self._verify()
        self._collection.publish_built(self._folder)
        self._seconds["total"] = time.perf_counter() - began
        return self._summary(manifest, change, published=True)

    @contextmanager
    def _stage(self, name: str, total: int | None) -> Iterator[_Advance]:
        began = time.perf_counter()
        with self._progress.stage(name, total) as advance:
            yield _Advance(advance)
        self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - began

    def _gather(self, documents: Iterable[Document]) -> None:
        with self._stage("read", None) as advance, closing(DocumentSpool(self._folder)) as spool:
            for document in documents:
                spool.add(document)
                advance(1)
            spool.finish()

    def _find_languages(self, store: DocumentStore) -> None:
        """Tell each document's language, by its metadata or its text."""
        with self._stage("languages", store.n_documents) as advance:
            found = [_language_of(advance.each(document)) for document in _stream(store)]
        self._languages = main_languages(found)
        # A document in no main language is stemmed as most are, where queries look for it.
        main = set(self._languages)
        self._language_of = [
            code if code in main else self._languages[0] for code in (str(code) for code in found)
        ]

    def _change_from(self, parent: str | None, store: DocumentStore) -> CorpusChange:
        if parent is None:
            return store.change_from(None)
        try:
            with closing(DocumentStore(self._collection.version_path(parent))) as old:
                return store.change_from(old)
        except TrineError:
            # A damaged parent is no reason not to build a sound child.
            return store.change_from(None)

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
            # Or by one that cut hits into words at each query.
            and (folder / PASSAGE_WORDS_FOLDER).is_dir()
        )

    def _unchanged(self, parent: str, change: CorpusChange, began: float) -> BuildSummary:
        self._seconds["total"] = time.perf_counter() - began
        return self._summary(self._collection.manifest(parent), change, published=False)

    def _build(self, store: DocumentStore, encoders: dict[str, Encoder]) -> PassageCut:
        n_documents = store.n_documents
        bert = encoders.get("bert")
        if bert is not None and not isinstance(bert, BertEncoder):
            raise TypeError(f"the bert signal needs a BertEncoder, not {type(bert).__name__}")
        with self._stage("metadata", n_documents) as advance:
            folder = self._subfolder(METADATA_FOLDER)
            metadata = (advance.each(document).metadata for document in _stream(store))
            write_metadata_columns(folder, metadata, n_documents)
        with self._stage("passages", n_documents) as advance:
            cut = cut_all_passages(store, bert, advance)
            write_passage_table(self._subfolder(PASSAGES_FOLDER), cut.table)
        with self._stage("words", n_documents) as advance:
            counted = (advance.each(document) for document in _stream(store))
            texts = texts_of_passages(counted, cut.table)
            write_passage_words(self._subfolder(PASSAGE_WORDS_FOLDER), texts, self._languages)
        with self._stage("spelling", n_documents) as advance:
            streamed = (advance.each(document) for document in _stream(store))
            titled = ((document.title, document.text) for document in streamed)
            write_spelling(self._subfolder(SPELLING_FOLDER), titled, self._languages)
        if "bm25" in self._settings.signals:
            with self._stage("bm25", n_documents) as advance:
                counted = (advance.each(document) for document in _stream(store))
                n_covered = write_keyword_index(self._subfolder("bm25"), counted, self._language_of)
            self._signals["bm25"] = SignalRecord("documents", n_documents, n_covered)
        for name, encoder in encoders.items():
            if is_fitted_encoder(encoder):
                self._build_document_signal(name, self._localized(name, encoder), store)
        if bert is not None:
            self._build_passage_signal(bert, store, cut)
        return cut

    def _localized(self, name: str, encoder: FittedEncoder) -> FittedEncoder:
        """The encoder for the languages of the collection."""
        if self._languages == DEFAULT_LANGUAGES:
            return encoder
        localized = self._settings.create(name, languages=self._languages)
        return localized if is_fitted_encoder(localized) else encoder

    def _build_document_signal(
        self, name: str, encoder: FittedEncoder, store: DocumentStore
    ) -> None:
        n_reports = encoder.fit_passes * store.n_documents
        with self._stage(f"{name} fit", n_reports) as advance:
            encoder.fit(_StoredTexts(store), progress=advance)
        folder = self._subfolder(name)
        with self._stage(name, store.n_documents) as advance:
            batches = (
                encoder.encode_documents(
                    [encoder_text(document.title, document.text) for document in documents],
                    progress=advance,
                )
                for documents in store.iterate()
            )
            n_covered = write_vector_index(folder, batches, encoder.dimension)
        if isinstance(encoder, TfidfEncoder):
            _write_sparse_rows(folder, encoder, store)
        self._save_encoder(name, encoder)
        self._signals[name] = SignalRecord(
            "documents", store.n_documents, n_covered, encoder.fingerprint, encoder.dimension
        )

    def _build_passage_signal(
        self, encoder: BertEncoder, store: DocumentStore, cut: PassageCut
    ) -> None:
        n_passages = cut.table.n_passages
        with (
            self._stage("bert", n_passages) as advance,
            EmbeddingCache(self._collection.cache_path, encoder.fingerprint) as cache,
        ):
            batches = self._passage_embeddings(encoder, store, cut, cache, advance)
            n_covered = write_vector_index(self._subfolder("bert"), batches, encoder.dimension)
        self._save_encoder("bert", encoder)
        self._signals["bert"] = SignalRecord(
            "passages",
            n_passages,
            n_covered,
            encoder.fingerprint,
            encoder.dimension,
            encoder.legibility(_sample_texts(store)),
        )

    def _passage_embeddings(
        self,
        encoder: BertEncoder,
        store: DocumentStore,
        cut: PassageCut,
        cache: EmbeddingCache,
        advance: _Advance,
    ) -> Iterator[Embeddings]:
        pending: list[tuple[str, str]] = []
        done = 0
        for title, text in _passage_texts(encoder, store, cut):
            pending.append((title, text))
            if len(pending) == _ENCODED_AT_ONCE:
                yield self._encode(encoder, pending, cut.n_tokens[done:], cache, advance)
                done += len(pending)
                pending = []
        if pending:
            yield self._encode(encoder, pending, cut.n_tokens[done:], cache, advance)

    def _encode(
        self,
        encoder: BertEncoder,
        passages: list[tuple[str, str]],
        n_tokens: np.ndarray[tuple[int], np.dtype[np.int64]],
        cache: EmbeddingCache,
        advance: _Advance,
    ) -> Embeddings:
        keys = [cache.key(passage_hash(title, text)) for title, text in passages]
        known = {} if self._full else cache.get(keys, encoder.dimension)
        missing = [position for position, key in enumerate(keys) if key not in known]
        advance(len(keys) - len(missing))
        self._reused += len(keys) - len(missing)
        self._encoded += len(missing)
        self._tokens_encoded += int(n_tokens[missing].sum())
        if missing:
            texts = [encoder_text(*passages[position]) for position in missing]
            embeddings = encoder.encode_documents(texts, progress=advance)
            fresh = {keys[position]: embeddings[i] for i, position in enumerate(missing)}
            cache.put(fresh)
            known = {**known, **fresh}
        return np.stack([known[key] for key in keys])

    def _subfolder(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def _save_encoder(self, name: str, encoder: Encoder) -> None:
        folder = self._folder / name / ENCODER_FOLDER
        folder.mkdir()
        encoder.save(folder)

    def _describe(
        self, store: DocumentStore, cut: PassageCut, sources: list[str], parent: str | None
    ) -> Manifest:
        with self._stage("checksums", None):
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
            n_passages=cut.table.n_passages,
            signals=self._signals,
            files=files,
            total_bytes=total_bytes,
            timings_s={name: round(value, 3) for name, value in self._seconds.items()},
            parent=parent,
            languages=list(self._languages),
        )
        write_manifest(self._folder, manifest)
        return manifest

    def _verify(self) -> None:
        with self._stage("verify", None):
            if problems := verify_version(open_version(self._folder)):
                raise IndexCorruptError(
                    f"the new version failed its check and was not published: {problems[0]}"
                )

    def _summary(
        self, manifest: Manifest, change: CorpusChange, *, published: bool
    ) -> BuildSummary:
        bert_s = self._seconds.get("bert", 0.0)
        speed = self._tokens_encoded / bert_s if self._encoded and bert_s else None
        return BuildSummary(
            collection=self._collection.name,
            version=manifest.version,
            published=published,
            documents=manifest.n_documents,
            passages=manifest.n_passages,
            **asdict(change),
            passages_encoded=self._encoded,
            passages_reused=self._reused,
            tokens_per_second=speed,
            seconds={name: round(value, 3) for name, value in self._seconds.items()},
        )


def is_fitted_encoder(encoder: Encoder) -> TypeGuard[FittedEncoder]:
    """Whether an encoder learns from the corpus; reads no property, which may need fitting."""
    return callable(getattr(type(encoder), "fit", None))


class _Advance:
    """A progress callback that can also be slipped into a stream."""

    def __init__(self, advance: ProgressCallback) -> None:
        self._advance = advance

    def __call__(self, count: int) -> None:
        self._advance(count)

    def each(self, document: Document) -> Document:
        self._advance(1)
        return document


class _StoredTexts:
    """Every document's title and text, read from disk anew at each iteration."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    def __iter__(self) -> Iterator[str]:
        return (encoder_text(document.title, document.text) for document in _stream(self._store))


def _language_of(document: Document) -> str | None:
    named = document.metadata.get("language")
    known = language_named(named) if isinstance(named, str) else None
    return known or detect_language(document.text or document.title)


def _stream(store: DocumentStore) -> Iterator[Document]:
    for documents in store.iterate():
        yield from documents


def _sample_texts(store: DocumentStore) -> list[str]:
    """The texts of documents drawn evenly."""
    n_drawn = min(_SAMPLED_DOCUMENTS, store.n_documents)
    rows = np.linspace(0, store.n_documents - 1, n_drawn).astype(int).tolist()
    return [document.text for document in store.documents(rows)]


def _passage_texts(
    encoder: BertEncoder, store: DocumentStore, cut: PassageCut
) -> Iterator[tuple[str, str]]:
    row = 0
    for documents in store.iterate():
        heads = encoder.token_starts([document.title for document in documents])
        for document, starts in zip(documents, heads, strict=True):
            title = fitting_title(document.title, starts, encoder.max_tokens)
            begin, end = cut.table.offsets[row : row + 2].tolist()
            for start, stop in cut.table.spans[begin:end].tolist():
                yield title, document.text[start:stop]
            row += 1


def _write_sparse_rows(folder: Path, encoder: TfidfEncoder, store: DocumentStore) -> None:
    """Keep the sparse vectors too: they explain a tfidf score exactly, word by word."""
    data, indices, indptr = [], [], [np.zeros(1, np.int64)]
    for documents in store.iterate():
        rows = encoder.sparse([encoder_text(entry.title, entry.text) for entry in documents])
        data.append(rows.data.astype(np.float32))
        indices.append(rows.indices.astype(np.int32))
        indptr.append(rows.indptr[1:].astype(np.int64) + indptr[-1][-1])
    np.save(folder / "sparse_data.npy", np.concatenate(data))
    np.save(folder / "sparse_indices.npy", np.concatenate(indices))
    np.save(folder / "sparse_indptr.npy", np.concatenate(indptr))
