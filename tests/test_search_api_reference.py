"""The reference says what the contract says, and its examples run against a real server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.documents import Document
from pipeline.encoding.build import build_version
from pipeline.encoding.settings import IndexSettings
from pipeline.version.collection import CollectionFolder
from search_api.contract import Operation
from search_api.reference import curl_example, markdown_reference, python_example
from search_api.routes import ALL_OPERATIONS

ROOT = Path(__file__).parent.parent
OPERATIONS = [operation for group in ALL_OPERATIONS for operation in group.all]


def test_the_reference_in_the_repository_is_of_this_contract() -> None:
    written = (ROOT / "API.md").read_text(encoding="utf-8")
    assert written == markdown_reference(ALL_OPERATIONS), "run: make reference"


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, tiny_settings: IndexSettings
) -> Iterator[tuple[str, str]]:
    """Address and version of a server over documents that the examples name."""
    data_dir = tmp_path_factory.mktemp("reference")
    texts = {
        "io.open": "Open a file to read or write it line by line.",
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
    build_version(folder, documents, settings=tiny_settings)
    command = [sys.executable, "-m", "pipeline.command_line.main", "serve", "--admin"]
    command += ["--port", "0", "--data-dir", str(data_dir)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stderr is not None
            told = []
            for line in process.stderr:
                told.append(line)
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    yield found[0], folder.current()
                    break
            else:
                pytest.fail("the server did not start: " + "".join(told))
        finally:
            process.kill()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_examples_run(server: tuple[str, str], operation: Operation) -> None:
    address, version = server
    python = python_example(operation, server=address).replace("VERSION", version)
    done = subprocess.run(
        [sys.executable, "-c", python], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    curl = curl_example(operation, server=address).replace("VERSION", version)
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
