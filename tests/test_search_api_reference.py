"""The reference says what the contract says, and its examples run against a real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fork_server
import pytest
from fork_server import PIPE

from ingest.documents import Document
from ingest.pydoc_source import read_pydoc
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from pipeline.version.write_log import WriteLog
from pipeline.version.writes import Write
from search_api.contract import Operation
from search_api.reference import curl_example, markdown_reference, python_example
from search_api.routes import ALL_OPERATIONS

ROOT = Path(__file__).parent.parent
OPERATIONS = [operation for group in ALL_OPERATIONS for operation in group.all]


def test_the_reference_in_the_repository_is_of_this_contract() -> None:
    written = (ROOT / "API.md").read_text(encoding="utf-8")
    assert written == markdown_reference(ALL_OPERATIONS), "run: make reference"


@dataclass(frozen=True)
class Server:
    """A server over documents that the examples name."""

    address: str
    folder: CollectionFolder
    task: str

    def fill(self, example: str) -> str:
        # What the examples write is published meanwhile, and old versions go.
        version = self.folder.current()
        return example.replace("VERSION", version).replace("TASK", self.task)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings
) -> Iterator[Server]:
    data_dir = tmp_path_factory.mktemp("reference")
    texts = {
        "open": "Open a file to read or write it line by line.",
        "json.load": "Parse json read from a file.",
        "time.sleep": "Sleep for some seconds, then go on. Parse a date elsewhere.",
        "socket.socket": "Open a socket, write to it, read from it.",
    }
    documents = [
        Document(f"{doc_id}{'' if n == 0 else n}", doc_id, f"{text} Part {n}.")
        for doc_id, text in texts.items()
        for n in range(6)
    ]
    folder = CollectionFolder(data_dir, "default")
    source = data_dir / "source.jsonl"
    lines = [{"_id": d.doc_id, "title": d.title, "text": d.text} for d in documents]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    build_version(folder, documents, settings=tiny_settings, sources=[str(source)])
    log = WriteLog(folder)
    written = log.accept([Write("x", documents[0])], settings={})
    log.settle(log.backlog().sequence, folder.current())
    command = ("serve", "--admin", "--writable", "--port", 0, "--data-dir", data_dir)
    with fork_server.start(*command, stderr=PIPE) as process:
        try:
            assert process.stderr is not None
            told = []
            for line in process.stderr:
                told.append(line)
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    yield Server(found[0], folder, written.task)
                    break
            else:
                pytest.fail("the server did not start: " + "".join(told))
        finally:
            process.kill()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_examples_run(server: Server, operation: Operation) -> None:
    python = server.fill(python_example(operation, server=server.address))
    done = subprocess.run(
        [sys.executable, "-c", python], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    curl = server.fill(curl_example(operation, server=server.address))
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(
        ["bash", "-c", curl + " --silent --show-error --fail-with-body"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    operation.answers.model_validate_json(done.stdout)


def test_the_examples_name_documents_of_the_demo_corpus() -> None:
    named = set()
    for operation in OPERATIONS:
        if operation.method == "GET" and "doc_id" in operation.example.path:
            named.add(operation.example.path["doc_id"])
        asks = json.loads(json.dumps(dict(operation.example.asks)))
        named.update(asks.get("liked", []), asks.get("disliked", []))
        points = [asks.get("first"), asks.get("second")]
        named.update(p["document"] for p in points if p and "document" in p)
    assert named == {"json.load", "open", "time.sleep"}
    assert named <= {document.doc_id for document in read_pydoc("builtins,json,time")}
