"""Writing: whatever changes a collection is answered with a task once the write log has it."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import IO
from urllib.parse import quote

from flask import Flask, current_app, request

from ingest.errors import QueryError, TrineError
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from pipeline.version.tasks import Task
from pipeline.version.write_log import WriteLog
from pipeline.version.writes import Write
from search_api.answer_models import TaskAnswer, TasksAnswer
from search_api.caching import Answered
from search_api.contract import PREFIX, Example, JsonBody, LinesBody, Operations
from search_api.indexing import IndexerKeeper
from search_api.problems import NothingToReadError, UnknownIndexError, UnknownTaskError
from search_api.request_models import CollectionRequest, TaskRequest, TasksRequest, WriteRequest
from search_api.snapshot import current_pool, pool_of
from search_api.written_documents import (
    WrittenDocument,
    WrittenLine,
    checked_doc_id,
    document_of,
    writes_of_lines,
)

__all__ = [
    "MAX_BULK_BYTES",
    "MAX_DOCUMENT_BYTES",
    "ask_reindex",
    "found_task",
    "init_app",
    "keeper_of",
    "operations",
    "task_address",
    "task_json",
]

MAX_DOCUMENT_BYTES = 10_000_000
MAX_BULK_BYTES = 50_000_000
_LOOK_EVERY_S = 0.1
# Requests that wait hold a thread each, and searches need some too.
_MAX_WAITING = 2
_EXTENSION = "trine_writing"
_LATER = (
    "Answered with 202 and a task as soon as no crash can lose it; searches see it when the task "
    "is `published`."
)

operations = Operations(
    "Writing",
    "Put and delete documents, which are indexed in the background. Needs the scope write.",
)


@dataclass(frozen=True, slots=True)
class _Writing:
    """What the routes of one application share."""

    keeper: IndexerKeeper
    waiting: threading.BoundedSemaphore


def init_app(app: Flask) -> None:
    """Give an application that has searchers what writing needs."""
    keeper = IndexerKeeper(pool_of(app).data_dir)
    app.extensions[_EXTENSION] = _Writing(keeper, threading.BoundedSemaphore(_MAX_WAITING))


def keeper_of(app: Flask) -> IndexerKeeper:
    """What keeps the process that indexes alive."""
    return _writing(app).keeper


def _writing(app: Flask) -> _Writing:
    writing: _Writing = app.extensions[_EXTENSION]
    return writing


@operations.add(
    "PUT",
    "/documents/{doc_id}",
    name="putDocument",
    summary="Put a document, new or in place of the one there",
    description=f"At most {MAX_DOCUMENT_BYTES:,} bytes, with a title or a text. A collection that "
    f"is not there is made. {_LATER}",
    asks=WriteRequest,
    body=JsonBody(WrittenDocument, MAX_DOCUMENT_BYTES),
    answers=TaskAnswer,
    accepts=True,
    scope="write",
    statuses=(403, 503),
    example=Example(
        {"doc_id": "faq/7"},
        {"wait": 30},
        {"title": "Resetting a password", "text": "Press ...", "metadata": {"year": 2026}},
    ),
)
def put_document(asked: WriteRequest, body: dict[str, object], doc_id: str) -> Answered:
    """Put one document."""
    document = document_of(body, checked_doc_id(doc_id))
    return _accept(asked, [Write(document.doc_id, document)])


@operations.add(
    "DELETE",
    "/documents/{doc_id}",
    name="deleteDocument",
    summary="Delete a document, whether or not it is there",
    description=_LATER,
    asks=WriteRequest,
    answers=TaskAnswer,
    accepts=True,
    scope="write",
    statuses=(403, 404, 503),
    example=Example({"doc_id": "faq/6"}),
)
def delete_document(asked: WriteRequest, doc_id: str) -> Answered:
    """Delete one document, whether or not it is there."""
    folder = _folder(asked)
    if not (folder.exists() or WriteLog(folder).exists()):
        raise UnknownIndexError(f"there is no collection {folder.name!r}", parameter="collection")
    return _accept(asked, [Write(checked_doc_id(doc_id), None)])


@operations.add(
    "POST",
    "/documents",
    name="uploadDocuments",
    summary="Put and delete many documents, or, where one line is wrong, none",
    description=f"JSON Lines, at most {MAX_BULK_BYTES:,} bytes: a line is a document with its id, "
    'or `{"doc_id": "...", "delete": true}`; no id twice. A collection that is not there is made. '
    f"{_LATER}",
    asks=WriteRequest,
    body=LinesBody(WrittenLine, MAX_BULK_BYTES),
    answers=TaskAnswer,
    accepts=True,
    scope="write",
    statuses=(403, 503),
    example=Example(
        body=[
            {"doc_id": "faq/8", "title": "Changing a password", "text": "Open ..."},
            {"doc_id": "faq/6", "delete": True},
        ]
    ),
)
def upload_documents(asked: WriteRequest, body: Iterator[bytes]) -> Answered:
    """Put and delete many documents, or, where one line is wrong, none."""
    # Read to its end, and checked, before the log is locked: a slow client keeps nobody waiting.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        if not _spool(writes_of_lines(body), spool):
            raise QueryError("the body holds no document")
        spool.seek(0)
        return _accept(asked, _spooled(spool))


@operations.add(
    "POST",
    "/reindex",
    name="reindex",
    summary="Read the sources again",
    description="What was written stays; asked again before it began, the answer is the same "
    f"task. {_LATER}",
    asks=WriteRequest,
    in_address=True,
    answers=TaskAnswer,
    accepts=True,
    scope="admin",
    statuses=(403, 404, 409, 503),
)
def reindex(asked: WriteRequest) -> Answered:
    """Have the sources read again."""
    return _accepted(asked, ask_reindex(current_pool().existing_folder(asked.collection)))


@operations.add(
    "GET",
    "/tasks/{task}",
    name="task",
    summary="Tell how far a task is",
    asks=TaskRequest,
    answers=TaskAnswer,
    scope="write",
    statuses=(403, 404, 503),
    example=Example({"task": "TASK"}, {"wait": 30}),
)
def show_task(asked: TaskRequest, task: str) -> Answered:
    """Tell how far a task is."""
    folder = _folder(asked)
    described = task_json(folder, _waited(folder, found_task(folder, task), asked.wait))
    return Answered(lambda: described)


@operations.add(
    "GET",
    "/tasks",
    name="tasks",
    summary="List the newest tasks of a collection",
    description="The 1,000 newest are kept, and all that wait.",
    asks=TasksRequest,
    answers=TasksAnswer,
    scope="write",
    statuses=(403, 503),
)
def list_tasks(asked: TasksRequest) -> Answered:
    """List the newest tasks of a collection."""
    folder = _folder(asked)
    listed = [task_json(folder, task) for task in WriteLog(folder).tasks(asked.limit)]
    return Answered(lambda: {"collection": folder.name, "tasks": listed})


def _folder(asked: CollectionRequest) -> CollectionFolder:
    return current_pool().folder(asked.collection)


def task_json(
    folder: CollectionFolder, task: Task, *, address: str | None = None
) -> dict[str, object]:
    """A task as JSON-ready values, and where to ask for it again.

    Parameters
    ----------
    address
        Where; outside of a request it has to be said.
    """
    described: dict[str, object] = {entry.name: getattr(task, entry.name) for entry in fields(Task)}
    address = task_address(folder, task) if address is None else address
    return {**described, "collection": folder.name, "address": address}


def _accept(asked: WriteRequest, writes: Iterable[Write]) -> Answered:
    folder = _folder(asked)
    settings = {} if folder.exists() else _settings_of_new()
    task = WriteLog(folder).accept(writes, settings=settings)
    _writing(current_app).keeper.look()
    return _accepted(asked, task)


def _accepted(asked: WriteRequest, task: Task) -> Answered:
    folder = _folder(asked)
    task = _waited(folder, task, asked.wait)
    described = task_json(folder, task)
    return Answered(
        lambda: described,
        status=200 if task.is_done else 202,
        headers={"Location": task_address(folder, task)},
    )


def _waited(folder: CollectionFolder, task: Task, wait_s: float) -> Task:
    """The task once it is done, or when the time to wait for it is over."""
    waiting = _writing(current_app).waiting
    if not wait_s or task.is_done or not waiting.acquire(blocking=False):
        return task
    try:
        until = time.monotonic() + wait_s
        while not task.is_done and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)
            task = found_task(folder, task.task)
    finally:
        waiting.release()
    return task


def ask_reindex(folder: CollectionFolder) -> Task:
    """Ask for a collection's sources to be read again, and have that begun.

    Raises
    ------
    NothingToReadError
        If it was not read from any.
    """
    if not folder.manifest(folder.current()).sources:
        raise NothingToReadError(
            f"collection {folder.name!r} was not read from any source: there is nothing to "
            "read again"
        )
    task = WriteLog(folder).ask_reindex()
    _writing(current_app).keeper.look()
    return task


def found_task(folder: CollectionFolder, task: str) -> Task:
    """A task of a collection.

    Raises
    ------
    UnknownTaskError
        If there is no such task (any more).
    """
    found = WriteLog(folder).task(task)
    if found is None:
        raise UnknownTaskError(f"collection {folder.name!r} has no task {task[:100]!r} (any more)")
    return found


def task_address(folder: CollectionFolder, task: Task) -> str:
    """Where whoever sent the current request asks for a task."""
    prefix = request.root_path.rstrip("/")
    return f"{prefix}{PREFIX}/tasks/{task.task}?collection={quote(folder.name)}"


def _settings_of_new() -> dict[str, object]:
    """What a collection that is made by writing is built with: as the server's own one is."""
    pool = pool_of(current_app)
    folder = CollectionFolder(pool.data_dir, pool.default_collection)
    try:
        kept = IndexSettings.from_manifest(folder.manifest(folder.current()).settings)
    except TrineError:
        return {}
    return IndexSettings(kept.signals, kept.encoders).to_manifest()


def _spool(writes: Iterable[Write], spool: IO[str]) -> int:
    n_writes = 0
    for n_writes, write in enumerate(writes, start=1):  # noqa: B007
        spool.write(json.dumps([write.doc_id, write.to_json()]) + "\n")
    return n_writes


def _spooled(spool: IO[str]) -> Iterator[Write]:
    for line in spool:
        yield Write.from_json(*json.loads(line))
