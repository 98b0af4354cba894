"""The recipes of INTEGRATIONS.md run exactly as they are printed, against real servers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import fork_server
import pytest
from fork_server import PIPE

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "INTEGRATIONS.md").read_text(encoding="utf-8")
NAMES = ("mcp", "langchain", "llama_index")
RECIPES = dict(zip(NAMES, re.findall(r"```python\n(.*?)```", TEXT, re.S), strict=True))
QUESTION = "read a file line by line"
# Nothing may be fetched: what needs the network fails here as it would without one.
OFFLINE = """
import socket
connect = socket.socket.connect
def connect_here(self, address):
    assert self.family == socket.AF_UNIX or address[0] in {"127.0.0.1", "::1"}, address
    return connect(self, address)
socket.socket.connect = connect_here
"""


@contextmanager
def serving(*command: str) -> Iterator[str]:
    """Address of a server of ours."""
    with fork_server.start(*command, "--port", 0, stderr=PIPE) as process:
        try:
            assert process.stderr is not None
            told = []
            for line in process.stderr:
                told.append(line)
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    yield found[0]
                    break
            else:
                pytest.fail("the server did not start: " + "".join(told))
        finally:
            process.kill()


@pytest.fixture(scope="module")
def api(library_data_dir: Path) -> Iterator[str]:
    with serving("serve", "--data-dir", str(library_data_dir)) as address:
        yield address


def run(recipe: str) -> list[tuple[str, float]]:
    """Ids and probabilities that a recipe prints."""
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE + recipe], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    return [(doc_id, float(probability)) for doc_id, probability in printed]


def hits(api: str, **parameters: object) -> list[tuple[str, float]]:
    """What the API itself answers."""
    asked = urlencode({"q": QUESTION, "k": 3, **parameters})
    with urlopen(f"{api}/api/v1/search?{asked}") as response:  # noqa: S310
        answer = json.load(response)
    assert not answer["no_good_result"]
    return [(hit["doc_id"], hit["probability"]) for hit in answer["hits"]]


@pytest.mark.parametrize("name", ["langchain", "llama_index"])
def test_a_retriever_finds_what_the_api_finds(api: str, name: str) -> None:
    found = run(RECIPES[name].replace("http://127.0.0.1:8080", api))
    assert found == hits(api, min_probability=0.1)
    assert found


@pytest.mark.parametrize("name", ["langchain", "llama_index"])
def test_a_retriever_finds_nothing_where_nothing_fits(api: str, name: str) -> None:
    recipe = RECIPES[name].replace("http://127.0.0.1:8080", api)
    last = recipe.rindex("min_probability")
    filtered = recipe[last:].replace("min_probability", "filter")
    filtered = filtered.replace("0.1", '"draft:true AND draft:false"')
    assert run(recipe[:last] + filtered) == []


def test_a_program_asks_over_mcp(api: str, library_data_dir: Path) -> None:
    with serving("mcp", "--http", "--data-dir", str(library_data_dir)) as address:
        found = run(RECIPES["mcp"].replace("http://127.0.0.1:8081", address))
    assert found == hits(api)


def test_a_client_is_told_a_command_that_exists() -> None:
    (told,) = re.findall(r"```json\n(.*?)```", TEXT, re.S)
    (server,) = json.loads(told)["mcpServers"].values()
    done = fork_server.run(*server["args"], "--help")
    assert done.returncode == 0, done.stderr
