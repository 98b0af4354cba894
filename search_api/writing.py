"""The routes that change a collection: each answers with a task once the write log has it."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import IO
from urllib.parse import quote

from flask import Blueprint, Flask, Response, current_app, request

from ingest.errors import QueryError, TrineError
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from pipeline.version.tasks import Task
from pipeline.version.write_log import Write, WriteLog
from search_api.access import require
from search_api.indexing import IndexerKeeper
from search_api.json_format import json_response
from search_api.json_reading import read_json_object
from search_api.parameters import checked_names
from search_api.problems import (
    NothingToReadError,
    UnknownIndexError,
    UnknownTaskError,
    UnsupportedBodyError,
)
from search_api.snapshot import current_pool, pool_of
from search_api.written_documents import checked_doc_id, document_of, writes_of_lines

__all__ = [
    "MAX_BULK_BYTES",
    "MAX_DOCUMENT_BYTES",
    "MAX_TASKS",
    "MAX_WAIT_S",
    "blueprint",
    "init_app",
    "keeper_of",
    "task_json",
]

MAX_DOCUMENT_BYTES = 10_000_000
MAX_BULK_BYTES = 50_000_000
MAX_WAIT_S = 60.0
MAX_TASKS = 1000
_LOOK_EVERY_S = 0.1
# Requests that wait hold a thread each, and searches need some too.
_MAX_WAITING = 2
_LINES = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")
_EXTENSION = "trine_writing"

blueprint = Blueprint("writing", __name__, url_prefix="/api/v1")


@dataclass(frozen=True, slots=True)
class _Writing:
    """What the routes of one application share."""

    keeper: IndexerKeeper
    waiting: threading.BoundedSemaphore


def init_app(app: Flask) -> None:
    """Give an application that has the search API the routes that write."""
    keeper = IndexerKeeper(app.extensions["trine_searchers"].data_dir)
    app.extensions[_EXTENSION] = _Writing(keeper, threading.BoundedSemaphore(_MAX_WAITING))
    app.register_blueprint(blueprint)


def keeper_of(app: Flask) -> IndexerKeeper:
    """What keeps the process that indexes alive."""
    return _writing(app).keeper


def _writing(app: Flask) -> _Writing:
    writing: _Writing = app.extensions[_EXTENSION]
    return writing


@blueprint.put("/documents/<doc_id:doc_id>")
def put_document(doc_id: str) -> Response:
    """Put one document."""
    require("write")
    asked = _Asked.read("collection", "wait")
    request.max_content_length = MAX_DOCUMENT_BYTES
    if not request.is_json:
        raise _unsupported("JSON with Content-Type: application/json")
    document = document_of(read_json_object(request.get_data()), checked_doc_id(doc_id))
    return _accept(asked, [Write(document.doc_id, document)])


@blueprint.delete("/documents/<doc_id:doc_id>")
def delete_document(doc_id: str) -> Response:
    """Delete one document, whether or not it is there."""
    require("write")
    asked = _Asked.read("collection", "wait")
    if not (asked.folder.exists() or asked.log.exists()):
        raise UnknownIndexError(f"there is no collection {asked.folder.name!r}")
    return _accept(asked, [Write(checked_doc_id(doc_id), None)])


@blueprint.post("/documents")
def upload_documents() -> Response:
    """Put and delete many documents, or, where one line is wrong, none."""
    require("write")
    asked = _Asked.read("collection", "wait")
    request.max_content_length = MAX_BULK_BYTES
    if request.mimetype not in _LINES:
        raise _unsupported(f"JSON Lines with Content-Type: {_LINES[0]}")
    # Read to its end, and checked, before the log is locked: a slow client keeps nobody waiting.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as spool:
        n_lines = _spool(writes_of_lines(iter(request.stream.readline, b"")), spool)
        if not n_lines:
            raise QueryError("the body holds no document")
        spool.seek(0)
        return _accept(asked, _spooled(spool))


@blueprint.post("/reindex")
def reindex() -> Response:
    """Have the sources read again."""
    require("admin")
    asked = _Asked.read("collection", "wait")
    if not asked.folder.exists():
        raise UnknownIndexError(f"there is no collection {asked.folder.name!r}")
    if not asked.folder.manifest(asked.folder.current()).sources:
        raise NothingToReadError(
            f"collection {asked.folder.name!r} was not read from any source: there is nothing to "
            "read again"
        )
    return _answer(asked, asked.log.ask_reindex())


@blueprint.get("/tasks/<task>")
def show_task(task: str) -> Response:
    """Tell how far a task is."""
    require("write")
    asked = _Asked.read("collection", "wait")
    return json_response(task_json(asked.folder, _waited(asked, _found(asked, task))))


@blueprint.get("/tasks")
def list_tasks() -> Response:
    """List the newest tasks of a collection."""
    require("write")
    asked = _Asked.read("collection", "limit")
    listed = [task_json(asked.folder, task) for task in asked.log.tasks(asked.limit)]
    return json_response({"collection": asked.folder.name, "tasks": listed})


def task_json(folder: CollectionFolder, task: Task) -> dict[str, object]:
    """A task as JSON-ready values, and where to ask for it again."""
    described: dict[str, object] = {entry.name: getattr(task, entry.name) for entry in fields(Task)}
    return {**described, "collection": folder.name, "address": _address(folder, task)}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Where a request writes, and what else its address says."""

    folder: CollectionFolder
    wait_s: float = 0.0
    limit: int = 20

    @property
    def log(self) -> WriteLog:
        return WriteLog(self.folder)

    @classmethod
    def read(cls, *known: str) -> _Asked:
        arguments: Mapping[str, list[str]] = request.args.to_dict(flat=False)
        checked_names(arguments, known)
        given = {}
        for name, values in arguments.items():
            if len(values) != 1:
                raise QueryError(
                    f"{name} is given {len(values)} times; give it once", parameter=name
                )
            given[name] = values[0]
        return cls(
            current_pool().folder(given.get("collection")),
            _number(given.get("wait", "0"), "wait", MAX_WAIT_S),
            int(_number(given.get("limit", "20"), "limit", MAX_TASKS)),
        )


