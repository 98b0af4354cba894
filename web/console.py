"""The console: versions, what is indexed and what is asked, for those who may change that."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, current_app, jsonify, make_response, redirect, request

from ingest.errors import QueryError, TrineError
from pipeline.encoding.upkeep import (
    CheckedVersion,
    activate_version,
    check_version,
)
from pipeline.evaluation.version_diff import Change, VersionDiff, compare_versions
from pipeline.version.collection import CollectionFolder
from pipeline.version.open_version import open_version
from pipeline.version.tasks import REINDEX, Task
from pipeline.version.write_log import WriteLog
from search_api.access import require
from search_api.problems import (
    problem_of,
)
from search_api.snapshot import current_pool
from search_api.version_routes import check_there, version_json
from search_api.writing import ask_reindex, found_task, task_address, task_json
from web.forms import require_own_page
from web.layout import problem_page, render_page
from web.page_request import PageRequest
from web.plain_text import readable
from web.query_log_view import QueryLogView, query_log_view

__all__ = ["MAX_STREAMS", "ConsoleView", "DiffView", "VersionView", "blueprint", "init_app"]

MAX_STREAMS = 2
"""Progress told to so many browsers at once; each holds a thread. The others ask again."""

_STREAM_S = 50.0
_LOOK_EVERY_S = 0.4
_N_SHOWN = 20
_N_TASKS = 5
_EXTENSION = "trine_console"

blueprint = Blueprint("console", __name__)


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version; only its id and ``error`` where it cannot be read."""

    version: str
    current: bool
    error: str
    created: str = ""
    parent: str = ""
    n_documents: int = 0
    n_passages: int = 0
    signals: str = ""
    n_bytes: int = 0
    own_bytes: int = 0
    quality: str = ""


@dataclass(frozen=True, slots=True)
class DiffView:
    """What changed from one version to another."""

    first: str
    second: str
    documents: list[tuple[str, int, list[str]]]
    n_unchanged: int
    settings: list[tuple[str, str, str]]
    overlap: str
    least: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ConsoleView:
    """All that the page shows."""

    versions: list[VersionView]
    tasks: list[Task]
    watched: Task | None
    sources: list[str]
    diff: DiffView | None
    checked: CheckedVersion | None
    searched: QueryLogView


def init_app(app: Flask) -> None:
    """Give an application the page."""
    app.extensions[_EXTENSION] = threading.BoundedSemaphore(MAX_STREAMS)
    app.register_blueprint(blueprint)


@blueprint.get("/console")
def console_page() -> Response:
    """Show versions, what is being indexed, and, if two are named, what they differ in."""
    require("admin")
    return _shown()


@blueprint.post("/console/activate")
def activate() -> Response:
    """Make a version current."""
    require_own_page("admin")
    folder, asked = _place()
    version = _version(folder, request.form.get("version", ""))
    activate_version(folder, version)
    current_pool().refresh()
    return _to(asked.address())


@blueprint.post("/console/verify")
def verify() -> Response:
    """Hold every byte of a version against its manifest, and show what came of it."""
    require_own_page("admin")
    folder, _ = _place()
    return _shown(check_version(folder, _version(folder, request.form.get("version", ""))))


@blueprint.post("/console/reindex")
def reindex() -> Response:
    """Have the sources read again, and show how that goes."""
    require_own_page("admin")
    folder, asked = _place()
    task = ask_reindex(folder)
    suffix = urlencode({"task": task.task})
    address = asked.address()
    return _to(f"{address}{'&' if '?' in address else '?'}{suffix}")


