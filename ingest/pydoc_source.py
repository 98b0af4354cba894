"""The documentation strings of the Python that runs this, as documents."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingest.cleaning import clean_line, clean_text
from ingest.documents import Document
from ingest.errors import CorpusError
from ingest.report import IngestReport

__all__ = ["PYDOC_PREFIX", "read_pydoc"]

PYDOC_PREFIX = "pydoc:"
"""What sources of this kind begin with."""

_STDLIB = "stdlib"
_WORKER = Path(__file__).with_name("pydoc_worker.py")
_TIMEOUT_S = 300
_MODULE_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

# Importing them opens a browser or a window, prints, or runs tests.
_NEVER_IMPORTED = frozenset(
    {"antigravity", "idlelib", "test", "this", "tkinter", "turtle", "turtledemo"}
)
# Tools for building Python itself, or changed by what else is installed.
_LEFT_OUT = frozenset({"distutils", "ensurepip", "lib2to3", "msilib", "pydoc_data"})

_DOCS = f"https://docs.python.org/{sys.version_info.major}.{sys.version_info.minor}/library/"
# Submodules with a page of their own; the others are described on their package's page.
_OWN_PAGE_NAMES = """
asyncio collections.abc concurrent.futures curses.ascii curses.panel email.charset
email.encoders email.errors email.generator email.header email.headerregistry email.message
email.mime email.parser email.policy email.utils html.entities html.parser http.client
http.cookiejar http.cookies http.server importlib.metadata importlib.resources
importlib.resources.abc logging.config logging.handlers multiprocessing.shared_memory os.path
unittest.mock urllib.error urllib.parse urllib.request urllib.robotparser xml.dom
xml.dom.minidom xml.dom.pulldom xml.etree.ElementTree xml.sax xml.sax.handler
xml.sax.saxutils xmlrpc.client xmlrpc.server
"""
_OWN_PAGES = frozenset(_OWN_PAGE_NAMES.split())
_NO_PAGE_NAMES = """
encodings genericpath nt ntpath nturl2path opcode posix posixpath pyexpat sre_compile
sre_constants sre_parse
"""
_NO_PAGE = frozenset(_NO_PAGE_NAMES.split())


def read_pydoc(spec: str, *, report: IngestReport | None = None) -> Iterator[Document]:
    """Read what public modules, classes, functions, methods and properties say of themselves.

    The modules are imported in a process of their own, whose output is thrown away. Objects
    with one and the same text are one document, which lists all their names.

    Parameters
    ----------
    spec
        ``"stdlib"``, or module names separated by commas, each with its submodules.
    report
        Takes note of modules that cannot be imported.

    Yields
    ------
    Document
        In the order of their ids, which are dotted names such as ``os.path.join``.

    Raises
    ------
    CorpusError
        If a module does not exist, or may not be imported.

    Examples
    --------
    >>> next(document.title for document in read_pydoc("json") if document.doc_id == "json.load")
    'json.load(fp, *, cls=None, object_hook=None, parse_float=None, parse_int=None, ...)'
    """
    modules = _stdlib_modules() if spec == _STDLIB else _named_modules(spec)
    with tempfile.TemporaryDirectory(prefix="trine-pydoc-") as folder:
        output = Path(folder, "documents.jsonl")
        _run_worker(output, modules, folder)
        complete = False
        with output.open(encoding="utf-8") as stream:
            for line in stream:
                record = json.loads(line)
                complete = complete or "end" in record
                if "failed" in record:
                    _failed(record, modules, spec, report)
                elif "name" in record:
                    yield _document(record)
        if not complete:
            raise CorpusError(f"pydoc:{spec}: importing these modules ended the process")


def _stdlib_modules() -> list[str]:
    names = sys.stdlib_module_names - _NEVER_IMPORTED - _LEFT_OUT
    return sorted(name for name in names if not name.startswith("_"))


def _named_modules(spec: str) -> list[str]:
    names = [name.strip() for name in spec.split(",")]
    for name in names:
        if not _MODULE_NAME.fullmatch(name):
            raise CorpusError(
                f"pydoc:{spec}: {name!r} is no module name; use pydoc:stdlib or names"
            )
        if name.partition(".")[0] in _NEVER_IMPORTED:
            raise CorpusError(f"pydoc:{spec}: {name!r} is never imported, for its side effects")
    return names


def _run_worker(output: Path, modules: list[str], folder: str) -> None:
    # -P keeps the worker's own folder, and so this package, off the modules' path.
    command = [sys.executable, "-P", "-W", "ignore", "-X", "utf8", str(_WORKER), str(output)]
    output.touch()
    try:
        subprocess.run(  # noqa: S603  (our own interpreter and script)
            [*command, *modules],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"pydoc: importing {modules[0]} and others took over {_TIMEOUT_S} s"
        raise CorpusError(message) from error


def _failed(
    record: dict[str, Any], modules: list[str], spec: str, report: IngestReport | None
) -> None:
    # Much of the standard library exists on one platform only; that is nobody's mistake.
    if spec == _STDLIB:
        return
    name = record["failed"]
    if name in modules:
        raise CorpusError(f"pydoc:{spec}: cannot import {name}: {record['error']}")
    if report is not None:
        report.skip("unimportable module", name)


def _document(record: dict[str, Any]) -> Document:
    name = str(record["name"])
    module = str(record["in"])
    return Document(
        name,
        clean_line(name + (record["signature"] or "")),
        clean_text(record["text"]),
        url=_address(name, module, record),
        metadata={"kind": record["kind"], "module": module.partition(".")[0]},
        names=tuple(record["names"]),
        origin=f"{PYDOC_PREFIX}{name}",
    )


def _address(name: str, module: str, record: dict[str, Any]) -> str | None:
    top = module.partition(".")[0]
    if top not in sys.stdlib_module_names or top in _NO_PAGE:
        return None
    anchor = f"#module-{name}" if record["kind"] == "module" else f"#{name}"
    if top == "builtins":
        in_types = "." in name and not record["exception"]
        page = "exceptions" if record["exception"] else "stdtypes" if in_types else "functions"
        return f"{_DOCS}{page}.html{anchor}"
    page = module
    while page != top and page not in _OWN_PAGES:
        page = page.rpartition(".")[0]
    return f"{_DOCS}{page.lower()}.html{anchor}"
