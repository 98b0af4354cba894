"""The server's log on standard error: one line a record, as JSON, as text, or warnings alone.

What was asked, and with which key, is never in it unless wanted: lines about requests hold neither,
and of errors nobody foresaw only the place, for their messages may quote what was asked.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from flask import has_request_context
from gunicorn.config import Config
from gunicorn.glogging import Logger as GunicornLogger

from search_api.observing import REQUEST_LOG
from search_api.request_ids import request_id

__all__ = ["LOG_FORMATS", "ServerLogger", "configure_logs"]

LOG_FORMATS = ("json", "text", "none")


def configure_logs(log_format: str, *, log_queries: bool) -> None:
    """Have this process, and those it forks, log to standard error.

    Parameters
    ----------
    log_format
        ``"json"``: one JSON object a line. ``"text"``: the same to be read by people. ``"none"``:
        nothing about single requests; warnings and errors as text.
    log_queries
        Whether messages of unforeseen errors, which may quote a query, are told.
    """
    handler = logging.StreamHandler(sys.stderr)
    lines = JsonLines if log_format == "json" else TextLines
    handler.setFormatter(lines(tell_messages=log_queries))
    root = logging.getLogger()
    for known in list(root.handlers):
        root.removeHandler(known)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    wanted = logging.WARNING if log_format == "none" else logging.INFO
    logging.getLogger(REQUEST_LOG).setLevel(wanted)


class ServerLogger(GunicornLogger):  # type: ignore[misc]
    """gunicorn's own messages, in the same log as all others."""

    def setup(self, cfg: Config) -> None:
        """Hand everything on to the root logger."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in list(log.handlers):
                log.removeHandler(handler)
        self.error_log.propagate = True


class _Lines(logging.Formatter):
    def __init__(self, *, tell_messages: bool) -> None:
        super().__init__()
        self._tell_messages = tell_messages

    def _error_of(self, record: logging.LogRecord) -> str | None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return None
        if self._tell_messages:
            return "".join(traceback.format_exception(error)).rstrip()
        return "\n".join(_places(error))


class JsonLines(_Lines):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        told: dict[str, object] = {
            "time": _time_of(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": record.process,
        }
        known = getattr(record, "request", None)
        if isinstance(known, Mapping):
            told.update(known)
        else:
            told["logger"] = record.name
            told["message"] = record.getMessage()
            told["request_id"] = request_id() if has_request_context() else None
            if (error := self._error_of(record)) is not None:
                told["error"] = error
        # ASCII alone: nothing that some terminal or collector takes for the end of a line.
        return json.dumps(told, default=str)


class TextLines(_Lines):
    """A record as a line to be read by people."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        time = _time_of(record).strftime("%H:%M:%S")
        known = getattr(record, "request", None)
        if isinstance(known, Mapping):
            said = " ".join(
                f"{name}={json.dumps(value)}" for name, value in known.items() if value is not None
            )
            return f"{time} {said}"
        about = f" (request {request_id()})" if has_request_context() else ""
        message = _one_line(record.getMessage())
        # A message of ours that names its request already.
        line = message if about and request_id() in message else message + about
        error = self._error_of(record)
        return f"{time} {record.levelname.lower()}: {line}" + (f"\n{error}" if error else "")


def _one_line(message: str) -> str:
    """A message in which nothing begins another line, or tells a terminal what to do."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in message
    )


def _time_of(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _places(error: BaseException | None) -> Iterator[str]:
    """Kind of an error and where it came from, then the same of what caused it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield f"{type(error).__module__}.{type(error).__qualname__}"
        yield from (line.rstrip() for line in traceback.format_tb(error.__traceback__))
        error = error.__cause__ or error.__context__