def _number(text: str, name: str, most: float) -> float:
    digits = text.replace(".", "", 1) if name == "wait" else text
    # str.isdigit knows digits that float does not.
    if not (digits.isascii() and digits.isdigit() and len(text) <= 9) or float(text) > most:
        raise QueryError(f"{name} must be a number from 0 to {most:g}", parameter=name)
    return float(text)


def _accept(asked: _Asked, writes: Iterable[Write]) -> Response:
    settings = {} if asked.folder.exists() else _settings_of_new()
    return _answer(asked, asked.log.accept(writes, settings=settings))


def _answer(asked: _Asked, task: Task) -> Response:
    _writing(current_app).keeper.look()
    task = _waited(asked, task)
    response = json_response(task_json(asked.folder, task))
    response.status_code = 200 if task.is_done else 202
    response.headers["Location"] = _address(asked.folder, task)
    return response


def _waited(asked: _Asked, task: Task) -> Task:
    """The task once it is done, or when the time to wait for it is over."""
    waiting = _writing(current_app).waiting
    if not asked.wait_s or task.is_done or not waiting.acquire(blocking=False):
        return task
    try:
        until = time.monotonic() + asked.wait_s
        while not task.is_done and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)
            task = _found(asked, task.task)
    finally:
        waiting.release()
    return task


def _found(asked: _Asked, task: str) -> Task:
    found = asked.log.task(task)
    if found is None:
        raise UnknownTaskError(
            f"collection {asked.folder.name!r} has no task {task[:100]!r} (any more)"
        )
    return found


def _address(folder: CollectionFolder, task: Task) -> str:
    return f"{request.script_root}/api/v1/tasks/{task.task}?collection={quote(folder.name)}"


def _settings_of_new() -> dict[str, object]:
    """What a collection that is made by writing is built with: as the server's own one is."""
    pool = pool_of(current_app)
    folder = CollectionFolder(pool.data_dir, pool.default_collection)
    try:
        kept = IndexSettings.from_manifest(folder.manifest(folder.current()).settings)
    except TrineError:
        return {}
    return IndexSettings(kept.signals, kept.encoders).to_manifest()


def _unsupported(wanted: str) -> UnsupportedBodyError:
    return UnsupportedBodyError(
        f"the body is {request.mimetype or 'of no stated type'!r}; send {wanted}"
    )


def _spool(writes: Iterable[Write], spool: IO[str]) -> int:
    n_writes = 0
    for n_writes, write in enumerate(writes, start=1):  # noqa: B007
        spool.write(json.dumps([write.doc_id, write.to_json()]) + "\n")
    return n_writes


def _spooled(spool: IO[str]) -> Iterator[Write]:
    for line in spool:
        yield Write.from_json(*json.loads(line))