@blueprint.get("/console/tasks/<task>")
def progress(task: str) -> Response:
    """Tell how far a task is now."""
    require("admin")
    folder, _ = _place()
    response = jsonify(task_json(folder, found_task(folder, task)))
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/console/tasks/<task>/events")
def events(task: str) -> Response:
    """Tell how far a task is, as server-sent events, until it is done or for a while.

    Answers 503 where so many are told already that searches would have to wait.
    """
    require("admin")
    folder, _ = _place()
    log = WriteLog(folder)
    found = found_task(folder, task)
    streams: threading.BoundedSemaphore = current_app.extensions[_EXTENSION]
    if not streams.acquire(blocking=False):
        response = make_response("", 503)
        response.headers["Retry-After"] = "5"
        return response
    stream = _Stream(folder, log, found, streams)
    response = Response(stream, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    # A proxy that gathers a page before it hands it on would tell everything at its end.
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(stream.close)
    return response


class _Stream:
    """The events about one task; gives its place back when it ends, however it does."""

    def __init__(
        self,
        folder: CollectionFolder,
        log: WriteLog,
        task: Task,
        places: threading.BoundedSemaphore,
    ) -> None:
        self._folder = folder
        self._log = log
        self._task = task
        # Asked now: while the events are sent there is no request any more.
        self._address = task_address(folder, task)
        self._places = places
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        until = time.monotonic() + _STREAM_S
        told = ""
        while not self._closed.is_set():
            text = json.dumps(task_json(self._folder, self._task, address=self._address))
            # What is nothing new is a comment, by which one notices who has gone.
            yield f"data: {text}\n\n".encode() if text != told else b":\n\n"
            told = text
            if self._task.is_done or time.monotonic() > until:
                return
            self._closed.wait(_LOOK_EVERY_S)
            found = self._log.task(self._task.task)
            if found is None:
                return
            self._task = found

    def close(self) -> None:
        """Give the place back, once."""
        if not self._closed.is_set():
            self._closed.set()
            self._places.release()


def _shown(checked: CheckedVersion | None = None) -> Response:
    try:
        folder, asked = _place()
        return render_page("console.html", asked, view=_view(folder, checked), kept_names=())
    except TrineError as error:
        return problem_page(problem_of(error))


def _place() -> tuple[CollectionFolder, PageRequest]:
    given = {"collection": request.values.getlist("collection")}
    asked = PageRequest.read(given, "/console")
    return current_pool().existing_folder(asked.arguments.get("collection")), asked


def _view(folder: CollectionFolder, checked: CheckedVersion | None) -> ConsoleView:
    current = folder.current_or_none()
    log = WriteLog(folder)
    tasks = [task for task in log.tasks(_N_TASKS) if task.kind == REINDEX]
    named = request.args.get("task")
    first, second = request.args.get("a"), request.args.get("b")
    try:
        sources = folder.manifest(folder.current()).sources
    except TrineError:
        sources = []
    return ConsoleView(
        versions=[_version_view(folder, one, current) for one in reversed(folder.versions())],
        tasks=tasks,
        watched=found_task(folder, named)
        if named
        else next((t for t in tasks if not t.is_done), None),
        sources=[readable(source) for source in sources],
        diff=_diff_view(folder, first, second) if first and second else None,
        checked=checked,
        searched=query_log_view(folder),
    )


def _version(folder: CollectionFolder, version: str) -> str:
    if not version:
        raise QueryError("no version was chosen")
    check_there(folder, version)
    return version


def _version_view(folder: CollectionFolder, version: str, current: str | None) -> VersionView:
    found = version_json(folder, version, current)
    if "error" in found:
        return VersionView(version, found["current"], readable(found["error"]))
    quality = found["quality"]
    return VersionView(
        version=version,
        current=found["current"],
        error="",
        created=found["created"][:16].replace("T", " "),
        parent=found["parent"] or "",
        n_documents=found["documents"],
        n_passages=found["passages"],
        signals=", ".join(found["signals"]),
        n_bytes=found["bytes"],
        own_bytes=found["own_bytes"],
        quality=f"{quality['ndcg@10']:.4f}" if quality else "",
    )


def _diff_view(folder: CollectionFolder, first: str, second: str) -> DiffView:
    opened = [
        open_version(folder.version_path(_version(folder, version))) for version in (first, second)
    ]
    found = compare_versions(*opened)
    overlap = found.overlap
    told, least = f"not known: {overlap}", []
    if not isinstance(overlap, str):
        told = f"{overlap.mean:.3f} on {overlap.n_queries} titles"
        least = [(f"{share:.1f}", readable(query)) for query, share in overlap.least]
    return DiffView(
        first,
        second,
        [_listed(found, name) for name in ("added", "removed", "changed")],
        found.n_unchanged,
        [_change(name, change) for name, change in (*found.settings.items(), *_encoders(found))],
        readable(told),
        least,
    )


def _listed(found: VersionDiff, name: str) -> tuple[str, int, list[str]]:
    doc_ids: list[str] = getattr(found, name)
    return name, len(doc_ids), [readable(doc_id) for doc_id in doc_ids[:_N_SHOWN]]


def _encoders(found: VersionDiff) -> list[tuple[str, Change]]:
    return [(f"encoder {name}", change) for name, change in found.encoders.items()]


def _change(name: str, change: Change) -> tuple[str, str, str]:
    before, after = (
        "none" if value is None else value if isinstance(value, str) else json.dumps(value)
        for value in change
    )
    return readable(name), readable(before), readable(after)


def _to(address: str) -> Response:
    response = make_response(redirect(address, 303))
    response.headers["Cache-Control"] = "no-store"
    return response
