"""Written documents become part of a version: the write log laid over what is there.

What a version holds of the log stands in its own settings, so that publishing it and noting what
was applied is one step: whoever is killed in between leaves nothing to apply a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from ingest.documents import Document
from ingest.errors import EmptyCorpusError, IndexNotFoundError
from pipeline.encoding.build import build_while_writing
from pipeline.encoding.gate import Gate
from pipeline.encoding.progress import BuildProgress
from pipeline.encoding.settings import IndexSettings
from pipeline.encoding.summary import BuildSummary
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_store import DocumentStore
from pipeline.version.manifest import Manifest
from pipeline.version.write_log import WriteLog
from pipeline.version.write_snapshot import Snapshot

__all__ = ["Folded", "build_with_writes", "current_documents", "fold_writes"]


@dataclass(frozen=True, slots=True)
class Folded:
    """What folding did.

    Parameters
    ----------
    version
        The version that holds the log up to ``sequence``; ``None`` where all that was ever
        written was deleted again.
    published
        Whether it was built for that.
    """

    version: str | None
    sequence: int
    published: bool


def fold_writes(collection: CollectionFolder, *, progress: BuildProgress | None = None) -> Folded:
    """Publish a version with everything that was accepted and is in none yet, and note that.

    Raises
    ------
    IndexLockedError
        If another process is writing the collection.
    EmptyCorpusError
        If no document would be left.
    TrineError
        If an encoder or the disk fails. Nothing of the log is lost then.
    """
    log = WriteLog(collection)
    with collection.writing():
        with log.snapshot() as snapshot:
            folded = _fold(collection, snapshot, progress)
        log.settle(folded.sequence, folded.version)
    return folded


def _fold(
    collection: CollectionFolder, snapshot: Snapshot, progress: BuildProgress | None
) -> Folded:
    manifest = _current_manifest(collection)
    kept = manifest.settings if manifest else snapshot.settings
    settings = IndexSettings.from_manifest(kept)
    applied = snapshot.applied(settings.writes)
    current = manifest.version if manifest else None
    if not snapshot.has_writes(applied) or _holds_nothing(manifest, snapshot):
        return Folded(current, snapshot.sequence, published=False)
    try:
        summary = build_while_writing(
            collection,
            snapshot.laid_over(current_documents(collection), applied),
            settings=settings.with_writes(snapshot.marker),
            sources=manifest.sources if manifest else (),
            progress=progress,
        )
    except EmptyCorpusError as error:
        raise EmptyCorpusError(
            f"collection {collection.name!r} would be left without a document: it keeps those it "
            "has until another is written; to remove it: trine collections delete "
            + collection.name
        ) from error
    return Folded(summary.version, snapshot.sequence, summary.published)


def _current_manifest(collection: CollectionFolder) -> Manifest | None:
    current = _current(collection)
    return None if current is None else collection.manifest(current)


def _current(collection: CollectionFolder) -> str | None:
    """Id of the current version; ``None`` only where there never was one."""
    try:
        return collection.current()
    except IndexNotFoundError:
        if collection.versions():
            raise
        return None


def _holds_nothing(manifest: Manifest | None, snapshot: Snapshot) -> bool:
    """Whether there is no collection, and deletions alone make none."""
    return manifest is None and next(snapshot.laid_over(()), None) is None


def current_documents(collection: CollectionFolder) -> Iterator[Document]:
    """All documents of the current version; none where there is no collection yet.

    The version is opened when the first is asked for. Call with the write lock held, which keeps
    it from being pruned.
    """
    current = _current(collection)
    if current is not None:
        with closing(DocumentStore(collection.version_path(current))) as store:
            yield from store.stream()


def build_with_writes(
    collection: CollectionFolder,
    documents: Callable[[], Iterable[Document]] | None,
    *,
    settings: IndexSettings,
    sources: Sequence[str] = (),
    full: bool = False,
    refit: bool = False,
    allow_shrink: bool = True,
    gate: Gate | None = None,
    progress: BuildProgress | None = None,
) -> BuildSummary:
    """Build a version from documents read anew, with everything ever written laid over them.

    A document that was put through the log replaces the one of its id among ``documents``; one that
    was deleted stays away. So no accepted write is lost, whatever the sources hold.

    Parameters
    ----------
    documents
        Reads them; ``None``, where there are no sources: those of the current version, or none if
        ``full``, so that the log alone counts.
    settings, sources, full, refit, allow_shrink, gate, progress
        As `build_version` takes them.

    Raises
    ------
    TrineError
        As `build_version` does.
    """
    log = WriteLog(collection)
    with collection.writing():
        with log.snapshot() as snapshot:
            if documents is not None:
                base: Iterable[Document] = documents()
            else:
                base = () if full else current_documents(collection)
            summary = build_while_writing(
                collection,
                snapshot.laid_over(base),
                settings=settings.with_writes(snapshot.marker),
                sources=sources,
                full=full,
                refit=refit,
                allow_shrink=allow_shrink,
                gate=gate,
                progress=progress,
            )
        if summary.refused is None and log.exists():
            log.settle(snapshot.sequence, summary.version)
    return summary
