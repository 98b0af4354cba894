"""``trine delete``: remove documents by id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace

import click

from ingest.documents import Document
from ingest.errors import DocumentNotFoundError, EmptyCorpusError
from pipeline.command_line.index import prune_older, remembered, show_summary
from pipeline.command_line.options import Place, common_options, error_console, print_json
from pipeline.command_line.progress import BarProgress
from pipeline.encoding.build import build_version
from pipeline.version.collection import CollectionFolder
from pipeline.version.document_store import DocumentStore
from pipeline.version.write_log import WriteLog

__all__ = ["delete"]


@click.command()
@click.argument("doc_ids", nargs=-1, required=True, metavar="DOC_ID...")
@common_options
def delete(*, doc_ids: tuple[str, ...], place: Place) -> None:
    """Remove documents and publish a version without them.

    The next `trine index` of a source that still holds them brings them back.
    """
    folder = place.folder
    folder.current()
    sources, settings = remembered(folder)
    with WriteLog(folder).snapshot() as written:
        applied = written.applied(settings.writes)
    summary = build_version(
        folder,
        _without(folder, set(doc_ids)),
        settings=settings,
        sources=sources,
        progress=BarProgress(error_console()),
    )
    if (log := WriteLog(folder)).exists():
        log.forget(doc_ids, applied)
    summary = replace(summary, warnings=prune_older(folder))
    if place.as_json:
        print_json(asdict(summary))
    else:
        show_summary(summary)


def _holds(store: DocumentStore, doc_id: str) -> bool:
    try:
        store.row(doc_id)
    except DocumentNotFoundError:
        return False
    return True


def _without(folder: CollectionFolder, doc_ids: set[str]) -> Iterator[Document]:
    """All other documents; opens the version only when the build, which holds the lock, asks."""
    with closing(DocumentStore(folder.version_path(folder.current()))) as store:
        missing = sorted(doc_id for doc_id in doc_ids if not _holds(store, doc_id))
        if missing:
            raise DocumentNotFoundError(
                f"no document {missing[0]!r} in collection {folder.name!r}; nothing was removed"
            )
        if len(doc_ids) == store.n_documents:
            raise EmptyCorpusError(
                f"collection {folder.name!r} would be left without a document; to remove it: "
                f"trine collections delete {folder.name}"
            )
        for documents in store.iterate():
            yield from (document for document in documents if document.doc_id not in doc_ids)
